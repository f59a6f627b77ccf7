/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/nearest.h"

#include <stdint.h>
#include <string.h>

#include "model/cleanup.h"

/* Of two short names; one that is too long is far from all. */
static size_t distance(const char *a, const char *b)
{
	size_t row[64], len = strlen(b);

	if (len >= ARRAY_SIZE(row))
		return SIZE_MAX;
	for (size_t k = 0; k <= len; k++)
		row[k] = k;
	for (size_t i = 1; *a; a++, i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t k = 1; k <= len; k++) {
			size_t best = diagonal + (*a != b[k - 1]);

			diagonal = row[k];
			best = best < row[k] + 1 ? best : row[k] + 1;
			row[k] = best < row[k - 1] + 1 ? best : row[k - 1] + 1;
		}
	}
	return row[len];
}

void nearest_try(struct nearest *nearest, const char *name)
{
	size_t found = distance(nearest->wanted, name);

	if (found > nearest->farthest || (nearest->name && found >= nearest->distance))
		return;
	nearest->name = name;
	nearest->distance = found;
}
