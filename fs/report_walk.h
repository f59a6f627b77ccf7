/* SPDX-License-Identifier: Apache-2.0 */
/* report_walk -- tells paths (report_paths.h) what a layer holds, from its diff/ in a mount. */
#ifndef FS_REPORT_WALK_H
#define FS_REPORT_WALK_H

#include "fs/report_paths.h"
#include "model/error.h"

/*
 * Deletions may be shown either way that whiteouts= has.  Not followed: symbolic links.
 * As deep as the layer is, two descriptors are open.
 */
int walk_layer(struct paths *paths, const char *directory, struct error *err);

#endif
