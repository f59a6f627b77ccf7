/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mirrors -- a registry by several routes: a source that asks the registries which the
 * configuration names (fetch/routes) instead of, or before, the one that was named.
 *
 *	a tag               mirrors for tags, in their order; the origin
 *	by digest           mirrors for digests; the origin; those that are for tags alone, because
 *	                    what a tag led to there may be nowhere else
 *	lists, referrers    the origin, since a mirror may hold a part of them; mirrors for tags
 *	the catalog         the origin alone
 *
 * The first that answers is believed.  Whatever else one says, the next is asked, and where
 * nobody has it, the origin's answer counts.  A body that breaks off goes on at the next route,
 * from the byte that is due.  Manifests from a mirror are checked against their digest here, blobs
 * by whoever asks (distrust()).
 *
 * Each host has its own certificates and credentials, and none of another's.  A mirror gets one
 * attempt and little time; one that fails is asked last for MIRROR_REST_MS, and only if the origin
 * is away.
 *
 * Thread-safe.  Source: containers-registries.conf(5).
 */
#ifndef FETCH_MIRRORS_MIRRORS_H
#define FETCH_MIRRORS_MIRRORS_H

#include "fetch/registry/registry.h"
#include "fetch/routes/routes.h"

enum {
	MIRROR_REST_MS = 60000,
	/* What is near answers soon, or is slower than the origin.  Both together leave half a
	 * mount_timeout for that. */
	MIRROR_CONNECT_MS = 3000,
	MIRROR_STALL_MS = 10000,
	MIRROR_ORIGINS_MAX = 256, /* bodies whose route is remembered */
};

/* Takes the routes over, and leaves none.  Where no table is about the host, the source is that of
 * registry_open().  cert_dir is the origin's. */
int mirrors_open(struct source **ret, const struct registry_config *config, struct routes *routes,
	struct observer *observer, struct error *err);

#endif
