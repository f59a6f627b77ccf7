/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source that is away: since when, and why.
 *
 * Finding that out takes long: attempts, timeouts, what a server wants to be
 * waited for.  So for AWAY_REST_MS after each failure whoever has an older
 * answer is given that and asks nobody.  Who has none asks all the same: the
 * failure may have been about something else.
 */
#include "fetch/store/internal.h"

#include "fetch/clock.h"

enum { AWAY_REST_MS = 5000 };

static void come_back(struct store *store)
{
	bool was_told;

	(void)pthread_mutex_lock(&store->lock);
	was_told = store->away_told;
	store->away.since_ms = 0;
	store->away_told = false;
	(void)pthread_mutex_unlock(&store->lock);
	if (was_told)
		observer_log(store->observer, LOG_LEVEL_INFO, "%s answers again", store->host);
}

void away_note(struct store *store, int rc, const struct error *why)
{
	uint64_t now = now_ms();

	if (!is_remote(store) || store->offline)
		return;
	if (!rc || rc == -ENOENT || rc == -EACCES) {
		come_back(store);
		return;
	}
	if (!source_is_away(rc) || rc == -EBADMSG) /* which came from somebody */
		return;
	(void)pthread_mutex_lock(&store->lock);
	if (!store->away.since_ms)
		store->away.since_ms = now;
	store->away.rc = rc;
	store->away.why = *why;
	store->away_until_ms = now + AWAY_REST_MS;
	(void)pthread_mutex_unlock(&store->lock);
}

bool away_rests(struct store *store, struct error *ret_why)
{
	bool rests;

	(void)pthread_mutex_lock(&store->lock);
	rests = store->away.since_ms && now_ms() < store->away_until_ms;
	if (rests && ret_why)
		*ret_why = store->away.why;
	(void)pthread_mutex_unlock(&store->lock);
	return rests;
}

enum log_level away_level(struct store *store)
{
	enum log_level level;

	(void)pthread_mutex_lock(&store->lock);
	level = store->away_told ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING;
	store->away_told = store->away.since_ms != 0;
	(void)pthread_mutex_unlock(&store->lock);
	return level;
}

void store_note_away(struct store *store, int rc, const struct error *why)
{
	away_note(store, rc, why);
}

bool store_is_away(struct store *store, struct store_away *ret)
{
	bool is_away;

	(void)pthread_mutex_lock(&store->lock);
	is_away = store->away.since_ms != 0;
	if (ret)
		*ret = store->away;
	(void)pthread_mutex_unlock(&store->lock);
	return is_away;
}

void store_ask_again(struct store *store)
{
	(void)pthread_mutex_lock(&store->lock);
	store->away_until_ms = 0;
	(void)pthread_mutex_unlock(&store->lock);
}
