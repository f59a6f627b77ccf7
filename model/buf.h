/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf -- bytes that grow up to a ceiling named at birth.
 *
 * data always has a NUL behind its len bytes once anything was appended, so
 * it can be read as text.  The first failure sticks: later appends do nothing
 * and buf_status() reports it, so a writer checks once, at its end.
 * A failure is -ENOMEM, or -EFBIG when the ceiling would be passed.
 *
 * A secret buf overwrites its bytes wherever it leaves them: when it grows, is
 * cleared or is released.  What buf_take() gives is the caller's to wipe.
 */
#ifndef MODEL_BUF_H
#define MODEL_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data; /* NULL while nothing was appended */
	size_t len;
	size_t capacity;
	size_t max; /* ceiling of len, in bytes */
	int status; /* 0, or the first failure */
	bool is_secret;
};

void buf_init(struct buf *buf, size_t max);
void buf_init_secret(struct buf *buf, size_t max);
void buf_release(struct buf *buf); /* frees; the buf is empty and usable again */

int buf_append(struct buf *buf, const void *bytes, size_t len);
int buf_append_text(struct buf *buf, const char *text);
__attribute__((format(printf, 2, 3))) int buf_printf(struct buf *buf, const char *fmt, ...);
int buf_status(const struct buf *buf);

/* Empties without freeing; the ceiling stays, the status is cleared. */
void buf_clear(struct buf *buf);

/* Hands the bytes (ending in a NUL) to the caller, who frees them; never NULL
 * unless out of memory.  *ret_len may be NULL. */
char *buf_take(struct buf *buf, size_t *ret_len);

#endif
