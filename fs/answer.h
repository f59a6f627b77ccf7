/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer -- the bytes that answer one read, found piece by piece.
 *
 * Where all of them lie side by side in memory they are not copied.  Else they
 * are put together in a buffer, which stays with the request while it is parked:
 * a read across two spans comes to its end though only one of them fits into memory.
 * So whoever adds to an answer goes on at done, and does not begin anew.
 */
#ifndef FS_ANSWER_H
#define FS_ANSWER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "model/error.h"

struct answer {
	size_t len;             /* bytes wanted */
	size_t done;            /* of them, found so far, from the first on */
	const char *borrowed;   /* where all of them are */
	_Atomic unsigned *pins; /* they stay there until answer_release(), or if this is NULL until
				 * the operation returns */
	char *buf;              /* or else all of them are here; owned */
};

/* Adds bytes, no more than are missing.  They stay where they are until the operation returns, or
 * where pins is not NULL as long as it is not 0.  -ENOMEM. */
int answer_add(struct answer *answer, const void *bytes, size_t len, _Atomic unsigned *pins,
	struct error *err);
/* The same for zeroes. */
int answer_add_zeroes(struct answer *answer, size_t len, struct error *err);
/* Where the bytes that are missing go: whoever puts some there adds them to done.  NULL: out of
 * memory. */
char *answer_room(struct answer *answer, struct error *err);
/* What was found. */
const char *answer_bytes(const struct answer *answer);
/* Is it good for longer than the operation? */
bool answer_can_stay(const struct answer *answer);
/* Any thread. */
void answer_release(struct answer *answer);

#endif
