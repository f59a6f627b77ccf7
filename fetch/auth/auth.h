/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth -- credentials from files, challenges, and tokens.
 *
 * One auth serves one registry host with one identity.  Secrets live in
 * memory only, are wiped when freed, and never appear in messages.
 *
 * Tokens are fetched where the registry's challenge says (its realm), within these limits.  Https,
 * or http where the registry itself speaks http.  No further inside than the registry was found
 * (fetch/http/http.h says how that is checked).  Credentials go there only when the realm's host is
 * the registry's or one of its site (libpsl), or the one that config->realm names; others are asked
 * without.
 *
 * Credentials: authfile, else $REGISTRY_AUTH_FILE, else the first match over
 * $XDG_RUNTIME_DIR/containers/auth.json (root: /run/containers/UID/auth.json),
 * $XDG_CONFIG_HOME/containers/auth.json, $DOCKER_CONFIG/config.json or
 * ~/.docker/config.json.  In a file, a credential helper for the host (credHelpers, credsStore)
 * comes first; then the longest key wins: host/ns/repo, shorter, host.  What is refused is looked
 * for again.
 *
 * Wiped after use: files, answers, tokens, what libcurl copied of them.  Not: what the TLS library
 * and the kernel buffered, and strings with escapes in JSON, which json-c decodes.
 *
 * Sources: containers-auth.json(5); docker-credential-helpers README.md; distribution
 * docs/spec/auth/token.md, oauth.md; RFC 9110 section 11 (challenges).
 */
#ifndef FETCH_AUTH_AUTH_H
#define FETCH_AUTH_AUTH_H

#include <stdbool.h>

#include "fetch/http/http.h"

struct auth;

enum {
	AUTH_FILE_MAX = 1 << 20,  /* bytes of an auth file */
	AUTH_TOKEN_MAX = 1 << 20, /* bytes of a token answer */
	AUTH_TOKEN_MIN_S = 60,
	AUTH_TOKEN_MAX_S = 3600,
};

struct auth_config {
	const char *host;     /* as in SOURCE, with port */
	bool is_https;        /* of the registry: what a realm may be */
	const char *authfile; /* or NULL: the usual places */
	const char *realm; /* or NULL: host[:port] of a token server to be trusted wherever it is */
	bool no_credentials;
};

/* Reads the files (a named authfile that is missing or malformed is an error, the usual
 * places may be missing). */
int auth_new(struct auth **ret, const struct auth_config *config, struct http *http,
	struct observer *observer, struct error *err);
void auth_free(struct auth *auth);

/* The registry turned out to speak http: realms may, too. */
void auth_allow_http(struct auth *auth);
/* Servers of the V1 protocol do not always ask: Basic credentials, if there are any, go with every
 * request from now on. */
void auth_use_basic(struct auth *auth);
/* Are there credentials for this repository (NULL: for the registry)? */
bool auth_has_credentials(struct auth *auth, const char *repository);

/* For whoever was refused: where credentials were looked for, whether some were found, and to whom
 * they were not given.  Appended; a failure is the buf's status. */
void auth_describe(struct auth *auth, struct buf *ret);

/* A stable text that tells identities apart without giving them away: for the cache. */
const char *auth_identity(const struct auth *auth);

/* The Authorization header line to send for a scope ("repository:a/b:pull",
 * "registry:catalog:*"), from what is known: "" when there is nothing to send
 * yet.  Caller frees *ret. */
int auth_header(struct auth *auth, const char *repository, const char *scope, char **ret,
	struct cancel *cancel, struct error *err);

/* The registry itself gave this answer, a 401, to a request sent with used (an auth_header()
 * result): learns the scheme, fetches a token for scope if need be.  0: try
 * again with auth_header(); -EACCES: that identity has no more to offer.  is_second: it has
 * answered a challenge to this request before, and only a token that was revoked meanwhile, or
 * other credentials, could change anything. */
int auth_challenge(struct auth *auth, const char *repository, const char *scope, const char *used,
	bool is_second, const struct http_response *answer, struct cancel *cancel,
	struct error *err);

#endif
