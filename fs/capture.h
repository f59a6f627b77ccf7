/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture -- what is said on standard output and standard error while something runs, caught.
 *
 * For programs that a library starts: what fusermount3 has to say is the cause of what we say, and
 * one that stays (auto_unmount) must not keep somebody's pipe open.  It is the whole process whose
 * descriptors 1 and 2 change for a while.
 */
#ifndef FS_CAPTURE_H
#define FS_CAPTURE_H

#include <stddef.h>

struct capture {
	int file;      /* -1: nothing is caught */
	int before[2]; /* standard output and error; -1: there was none */
};

/* Where it cannot be, everything is said aloud. */
void capture_begin(struct capture *ret);
/* Puts back what was there.  The first line goes to text, "" if there was none. */
void capture_end(struct capture *capture, char *text, size_t room);

#endif
