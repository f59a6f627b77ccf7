/* SPDX-License-Identifier: Apache-2.0 */
/* open -- from SOURCE to a store, and to what the mount's root is about. */
#ifndef FS_OPEN_H
#define FS_OPEN_H

#include "fs/fs.h"

/* Opens the source and looks at it, unless nocheck or offline say otherwise: sets fs->store and the
 * root's view and place.  fs has a cache or none.  herald_fd: see watch.h. */
int open_root(struct fs *fs, int herald_fd, struct error *err);

#endif
