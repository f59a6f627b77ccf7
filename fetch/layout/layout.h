/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout -- a source over an OCI image layout directory, read in place.
 *
 * index.json is read again when its mtime or size changes.  Names of entries:
 * io.containerd.image.name if present; else ref.name if it holds '/' or a ':' not
 * followed by '/': both as REPOSITORY:TAG (a leading host stays the first component of the
 * repository); else the repository is "" and ref.name the tag.  All plain: the source
 * is_single_repository. Of two entries with one name the first wins.  Files are opened only if they
 * are regular and inside the layout (no symlink is followed, a FIFO never blocks).
 *
 * Source: OCI image-spec image-layout.md.
 */
#ifndef FETCH_LAYOUT_LAYOUT_H
#define FETCH_LAYOUT_LAYOUT_H

#include "fetch/source.h"

struct observer;

/* path is a directory with an oci-layout file.  */
int layout_open(
	struct source **ret, const char *path, struct observer *observer, struct error *err);

/* Is it one?  For finding the kind of a plain path. */
bool layout_is(const char *path);

#endif
