/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread names itself: another's name is a file in /proc, which the sandbox does not let
 * us write to.
 */
#include "fetch/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/cleanup.h"

enum { NAME_MAX_BYTES = 16 }; /* what the kernel keeps, with the NUL */

struct start {
	void *(*run)(void *context);
	void *context;
	char name[NAME_MAX_BYTES];
};

static void *begin(void *context)
{
	struct start start = *(struct start *)context;

	free(context);
	(void)pthread_setname_np(pthread_self(), start.name);
	return start.run(start.context);
}

int thread_start(pthread_t *ret, const char *name, void *(*run)(void *context), void *context)
{
	CLEANUP(freep) struct start *start = malloc(sizeof *start);
	sigset_t all, before;
	int rc;

	if (!start)
		return ENOMEM;
	*start = (struct start){ .run = run, .context = context };
	(void)snprintf(start->name, sizeof start->name, "%s", name);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(ret, NULL, begin, start);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!rc)
		(void)TAKE(start);
	return rc;
}
