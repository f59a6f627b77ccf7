/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes -- where the images of a registry really are: what containers-registries.conf(5), version
 * 2, says about mirrors, other locations, and registries that are not to be used.
 *
 * A table of the configuration stands for the names that its prefix begins; the longest prefix
 * wins.  It gives the routes, in the order in which they are to be tried: its mirrors, and at last
 * the origin.  A route is a host and a namespace: the repository that is asked for there is the
 * namespace, and what follows the prefix in the name that was asked for.
 *
 * Read are: a file that was named, alone; else ~/.config/containers/registries.conf and the *.conf
 * of its registries.conf.d; else /etc/containers/registries.conf, and the *.conf of
 * registries.conf.d there and then of ~/.config/containers.  A later table replaces an earlier one
 * with the same prefix.  Short names are not resolved here, so the keys for them mean nothing, nor
 * do keys that are not known.
 *
 * Never changed after it was read, hence thread-safe.
 *
 * Sources: containers-registries.conf(5), containers-registries.conf.d(5).
 */
#ifndef FETCH_ROUTES_ROUTES_H
#define FETCH_ROUTES_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "model/error.h"
#include "model/reference.h"

enum {
	ROUTES_TABLES_MAX = 1000,
	ROUTES_FILES_MAX = 200, /* drop-ins of one directory */
	ROUTES_MIRRORS_MAX = 16,
};

enum route_use { ROUTE_ALL, ROUTE_DIGESTS, ROUTE_TAGS }; /* what a mirror is asked for */

struct route {
	char *host;       /* with port; "": the one of the name itself */
	char *name_space; /* "team/mirror", or "" */
	bool is_insecure; /* any certificate, and http */
	enum route_use use;
};

struct route_table {
	char *prefix; /* "HOST[/PATH][:TAG|@DIGEST]", or "*.DOMAIN" */
	char *file;   /* that it stands in */
	bool is_blocked;
	struct route *routes; /* mirrors, then the origin */
	size_t count;         /* at least 1 */
};

struct routes {
	struct route_table *tables;
	size_t count;
};

/* path is $CONTAINERS_REGISTRIES_CONF when NULL; a named file must be there.  -EINVAL for what is
 * malformed, with file and line where they are known. */
int routes_load(struct routes *ret, const char *path, struct error *err);
void routes_release(struct routes *routes); /* zeroed memory is fine */

/* The table for a repository ("": the host alone) and perhaps a reference to an image of it: ":TAG"
 * or "@DIGEST", else "".  NULL: there is none. */
const struct route_table *routes_find(const struct routes *routes, const char *host,
	const char *repository, const char *reference);
/* Can the table be the one for a repository of this host? */
bool route_table_is_about(const struct route_table *table, const char *host);

/* The repository to ask for there, for one that the table was found for.  -ENAMETOOLONG. */
int route_repository(char ret[static REPOSITORY_MAX + 1], const struct route_table *table,
	const struct route *route, const char *host, const char *repository, struct error *err);

#endif
