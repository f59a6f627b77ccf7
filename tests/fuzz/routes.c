/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A registries.conf, and behind it the TOML reader.  Beyond not crashing: what is taken has a
 * location for each route, every table is found for its own prefix if it is a name at all, and
 * what a name becomes has the length of a repository.
 */
#include "fetch/routes/internal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool is_true)
{
	if (!is_true)
		abort();
}

static void check_table(const struct route_table *table, const char *host)
{
	check(table->count >= 1 && table->count <= ROUTES_MIRRORS_MAX + 1);
	for (size_t i = 0; i < table->count; i++) {
		const struct route *route = &table->routes[i];
		char name[REPOSITORY_MAX + 1];

		check(route->host && route->name_space);
		check(*route->host || (i + 1 == table->count && table->prefix[0] == '*'));
		check(!*route->name_space || repository_is_valid(route->name_space));
		if (!route_repository(name, table, route, host, "team/app", NULL))
			check(strlen(name) <= REPOSITORY_MAX);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct routes routes = { .tables = NULL };
	struct error err = { "" };
	int rc = routes_parse(&routes, "fuzz", (const char *)data, size, &err);

	check(rc == 0 || *err.text);
	check(routes.count <= ROUTES_TABLES_MAX);
	for (size_t i = 0; i < routes.count; i++) {
		const struct route_table *table = &routes.tables[i];
		CLEANUP(freep) char *host = strndup(table->prefix, strcspn(table->prefix, "/"));
		const struct route_table *found;

		check(host);
		check_table(table, host);
		found = routes_find(&routes, host, "team/app", ":1.0");
		check(!found || route_table_is_about(found, host));
	}
	routes_release(&routes);
	return 0;
}
