/* SPDX-License-Identifier: Apache-2.0 */
/* squarify -- cuts a rectangle into parts of given sizes that are as near to squares as may be. */
#ifndef FS_SQUARIFY_H
#define FS_SQUARIFY_H

#include <stddef.h>

struct rect {
	double x, y, width, height;
};

/* ret[i] has the share of whole that sizes[i] has of all; sizes are positive, the largest first. */
void squarify(const struct rect *whole, const double *sizes, size_t count, struct rect *ret);

#endif
