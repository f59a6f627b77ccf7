/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report_paths -- every path that any layer of an image has, and the regular files that were there
 * one after the other.  Layers are told base first, each directory's deletions before what the
 * layer puts there, names in their order.
 *
 * A file with several names in its layer (hard links) is counted under one of them: the one that
 * stays the longest, and of those the first.
 *
 * Calls that can fail return 0 or a negative errno: -ENOMEM, or -EFBIG for more than PATHS_MAX
 * paths or files.
 */
#ifndef FS_REPORT_PATHS_H
#define FS_REPORT_PATHS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/buf.h"

enum {
	PATHS_MAX = 1 << 23,      /* about 1 GiB of memory, for hostile images */
	PATH_NAMES_MAX = 1 << 30, /* bytes of all names */
	PATH_ROOT = 0,
	PATH_NONE = UINT32_MAX,
	LAYER_NONE = UINT16_MAX,
};

enum path_kind {
	PATH_ABSENT, /* never there, or deleted */
	PATH_FILE,
	PATH_DIRECTORY,
	PATH_OTHER, /* without bytes: a link, a device */
};

/* Parents come before their children. */
struct path_node {
	uint32_t parent;
	uint32_t first_child, next; /* by name; PATH_NONE ends the list */
	uint32_t name;              /* offset in names */
	uint32_t file;              /* the last one that was there, or PATH_NONE */
	enum path_kind kind;        /* what is there now */
};

struct path_file {
	uint64_t size;
	uint32_t path;
	uint32_t before;   /* the file that was there before, or PATH_NONE */
	uint16_t layer;    /* 0 is the base */
	uint16_t end;      /* the layer that ended it, or LAYER_NONE */
	bool is_deleted;   /* that put no file in its place */
	bool is_uncounted; /* another name counts */
};

/* A name of a file that has several. */
struct path_link {
	uint64_t inode;
	uint32_t file;
};

struct paths {
	struct path_node *nodes;
	uint32_t node_count;
	struct path_file *files; /* by layer, in it by path */
	uint32_t file_count;
	struct path_link *links;
	uint32_t link_count;
	struct buf names;
	unsigned layer; /* the one being told */
};

/* Hostile sizes add up to the largest there is. */
static inline uint64_t size_sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

int paths_init(struct paths *paths); /* with the root, and as the base is told */
void paths_release(struct paths *paths);
void paths_next_layer(struct paths *paths);

/*
 * The child of that name, as long as names are asked for in ascending order: *cursor, which the
 * caller sets to PATH_NONE before the first one, remembers where.
 */
uint32_t paths_find(
	const struct paths *paths, uint32_t directory, const char *name, uint32_t *cursor);
/* The same; it is made when it is not there, as PATH_ABSENT. */
int paths_get(
	struct paths *paths, uint32_t directory, const char *name, uint32_t *cursor, uint32_t *ret);

void paths_delete(struct paths *paths, uint32_t path);     /* and all below it */
void paths_empty(struct paths *paths, uint32_t directory); /* all below it */
/* inode: 0 for a file with one name; otherwise what its names in this layer share. */
int paths_put_file(struct paths *paths, uint32_t path, uint64_t size, uint64_t inode);
/* PATH_DIRECTORY or PATH_OTHER. */
void paths_put(struct paths *paths, uint32_t path, enum path_kind kind);

/* After the last layer: decides which names count. */
void paths_settle(struct paths *paths);

/* In the order of paths, from top (which is given first) down; PATH_NONE after the last. */
uint32_t paths_walk(const struct paths *paths, uint32_t top, uint32_t path);
const char *paths_name(const struct paths *paths, uint32_t path);
/* Appends "/usr/bin/env"; the root is "/". */
void paths_format(const struct paths *paths, uint32_t path, struct buf *ret);

#endif
