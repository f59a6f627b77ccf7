/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status_watch -- a mount's transfers while they go on, out of its stats.json.
 *
 * On a terminal a bar for each, drawn over the last ones; elsewhere a line for each when it begins,
 * when it has gone on for a while, and when it is over.
 */
#ifndef FS_STATUS_WATCH_H
#define FS_STATUS_WATCH_H

#include "model/error.h"

/* Until SIGINT or SIGTERM, or until the mount goes: then 0. */
int status_watch(const char *directory, struct error *err);

#endif
