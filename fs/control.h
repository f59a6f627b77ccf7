/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control -- .imgfs/: what the mount knows of itself, as files.
 *
 * Unlisted in the root.  Each lookup of a file makes a fresh snapshot with an
 * exact size, so plain opens and reads work and nothing changes in mid-read.
 */
#ifndef FS_CONTROL_H
#define FS_CONTROL_H

#include "fs/fs.h"

#define CONTROL_NAME ".imgfs"

/* The directory, for the lookup in the root. */
int control_entry(struct fs *fs, struct fuse_entry_param *ret);
/* SIGUSR1: the status, as log lines. */
void control_log_status(struct fs *fs);
/* "1.5 MiB", as people read sizes. */
void put_bytes(struct buf *ret, uint64_t bytes);

#endif
