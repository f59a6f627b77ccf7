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
	AUTH_FILES_MAX = 3,        /* places that are looked at */
	HELPER_TIMEOUT_MS = 30000, /* for one answer: it may ask its user, or a cloud */
	HELPER_ANSWER_MAX = 64 << 10,
};

/* challenge.c */
struct challenge {
	enum auth_scheme scheme;
	bool is_malformed;             /* one of its parameters is; it is not to be used */
	char *realm, *service, *scope; /* or NULL */
	char *error;                   /* of Bearer (RFC 6750 3.1), or NULL */
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

/* credentials.c: what auth files hold. */
struct credential {
	char *key;   /* "host/ns/repo", "host" */
	size_t file; /* the how-manieth of those read */
	char *user, *password;
	char *identity_token; /* or NULL */
	char *newer_token;    /* what a token server gave in its place, or NULL */
};

/* Those for one host. */
struct credentials {
	struct credential *items;
	size_t count;
	char *helpers[AUTH_FILES_MAX]; /* whom each file says to ask first, or NULL */
};

void credential_release(struct credential *credential);
int credential_copy(struct credential *ret, const struct credential *credential);
/* The header line for Basic (RFC 7617), "" without a user; a secret, the caller's. */
int credential_header(char **ret, const struct credential *credential, struct error *err);
/* The user "<token>" has an identity token for a password. */
int credential_find_token(struct credential *credential, struct error *err);

/* The best of one file, or NULL. */
const struct credential *credentials_find(const struct credentials *credentials, size_t file,
	const char *host, const char *repository);
/* Adds what an auth file's text has for host. */
int credentials_parse(struct credentials *credentials, size_t file, const char *host,
	const char *text, size_t len, struct error *err);
int credentials_read(struct credentials *credentials, size_t file, const char *host,
	const char *path, struct error *err);
void credentials_release(struct credentials *credentials);
/* Where to look, in this order; the caller's.  Named: by the user, and so the only one. */
int credentials_places(char *ret[static AUTH_FILES_MAX], bool *ret_is_named,
	const struct auth_config *config, struct error *err);

/* Overwrites, then frees; NULL is fine. */
void secret_free(char *secret);
void secret_freep(char **secret);

/* helper.c */
bool helper_name_is_valid(const char *name);
/* Asks for a server's credentials; leaves *ret as it was when there are none. */
int helper_get(struct credential *ret, const char *name, const char *server, uint64_t timeout_ms,
	struct cancel *cancel, struct error *err);
int helper_answer_parse(struct credential *ret, const char *text, size_t len, struct error *err);

/*
 * wallet.c: the credentials for one host, as they are now.  Files are read again when they change,
 * helpers are asked when somebody needs them, and again when what they gave was refused.
 * Thread-safe.  Versions count the changes; the first is 1.
 */
struct wallet;

int wallet_new(struct wallet **ret, const struct auth_config *config, struct observer *observer,
	struct error *err);
void wallet_free(struct wallet *wallet);
/* The credential for a repository (NULL: for the registry), a copy, without user and identity token
 * when there is none; *ret_version is of what is known.  refused: a version of which the credential
 * was refused, so that it is worth looking for another; 0: none was.  Waits for a helper.  -EINTR,
 * -ENOMEM; helpers and files that fail are told to the observer. */
int wallet_find(struct wallet *wallet, const char *repository, uint64_t refused,
	struct credential *ret, uint64_t *ret_version, struct cancel *cancel, struct error *err);
/* Is nothing there that could hold a credential? */
bool wallet_is_empty(struct wallet *wallet);
/* Where it looked, and what became of it, for people. */
void wallet_describe(struct wallet *wallet, struct buf *ret);
/* What tells identities apart: secrets in files; of helpers, whose secrets come and go, their
 * names. */
void wallet_write_identity(struct wallet *wallet, struct buf *ret);

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
