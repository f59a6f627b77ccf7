/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader -- bytes that do not change and can be read at any offset: a file, a
 * member of an archive, the plain stream of a compressed one.
 *
 * Counted: whoever holds one has a reference.  Any thread may read; reads of
 * one reader run at once.  What lies below is borrowed by nobody: a section
 * holds what it is a section of.
 */
#ifndef FETCH_READER_H
#define FETCH_READER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "model/cleanup.h"
#include "model/digest.h"
#include "model/error.h"

struct blob_stream;
struct buf;
struct cancel;
struct reader;

struct reader_ops {
	/* Reads exactly len bytes, which lie within the size.  0, -EIO (-EBADMSG: what is below
	 * proved to be damaged). */
	int (*read)(
		struct reader *reader, void *bytes, size_t len, uint64_t offset, struct error *err);
	/* The file below, to tell whether somebody touched it. */
	int (*stat)(struct reader *reader, struct stat *ret, struct error *err);
	void (*free)(struct reader *reader);
};

struct reader {
	const struct reader_ops *ops;
	uint64_t size; /* bytes */
	_Atomic unsigned users;
};

void reader_init(struct reader *reader, const struct reader_ops *ops, uint64_t size);
struct reader *reader_ref(struct reader *reader);
void reader_unref(struct reader *reader); /* NULL is fine */
CLEANUP_POINTER(readerp, struct reader, reader_unref)

/* A whole file.  Takes the fd, even on failure. */
int reader_of_fd(struct reader **ret, int fd, struct error *err);
/* The same of a copy, which can be made anew: one that cannot be read is a damaged one, -EBADMSG,
 * whatever the disk says. */
int reader_of_copy(struct reader **ret, int fd, struct error *err);
/* What is in memory of something that has size bytes: len of them (malloc()ed, taken, even on
 * failure) from offset on.  All else cannot be read: -EIO. */
int reader_of_bytes(struct reader **ret, char *bytes, size_t len, uint64_t offset, uint64_t size,
	struct error *err);
/* len bytes of another one (which is referenced) from offset on; -EIO when it has not so many. */
int reader_section(struct reader **ret, struct reader *whole, uint64_t offset, uint64_t len,
	struct error *err);

/* Up to len bytes: fewer only at the end; how many, or a negative errno. */
ssize_t reader_read(
	struct reader *reader, void *bytes, size_t len, uint64_t offset, struct error *err);
/* Appends all of it to an initialised buf; -EFBIG when its ceiling is in the way. */
int reader_append_to(struct reader *reader, struct buf *ret, struct error *err);
/* What all of it is. */
int reader_digest(struct reader *reader, enum digest_algorithm algorithm, struct digest *ret,
	struct cancel *cancel, struct error *err);
/* Its bytes in order, from offset on (fetch/source.h).  The reader is referenced; cancel (may be
 * NULL) must outlive the stream. */
int reader_stream(struct blob_stream **ret, struct reader *reader, uint64_t offset,
	struct cancel *cancel, struct error *err);

/* The stat of the file below. */
int reader_stat(struct reader *reader, struct stat *ret, struct error *err);
/* Are these of one file, in one state? */
bool stat_is_same(const struct stat *a, const struct stat *b);

#endif
