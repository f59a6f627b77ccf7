/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error -- a code for the kernel and a sentence for the person.
 *
 * Calls that can fail return 0 (or a count) or a negative errno, fill *err
 * with one line of text, and leave their out-parameters as they were.  The
 * code is set where the failure happens and stays; the words grow on the way
 * up.  A struct error is a plain value: nothing to free, so failing cannot
 * fail.  err may be NULL where the caller wants the code alone.
 *
 * Codes keep different causes apart up to the kernel: ENOENT (does not
 * exist), EACCES (not allowed), ETIMEDOUT and EHOSTUNREACH (not there today),
 * EBADMSG (digest or size mismatch), EIO (malformed content), EOPNOTSUPP (a
 * kind nobody here can read), EFBIG (over a ceiling), EINTR (cancelled).
 */
#ifndef MODEL_ERROR_H
#define MODEL_ERROR_H

enum { ERROR_TEXT_MAX = 512 };

struct error {
	char text[ERROR_TEXT_MAX];
};

/* Sets the text and returns -code; code is a positive errno. */
__attribute__((format(printf, 3, 4))) int error_set(
	struct error *err, int code, const char *fmt, ...);

/* Puts "fmt: " in front of the text and returns rc. */
__attribute__((format(printf, 3, 4))) int error_prefix(
	struct error *err, int rc, const char *fmt, ...);

#endif
