/* SPDX-License-Identifier: Apache-2.0 */
/* routes, inside. */
#ifndef FETCH_ROUTES_INTERNAL_H
#define FETCH_ROUTES_INTERNAL_H

#include "fetch/routes/routes.h"

/* parse.c: adds the tables of one file, in place of those with the same prefixes. */
int routes_parse(
	struct routes *routes, const char *file, const char *text, size_t len, struct error *err);

void route_table_release(struct route_table *table);

#endif
