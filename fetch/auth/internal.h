/* SPDX-License-Identifier: Apache-2.0 */
/* auth, inside: challenges, credentials, tokens. */
#ifndef FETCH_AUTH_INTERNAL_H
#define FETCH_AUTH_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "fetch/auth/auth.h"

enum auth_scheme { SCHEME_UNKNOWN, SCHEME_BASIC, SCHEME_BEARER };

enum {
	CHALLENGES_MAX = 16,
	TOKENS_CACHED_MAX = 1024,
	TOKEN_TEXT_MAX = 32 << 10, /* bytes of one token: it becomes a header */
	TOKEN_EARLY_S = 5,         /* renewed so long before its end */
};

/* challenge.c */
struct challenge {
	enum auth_scheme scheme;
	bool is_malformed;             /* one of its parameters is; it is not to be used */
	char *realm, *service, *scope; /* or NULL */
};

struct challenge_list {
	struct challenge items[CHALLENGES_MAX];
	size_t count;
};

/* Adds those of one WWW-Authenticate value.  What cannot be read is left out;
 * -ENOMEM is the only failure. */
int challenge_list_parse(struct challenge_list *list, const char *value);
void challenge_list_release(struct challenge_list *list);
/* The strongest scheme that can be used, or NULL. */
const struct challenge *challenge_list_best(const struct challenge_list *list);

/* credentials.c */
struct credential {
	char *key;   /* "host/ns/repo", "host" */
	size_t file; /* the how-manieth of those read */
	char *user, *password;
	char *identity_token; /* or NULL */
};

struct credentials {
	struct credential *items;
	size_t count;
	struct buf searched; /* for people */
};

int credentials_load(struct credentials *ret, const struct auth_config *config,
	struct observer *observer, struct error *err);
void credentials_release(struct credentials *credentials);
const struct credential *credentials_find(
	const struct credentials *credentials, const char *host, const char *repository);
/* Adds the entries of an auth file's text that are for host. */
int credentials_parse(struct credentials *credentials, size_t file, const char *host,
	const char *text, size_t len, struct error *err);
/* "user:password" as base64; the caller's. */
char *credential_basic(const struct credential *credential);

/* Overwrites, then frees; NULL is fine. */
void secret_free(char *secret);
void secret_freep(char **secret);

/* realm.c: where tokens come from. */
struct realm {
	char *url;
	bool is_trusted;     /* with credentials */
	bool is_registry;    /* the origin that named it: client certificates are for that alone */
	bool is_permitted;   /* by the user: wherever it is */
	enum http_zone zone; /* of who named it */
};

struct realm_rules {
	const char *host;      /* the registry's */
	const char *permitted; /* or NULL */
	bool is_https;
};

/* -EACCES: no token is asked for there. */
int realm_init(struct realm *ret, const char *text, const struct realm_rules *rules,
	const struct http_response *named_by, struct error *err);
void realm_release(struct realm *realm);

/* token.c */
struct token_request {
	const struct realm *realm;
	const char *service;                 /* or NULL */
	const char *scopes;                  /* blank-separated, may be "" */
	const struct credential *credential; /* or NULL: anonymous */
	const char *identity_token;          /* or NULL */
};

struct token_answer {
	char *token;         /* secret */
	char *refresh_token; /* secret, or NULL */
	uint64_t lifetime_s;
};

int token_fetch(struct token_answer *ret, struct http *http, const struct token_request *request,
	struct cancel *cancel, struct error *err);
int token_answer_parse(struct token_answer *ret, const char *text, size_t len, struct error *err);

#endif
