/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which table is for a name, and what the name becomes.
 *
 *	example.com/foo          the prefix
 *	example.com/foo/image    the name; behind the prefix: image
 *	mirror.net/team/image    asked for, with location mirror.net/team
 */
#include "fetch/routes/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"

void routes_release(struct routes *routes)
{
	for (size_t i = 0; i < routes->count; i++)
		route_table_release(&routes->tables[i]);
	free(routes->tables);
	*routes = (struct routes){ .tables = NULL };
}

/* Without its port. */
static size_t name_len(const char *host)
{
	const char *bracket = strchr(host, ']');
	const char *colon = strchr(bracket ? bracket : host, ':');

	return colon ? (size_t)(colon - host) : strlen(host);
}

/* "*.example.com" stands for any number of labels in front of that domain, and any port. */
static bool matches_domain(const char *prefix, const char *host)
{
	const char *domain = prefix + 1;
	size_t len = strlen(domain), host_len = name_len(host);

	return host_len > len && !strncmp(host + host_len - len, domain, len);
}

static bool is_wildcard(const struct route_table *table)
{
	return table->prefix[0] == '*';
}

/* Does the prefix end where a part of the name does?  A port is no part of its own. */
static bool matches(const struct route_table *table, const char *host, const char *name)
{
	const char *prefix = table->prefix;
	size_t len = strlen(prefix);

	if (is_wildcard(table))
		return matches_domain(prefix, host);
	if (strncmp(name, prefix, len) != 0)
		return false;
	return !name[len] || name[len] == '/' ||
	       (strchr(prefix, '/') && (name[len] == ':' || name[len] == '@'));
}

bool route_table_is_about(const struct route_table *table, const char *host)
{
	size_t len = strcspn(table->prefix, "/");

	if (is_wildcard(table))
		return matches_domain(table->prefix, host);
	return strlen(host) == len && !strncmp(table->prefix, host, len);
}

const struct route_table *routes_find(const struct routes *routes, const char *host,
	const char *repository, const char *reference)
{
	const struct route_table *best = NULL;
	CLEANUP(freep) char *name = NULL;

	if (asprintf(&name, "%s%s%s%s", host, *repository ? "/" : "", repository, reference) < 0) {
		name = NULL;
		return NULL;
	}
	for (size_t i = 0; i < routes->count; i++) {
		const struct route_table *table = &routes->tables[i];

		if (matches(table, host, name) &&
			(!best || strlen(table->prefix) > strlen(best->prefix)))
			best = table;
	}
	return best;
}

/* What follows the prefix, without a slash. */
static const char *rest_of(
	const struct route_table *table, const char *host, const char *repository)
{
	size_t len = strlen(table->prefix), host_len = strlen(host) + 1;
	const char *rest;

	if (is_wildcard(table) || len < host_len)
		return repository;
	len -= host_len; /* of the prefix's part of the repository, and perhaps a tag or digest */
	if (len >= strlen(repository))
		return "";
	rest = repository + len;
	return *rest == '/' ? rest + 1 : rest;
}

int route_repository(char ret[static REPOSITORY_MAX + 1], const struct route_table *table,
	const struct route *route, const char *host, const char *repository, struct error *err)
{
	const char *rest = rest_of(table, host, repository);
	const char *between = *route->name_space && *rest ? "/" : "";
	int n = snprintf(ret, REPOSITORY_MAX + 1, "%s%s%s", route->name_space, between, rest);

	return n > REPOSITORY_MAX
		       ? error_set(err, ENAMETOOLONG, "'%s/%s/%s': too long for a repository",
				 route->host, route->name_space, rest)
		       : 0;
}
