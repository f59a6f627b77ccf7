/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device -- /dev/fuse as libfuse sees it: what it forgets to tell the kernel is put in.
 *
 * libfuse before 3.16.2 (Debian 12 has 3.14) takes FUSE_CAP_PARALLEL_DIROPS and does not send
 * FUSE_PARALLEL_DIROPS.  The kernel then does one lookup or listing of a directory at a time, under
 * a lock that no signal gets a waiting process out of.
 */
#ifndef FS_DEVICE_H
#define FS_DEVICE_H

#include "fs/fs.h"
#include "model/error.h"

/* When a mount has failed: is it for want of the device? */
int device_check(struct error *err);

/* After fuse_session_mount(), before the first request is received. */
int device_complete(struct fs *fs, struct error *err);

#endif
