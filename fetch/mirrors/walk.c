/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The routes for one question, and who is well enough to be asked.
 *
 *	well mirrors   origin   mirrors for tags alone   resting mirrors      a tag, or by digest
 *	origin         well mirrors   resting mirrors                         lists
 *
 * An origin that rests stands behind the well mirrors, too.
 */
#include "fetch/mirrors/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fetch/clock.h"

static bool rests(struct endpoint *endpoint, uint64_t now)
{
	return atomic_load(&endpoint->rests_until) > now;
}

/* Not an answer about one thing, but a host that does not do its work. */
static bool is_sick(int rc)
{
	return rc == -EHOSTUNREACH || rc == -ETIMEDOUT || rc == -EPROTO || rc == -EIO ||
	       rc == -EDQUOT || rc == -EBADMSG || rc == -EFBIG;
}

static void add_step(struct walk *walk, size_t i, bool is_last_resort)
{
	walk->steps[walk->count++] = (struct step){ walk->choice->endpoints[i],
		&walk->choice->table->routes[i], is_last_resort };
}

/* In its turn, or behind the origin? */
static bool is_meant(enum purpose purpose, enum route_use use)
{
	return use == ROUTE_ALL || use == (purpose == FOR_DIGEST ? ROUTE_DIGESTS : ROUTE_TAGS);
}

static void add_mirrors(struct walk *walk, bool meant, bool resting, uint64_t now)
{
	size_t origin = walk->choice->table->count - 1;

	for (size_t i = 0; walk->purpose != FOR_CATALOG && i < origin; i++) {
		const struct route *route = &walk->choice->table->routes[i];
		bool is_for_it = is_meant(walk->purpose, route->use);

		if (is_for_it == meant && (meant || walk->purpose == FOR_DIGEST) &&
			rests(walk->choice->endpoints[i], now) == resting)
			add_step(walk, i, resting);
	}
}

static void plan(struct walk *walk)
{
	size_t origin = walk->choice->table->count - 1;
	uint64_t now = now_ms();
	bool is_first = (walk->purpose == FOR_LIST || walk->purpose == FOR_CATALOG) &&
			!rests(walk->choice->endpoints[origin], now);

	if (is_first)
		add_step(walk, origin, false);
	add_mirrors(walk, true, false, now);
	if (!is_first)
		add_step(walk, origin, false);
	add_mirrors(walk, false, false, now);
	add_mirrors(walk, true, true, now);
	add_mirrors(walk, false, true, now);
}

static const struct choice *find_choice(
	const struct mirrors *mirrors, const char *repository, const char *reference)
{
	const struct route_table *table =
		routes_find(&mirrors->routes, mirrors->host, repository, reference);

	for (size_t i = 0; table && i < mirrors->choice_count; i++)
		if (mirrors->choices[i].table == table)
			return &mirrors->choices[i];
	return &mirrors->choices[0];
}

int walk_begin(struct walk *walk, struct mirrors *mirrors, enum purpose purpose,
	const char *repository, const char *reference, struct error *err)
{
	*walk = (struct walk){ .mirrors = mirrors, .purpose = purpose };
	walk->choice = find_choice(mirrors, repository, reference);
	if (walk->choice->table->is_blocked)
		return error_set(err, EACCES, "%s: '%s' is blocked by '%s'", mirrors->host,
			walk->choice->table->prefix, walk->choice->table->file);
	if (strlen(repository) > REPOSITORY_MAX)
		return error_set(err, ENOENT, "not a repository");
	(void)snprintf(walk->asked, sizeof walk->asked, "%s", repository);
	plan(walk);
	return 0;
}

static const struct step *step_at_hand(const struct walk *walk)
{
	return &walk->steps[walk->at - 1];
}

bool walk_is_at_mirror(const struct walk *walk)
{
	return step_at_hand(walk)->endpoint->is_mirror;
}

struct source *walk_next(struct walk *walk)
{
	while (walk->at < walk->count) {
		const struct step *step = &walk->steps[walk->at++];
		struct error why;
		int rc;

		if (step->is_last_resort && walk->origin_has_answered)
			continue;
		rc = route_repository(walk->repository, walk->choice->table, step->route,
			walk->mirrors->host, walk->asked, &why);
		if (!rc) {
			observer_count(walk->mirrors->observer, mirror_requests,
				step->endpoint->is_mirror);
			return step->endpoint->registry;
		}
		(void)walk_failed(walk, rc, &why);
	}
	return NULL;
}

/* The first to notice says so. */
void endpoint_rest(struct mirrors *mirrors, struct endpoint *endpoint, const char *why)
{
	uint64_t now = now_ms();
	uint64_t until = atomic_exchange(&endpoint->rests_until, now + MIRROR_REST_MS);

	if (endpoint->is_mirror && until <= now)
		observer_log(mirrors->observer, LOG_LEVEL_WARNING,
			"mirror '%s' is passed over for %d s: %s", endpoint->host,
			MIRROR_REST_MS / 1000, why);
}

bool walk_failed(struct walk *walk, int rc, const struct error *why)
{
	const struct step *step = step_at_hand(walk);
	bool is_last = rc == -EINTR || rc == -ENOMEM;

	if (!step->endpoint->is_mirror || is_last) {
		walk->rc = rc;
		walk->err = *why;
		walk->origin_has_answered = !is_sick(rc);
	}
	if (is_last)
		return false;
	if (is_sick(rc)) {
		observer_count(walk->mirrors->observer, mirror_failures, step->endpoint->is_mirror);
		endpoint_rest(walk->mirrors, step->endpoint, why->text);
	} else if (step->endpoint->is_mirror) {
		observer_log(walk->mirrors->observer, LOG_LEVEL_DEBUG, "mirror '%s': %s",
			step->endpoint->host, why->text);
	}
	return true;
}

void walk_served(const struct walk *walk, enum log_level level, const char *what)
{
	const struct step *step = step_at_hand(walk);

	if (walk->choice->table != &walk->mirrors->own)
		observer_log(walk->mirrors->observer, level, "%s of '%s': from %s '%s/%s'", what,
			walk->asked, step->endpoint->is_mirror ? "mirror" : "origin",
			step->endpoint->host, walk->repository);
}
