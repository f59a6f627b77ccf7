/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dir -- a source over what containers-transports(5) calls "dir:", read in place: one
 * image and its blobs, in a directory or an archive of one.
 *
 *	version            "Directory Transport Version: 1.1"
 *	manifest.json      of any kind, as it was received
 *	HEX.manifest.json  the manifests that it names, if it is a list or index
 *	HEX                blobs; layers were HEX.tar in version 1.0
 *
 * There are no names: resolve() of repository "" and tag "" gives
 * the digest of manifest.json, which is read again when the file changed.  Files are found by
 * their names; whether they hold what those say is for the store to find out.
 */
#ifndef FETCH_DIR_DIR_H
#define FETCH_DIR_DIR_H

#include "fetch/bundle/bundle.h"
#include "fetch/source.h"

/* Takes the bundle, even on failure.  -ENOENT without a manifest.json, -EOPNOTSUPP for a version
 * that is not 1.x; a version file may be missing. */
int dir_open(
	struct source **ret, struct bundle *bundle, struct observer *observer, struct error *err);

/* Is it one?  For finding the kind of a plain path; here the version file counts. */
bool dir_is(struct bundle *bundle);

#endif
