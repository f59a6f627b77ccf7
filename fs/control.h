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

enum { CONTROL_FILE_MAX = 4 << 20 }; /* bytes of one control file */

/* The directory, for the lookup in the root. */
int control_entry(struct fs *fs, struct fuse_entry_param *ret);
/* SIGUSR1: the status, as log lines. */
void control_log_status(struct fs *fs);
/* "ls(4121) +2": who waits for a load, and how many more. */
void control_put_waiters(struct buf *ret, const struct load *load);
/* "1.5 MiB", as people read sizes. */
void put_bytes(struct buf *ret, uint64_t bytes);

/* For others than who serves it: a control file of the mount at a directory. */
int control_read(struct buf *ret, const char *directory, const char *name, struct error *err);

#endif
