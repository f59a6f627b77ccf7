/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index_show -- a layer's index as text that bsdtar and diff can read: an mtree(5), with the
 * header and the spans as comments before it.
 *
 * A line is an entry, in the index's order: a directory's children follow each other, by name.
 * Whatever could not stand in a line (blanks, control characters, what is not ASCII) is \ooo,
 * as mtree(5) has it.  Keywords of our own: offset (in the tar), segments (of sparse
 * files, offset+size@offset-in-the-tar), flags, xattr.NAME.
 */
#ifndef FS_INDEX_SHOW_H
#define FS_INDEX_SHOW_H

#include <stdio.h>

#include "fetch/layer/layer.h"

/* What could not be written is told by ferror(out). */
void index_show(const struct layer *layer, FILE *out);

#endif
