/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mount lives longer than a password.  Each place has the stamp of the file that was read there;
 * when one of them has another, all are read anew.  A file that cannot be read or understood,
 * perhaps because it is just being written, takes nothing away from what is known.
 *
 * A helper is asked by one thread, without the lock; who comes meanwhile waits.  Its answer is kept
 * until it is refused.  When asking again brings nothing better, or the helper fails, it is left
 * alone for a while, so that readers who are all refused do not start a helper each.
 *
 * Lock order: a cancel's lock, then wallet->lock.
 */
#include "fetch/auth/internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fetch/cancel.h"
#include "fetch/clock.h"
#include "fetch/observer.h"
#include "model/cleanup.h"

enum {
	CHECK_MS = 5000,         /* files that nobody was refused with are looked at so often */
	REST_MS = 5000,          /* a helper that has nothing better is asked again */
	FAILURE_REST_MS = 60000, /* one that failed */
};

/* Docker stores its Hub's under this name, others under "docker.io". */
#define HUB        "docker.io"
#define HUB_SERVER "https://index.docker.io/v1/"

struct stamp {
	bool is_there;
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified, changed;
};

enum answer_state { NOT_ASKED, HAS_NONE, HAS_ONE, FAILED };

/* Of the helper that a place names. */
struct answer {
	enum answer_state state;
	struct credential credential; /* HAS_ONE */
	struct error trouble;         /* FAILED */
	uint64_t rests_until;         /* ms */
};

struct wallet {
	/* Never changed. */
	struct observer *observer;
	char *host;
	char *places[AUTH_FILES_MAX]; /* or NULL */
	bool is_named, no_credentials;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Under lock. */
	struct credentials credentials;
	struct stamp stamps[AUTH_FILES_MAX];
	uint64_t checked_at; /* ms */
	uint64_t version;
	struct answer answers[AUTH_FILES_MAX];
	bool is_asking;
};

/* ---- files ------------------------------------------------------------------------------ */

static struct stamp stamp_of(const char *path)
{
	struct stat st;

	if (!path || stat(path, &st))
		return (struct stamp){ .is_there = false };
	return (struct stamp){ .is_there = true,
		.device = st.st_dev,
		.inode = st.st_ino,
		.size = st.st_size,
		.modified = st.st_mtim,
		.changed = st.st_ctim };
}

static bool is_same_stamp(const struct stamp *a, const struct stamp *b)
{
	return a->is_there == b->is_there && a->device == b->device && a->inode == b->inode &&
	       a->size == b->size && times_equal(&a->modified, &b->modified) &&
	       times_equal(&a->changed, &b->changed);
}

static bool take_stamps(struct wallet *wallet)
{
	bool is_news = false;

	for (size_t i = 0; i < AUTH_FILES_MAX; i++) {
		struct stamp stamp = stamp_of(wallet->places[i]);

		is_news = is_news || !is_same_stamp(&stamp, &wallet->stamps[i]);
		wallet->stamps[i] = stamp;
	}
	wallet->checked_at = now_ms();
	return is_news;
}

/* Of the usual places, one that cannot be read or understood is said so, and passed over, the first
 * time; the one that was named must be there. */
static int read_places(
	struct wallet *wallet, struct credentials *ret, bool is_first, struct error *err)
{
	for (size_t i = 0; i < AUTH_FILES_MAX; i++) {
		struct error why;
		bool is_missing;
		int rc;

		if (!wallet->places[i])
			continue;
		rc = credentials_read(ret, i, wallet->host, wallet->places[i], &why);
		is_missing = rc == -ENOENT || rc == -ENOTDIR;
		if (rc && (wallet->is_named || (!is_missing && !is_first)))
			return error_set(err, -rc, "%s", why.text);
		if (rc && !is_missing)
			observer_log(wallet->observer, LOG_LEVEL_WARNING, "%s; going on without it",
				why.text);
	}
	return 0;
}

static void forget_answer(struct answer *answer)
{
	credential_release(&answer->credential);
	*answer = (struct answer){ .state = NOT_ASKED };
}

static bool is_same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool is_same(const struct credential *a, const struct credential *b)
{
	return is_same_text(a->key, b->key) && a->file == b->file &&
	       is_same_text(a->user, b->user) && is_same_text(a->password, b->password) &&
	       is_same_text(a->identity_token, b->identity_token);
}

static bool are_same(const struct credentials *a, const struct credentials *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!is_same(&a->items[i], &b->items[i]))
			return false;
	for (size_t i = 0; i < AUTH_FILES_MAX; i++)
		if (!is_same_text(a->helpers[i], b->helpers[i]))
			return false;
	return true;
}

/* Under lock. */
static void replace(struct wallet *wallet, struct credentials *credentials)
{
	for (size_t i = 0; i < AUTH_FILES_MAX; i++)
		if (!is_same_text(wallet->credentials.helpers[i], credentials->helpers[i]))
			forget_answer(&wallet->answers[i]);
	credentials_release(&wallet->credentials);
	wallet->credentials = *credentials;
	*credentials = (struct credentials){ .items = NULL };
	wallet->version++;
}

/* Under lock. */
static void renew_files(struct wallet *wallet)
{
	CLEANUP(credentials_release) struct credentials credentials = { .items = NULL };
	struct error why;

	if (!take_stamps(wallet))
		return;
	if (read_places(wallet, &credentials, false, &why)) {
		observer_log(wallet->observer, LOG_LEVEL_WARNING,
			"%s; going on with the credentials that are known", why.text);
		return;
	}
	if (are_same(&credentials, &wallet->credentials))
		return;
	observer_log(wallet->observer, LOG_LEVEL_INFO, "auth: the credentials for %s have changed",
		wallet->host);
	replace(wallet, &credentials);
}

/* ---- life ------------------------------------------------------------------------------- */

static int set_up(struct wallet *wallet, const struct auth_config *config, struct error *err)
{
	int rc;

	wallet->host = strdup(config->host);
	if (!wallet->host)
		return error_set(err, ENOMEM, "out of memory");
	rc = credentials_places(wallet->places, &wallet->is_named, config, err);
	if (rc)
		return rc;
	(void)take_stamps(wallet);
	wallet->version = 1;
	return read_places(wallet, &wallet->credentials, true, err);
}

int wallet_new(struct wallet **ret, const struct auth_config *config, struct observer *observer,
	struct error *err)
{
	struct wallet *wallet = calloc(1, sizeof *wallet);
	int rc;

	if (!wallet)
		return error_set(err, ENOMEM, "out of memory");
	wallet->observer = observer;
	wallet->no_credentials = config->no_credentials;
	(void)pthread_mutex_init(&wallet->lock, NULL); /* neither fails with default attributes */
	(void)pthread_cond_init(&wallet->changed, NULL);
	rc = set_up(wallet, config, err);
	if (rc) {
		wallet_free(wallet);
		return rc;
	}
	*ret = wallet;
	return 0;
}

void wallet_free(struct wallet *wallet)
{
	if (!wallet)
		return;
	credentials_release(&wallet->credentials);
	for (size_t i = 0; i < AUTH_FILES_MAX; i++) {
		forget_answer(&wallet->answers[i]);
		free(wallet->places[i]);
	}
	free(wallet->host);
	(void)pthread_cond_destroy(&wallet->changed);
	(void)pthread_mutex_destroy(&wallet->lock);
	free(wallet);
}

/* ---- helpers ---------------------------------------------------------------------------- */

struct waiter {
	struct wallet *wallet;
	bool is_cancelled; /* under wallet->lock */
};

static void wake(void *context)
{
	struct waiter *waiter = context;

	(void)pthread_mutex_lock(&waiter->wallet->lock);
	waiter->is_cancelled = true;
	(void)pthread_cond_broadcast(&waiter->wallet->changed);
	(void)pthread_mutex_unlock(&waiter->wallet->lock);
}

/* Until somebody else has asked.  Called and left with the lock held. */
static int await_answer(struct wallet *wallet, struct cancel *cancel, struct error *err)
{
	struct waiter waiter = { .wallet = wallet };

	(void)pthread_mutex_unlock(&wallet->lock);
	if (!cancel_watch(cancel, wake, &waiter)) {
		(void)pthread_mutex_lock(&wallet->lock);
		return error_set(err, EINTR, "interrupted");
	}
	(void)pthread_mutex_lock(&wallet->lock);
	while (wallet->is_asking && !waiter.is_cancelled)
		(void)pthread_cond_wait(&wallet->changed, &wallet->lock);
	(void)pthread_mutex_unlock(&wallet->lock);
	cancel_unwatch(cancel);
	(void)pthread_mutex_lock(&wallet->lock);
	return waiter.is_cancelled ? error_set(err, EINTR, "interrupted") : 0;
}

static int ask_helper(const struct wallet *wallet, const char *name, struct credential *ret,
	struct cancel *cancel, struct error *err)
{
	bool is_hub = !strcmp(wallet->host, HUB);
	int rc = helper_get(
		ret, name, is_hub ? HUB_SERVER : wallet->host, HELPER_TIMEOUT_MS, cancel, err);

	if (!rc && !ret->user && is_hub)
		rc = helper_get(ret, name, HUB, HELPER_TIMEOUT_MS, cancel, err);
	return rc;
}

/* Under lock. */
static void take_answer(struct wallet *wallet, struct answer *answer, struct credential *credential,
	int rc, const struct error *why)
{
	enum answer_state state = rc ? FAILED : credential->user ? HAS_ONE : HAS_NONE;

	if (rc && (answer->state != FAILED || strcmp(answer->trouble.text, why->text) != 0))
		observer_log(wallet->observer, LOG_LEVEL_WARNING, "%s; going on without it for %s",
			why->text, wallet->host);
	answer->rests_until = now_ms() + (rc ? FAILURE_REST_MS : REST_MS);
	answer->trouble = *why;
	if (state == answer->state && is_same(credential, &answer->credential))
		return;
	if (state == HAS_ONE)
		answer->rests_until = 0;
	credential_release(&answer->credential);
	answer->state = state;
	answer->credential = *credential;
	*credential = (struct credential){ .key = NULL };
	wallet->version++;
}

/* Called and left with the lock held; meanwhile files may have been read anew. */
static int ask(struct wallet *wallet, size_t file, struct cancel *cancel, struct error *err)
{
	CLEANUP(credential_release) struct credential credential = { .key = NULL };
	CLEANUP(freep) char *name = strdup(wallet->credentials.helpers[file]);
	struct error why = { "" };
	int rc;

	if (!name)
		return error_set(err, ENOMEM, "out of memory");
	wallet->is_asking = true;
	(void)pthread_mutex_unlock(&wallet->lock);
	rc = ask_helper(wallet, name, &credential, cancel, &why);
	(void)pthread_mutex_lock(&wallet->lock);
	wallet->is_asking = false;
	(void)pthread_cond_broadcast(&wallet->changed);
	if (rc == -EINTR || rc == -ENOMEM) {
		if (err)
			*err = why;
		return rc;
	}
	if (is_same_text(name, wallet->credentials.helpers[file]))
		take_answer(wallet, &wallet->answers[file], &credential, rc, &why);
	return 0;
}

/* Under lock. */
static bool must_ask(const struct wallet *wallet, const struct answer *answer, uint64_t refused)
{
	switch (answer->state) {
	case NOT_ASKED:
		return true;
	case FAILED:
		return now_ms() >= answer->rests_until;
	case HAS_NONE:
	case HAS_ONE:
		break;
	}
	return wallet->version <= refused && now_ms() >= answer->rests_until;
}

/* ---- finding ---------------------------------------------------------------------------- */

/* *ret NULL: there is none.  Called and left with the lock held. */
static int find(struct wallet *wallet, const char *repository, uint64_t refused,
	const struct credential **ret, struct cancel *cancel, struct error *err)
{
	for (size_t file = 0; file < AUTH_FILES_MAX; file++) {
		struct answer *answer = &wallet->answers[file];
		int rc;

		while (wallet->credentials.helpers[file] && must_ask(wallet, answer, refused)) {
			rc = wallet->is_asking ? await_answer(wallet, cancel, err)
					       : ask(wallet, file, cancel, err);
			if (rc)
				return rc;
		}
		*ret = wallet->credentials.helpers[file] && answer->state == HAS_ONE
			       ? &answer->credential
			       : credentials_find(
					 &wallet->credentials, file, wallet->host, repository);
		if (*ret)
			return 0;
	}
	return 0;
}

int wallet_find(struct wallet *wallet, const char *repository, uint64_t refused,
	struct credential *ret, uint64_t *ret_version, struct cancel *cancel, struct error *err)
{
	const struct credential *found = NULL;
	int rc;

	(void)pthread_mutex_lock(&wallet->lock);
	if (wallet->version <= refused || now_ms() - wallet->checked_at >= CHECK_MS)
		renew_files(wallet);
	rc = find(wallet, repository, refused, &found, cancel, err);
	if (!rc && found && credential_copy(ret, found))
		rc = error_set(err, ENOMEM, "out of memory");
	*ret_version = wallet->version;
	(void)pthread_mutex_unlock(&wallet->lock);
	return rc;
}

/* ---- for others ------------------------------------------------------------------------- */

static bool has_helper(const struct credentials *credentials)
{
	for (size_t i = 0; i < AUTH_FILES_MAX; i++)
		if (credentials->helpers[i])
			return true;
	return false;
}

bool wallet_is_empty(struct wallet *wallet)
{
	bool is_empty;

	(void)pthread_mutex_lock(&wallet->lock);
	is_empty = !wallet->credentials.count && !has_helper(&wallet->credentials);
	(void)pthread_mutex_unlock(&wallet->lock);
	return is_empty;
}

static const char *outcome(const struct wallet *wallet, size_t file)
{
	const struct answer *answer = &wallet->answers[file];

	if (wallet->credentials.helpers[file] && answer->state == FAILED)
		return answer->trouble.text;
	if (wallet->credentials.helpers[file] && answer->state == HAS_ONE)
		return "found by its helper";
	for (size_t i = 0; i < wallet->credentials.count; i++)
		if (wallet->credentials.items[i].file == file)
			return "found";
	return wallet->credentials.helpers[file] ? "its helper has none" : NULL;
}

void wallet_describe(struct wallet *wallet, struct buf *ret)
{
	const char *separator = "";

	if (wallet->no_credentials)
		(void)buf_append_text(ret, "nowhere, as told"); /* only words, here and below */
	(void)pthread_mutex_lock(&wallet->lock);
	for (size_t i = 0; i < AUTH_FILES_MAX; i++) {
		const char *result = outcome(wallet, i);

		if (!wallet->places[i])
			continue;
		(void)buf_printf(ret, "%s%s", separator, wallet->places[i]);
		if (result)
			(void)buf_printf(ret, " (%s)", result);
		separator = ", ";
	}
	(void)pthread_mutex_unlock(&wallet->lock);
}

void wallet_write_identity(struct wallet *wallet, struct buf *ret)
{
	const struct credentials *credentials = &wallet->credentials;

	(void)pthread_mutex_lock(&wallet->lock);
	for (size_t i = 0; i < credentials->count; i++) {
		const struct credential *one = &credentials->items[i];

		(void)buf_printf(ret, "%s\n%s\n%s\n%s\n", one->key, one->user ? one->user : "",
			one->password ? one->password : "",
			one->identity_token ? one->identity_token : "");
	}
	for (size_t i = 0; i < AUTH_FILES_MAX; i++)
		if (credentials->helpers[i])
			(void)buf_printf(
				ret, "%s\n%s\n", wallet->places[i], credentials->helpers[i]);
	(void)pthread_mutex_unlock(&wallet->lock);
}
