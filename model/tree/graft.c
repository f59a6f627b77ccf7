/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What cannot be seen from one directory, found out layer by layer from the
 * base up, each in the view of the layers below it.
 *
 * A graft: a layer holds bin/x but not bin, and below bin is a symlink to
 * usr/bin.  Extractors then write to usr/bin/x.  So the layer's implied bin
 * is a part of usr/bin, and the layer has implied directories on the
 * way there.  Sites are a tree of such paths; a visited directory knows its
 * site, and gather() takes the grafts of a child's site into account in
 * the order of layers, as if the layer had its directory there.
 * At its own place the implied directory is passed over without a mark:
 * gather() lets a symlink take the implied directories right over it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/cleanup.h"
#include "model/tree/internal.h"

enum {
	GRAFTS_MAX = 1 << 20,    /* of one merge, parents on the way included */
	GRAFTS_AT_SITE_MAX = 64, /* of one layer: what one lookup has to go through */
};

/* --- hard links out of a layer --- */

int graft_links(struct merge *merge, uint32_t layer)
{
	const struct tree *tree = merge->layers[layer].tree;
	struct outside *outside = calloc(tree->outside_count, sizeof *outside);
	uint32_t count = 0;

	if (!outside)
		return -ENOMEM;
	merge->layers[layer].outside = outside;
	for (uint32_t i = 0; i < tree->entry_count; i++) {
		struct merge_child child;
		int rc;

		if (!(tree_entry(tree, i)->flags & TREE_LINK_OUTSIDE))
			continue;
		rc = merge_walk(merge, tree_link(tree, i), &child);
		if (rc == -ENOMEM)
			return rc;
		outside[count++] = (struct outside){
			.entry = i,
			.target = rc || child.is_directory ? (struct merge_ref){ UINT32_MAX, 0 }
							   : child.ref,
		};
	}
	return 0;
}

/* --- sites --- */

uint32_t graft_find_site(const struct merge *merge, uint32_t parent, const char *name, size_t len)
{
	return parent == TREE_NONE ? TREE_NONE : names_find(&merge->site_names, parent, name, len);
}

static int site_new(
	struct merge *merge, uint32_t parent, const char *name, size_t len, uint32_t *ret)
{
	struct site *sites = array_grow(
		merge->sites, &merge->site_capacity, merge->site_names.count, sizeof *sites);
	char *copy = arena_alloc(&merge->site_text, len + 1);
	int rc;

	if (sites)
		merge->sites = sites;
	if (!sites || !copy)
		return -ENOMEM;
	memcpy(copy, name, len);
	copy[len] = '\0';
	rc = names_add(&merge->site_names, parent, copy, (uint32_t)len, ret);
	if (rc)
		return rc;
	sites[*ret] = (struct site){ TREE_NONE, TREE_NONE, TREE_NONE };
	if (parent != TREE_NONE) {
		sites[*ret].sibling = sites[parent].first_child;
		sites[parent].first_child = *ret;
	}
	return 0;
}

static int site_at(
	struct merge *merge, uint32_t parent, const char *name, size_t len, uint32_t *ret)
{
	*ret = names_find(&merge->site_names, parent, name, len);
	return *ret == TREE_NONE ? site_new(merge, parent, name, len, ret) : 0;
}

/* The site of a visited directory.  Those above it learn theirs too, so that the way up is
 * gone only once. */
static int site_of(struct merge *merge, uint32_t directory, uint32_t *ret)
{
	CLEANUP(freep) uint32_t *way = NULL;
	uint32_t count = 0, capacity = 0;
	int rc = 0;

	if (!merge->site_names.count)
		rc = site_new(merge, TREE_NONE, "", 0, ret);
	merge->directories[MERGE_ROOT].site = PATH_ROOT;
	for (; !rc && merge->directories[directory].site == TREE_NONE;
		directory = merge_parent(merge, directory)) {
		uint32_t *longer = array_grow(way, &capacity, count, sizeof *way);

		if (!longer)
			return -ENOMEM;
		way = longer;
		way[count++] = directory;
	}
	*ret = merge->directories[directory].site;
	while (!rc && count-- > 0) {
		const struct names_item *item = &merge->names.items[way[count]];

		rc = site_at(merge, *ret, item->name, item->name_len, ret);
		merge->directories[way[count]].site = *ret;
	}
	return rc;
}

static uint32_t site_parent(const struct merge *merge, uint32_t site)
{
	return merge->site_names.items[site].parent;
}

static int add_graft(struct merge *merge, uint32_t site, uint32_t layer, uint32_t entry)
{
	struct graft *grafts;
	uint32_t count = 0;

	for (uint32_t i = merge->sites[site].first_graft;
		i != TREE_NONE && merge->grafts[i].layer == layer; i = merge->grafts[i].next)
		count++;
	if (merge->graft_count >= GRAFTS_MAX || count >= GRAFTS_AT_SITE_MAX)
		return -EFBIG;
	grafts = array_grow(
		merge->grafts, &merge->graft_capacity, merge->graft_count, sizeof *grafts);
	if (!grafts)
		return -ENOMEM;
	merge->grafts = grafts;
	grafts[merge->graft_count] = (struct graft){ layer, entry, merge->sites[site].first_graft };
	merge->sites[site].first_graft = merge->graft_count++;
	return 0;
}

static bool has_layer(const struct merge *merge, uint32_t site, uint32_t layer)
{
	uint32_t first = merge->sites[site].first_graft;

	return first != TREE_NONE && merge->grafts[first].layer == layer;
}

/* --- grafts --- */

/* Puts the layer's directory entry where missing below directory is. */
static int graft(struct merge *merge, uint32_t directory, const struct buf *missing, uint32_t layer,
	uint32_t entry)
{
	const char *at = missing->len ? missing->data : "";
	uint32_t site;
	int rc = site_of(merge, directory, &site);

	while (!rc && *at) {
		size_t len = strcspn(at, "/");

		rc = site_at(merge, site, at, len, &site);
		at += len + (at[len] == '/');
	}
	if (rc)
		return rc;
	/* The root is every layer's anyway. */
	rc = add_graft(merge, site, layer, entry);
	for (uint32_t i = site; !rc && i != PATH_ROOT;) {
		i = site_parent(merge, i);
		if (i == PATH_ROOT || has_layer(merge, i, layer))
			break;
		rc = add_graft(merge, i, layer, TREE_NONE);
	}
	return rc;
}

/* A layer's directories against the view below: which directory of the view each lies over. */
struct grafting {
	struct merge *merge;
	uint32_t layer;
	uint32_t *below; /* by entry; TREE_NONE: over no directory */
	struct buf missing;
};

/* Extractors fail at a symlink that leads nowhere; here the directory replaces it, so that
 * what the layer holds can be seen. */
static int keep(struct merge_layer *layer, uint32_t entry)
{
	uint32_t *kept =
		array_grow(layer->kept, &layer->kept_capacity, layer->kept_count, sizeof *kept);

	if (!kept)
		return -ENOMEM;
	layer->kept = kept;
	kept[layer->kept_count++] = entry; /* entries come in order */
	return 0;
}

/* An implied directory lies over a symlink in directory at.  *ret: where that leads, if it exists.
 */
static int follow(
	struct grafting *g, uint32_t entry, uint32_t at, struct merge_ref symlink, uint32_t *ret)
{
	const char *target = tree_link(g->merge->layers[symlink.layer].tree, symlink.entry);
	int rc;

	if (target[0] == '/')
		at = MERGE_ROOT;
	rc = path_resolve(&merge_path_ops, g->merge, target, strlen(target), &at, &g->missing);
	if (rc == -ELOOP || rc == -ENAMETOOLONG)
		return keep(&g->merge->layers[g->layer], entry);
	if (rc)
		return rc;
	if (!g->missing.len)
		*ret = at;
	return graft(g->merge, at, &g->missing, g->layer, entry);
}

static int look_below(struct grafting *g, uint32_t entry)
{
	const struct tree *tree = g->merge->layers[g->layer].tree;
	const struct tree_entry *directory = tree_entry(tree, entry);
	const char *name = tree_name(tree, entry);
	uint32_t parent = directory->parent, at = g->below[parent];
	char whiteout[WHITEOUT_PREFIX_LEN + TREE_NAME_MAX + 1] = WHITEOUT_PREFIX;
	struct merge_child child;
	int rc;

	/* The layer's own whiteouts act first, so nothing is below then. */
	if (at == TREE_NONE || tree_entry(tree, parent)->flags & TREE_OPAQUE)
		return 0;
	memcpy(whiteout + WHITEOUT_PREFIX_LEN, name, directory->name_len);
	if (tree_entry(tree, parent)->flags & TREE_WHITEOUTS &&
		tree_lookup(tree, parent, whiteout,
			WHITEOUT_PREFIX_LEN + (size_t)directory->name_len) != TREE_NONE)
		return 0;
	rc = merge_lookup(g->merge, at, name, directory->name_len, &child);
	if (rc)
		return rc == -ENOENT || rc == -EIO ? 0 : rc;
	if (child.is_directory) {
		g->below[entry] = child.directory;
		return 0;
	}
	if (!(directory->flags & TREE_IMPLIED) ||
		!S_ISLNK(tree_entry(g->merge->layers[child.ref.layer].tree, child.ref.entry)->mode))
		return 0;
	return follow(g, entry, at, child.ref, &g->below[entry]);
}

int graft_layer(struct merge *merge, uint32_t layer)
{
	const struct tree *tree = merge->layers[layer].tree;
	CLEANUP(freep) uint32_t *below = malloc(tree->entry_count * sizeof *below);
	CLEANUP(freep) bool *is_needed = calloc(tree->entry_count, sizeof *is_needed);
	struct grafting g = { merge, layer, below, { .max = PATH_BYTES_MAX } };
	int rc = 0;

	if (!below || !is_needed)
		return -ENOMEM;
	memset(below, 0xff, tree->entry_count * sizeof *below);
	below[0] = MERGE_ROOT;
	/* Only implied directories matter, and those on the way to them: parents come first. */
	for (uint32_t i = tree->entry_count; i-- > 1;) {
		if (tree_entry(tree, i)->flags & TREE_IMPLIED)
			is_needed[i] = true;
		if (is_needed[i])
			is_needed[tree_entry(tree, i)->parent] = true;
	}
	for (uint32_t i = 1; !rc && i < tree->entry_count; i++)
		if (is_needed[i])
			rc = look_below(&g, i);
	buf_release(&g.missing);
	return rc;
}
