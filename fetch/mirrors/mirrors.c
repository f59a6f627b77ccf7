/* SPDX-License-Identifier: Apache-2.0 */
/* What a source is made of: a registry for each host that its routes lead to. */
#include "fetch/mirrors/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"
#include "model/digest.h"

enum { DESCRIPTION_MAX = 1 << 20 }; /* bytes of what makes an identity */

struct mirrors *mirrors_of(struct source *source)
{
	assert(source->kind == SOURCE_MIRRORS);
	return container_of(source, struct mirrors, base);
}

static const char *mirrors_identity(struct source *source)
{
	return mirrors_of(source)->identity;
}

static void endpoint_free(struct endpoint *endpoint)
{
	if (!endpoint)
		return;
	source_free(endpoint->registry);
	free(endpoint->host);
	free(endpoint);
}

static void mirrors_free(struct source *source)
{
	struct mirrors *mirrors = mirrors_of(source);

	for (size_t i = 0; i < mirrors->endpoint_count; i++)
		endpoint_free(mirrors->endpoints[i]);
	free(mirrors->endpoints);
	free(mirrors->choices);
	free(mirrors->host);
	free(mirrors->identity);
	routes_release(&mirrors->routes);
	(void)pthread_mutex_destroy(&mirrors->lock);
	free(mirrors);
}

CLEANUP_POINTER(endpointp, struct endpoint, endpoint_free)

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static int open_endpoint(struct endpoint *endpoint, const struct registry_config *config,
	struct observer *observer, struct error *err)
{
	struct registry_config own = *config;

	own.host = endpoint->host;
	own.http.verify_tls = config->http.verify_tls && !endpoint->is_insecure;
	if (endpoint->is_mirror) {
		own.cert_dir = NULL;
		own.http.retries = 0; /* the next route is the second attempt */
		own.http.connect_timeout_ms = least(own.http.connect_timeout_ms, MIRROR_CONNECT_MS);
		own.http.stall_timeout_ms = least(own.http.stall_timeout_ms, MIRROR_STALL_MS);
	}
	return registry_open(&endpoint->registry, &own, observer, err);
}

static bool is_it(
	const struct endpoint *endpoint, const char *host, bool is_insecure, bool is_mirror)
{
	return endpoint->is_insecure == is_insecure && endpoint->is_mirror == is_mirror &&
	       !strcmp(endpoint->host, host);
}

/* Who is at a route, opened if nobody was there before. */
static int find_endpoint(struct mirrors *mirrors, const struct registry_config *config,
	const struct route *route, bool is_mirror, struct endpoint **ret, struct error *err)
{
	const char *host = *route->host ? route->host : mirrors->host;
	CLEANUP(endpointp) struct endpoint *endpoint = NULL;
	struct endpoint **grown;
	int rc;

	for (size_t i = 0; i < mirrors->endpoint_count; i++) {
		if (is_it(mirrors->endpoints[i], host, route->is_insecure, is_mirror)) {
			*ret = mirrors->endpoints[i];
			return 0;
		}
	}
	grown = reallocarray(mirrors->endpoints, mirrors->endpoint_count + 1, sizeof(*grown));
	if (!grown)
		return error_set(err, ENOMEM, "out of memory");
	mirrors->endpoints = grown;
	endpoint = calloc(1, sizeof *endpoint);
	if (!endpoint || !(endpoint->host = strdup(host)))
		return error_set(err, ENOMEM, "out of memory");
	endpoint->is_insecure = route->is_insecure;
	endpoint->is_mirror = is_mirror;
	rc = open_endpoint(endpoint, config, mirrors->observer, err);
	if (rc)
		return rc;
	*ret = mirrors->endpoints[mirrors->endpoint_count++] = TAKE(endpoint);
	return 0;
}

static int add_choice(struct mirrors *mirrors, const struct registry_config *config,
	const struct route_table *table, struct error *err)
{
	struct choice *choice = &mirrors->choices[mirrors->choice_count++];
	int rc = 0;

	choice->table = table;
	for (size_t i = 0; !rc && !table->is_blocked && i < table->count; i++) {
		rc = find_endpoint(mirrors, config, &table->routes[i], i + 1 < table->count,
			&choice->endpoints[i], err);
		if (rc)
			(void)error_prefix(err, rc, "'%s'", table->file ? table->file : "");
	}
	return rc;
}

static int add_choices(
	struct mirrors *mirrors, const struct registry_config *config, struct error *err)
{
	int rc;

	mirrors->choices = calloc(mirrors->routes.count + 1, sizeof *mirrors->choices);
	if (!mirrors->choices)
		return error_set(err, ENOMEM, "out of memory");
	mirrors->own_route =
		(struct route){ .host = mirrors->host, .name_space = mirrors->own_name_space };
	mirrors->own = (struct route_table){
		.prefix = mirrors->host, .routes = &mirrors->own_route, .count = 1
	};
	rc = add_choice(mirrors, config, &mirrors->own, err);
	for (size_t i = 0; !rc && i < mirrors->routes.count; i++) {
		const struct route_table *table = &mirrors->routes.tables[i];

		if (route_table_is_about(table, mirrors->host))
			rc = add_choice(mirrors, config, table, err);
	}
	return rc;
}

/* Who was let in by one set of routes has proved nothing about another. */
static int make_identity(struct mirrors *mirrors, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { .max = DESCRIPTION_MAX };
	char hex[DIGEST_TEXT_MAX];
	struct digest digest;
	int rc;

	for (size_t i = 0; i < mirrors->choice_count; i++) {
		const struct choice *choice = &mirrors->choices[i];

		(void)buf_printf(&text, "%s %d\n", choice->table->prefix,
			choice->table->is_blocked); /* checked below */
		for (size_t k = 0; !choice->table->is_blocked && k < choice->table->count; k++) {
			struct source *registry = choice->endpoints[k]->registry;

			(void)buf_printf(&text, "\t%s %s\n", choice->table->routes[k].name_space,
				registry->ops->identity(registry));
		}
	}
	if (buf_status(&text))
		return error_set(err, -buf_status(&text), "too many routes");
	rc = digest_of(&digest, DIGEST_SHA256, text.data, text.len, err);
	if (rc)
		return rc;
	if (asprintf(&mirrors->identity, "%s by routes %s", mirrors->host,
		    digest_format(&digest, hex)) < 0) {
		mirrors->identity = NULL;
		return error_set(err, ENOMEM, "out of memory");
	}
	return 0;
}

static const struct source_ops mirrors_ops = {
	.repositories = mirrors_repositories,
	.tags = mirrors_tags,
	.resolve = mirrors_resolve,
	.resolve_to_read = mirrors_resolve_to_read,
	.manifest = mirrors_manifest,
	.open_blob = mirrors_open_blob,
	.open_range = mirrors_open_range,
	.distrust = mirrors_distrust,
	.referrers = mirrors_referrers,
	.prove = mirrors_prove,
	.identity = mirrors_identity,
	.probe = mirrors_probe,
	.free = mirrors_free,
};

static int set_up(struct mirrors *mirrors, const struct registry_config *config, struct error *err)
{
	int rc;

	mirrors->host = strdup(config->host);
	if (!mirrors->host)
		return error_set(err, ENOMEM, "out of memory");
	rc = add_choices(mirrors, config, err);
	return rc ? rc : make_identity(mirrors, err);
}

static bool are_about(const struct routes *routes, const char *host)
{
	for (size_t i = 0; i < routes->count; i++)
		if (route_table_is_about(&routes->tables[i], host))
			return true;
	return false;
}

int mirrors_open(struct source **ret, const struct registry_config *config, struct routes *routes,
	struct observer *observer, struct error *err)
{
	struct mirrors *mirrors;
	int rc;

	if (!are_about(routes, config->host)) {
		routes_release(routes);
		return registry_open(ret, config, observer, err);
	}
	mirrors = calloc(1, sizeof *mirrors);
	if (!mirrors) {
		routes_release(routes);
		return error_set(err, ENOMEM, "out of memory");
	}
	mirrors->base = (struct source){ .kind = SOURCE_MIRRORS, .ops = &mirrors_ops };
	(void)pthread_mutex_init(&mirrors->lock, NULL); /* cannot fail with default attributes */
	mirrors->observer = observer;
	mirrors->routes = *routes;
	*routes = (struct routes){ .tables = NULL };
	rc = set_up(mirrors, config, err);
	if (rc) {
		mirrors_free(&mirrors->base);
		return rc;
	}
	*ret = &mirrors->base;
	return 0;
}
