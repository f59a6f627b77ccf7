/* SPDX-License-Identifier: Apache-2.0 */
/*
 * patience -- what takes long is told to whoever looks after the mount.
 *
 *	after 10 s and 30 s of waiting	a line in the log: what for, how far it is, who waits
 *	after 30 s without a byte	a warning that the source does not respond, as NFS has it,
 *					and a line when it does again
 *	while something is fetched	the status for a service manager, at most every 2 s
 *
 * What waits for its turn is not told of: what it waits for is.
 */
#ifndef FS_PATIENCE_H
#define FS_PATIENCE_H

#include <stdint.h>

struct fs;

/* Loop thread, whenever it is awake.  Returns in how many ms to be called again, -1: when something
 * has happened. */
int patience_tick(struct fs *fs, uint64_t now_ms);

#endif
