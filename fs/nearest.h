/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nearest -- what somebody meant who misspelt a name: the likest of those there are.
 *
 *	struct nearest nearest = { .wanted = "platfrom", .farthest = 3 };
 *	nearest_try(&nearest, "platform");	for each name
 *	if (nearest.name)
 *		...
 *
 * How far a name is counts in letters to insert, drop or change (Levenshtein).
 */
#ifndef FS_NEAREST_H
#define FS_NEAREST_H

#include <stddef.h>

struct nearest {
	const char *wanted;
	size_t farthest;  /* not to be suggested from further away */
	const char *name; /* the nearest one so far, borrowed; or NULL */
	size_t distance;  /* of name */
};

void nearest_try(struct nearest *nearest, const char *name);

#endif
