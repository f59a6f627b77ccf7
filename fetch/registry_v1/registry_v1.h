/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_v1 -- a source that speaks the protocol that came before manifests.
 *
 * An image is an id; its layers are the ids of its ancestry, each with a JSON
 * and a tar.  No bytes have digests until they have been read, so manifests are
 * made up (model/image.h: v1_document_write()) and remembered: a digest of an earlier mount is
 * -ENOENT until its tag has been resolved again.
 *
 * A host is a registry or an index.  An index gives a token and names the hosts
 * that take it; they get the token and nothing else: credentials, client certificates and cookies
 * stay with the host that the user named.  Nothing of the kind follows a redirect.
 *
 * There is no catalogue: repositories() is -EOPNOTSUPP.  Names without a '/' are looked for
 * below "library/", too.
 *
 * Sources: docker-registry 0.9 and docker 1.5, "registry/v1" and "hub_registry_spec";
 * image-spec v1.md.
 */
#ifndef FETCH_REGISTRY_V1_REGISTRY_V1_H
#define FETCH_REGISTRY_V1_REGISTRY_V1_H

#include "fetch/registry/registry.h"

/* Does no I/O but reading local files; the first request finds out the scheme. */
int registry_v1_open(struct source **ret, const struct registry_config *config,
	struct observer *observer, struct error *err);

#endif
