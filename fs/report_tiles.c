/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass makes all tiles for a given size that is the least to be shown; when they are too many,
 * the next one is made with twice that size.
 */
#include "fs/report_tiles.h"

#include <errno.h>
#include <stdlib.h>

#include "model/cleanup.h"

struct pass {
	const struct paths *paths;
	const double *bytes; /* of each path, with all below it */
	double least;        /* bytes; what has less is small */
	unsigned layer_count;
	struct tiles tiles;
};

void tiles_release(struct tiles *tiles)
{
	free(tiles->items);
	*tiles = (struct tiles){ .items = NULL };
}

/* The file that is there in the end and counts, or NULL. */
static const struct path_file *live_file(const struct paths *paths, uint32_t path)
{
	const struct path_node *node = &paths->nodes[path];
	const struct path_file *file = node->kind == PATH_FILE ? &paths->files[node->file] : NULL;

	return file && !file->is_uncounted ? file : NULL;
}

/* Parents come first, so that from the end every sum is complete when it is handed up. */
static double *sum_up(const struct paths *paths)
{
	double *bytes = calloc(paths->node_count, sizeof *bytes);

	if (!bytes)
		return NULL;
	for (uint32_t path = paths->node_count; path-- > 0;) {
		const struct path_file *file = live_file(paths, path);

		if (file)
			bytes[path] += (double)file->size;
		if (path != PATH_ROOT)
			bytes[paths->nodes[path].parent] += bytes[path];
	}
	return bytes;
}

/* --- one directory --- */

/* Like a tile, but without a place. */
struct part {
	enum tile_kind kind;
	unsigned layer;
	uint32_t path;
	double bytes;
};

struct parts {
	struct part *items;
	size_t count;
};

static void parts_release(struct parts *parts)
{
	free(parts->items);
}

static void add_rest(const struct pass *pass, uint32_t top, double *rest)
{
	for (uint32_t path = top; path != PATH_NONE; path = paths_walk(pass->paths, top, path)) {
		const struct path_file *file = live_file(pass->paths, path);

		if (file)
			rest[file->layer] += (double)file->size;
	}
}

static int compare_parts(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes > y->bytes ? -1 : 1;
	if (x->path != y->path)
		return x->path < y->path ? -1 : 1;
	return x->layer < y->layer ? -1 : x->layer > y->layer;
}

/* What a directory is cut into, the largest first. */
static int cut(const struct pass *pass, uint32_t directory, unsigned depth, struct parts *ret)
{
	const struct path_node *nodes = pass->paths->nodes;
	CLEANUP(freep) double *rest = calloc(pass->layer_count + 1, sizeof *rest);
	size_t room = pass->layer_count + 1;
	struct part *parts;

	for (uint32_t p = nodes[directory].first_child; p != PATH_NONE; p = nodes[p].next)
		room += pass->bytes[p] >= pass->least;
	parts = calloc(room, sizeof *parts);
	ret->items = parts;
	if (!rest || !parts)
		return -ENOMEM;
	for (uint32_t p = nodes[directory].first_child; p != PATH_NONE; p = nodes[p].next) {
		const struct path_file *file = live_file(pass->paths, p);

		if (pass->bytes[p] <= 0)
			continue;
		if (pass->bytes[p] < pass->least || (!file && depth == TILES_DEPTH_MAX))
			add_rest(pass, p, rest);
		else
			parts[ret->count++] = (struct part){ file ? TILE_FILE : TILE_DIRECTORY,
				file ? file->layer : 0, p, pass->bytes[p] };
	}
	for (unsigned layer = 0; layer < pass->layer_count; layer++)
		if (rest[layer] > 0)
			parts[ret->count++] =
				(struct part){ TILE_REST, layer, directory, rest[layer] };
	qsort(parts, ret->count, sizeof *parts, compare_parts);
	return 0;
}

static int add_tile(struct tiles *tiles, const struct tile *tile)
{
	struct tile *items = tiles->items;

	if (!(tiles->count & (tiles->count - 1))) /* full */
		items = reallocarray(items, tiles->count ? tiles->count * 2 : 1, sizeof *items);
	if (!items)
		return -ENOMEM;
	tiles->items = items;
	items[tiles->count++] = *tile;
	return 0;
}

static int fill(struct pass *pass, uint32_t directory, unsigned depth, const struct rect *whole);

static int place(
	struct pass *pass, const struct parts *parts, unsigned depth, const struct rect *rects)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < parts->count; i++) {
		const struct part *part = &parts->items[i];

		rc = add_tile(&pass->tiles,
			&(struct tile){ .kind = part->kind,
				.layer = part->layer,
				.depth = depth,
				.path = part->path,
				.bytes = part->bytes < 0x1p64 ? (uint64_t)part->bytes : UINT64_MAX,
				.rect = rects[i] });
		if (!rc && part->kind == TILE_DIRECTORY)
			rc = fill(pass, part->path, depth, &rects[i]);
	}
	return rc;
}

static int fill(struct pass *pass, uint32_t directory, unsigned depth, const struct rect *whole)
{
	CLEANUP(parts_release) struct parts parts = { .items = NULL };
	CLEANUP(freep) struct rect *rects = NULL;
	CLEANUP(freep) double *sizes = NULL;
	int rc = cut(pass, directory, depth, &parts);

	if (rc)
		return rc;
	rects = calloc(parts.count + 1, sizeof *rects);
	sizes = calloc(parts.count + 1, sizeof *sizes);
	if (!rects || !sizes)
		return -ENOMEM;
	for (size_t i = 0; i < parts.count; i++)
		sizes[i] = parts.items[i].bytes;
	squarify(whole, sizes, parts.count, rects);
	return place(pass, &parts, depth + 1, rects);
}

int tiles_make(struct tiles *ret, const struct paths *paths, unsigned layer_count,
	const struct rect *whole)
{
	CLEANUP(freep) double *bytes = sum_up(paths);
	struct pass pass = { .paths = paths, .bytes = bytes, .layer_count = layer_count };
	int rc;

	if (!bytes)
		return -ENOMEM;
	pass.least = bytes[PATH_ROOT] / TILES_MAX;
	do {
		tiles_release(&pass.tiles);
		rc = fill(&pass, PATH_ROOT, 0, whole);
		pass.least *= 2;
	} while (!rc && pass.tiles.count > TILES_MAX && pass.least <= 4 * bytes[PATH_ROOT]);
	if (rc)
		tiles_release(&pass.tiles);
	else
		*ret = pass.tiles;
	return rc;
}
