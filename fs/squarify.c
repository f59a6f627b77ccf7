/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bruls, Huizing, van Wijk: "Squarified Treemaps" (2000).  A row is laid along the shorter side of
 * what is left, and takes one more part as long as that makes its worst part no longer; the next
 * row has the rest.
 */
#include "fs/squarify.h"

#include <stdbool.h>

/* How far from a square the worst of a row's parts is; 1 is one.  largest and smallest: of its
 * areas, sum: of all of them, side: what the row lies along. */
static double worst(double largest, double smallest, double sum, double side)
{
	double square = side * side / (sum * sum);
	double wide = square * largest, narrow = 1 / (square * smallest);

	return wide > narrow ? wide : narrow;
}

/* How many parts the row has that begins with sizes[0]. */
static size_t row_length(
	const double *sizes, size_t count, double scale, double side, double *ret_sum)
{
	double sum = sizes[0], best = worst(sizes[0] * scale, sizes[0] * scale, sum * scale, side);
	size_t n = 1;

	for (; n < count; n++) {
		double next =
			worst(sizes[0] * scale, sizes[n] * scale, (sum + sizes[n]) * scale, side);

		if (next > best)
			break;
		best = next;
		sum += sizes[n];
	}
	*ret_sum = sum;
	return n;
}

/* Puts a row at the left, or at the top, of what is left, and takes it off. */
static void lay_row(struct rect *left, const double *sizes, size_t count, double sum, double share,
	struct rect *ret)
{
	bool is_column = left->width >= left->height;
	double depth = share * (is_column ? left->width : left->height);
	double at = 0, side = is_column ? left->height : left->width;

	for (size_t i = 0; i < count; i++) {
		double length = side * sizes[i] / sum;

		ret[i] = is_column ? (struct rect){ left->x, left->y + at, depth, length }
				   : (struct rect){ left->x + at, left->y, length, depth };
		at += length;
	}
	if (is_column) {
		left->x += depth;
		left->width -= depth;
	} else {
		left->y += depth;
		left->height -= depth;
	}
}

/* Not carried on from row to row: small sizes behind huge ones would be lost in rounding. */
static double sum_of(const double *sizes, size_t count)
{
	double sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += sizes[i];
	return sum;
}

void squarify(const struct rect *whole, const double *sizes, size_t count, struct rect *ret)
{
	struct rect left = *whole;

	for (size_t done = 0, n; done < count; done += n) {
		double rest = sum_of(sizes + done, count - done);
		double side = left.width < left.height ? left.width : left.height;
		double sum;

		n = row_length(
			sizes + done, count - done, left.width * left.height / rest, side, &sum);
		lay_row(&left, sizes + done, n, sum, sum / rest, ret + done);
	}
}
