/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a registry starts empty: no header is sent until the first
 * challenge has told the scheme, the realm and the service.  From then on
 * tokens are fetched before they are asked for.
 *
 * A credential that is refused is asked for anew (wallet.c), and when there is another one, that is
 * tried, once.  So passwords may change and logins come later than the mount.
 *
 * A token is one entry per scope.  Who finds it missing fetches it, without
 * the lock; who comes meanwhile waits and shares the token or the error, but
 * not a cancel: then the next one fetches.
 *
 * Lock order: a cancel's lock, then auth->lock.  Nothing of the wallet is called with the lock held
 * that waits.
 */
#include "fetch/auth/internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include "fetch/cancel.h"
#include "fetch/observer.h"
#include "model/cleanup.h"

/* The identity goes into a cache on disk: guessing a password from it shall be slow. */
enum { IDENTITY_ROUNDS = 50000, IDENTITY_BYTES = 16 };

struct token {
	struct token *next;
	char *scope;
	char *value;         /* secret; NULL: none yet */
	uint64_t expires_at; /* s */
	uint64_t version;    /* of the credentials it was fetched with */
	bool is_fetching;
	unsigned users;   /* calls that hold a pointer to this entry */
	unsigned fetches; /* completed */
	int result;       /* of the last one */
	struct error err;
};

struct auth {
	/* Never changed. */
	struct http *http;
	struct observer *observer;
	char *host;
	char *permitted_realm; /* or NULL */
	struct wallet *wallet;
	char identity[2 * IDENTITY_BYTES + 1];

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Under lock. */
	bool is_https;
	enum auth_scheme scheme;
	struct realm realm;
	char *service;
	char *refused_realm; /* the last one, so that it is told once */
	char *refresh_token; /* secret; newer than the identity token, or NULL */
	char *refresh_of;    /* secret: the identity token it came from */
	struct token *tokens;
	size_t token_count;
};

static uint64_t now_s(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_BOOTTIME, &now); /* runs on while the machine sleeps */
	return (uint64_t)now.tv_sec;
}

/* ---- life ------------------------------------------------------------------------------- */

static int make_identity(struct auth *auth, struct error *err)
{
	CLEANUP(buf_release) struct buf secrets;
	unsigned char out[IDENTITY_BYTES];
	int rc = 0;

	buf_init_secret(&secrets, 4 * AUTH_FILE_MAX);
	if (wallet_is_empty(auth->wallet)) {
		(void)snprintf(auth->identity, sizeof auth->identity, "anonymous");
		return 0;
	}
	wallet_write_identity(auth->wallet, &secrets);
	if (buf_status(&secrets) ||
		PKCS5_PBKDF2_HMAC(secrets.data, (int)secrets.len, (const unsigned char *)auth->host,
			(int)strlen(auth->host), IDENTITY_ROUNDS, EVP_sha256(), sizeof out,
			out) != 1)
		rc = error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; !rc && i < sizeof out; i++)
		(void)snprintf(auth->identity + 2 * i, 3, "%02x", out[i]);
	return rc;
}

static int set_up(struct auth *auth, const struct auth_config *config, struct error *err)
{
	int rc;

	auth->is_https = config->is_https;
	auth->host = strdup(config->host);
	auth->permitted_realm = config->realm ? strdup(config->realm) : NULL;
	if (!auth->host || (config->realm && !auth->permitted_realm))
		return error_set(err, ENOMEM, "out of memory");
	rc = wallet_new(&auth->wallet, config, auth->observer, err);
	return rc ? rc : make_identity(auth, err);
}

int auth_new(struct auth **ret, const struct auth_config *config, struct http *http,
	struct observer *observer, struct error *err)
{
	struct auth *auth = calloc(1, sizeof *auth);
	int rc;

	if (!auth)
		return error_set(err, ENOMEM, "out of memory");
	auth->http = http;
	auth->observer = observer;
	(void)pthread_mutex_init(&auth->lock, NULL); /* neither fails with default attributes */
	(void)pthread_cond_init(&auth->changed, NULL);
	rc = set_up(auth, config, err);
	if (rc) {
		auth_free(auth);
		return rc;
	}
	*ret = auth;
	return 0;
}

static void token_free(struct token *token)
{
	free(token->scope);
	secret_free(token->value);
	free(token);
}

void auth_free(struct auth *auth)
{
	if (!auth)
		return;
	for (struct token *token = auth->tokens, *next; token; token = next) {
		next = token->next;
		token_free(token);
	}
	wallet_free(auth->wallet);
	secret_free(auth->refresh_token);
	secret_free(auth->refresh_of);
	realm_release(&auth->realm);
	free(auth->refused_realm);
	free(auth->service);
	free(auth->host);
	free(auth->permitted_realm);
	(void)pthread_cond_destroy(&auth->changed);
	(void)pthread_mutex_destroy(&auth->lock);
	free(auth);
}

void auth_allow_http(struct auth *auth)
{
	(void)pthread_mutex_lock(&auth->lock);
	auth->is_https = false;
	(void)pthread_mutex_unlock(&auth->lock);
}

void auth_use_basic(struct auth *auth)
{
	(void)pthread_mutex_lock(&auth->lock);
	auth->scheme = SCHEME_BASIC;
	(void)pthread_mutex_unlock(&auth->lock);
}

bool auth_has_credentials(struct auth *auth, const char *repository)
{
	CLEANUP(credential_release) struct credential credential = { .key = NULL };
	uint64_t ignored;

	return !wallet_find(auth->wallet, repository, 0, &credential, &ignored, NULL, NULL) &&
	       (credential.user || credential.identity_token);
}

/* Under lock. */
static bool is_withholding(const struct auth *auth)
{
	return auth->scheme == SCHEME_BEARER && !auth->realm.is_trusted &&
	       !wallet_is_empty(auth->wallet);
}

/* "host" or, with a port of its own, "host:port": as the option has it. */
static void append_realm_host(struct buf *ret, const struct realm *realm)
{
	char text[256];
	const char *host = strstr(http_url_for_log(realm->url, text, sizeof text), "://") + 3;

	(void)buf_printf(ret, "%.*s", (int)strcspn(host, "/"), host); /* only words */
}

void auth_describe(struct auth *auth, struct buf *ret)
{
	(void)pthread_mutex_lock(&auth->lock);
	if (is_withholding(auth)) { /* only words: here and below, failures do not matter */
		(void)buf_append_text(ret, "not given to token server ");
		append_realm_host(ret, &auth->realm);
		(void)buf_append_text(ret, " of another site (option realm=");
		append_realm_host(ret, &auth->realm);
		(void)buf_append_text(ret, " permits it); looked for in ");
	}
	(void)pthread_mutex_unlock(&auth->lock);
	wallet_describe(auth->wallet, ret);
}

const char *auth_identity(const struct auth *auth)
{
	return auth->identity;
}

/* ---- tokens ----------------------------------------------------------------------------- */

static void forget_idle_tokens(struct auth *auth)
{
	for (struct token **at = &auth->tokens; *at;) {
		struct token *token = *at;

		if (token->users) {
			at = &token->next;
			continue;
		}
		*at = token->next;
		token_free(token);
		auth->token_count--;
	}
}

/* Found or made; NULL: out of memory.  Under lock. */
static struct token *token_get(struct auth *auth, const char *scope)
{
	struct token *token;

	for (token = auth->tokens; token; token = token->next)
		if (!strcmp(token->scope, scope))
			break;
	if (!token) {
		if (auth->token_count >= TOKENS_CACHED_MAX)
			forget_idle_tokens(auth);
		token = calloc(1, sizeof *token);
		if (!token)
			return NULL;
		token->scope = strdup(scope);
		if (!token->scope) {
			free(token);
			return NULL;
		}
		token->next = auth->tokens;
		auth->tokens = token;
		auth->token_count++;
	}
	token->users++;
	return token;
}

static bool token_is_good(const struct token *token, const char *refused)
{
	return token->value && token->expires_at > now_s() + TOKEN_EARLY_S &&
	       !(refused && !strcmp(refused, token->value));
}

struct waiter {
	struct auth *auth;
	bool is_cancelled; /* under auth->lock */
};

static void wake(void *context)
{
	struct waiter *waiter = context;

	(void)pthread_mutex_lock(&waiter->auth->lock);
	waiter->is_cancelled = true;
	(void)pthread_cond_broadcast(&waiter->auth->changed);
	(void)pthread_mutex_unlock(&waiter->auth->lock);
}

/* Until somebody else's fetch is over.  Called and left with the lock held. */
static int await_fetch(
	struct auth *auth, struct token *token, struct cancel *cancel, struct error *err)
{
	struct waiter waiter = { .auth = auth };
	unsigned fetches = token->fetches;
	int rc = 0;

	(void)pthread_mutex_unlock(&auth->lock);
	if (!cancel_watch(cancel, wake, &waiter)) {
		(void)pthread_mutex_lock(&auth->lock);
		return error_set(err, EINTR, "interrupted");
	}
	(void)pthread_mutex_lock(&auth->lock);
	while (token->is_fetching && token->fetches == fetches && !waiter.is_cancelled)
		(void)pthread_cond_wait(&auth->changed, &auth->lock);
	if (waiter.is_cancelled)
		rc = error_set(err, EINTR, "interrupted");
	(void)pthread_mutex_unlock(&auth->lock);
	cancel_unwatch(cancel);
	(void)pthread_mutex_lock(&auth->lock);

	if (!rc && token->fetches != fetches && token->result && token->result != -EINTR) {
		rc = token->result;
		if (err)
			*err = token->err;
	}
	return rc;
}

static bool has_word(const char *text, const char *word, size_t len)
{
	while (*text) {
		size_t n = strcspn(text, " ");

		if (n == len && !strncmp(text, word, n))
			return true;
		text += n;
		text += strspn(text, " ");
	}
	return false;
}

/* Both lists of blank-separated scopes as one. */
static char *join_scopes(const char *ours, const char *theirs)
{
	struct buf joined;
	char *text;

	buf_init(&joined, 64 << 10);
	(void)buf_append_text(&joined, ours); /* the status is checked at the end */
	while (theirs && *theirs) {
		size_t n = strcspn(theirs, " ");

		if (n && !has_word(joined.data, theirs, n))
			(void)buf_printf(&joined, "%s%.*s", joined.len ? " " : "", (int)n, theirs);
		theirs += n;
		theirs += strspn(theirs, " ");
	}
	text = buf_status(&joined) ? NULL : buf_take(&joined, NULL);
	buf_release(&joined);
	return text;
}

/* What a fetch needs, copied so that it can go on without the lock. */
struct errand {
	struct realm realm;
	char *service, *scopes;
	const char *repository;
	struct credential credential;
	uint64_t version; /* of the credential */
};

static void errand_release(struct errand *errand)
{
	realm_release(&errand->realm);
	free(errand->service);
	free(errand->scopes);
	credential_release(&errand->credential);
}

/* Under lock. */
static int errand_init(struct errand *errand, struct auth *auth, const char *repository,
	const char *scope, const char *more_scopes)
{
	*errand = (struct errand){ .realm = auth->realm,
		.service = auth->service ? strdup(auth->service) : NULL,
		.scopes = join_scopes(scope, more_scopes),
		.repository = repository };
	errand->realm.url = strdup(auth->realm.url);
	if (errand->realm.url && errand->scopes && !errand->service == !auth->service)
		return 0;
	errand_release(errand);
	return -ENOMEM;
}

/* The newest that is known; an identity token may have been replaced by the server. */
static int find_credential(
	struct auth *auth, struct errand *errand, struct cancel *cancel, struct error *err)
{
	uint64_t refused = errand->version;
	struct credential *credential = &errand->credential;
	char *newer = NULL;
	int rc;

	credential_release(credential);
	if (!errand->realm.is_trusted)
		return 0;
	rc = wallet_find(auth->wallet, errand->repository, refused, credential, &errand->version,
		cancel, err);
	if (rc || !credential->identity_token)
		return rc;
	(void)pthread_mutex_lock(&auth->lock);
	if (auth->refresh_of && !strcmp(auth->refresh_of, credential->identity_token)) {
		newer = strdup(auth->refresh_token);
		rc = newer ? 0 : error_set(err, ENOMEM, "out of memory");
	}
	(void)pthread_mutex_unlock(&auth->lock);
	if (newer)
		credential->newer_token = newer;
	return rc;
}

static int ask_for_token(struct auth *auth, const struct errand *errand,
	struct token_answer *answer, struct cancel *cancel, struct error *err)
{
	const struct credential *credential = &errand->credential;
	struct token_request request = { .realm = &errand->realm,
		.service = errand->service,
		.scopes = errand->scopes,
		.credential = credential->user ? credential : NULL,
		.identity_token = credential->newer_token ? credential->newer_token
							  : credential->identity_token };

	return token_fetch(answer, auth->http, &request, cancel, err);
}

/* Once more, if it was refused and there is another credential by now. */
static int run_errand(struct auth *auth, struct errand *errand, struct token_answer *answer,
	struct cancel *cancel, struct error *err)
{
	struct error why;
	uint64_t refused;
	int rc = find_credential(auth, errand, cancel, err);

	if (!rc)
		rc = ask_for_token(auth, errand, answer, cancel, err);
	if (rc != -EACCES || !errand->realm.is_trusted)
		return rc;
	refused = errand->version;
	rc = find_credential(auth, errand, cancel, &why);
	if (rc)
		return error_set(err, -rc, "%s", why.text);
	return errand->version == refused ? -EACCES
					  : ask_for_token(auth, errand, answer, cancel, err);
}

/* Under lock. */
static void keep_refresh_token(
	struct auth *auth, const struct errand *errand, struct token_answer *answer)
{
	CLEANUP(secret_freep) char *newer = TAKE(answer->refresh_token);
	const char *of = errand->credential.identity_token;

	if (!newer || !of)
		return;
	if (!auth->refresh_of || strcmp(auth->refresh_of, of) != 0) {
		char *copy = strdup(of);

		if (!copy) /* the one that is known may still do */
			return;
		secret_free(auth->refresh_of);
		auth->refresh_of = copy;
	}
	secret_free(auth->refresh_token);
	auth->refresh_token = TAKE(newer);
}

/* Under lock. */
static void take_answer(struct auth *auth, struct token *token, const struct errand *errand,
	struct token_answer *answer)
{
	secret_free(token->value);
	token->value = TAKE(answer->token);
	token->expires_at = now_s() + answer->lifetime_s;
	token->version = errand->version;
	keep_refresh_token(auth, errand, answer);
	observer_count(auth->observer, auth_tokens, 1);
}

/* Called and left with the lock held. */
static int fetch(struct auth *auth, struct token *token, const char *repository,
	const char *more_scopes, struct cancel *cancel, struct error *err)
{
	struct token_answer answer = { .token = NULL };
	struct errand errand;
	struct error why = { "" };
	int rc;

	if (errand_init(&errand, auth, repository, token->scope, more_scopes))
		return error_set(err, ENOMEM, "out of memory");
	token->is_fetching = true;
	(void)pthread_mutex_unlock(&auth->lock);

	rc = run_errand(auth, &errand, &answer, cancel, &why);

	(void)pthread_mutex_lock(&auth->lock);
	if (!rc)
		take_answer(auth, token, &errand, &answer);
	token->is_fetching = false;
	token->fetches++;
	token->result = rc;
	token->err = why;
	(void)pthread_cond_broadcast(&auth->changed);
	errand_release(&errand);
	if (rc && err)
		*err = why;
	return rc;
}

/* A good token in its entry, other than the refused one.  Called and left with the lock held. */
static int obtain(struct auth *auth, struct token *token, const char *repository,
	const char *refused, const char *more_scopes, struct cancel *cancel, struct error *err)
{
	int rc = 0;

	while (!rc && !token_is_good(token, refused)) {
		if (!token->is_fetching)
			return fetch(auth, token, repository, more_scopes, cancel, err);
		rc = await_fetch(auth, token, cancel, err);
	}
	return rc;
}

/* ---- headers ---------------------------------------------------------------------------- */

/* *version: as for wallet_find(), both ways. */
static int basic_header(struct auth *auth, const char *repository, uint64_t *version, char **ret,
	struct cancel *cancel, struct error *err)
{
	CLEANUP(credential_release) struct credential credential = { .key = NULL };
	int rc;

	rc = wallet_find(auth->wallet, repository, *version, &credential, version, cancel, err);
	return rc ? rc : credential_header(ret, &credential, err);
}

static int bearer_header(struct auth *auth, const char *repository, const char *scope, char **ret,
	struct cancel *cancel, struct error *err)
{
	struct token *token;
	char *line = NULL;
	int rc;

	(void)pthread_mutex_lock(&auth->lock);
	token = token_get(auth, scope);
	if (!token) {
		rc = error_set(err, ENOMEM, "out of memory");
	} else {
		rc = obtain(auth, token, repository, NULL, NULL, cancel, err);
		if (!rc && asprintf(&line, "Authorization: Bearer %s", token->value) < 0)
			rc = error_set(err, ENOMEM, "out of memory");
		token->users--;
	}
	(void)pthread_mutex_unlock(&auth->lock);
	if (!rc)
		*ret = line;
	return rc;
}

int auth_header(struct auth *auth, const char *repository, const char *scope, char **ret,
	struct cancel *cancel, struct error *err)
{
	enum auth_scheme scheme;
	uint64_t version = 0;

	(void)pthread_mutex_lock(&auth->lock);
	scheme = auth->scheme;
	(void)pthread_mutex_unlock(&auth->lock);
	switch (scheme) {
	case SCHEME_BASIC:
		return basic_header(auth, repository, &version, ret, cancel, err);
	case SCHEME_BEARER:
		return bearer_header(auth, repository, scope, ret, cancel, err);
	case SCHEME_UNKNOWN:
		break;
	}
	*ret = strdup("");
	return *ret ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int answer_basic(struct auth *auth, const char *repository, const char *used,
	struct cancel *cancel, struct error *err)
{
	CLEANUP(secret_freep) char *line = NULL;
	uint64_t version = 0;
	int rc = basic_header(auth, repository, &version, &line, cancel, err);

	if (!rc && (!*line || !strcmp(line, used))) { /* is there another one by now? */
		secret_free(TAKE(line));
		rc = basic_header(auth, repository, &version, &line, cancel, err);
	}
	if (rc)
		return rc;
	if (!*line)
		return error_set(err, EACCES, "needs a user name and password");
	if (!strcmp(line, used))
		return error_set(err, EACCES, "refused the user name or password");
	(void)pthread_mutex_lock(&auth->lock);
	auth->scheme = SCHEME_BASIC;
	(void)pthread_mutex_unlock(&auth->lock);
	return 0;
}

/* Under lock. */
static void tell_refusal(struct auth *auth, const char *realm, const struct error *why)
{
	if (auth->refused_realm && !strcmp(auth->refused_realm, realm))
		return;
	free(auth->refused_realm);
	auth->refused_realm = strdup(realm); /* without memory it is told again */
	observer_log(auth->observer, LOG_LEVEL_WARNING, "auth: %s: %s", auth->host, why->text);
}

/* Under lock. */
static void tell_realm(struct auth *auth)
{
	char text[256];
	struct buf host;

	(void)http_url_for_log(auth->realm.url, text, sizeof text);
	if (!is_withholding(auth)) {
		observer_log(auth->observer, LOG_LEVEL_INFO, "auth: tokens for %s come from %s",
			auth->host, text);
		return;
	}
	buf_init(&host, sizeof text);
	append_realm_host(&host, &auth->realm);
	observer_log(auth->observer, LOG_LEVEL_WARNING,
		"auth: tokens for %s come from %s, another site, which is asked without "
		"credentials (option realm=%s permits them)",
		auth->host, text, host.data ? host.data : "");
	buf_release(&host);
}

/* Under lock. */
static int learn_realm(struct auth *auth, const struct challenge *challenge,
	const struct http_response *answer, struct error *err)
{
	const struct realm_rules rules = { auth->host, auth->permitted_realm, auth->is_https };
	CLEANUP(freep) char *service = challenge->service ? strdup(challenge->service) : NULL;
	CLEANUP(realm_release) struct realm realm = { .url = NULL };
	struct error why;
	bool is_news;
	int rc;

	if (!service != !challenge->service)
		return error_set(err, ENOMEM, "out of memory");
	rc = realm_init(&realm, challenge->realm, &rules, answer, &why);
	if (rc == -EACCES)
		tell_refusal(auth, challenge->realm, &why);
	if (rc)
		return error_set(err, -rc, "%s", why.text);
	is_news = !auth->realm.url || strcmp(auth->realm.url, realm.url) != 0;
	realm_release(&auth->realm);
	free(auth->service);
	auth->realm = realm;
	realm.url = NULL;
	auth->service = TAKE(service);
	auth->scheme = SCHEME_BEARER;
	if (is_news)
		tell_realm(auth);
	return 0;
}

static const char *token_of_line(const char *line)
{
	static const char prefix[] = "Authorization: Bearer ";

	return strncmp(line, prefix, sizeof prefix - 1) ? NULL : line + sizeof prefix - 1;
}

/* The version of the credentials that brought a token; 0: that is not known any more. */
static uint64_t version_of(struct auth *auth, const char *scope, const char *value)
{
	uint64_t version = 0;

	(void)pthread_mutex_lock(&auth->lock);
	for (struct token *token = auth->tokens; token; token = token->next)
		if (!strcmp(token->scope, scope) && token->value && !strcmp(token->value, value))
			version = token->version;
	(void)pthread_mutex_unlock(&auth->lock);
	return version;
}

/* A token that was fetched for this very request is worth another one only when it has been revoked
 * meanwhile (RFC 6750 3.1), or when there are other credentials by now. */
static int look_for_others(struct auth *auth, const char *repository, const char *scope,
	const char *used, const struct challenge *challenge, struct cancel *cancel,
	struct error *err)
{
	CLEANUP(credential_release) struct credential ignored = { .key = NULL };
	const char *value = token_of_line(used);
	uint64_t refused = value ? version_of(auth, scope, value) : 0, version = 0;
	int rc = 0;

	if (challenge->error && !strcmp(challenge->error, "invalid_token"))
		return 0;
	if (refused)
		rc = wallet_find(
			auth->wallet, repository, refused, &ignored, &version, cancel, err);
	if (!rc && version == refused)
		rc = error_set(err, EACCES, "refused the token");
	return rc;
}

static int answer_bearer(struct auth *auth, const char *repository, const char *scope,
	const char *used, const struct challenge *challenge, const struct http_response *answer,
	struct cancel *cancel, struct error *err)
{
	struct token *token;
	int rc;

	(void)pthread_mutex_lock(&auth->lock);
	rc = learn_realm(auth, challenge, answer, err);
	if (!rc) {
		token = token_get(auth, scope);
		if (!token) {
			rc = error_set(err, ENOMEM, "out of memory");
		} else {
			rc = obtain(auth, token, repository, token_of_line(used), challenge->scope,
				cancel, err);
			token->users--;
		}
	}
	(void)pthread_mutex_unlock(&auth->lock);
	return rc;
}

int auth_challenge(struct auth *auth, const char *repository, const char *scope, const char *used,
	bool is_second, const struct http_response *answer, struct cancel *cancel,
	struct error *err)
{
	char *const *challenges = answer->challenges;
	struct challenge_list list = { .count = 0 };
	const struct challenge *best;
	int rc = 0;

	for (; challenges && *challenges && !rc; challenges++)
		rc = challenge_list_parse(&list, *challenges);
	best = challenge_list_best(&list);
	if (rc)
		(void)error_set(err, -rc, "out of memory");
	else if (!best)
		rc = error_set(err, EACCES, "asks for a login of a kind that is not known");
	else if (best->scheme == SCHEME_BASIC)
		rc = answer_basic(auth, repository, used, cancel, err);
	else {
		if (is_second)
			rc = look_for_others(auth, repository, scope, used, best, cancel, err);
		if (!rc)
			rc = answer_bearer(
				auth, repository, scope, used, best, answer, cancel, err);
	}
	challenge_list_release(&list);
	return rc;
}
