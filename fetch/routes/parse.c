/* SPDX-License-Identifier: Apache-2.0 */
/*
 *	[[registry]]
 *	prefix = "example.com/foo"              else the location
 *	location = "internal.example.net/bar"   else the prefix; with "*.", else the name itself
 *	insecure = false
 *	blocked = false
 *	mirror-by-digest-only = false           not together with pull-from-mirror
 *	[[registry.mirror]]
 *	location = "mirror.example.net/foo"
 *	insecure = false
 *	pull-from-mirror = "all"                or "digest-only", "tag-only"
 *
 * Version 1 of the format, with its lists below [registries], can block registries.  So a file of
 * that kind is refused, and not passed over.
 */
#include "fetch/routes/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "fetch/routes/toml.h"
#include "model/cleanup.h"
#include "model/json.h"

static void route_release(struct route *route)
{
	free(route->host);
	free(route->name_space);
}

void route_table_release(struct route_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		route_release(&table->routes[i]);
	free(table->routes);
	free(table->prefix);
	free(table->file);
	*table = (struct route_table){ .prefix = NULL };
}

/* --- locations --- */

/* Slashes at the end mean nothing. */
static int get_location(struct json_object *object, const char *name, char **ret, struct error *err)
{
	int rc = json_get_string(object, name, ret, err);
	size_t len = !rc && *ret ? strlen(*ret) : 0;

	if (rc)
		return -EINVAL;
	while (len && (*ret)[len - 1] == '/')
		(*ret)[--len] = '\0';
	if (len && strstr(*ret, "://"))
		return error_set(err, EINVAL, "%s '%s': URI schemes are not supported", name, *ret);
	if (*ret && !len)
		free(TAKE(*ret));
	return 0;
}

/* ":TAG" or "@DIGEST" behind the path of a name, or "". */
static const char *reference_of(const char *name)
{
	const char *path = strchr(name, '/');
	const char *end = name + strlen(name);
	const char *found = path ? path + strcspn(path, "@:") : end;

	return found;
}

static bool is_wildcard(const char *prefix)
{
	return !strncmp(prefix, "*.", 2);
}

static int check_prefix(const char *prefix, struct error *err)
{
	bool is_wrong = is_wildcard(prefix) ? prefix[2 + strcspn(prefix + 2, "*/:@")] || !prefix[2]
					    : strchr(prefix, '*') != NULL;

	return is_wrong ? error_set(err, EINVAL,
				  "prefix '%s': a wildcard is all of '*.' and a domain", prefix)
			: 0;
}

/* A tag or digest of the prefix may be repeated in the location: there it changes nothing. */
static int split_location(
	struct route *route, const char *location, const char *prefix, struct error *err)
{
	const char *reference = reference_of(location);
	size_t len = (size_t)(reference - location);
	size_t host_len = strcspn(location, "/");

	if (*reference && strcmp(reference, reference_of(prefix)))
		return error_set(
			err, EINVAL, "location '%s': a tag or digest of its own", location);
	route->host = strndup(location, host_len);
	route->name_space =
		strndup(location + host_len + (host_len < len), len - host_len - (host_len < len));
	if (!route->host || !route->name_space)
		return error_set(err, ENOMEM, "out of memory");
	if (!*route->host || (*route->name_space && !repository_is_valid(route->name_space)))
		return error_set(err, EINVAL, "location '%s': not HOST[/NAMESPACE]", location);
	return 0;
}

/* --- tables --- */

static int get_use(struct json_object *object, enum route_use *ret, struct error *err)
{
	static const char *const uses[] = { "all", "digest-only", "tag-only" };
	CLEANUP(freep) char *text = NULL;

	if (json_get_string(object, "pull-from-mirror", &text, err))
		return -EINVAL;
	if (!text || !*text)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(uses); i++) {
		if (!strcmp(text, uses[i])) {
			*ret = (enum route_use)i;
			return 0;
		}
	}
	return error_set(
		err, EINVAL, "pull-from-mirror '%s': not all, digest-only or tag-only", text);
}

static int parse_mirror(
	struct route_table *table, struct json_object *object, bool digests_only, struct error *err)
{
	CLEANUP(freep) char *location = NULL;
	struct route *route = &table->routes[table->count++];
	int rc;

	if (!json_object_is_type(object, json_type_object))
		return error_set(err, EINVAL, "a mirror that is no table");
	rc = get_location(object, "location", &location, err);
	if (!rc && !location)
		rc = error_set(err, EINVAL, "a mirror without location");
	if (!rc)
		rc = split_location(route, location, table->prefix, err);
	if (!rc && json_get_bool(object, "insecure", &route->is_insecure, err))
		rc = -EINVAL;
	if (!rc)
		rc = get_use(object, &route->use, err);
	if (rc || !digests_only)
		return rc;
	if (json_object_object_get_ex(object, "pull-from-mirror", NULL))
		return error_set(err, EINVAL,
			"pull-from-mirror is not for mirrors under mirror-by-digest-only");
	route->use = ROUTE_DIGESTS;
	return 0;
}

static int parse_routes(struct route_table *table, struct json_object *object, const char *location,
	struct error *err)
{
	struct json_object *mirrors = NULL;
	bool digests_only = false;
	size_t count = 0;
	struct route *origin;
	int rc = 0;

	if (json_get_array(object, "mirror", &mirrors, err) ||
		json_get_bool(object, "mirror-by-digest-only", &digests_only, err))
		return -EINVAL;
	if (mirrors)
		count = json_object_array_length(mirrors);
	if (count > ROUTES_MIRRORS_MAX)
		return error_set(err, EFBIG, "more than %d mirrors", ROUTES_MIRRORS_MAX);
	table->routes = calloc(count + 1, sizeof *table->routes);
	if (!table->routes)
		return error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; !rc && i < count; i++)
		rc = parse_mirror(table, json_object_array_get_idx(mirrors, i), digests_only, err);
	if (rc)
		return rc;
	origin = &table->routes[table->count++];
	if (json_get_bool(object, "insecure", &origin->is_insecure, err))
		return -EINVAL;
	if (location)
		return split_location(origin, location, table->prefix, err);
	origin->host = strdup("");
	origin->name_space = strdup("");
	return origin->host && origin->name_space ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int parse_table(
	struct route_table *table, const char *file, struct json_object *object, struct error *err)
{
	CLEANUP(freep) char *location = NULL;
	int rc;

	if (!json_object_is_type(object, json_type_object))
		return error_set(err, EINVAL, "a registry that is no table");
	rc = get_location(object, "location", &location, err);
	if (!rc)
		rc = get_location(object, "prefix", &table->prefix, err);
	if (rc)
		return rc;
	if (!location && !(table->prefix && is_wildcard(table->prefix)))
		return error_set(err, EINVAL, "%s%s%sa registry without location",
			table->prefix ? "prefix '" : "", table->prefix ? table->prefix : "",
			table->prefix ? "': " : "");
	if (!table->prefix)
		table->prefix = strdup(location);
	table->file = strdup(file);
	if (!table->prefix || !table->file)
		return error_set(err, ENOMEM, "out of memory");
	rc = check_prefix(table->prefix, err);
	if (!rc && json_get_bool(object, "blocked", &table->is_blocked, err))
		rc = -EINVAL;
	return rc ? rc : parse_routes(table, object, location, err);
}

/* The place of the table with that prefix, or a new one; NULL: there are too many. */
static struct route_table *place_for(struct routes *routes, const char *prefix, struct error *err)
{
	struct route_table *grown;

	for (size_t i = 0; i < routes->count; i++)
		if (!strcmp(routes->tables[i].prefix, prefix))
			return &routes->tables[i];
	if (routes->count == ROUTES_TABLES_MAX) {
		(void)error_set(err, EFBIG, "more than %d registries", ROUTES_TABLES_MAX);
		return NULL;
	}
	grown = reallocarray(routes->tables, routes->count + 1, sizeof *grown);
	if (!grown) {
		(void)error_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	routes->tables = grown;
	grown[routes->count] = (struct route_table){ .prefix = NULL };
	return &grown[routes->count++];
}

static int take_table(
	struct routes *routes, const char *file, struct json_object *object, struct error *err)
{
	CLEANUP(route_table_release) struct route_table table = { .prefix = NULL };
	struct route_table *place;
	int rc = parse_table(&table, file, object, err);

	if (rc)
		return rc;
	place = place_for(routes, table.prefix, err);
	if (!place)
		return -EFBIG;
	route_table_release(place);
	*place = table;
	table = (struct route_table){ .prefix = NULL };
	return 0;
}

int routes_parse(
	struct routes *routes, const char *file, const char *text, size_t len, struct error *err)
{
	CLEANUP(buf_release) struct buf json = { .max = TOML_JSON_MAX };
	CLEANUP(json_putp) struct json_object *document = NULL;
	struct json_object *tables = NULL;
	int rc = toml_to_json(&json, text, len, err);

	if (!rc && json_parse(&document, json.data, json.len, err))
		rc = -EINVAL;
	if (!rc && json_object_object_get_ex(document, "registries", NULL))
		rc = error_set(err, EINVAL,
			"version 1 of the format, with [registries.…] lists; "
			"only version 2, with [[registry]] tables, is read");
	if (!rc && json_get_array(document, "registry", &tables, err))
		rc = -EINVAL;
	for (size_t i = 0; !rc && tables && i < json_object_array_length(tables); i++)
		rc = take_table(routes, file, json_object_array_get_idx(tables, i), err);
	return rc ? error_prefix(err, rc, "'%s'", file) : 0;
}
