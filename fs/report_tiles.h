/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report_tiles -- the root file system as rectangles: a file's area is its share of all bytes, and
 * directories hold what is in them.  What is too small is put together, for each directory and
 * layer, so that there are at most TILES_MAX or, where more than that many layers have files, one
 * for each layer.
 */
#ifndef FS_REPORT_TILES_H
#define FS_REPORT_TILES_H

#include "fs/report_paths.h"
#include "fs/squarify.h"

enum {
	TILES_MAX = 2500,
	TILES_DEPTH_MAX = 48, /* directories in each other; what is deeper counts as small */
};

enum tile_kind {
	TILE_DIRECTORY, /* a frame; its content follows */
	TILE_FILE,
	TILE_REST, /* what is small in a directory, of one layer */
};

struct tile {
	enum tile_kind kind;
	unsigned layer; /* but for directories */
	unsigned depth; /* of directories; 0 is the root */
	uint32_t path;
	uint64_t bytes;
	struct rect rect;
};

struct tiles {
	struct tile *items; /* a directory before what is in it; the root is not there */
	size_t count;
};

/* 0 or -ENOMEM; none when there are no bytes.  To be released. */
int tiles_make(struct tiles *ret, const struct paths *paths, unsigned layer_count,
	const struct rect *whole);
void tiles_release(struct tiles *tiles);

#endif
