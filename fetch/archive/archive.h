/* SPDX-License-Identifier: Apache-2.0 */
/*
 * archive -- a source over what `docker save` writes, of any age, read in place:
 * a tar or a directory of the same files.
 *
 * With a manifest.json (Docker 1.10 and later, podman, kaniko, umoci, bazel):
 * there is no manifest in it, so one of schema 2 is made for each image from
 * its config and from what is stored.  A plain layer has the digest that the
 * config claims (its diff_id) and whoever reads it finds out; a compressed one
 * is hashed.  Without (before 1.10): the V1 document of each image, whose layers
 * have ids and no digests.
 *
 * Lists cost no look at a layer; the work for an image is done when it is
 * resolved, and is remembered.  Images without a name, and parents of no
 * other one, are untagged in repository "".  Of two entries with one name the last wins, as
 * when `docker load` goes through them; the earlier one is untagged in its repository.  A name
 * without a tag means "latest".
 *
 * What is wrong with one image (-EIO, -EFBIG) concerns no other.
 *
 * Sources: moby image/spec/v1.md to v1.2.md; image/tarexport's behaviour.
 */
#ifndef FETCH_ARCHIVE_ARCHIVE_H
#define FETCH_ARCHIVE_ARCHIVE_H

#include "fetch/bundle/bundle.h"
#include "fetch/source.h"

enum { ARCHIVE_IMAGES_MAX = 10000 }; /* images, and V1 layers, of one archive */

/* Takes the bundle, even on failure. */
int docker_archive_open(struct source **ret, struct bundle *bundle, struct observer *observer,
	struct cancel *cancel, struct error *err);

/* Is it one?  For finding the kind of a plain path. */
bool docker_archive_is(struct bundle *bundle);

/* An OCI layout lies in there, too (Docker 25 and later), and is complete: it names manifests, and
 * the layers of each are as many as its config's diff_ids, in that order, and all there.
 * Early 25.0 wrote others.  Platforms of an index that were not saved are not missed. */
bool docker_archive_prefers_layout(struct bundle *bundle);

#endif
