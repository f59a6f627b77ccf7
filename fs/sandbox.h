/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox -- what a mount cannot do any more once it looks at what others have made.
 *
 * It writes to the cache and makes temporary files, and changes nothing else in the file system; it
 * starts no program; and set-user-ID programs would not help it.  Reading stays free: certificates,
 * name services and credentials lie in too many places to name them.  Files that are open already,
 * sockets and descriptors stay as they are.
 *
 * It holds for the calling thread and all it starts.  Threads share memory, so that it stops a
 * write that goes astray, a name that leads out, a program that would be started; not somebody who
 * executes his own code in the process for as long as it takes to find the thread outside
 * (fetch/outside.h).
 *
 * By landlock(7), of Linux 5.19 and later (ABI 2, without which no file may be renamed to another
 * directory).
 */
#ifndef FS_SANDBOX_H
#define FS_SANDBOX_H

#include "fs/log.h"

/* cache: its directory, which exists, or NULL.  Where the kernel has no sandbox for us, a line in
 * the log says so, and that is all. */
void sandbox_enter(const char *cache, struct log *log);

#endif
