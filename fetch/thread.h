/* SPDX-License-Identifier: Apache-2.0 */
/* thread -- one more thread of the process, for work. */
#ifndef FETCH_THREAD_H
#define FETCH_THREAD_H

#include <pthread.h>

/* With all signals blocked: those belong to the main thread.  name: 15 bytes at most, for ps and
 * debuggers only.  0 or a positive errno, as of pthread_create(3). */
int thread_start(pthread_t *ret, const char *name, void *(*run)(void *context), void *context);

#endif
