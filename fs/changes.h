/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changes -- what a layer did to those below it: one line per path, in the
 * order of paths, "A /path" (added), "M /path" (modified) or "D /path"
 * (deleted), like `docker diff`.
 *
 * A directory is modified when its own entry differs in mode or owner from the
 * one below, not because something in it changed.  Control characters and
 * backslashes in names are written \ooo.
 */
#ifndef FS_CHANGES_H
#define FS_CHANGES_H

#include <stdint.h>

#include "fetch/cancel.h"
#include "model/buf.h"
#include "model/error.h"
#include "model/tree/tree.h"

enum { CHANGES_MAX = 256 << 20 }; /* bytes of one changes.txt */

/* layers[0] is the base; the last one is the one looked at. */
int changes_write(const struct tree *const *layers, uint32_t count, struct buf *ret,
	struct cancel *cancel, struct error *err);

#endif
