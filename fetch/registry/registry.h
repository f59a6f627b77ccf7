/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry -- a source that speaks the distribution API (V2) over HTTP(S).
 *
 * Anonymous, Basic or Bearer.  HEAD resolves tags (GET where HEAD is refused),
 * manifests are asked for with all six types in Accept, lists follow Link on
 * the same origin only.  Loopback hosts: https first, then http; other hosts
 * https, unless tls is TLS_OFF, which also tries http.
 *
 * Sources: OCI distribution-spec spec.md; distribution docs/spec/api.md.
 */
#ifndef FETCH_REGISTRY_REGISTRY_H
#define FETCH_REGISTRY_REGISTRY_H

#include "fetch/http/http.h"
#include "fetch/source.h"

struct registry_config {
	const char *host;     /* "docker.io" means registry-1.docker.io */
	const char *authfile; /* or NULL */
	const char *realm;    /* see struct auth_config */
	bool no_credentials;
	const char *cert_dir;    /* or NULL: certs.d of the usual places */
	struct http_config http; /* verify_tls false: any certificate, and http is tried too */
};

/* Does no I/O but reading local files; the first request finds out the scheme. */
int registry_open(struct source **ret, const struct registry_config *config,
	struct observer *observer, struct error *err);

#endif
