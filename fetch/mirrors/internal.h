/* SPDX-License-Identifier: Apache-2.0 */
/* mirrors, inside. */
#ifndef FETCH_MIRRORS_INTERNAL_H
#define FETCH_MIRRORS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "fetch/mirrors/mirrors.h"
#include "fetch/observer.h"

/* A host, as mirror or as origin. */
struct endpoint {
	struct source *registry;
	char *host;
	bool is_insecure, is_mirror;
	_Atomic uint64_t rests_until; /* now_ms(); in the past: it is well */
};

/* A table that may be about the host, and who is at its routes. */
struct choice {
	const struct route_table *table;
	struct endpoint *endpoints[ROUTES_MIRRORS_MAX + 1];
};

/* Which mirror a blob was last taken from. */
struct taken {
	struct digest digest;
	struct endpoint *endpoint;
};

struct mirrors {
	struct source base;

	/* Never changed. */
	struct routes routes;
	struct route_table own; /* for names that no table is for; not among the routes */
	struct route own_route;
	char own_name_space[1]; /* "" */
	char *host, *identity;
	struct choice *choices; /* the first is own's */
	size_t choice_count;
	struct endpoint **endpoints;
	size_t endpoint_count;
	struct observer *observer;

	pthread_mutex_t lock;
	struct taken taken[MIRROR_ORIGINS_MAX]; /* under lock; by the digest's hash */
};

struct mirrors *mirrors_of(struct source *source);

/* --- walk.c: from route to route --- */

enum purpose { FOR_LIST, FOR_CATALOG, FOR_TAG, FOR_DIGEST };

struct step {
	struct endpoint *endpoint;
	const struct route *route;
	bool is_last_resort; /* it rests */
};

/* A value; nothing to free. */
struct walk {
	struct mirrors *mirrors;
	const struct choice *choice;
	enum purpose purpose;
	char asked[REPOSITORY_MAX + 1];      /* the repository by its own name, "": none */
	char repository[REPOSITORY_MAX + 1]; /* what it is called at the step at hand */
	struct step steps[ROUTES_MIRRORS_MAX + 1];
	size_t count, at; /* the step at hand is the one before at */
	bool origin_has_answered;
	int rc; /* the origin's failure */
	struct error err;
};

/* -EACCES: blocked. */
int walk_begin(struct walk *walk, struct mirrors *mirrors, enum purpose purpose,
	const char *repository, const char *reference, struct error *err);
/* The next registry to ask, for walk->repository; NULL: there is none, and rc and err tell why. */
struct source *walk_next(struct walk *walk);
/* The step at hand failed.  False: so has the walk, and nobody else is to be asked. */
bool walk_failed(struct walk *walk, int rc, const struct error *why);
/* The step at hand gave it: "tag 'v1'". */
void walk_served(const struct walk *walk, enum log_level level, const char *what);
bool walk_is_at_mirror(const struct walk *walk);

void endpoint_rest(struct mirrors *mirrors, struct endpoint *endpoint, const char *why);

/* --- streams.c: blobs --- */

int mirrors_open_blob(struct source *source, const char *repository, const struct descriptor *blob,
	uint64_t offset, struct blob_stream **ret, uint64_t *ret_offset, struct cancel *cancel,
	struct error *err);
int mirrors_open_range(struct source *source, const char *repository, const struct descriptor *blob,
	uint64_t offset, uint64_t len, struct blob_stream **ret, struct cancel *cancel,
	struct error *err);
void mirrors_distrust(struct source *source, const struct digest *digest);

/* --- ask.c: all else --- */

int mirrors_repositories(
	struct source *source, struct name_list *ret, struct cancel *cancel, struct error *err);
int mirrors_tags(struct source *source, const char *repository, struct name_list *ret,
	struct cancel *cancel, struct error *err);
int mirrors_resolve(struct source *source, const char *repository, const char *tag,
	struct descriptor *ret, struct cancel *cancel, struct error *err);
int mirrors_resolve_to_read(struct source *source, const char *repository, const char *tag,
	struct descriptor *ret, struct buf *body, struct cancel *cancel, struct error *err);
int mirrors_manifest(struct source *source, const char *repository, const struct digest *digest,
	struct buf *body, char **ret_type, struct cancel *cancel, struct error *err);
int mirrors_referrers(struct source *source, const char *repository, const struct digest *subject,
	struct descriptor **ret, size_t *ret_count, struct cancel *cancel, struct error *err);
int mirrors_prove(struct source *source, const char *repository, const struct descriptor *blob,
	struct cancel *cancel, struct error *err);
int mirrors_probe(
	struct source *source, const char *repository, struct cancel *cancel, struct error *err);

#endif
