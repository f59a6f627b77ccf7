/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outside -- the one thread that is not in the sandbox, and what only it can do.
 *
 * A sandbox holds for the thread that enters it and for all threads and processes it starts, and
 * who is in one can neither mount nor unmount nor start a program that is not (landlock(7)).  So
 * the first thread of the process starts one for all the work, which enters the sandbox, and only
 * waits itself for calls.
 */
#ifndef FETCH_OUTSIDE_H
#define FETCH_OUTSIDE_H

#include "model/error.h"

/* Runs inside(context) in a thread of its own, and what it and its threads hand to outside_call()
 * in this one; returns when it has ended.  Once at a time in a process. */
int outside_run(void (*inside)(void *context), void *context, struct error *err);

/* call(context) in the thread of outside_run(), or, when there is none, in this; returns what it
 * does.  One after the other: it should not take long. */
int outside_call(int (*call)(void *context), void *context);

#endif
