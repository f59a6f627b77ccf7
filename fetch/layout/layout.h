/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout -- a source over an OCI image layout, read in place: a directory, or an archive of one
 * (oci-archive).
 *
 * index.json is read again when its file changes.  Names of entries:
 * io.containerd.image.name if present; else ref.name if it holds '/' or a ':' not
 * followed by '/': both as REPOSITORY:TAG (a leading host stays the first component of the
 * repository); else the repository is "" and ref.name the tag.  All plain: the source
 * is_single_repository. Of two entries with one name the first wins.  Files are opened only if they
 * are regular and inside the layout (no symlink leads out of it, a FIFO never blocks).
 *
 * Source: OCI image-spec image-layout.md.
 */
#ifndef FETCH_LAYOUT_LAYOUT_H
#define FETCH_LAYOUT_LAYOUT_H

#include "fetch/source.h"

struct bundle;
struct observer;

/* Takes the bundle, even on failure; it has an oci-layout file. */
int layout_open(
	struct source **ret, struct bundle *bundle, struct observer *observer, struct error *err);

/* Is it one?  For finding the kind of a plain path. */
bool layout_is(struct bundle *bundle);

#endif
