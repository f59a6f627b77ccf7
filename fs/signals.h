/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signals -- what a thread that waits for an answer was sent.
 *
 * The kernel interrupts a request for any signal, also one that nobody means to stop anything
 * with: a shell's child has ended (SIGCHLD), its terminal has another size (SIGWINCH), a runtime
 * switches threads (SIGURG).  What open(2) or stat(2) return then is up to us, and programs do not
 * expect EINTR of files.  See signal(7), proc(5).
 */
#ifndef FS_SIGNALS_H
#define FS_SIGNALS_H

#include <stdbool.h>
#include <sys/types.h>

/* Has a signal come that is to end what this thread waits for?  Yes, when that cannot be told. */
bool signals_interrupt(pid_t thread);

#endif
