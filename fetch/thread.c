/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/thread.h"

#include <signal.h>

int thread_start(pthread_t *ret, const char *name, void *(*run)(void *context), void *context)
{
	sigset_t all, before;
	int rc;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(ret, NULL, run, context);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!rc)
		(void)pthread_setname_np(*ret, name);
	return rc;
}
