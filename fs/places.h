/* SPDX-License-Identifier: Apache-2.0 */
/*
 * places -- where a mount may be, and what it may be made of.
 *
 * A file system that reads through its own mount waits for itself.  So nothing that it works with
 * lies in its mount point, and its mount point and cache do not lie in the directory that it shows.
 * What lies where is told by device and inode number of all parents, whatever links and bind mounts
 * lead there.
 *
 * Calls return 0 or a negative errno and set *err.
 */
#ifndef FS_PLACES_H
#define FS_PLACES_H

#include <stdbool.h>

#include "fs/options.h"
#include "model/error.h"

/* mount.fuse3 has opened the device and mounted already: where, it does not tell. */
bool places_is_mounted(const struct options *options);

/* The mount point is a directory, and no mount whose process has died is in the way (-ENOTCONN). */
int places_check_mountpoint(const struct options *options, struct error *err);

/* All that options name, but for the cache.  The log need not exist yet. */
int places_check_options(const struct options *options, struct error *err);

/* The cache's directory, which need not exist yet. */
int places_check_cache(const struct options *options, const char *path, struct error *err);

#endif
