/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One function, gather(), says what a name in a directory is; lookup, listing and the
 * preparation of grafts all ask it.  It goes through the layers from the
 * top and keeps, in merge->scratch, the directories the child is made of.
 *
 * A view is the merge of the layers below merge->limit.  merge_new() prepares each layer
 * in the view of those below it, then shows them all; what it finds out, grafts
 * and the targets of links, stays valid in all later views.
 */
#include "model/tree/merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "model/image.h"
#include "model/tree/internal.h"

enum {
	CHUNK_SIZE = 64 << 10,
};

static const struct merge_ref no_ref = { UINT32_MAX, 0 };

CLEANUP_POINTER(merge_freep, struct merge, merge_free)

/* --- arena --- */

struct chunk {
	struct chunk *next;
	size_t size;
	uint64_t bytes[];
};

void *arena_alloc(struct arena *arena, size_t size)
{
	struct chunk *chunk = arena->chunks;

	size = (size + 7) & ~(size_t)7;
	if (!chunk || arena->left < size) {
		size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;

		chunk = malloc(sizeof *chunk + room);
		if (!chunk)
			return NULL;
		*chunk = (struct chunk){ .next = arena->chunks, .size = room };
		arena->chunks = chunk;
		arena->left = room;
	}
	arena->left -= size;
	return (char *)chunk->bytes + (chunk->size - arena->left - size);
}

void arena_release(struct arena *arena)
{
	while (arena->chunks) {
		struct chunk *chunk = arena->chunks;

		arena->chunks = chunk->next;
		free(chunk);
	}
	arena->left = 0;
}

/* --- what a name is --- */

static const struct tree_entry *entry_of(const struct merge *merge, struct merge_ref ref)
{
	return tree_entry(merge->layers[ref.layer].tree, ref.entry);
}

static bool is_hidden(const char *name, size_t len)
{
	return len >= WHITEOUT_PREFIX_LEN && !memcmp(name, WHITEOUT_PREFIX, WHITEOUT_PREFIX_LEN);
}

static bool has_whiteout(const struct tree *tree, uint32_t directory, const char *name, size_t len)
{
	char whiteout[TREE_NAME_MAX] = WHITEOUT_PREFIX;

	if (!(tree_entry(tree, directory)->flags & TREE_WHITEOUTS) ||
		len > sizeof whiteout - WHITEOUT_PREFIX_LEN)
		return false;
	memcpy(whiteout + WHITEOUT_PREFIX_LEN, name, len);
	return tree_lookup(tree, directory, whiteout, WHITEOUT_PREFIX_LEN + len) != TREE_NONE;
}

/* The file a hard link out of its layer leads to; any other entry is itself. */
static struct merge_ref follow_link(const struct merge *merge, struct merge_ref ref)
{
	const struct merge_layer *layer = &merge->layers[ref.layer];
	uint32_t low = 0, high = layer->tree->outside_count;

	if (!(entry_of(merge, ref)->flags & TREE_LINK_OUTSIDE))
		return ref;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (layer->outside[middle].entry < ref.entry)
			low = middle + 1;
		else
			high = middle;
	}
	return layer->outside[low].target;
}

/* Which of a directory's stack has the child: what a listing knows before it asks. */
struct hit {
	uint32_t at; /* in the stack */
	uint32_t entry;
};

struct gather {
	struct merge *merge;
	uint32_t count;     /* refs in merge->scratch */
	uint32_t committed; /* of them, down to the lowest directory an archive holds */
	bool is_loose;      /* there are implied ones since then: a symlink below takes them */
	bool is_solid;      /* one of all was there for more than whiteouts: it replaces a file */
	bool is_directory;
	bool is_closed;    /* opaque: what is below gives at most the metadata */
	bool has_ref;      /* ref is final: an archive's own directory */
	bool is_ref_below; /* ref is below the stack */
	struct merge_ref ref;
	uint32_t bottom; /* layers below it do not count */
	uint32_t site;
};

static void raise_bottom(struct gather *g, uint32_t layer)
{
	if (g->bottom < layer)
		g->bottom = layer;
}

static int push(struct gather *g, struct merge_ref ref)
{
	struct merge *merge = g->merge;
	struct merge_ref *scratch =
		array_grow(merge->scratch, &merge->scratch_capacity, g->count, sizeof *scratch);

	if (!scratch)
		return -ENOMEM;
	merge->scratch = scratch;
	scratch[g->count++] = ref;
	return 0;
}

/* An implied directory leaves the metadata to what is below; the lowest one made it. */
static int offer_directory(struct gather *g, struct merge_ref ref, bool is_implied)
{
	bool is_hollow = is_implied && entry_of(g->merge, ref)->flags & TREE_HOLLOW;
	int rc = g->is_closed ? 0 : push(g, ref);

	if (rc)
		return rc;
	g->is_directory = true;
	if (!g->has_ref) {
		g->ref = ref;
		g->is_ref_below = g->is_closed;
		g->has_ref = !is_implied;
	}
	g->is_loose = is_implied;
	g->is_solid = g->is_solid || !is_hollow;
	if (!is_implied)
		g->committed = g->count;
	return 0;
}

/* Ends the search.  Under a directory a file is replaced, unless that is there for whiteouts only;
 * and a symlink takes away the implied ones right over it (graft.c has put them where it leads). */
static void offer_file(struct gather *g, struct merge_ref ref)
{
	struct merge_ref file = follow_link(g->merge, ref);
	bool is_symlink = file.layer != UINT32_MAX && S_ISLNK(entry_of(g->merge, file)->mode);

	if (g->is_directory && g->is_solid && !(g->is_loose && is_symlink)) {
		raise_bottom(g, ref.layer + 1);
		return;
	}
	g->count = g->committed;
	if (g->has_ref) {
		raise_bottom(g, g->merge->scratch[g->count - 1].layer);
		return;
	}
	g->is_directory = false;
	g->ref = file;
	g->has_ref = true;
}

static int compare_entries(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

static bool is_kept(const struct merge_layer *layer, uint32_t entry)
{
	return layer->kept_count && bsearch(&entry, layer->kept, layer->kept_count,
					    sizeof *layer->kept, compare_entries);
}

/* 1: nothing below this entry counts. */
static int offer(struct gather *g, struct merge_ref ref)
{
	const struct tree_entry *entry = entry_of(g->merge, ref);

	if (S_ISDIR(entry->mode))
		return offer_directory(g, ref,
			entry->flags & TREE_IMPLIED &&
				!is_kept(&g->merge->layers[ref.layer], ref.entry));
	offer_file(g, ref);
	return 1;
}

/* Grafts of one layer, from *graft on, at the place of the child. */
static int offer_grafts(struct gather *g, uint32_t layer, uint32_t *graft)
{
	const struct merge *merge = g->merge;
	int rc = 0;

	for (; *graft != TREE_NONE && merge->grafts[*graft].layer == layer;
		*graft = merge->grafts[*graft].next) {
		uint32_t entry = merge->grafts[*graft].entry;

		if (rc)
			continue;
		if (entry != TREE_NONE) {
			rc = offer_directory(g, (struct merge_ref){ layer, entry }, true);
		} else {
			g->is_directory = true;
			g->is_loose = g->is_solid = true;
		}
	}
	return rc;
}

static bool is_opaque(const struct gather *g, uint32_t first)
{
	for (uint32_t i = first; i < g->count; i++)
		if (entry_of(g->merge, g->merge->scratch[i])->flags & TREE_OPAQUE)
			return true;
	return false;
}

/* Where gather() stands. */
struct position {
	const struct directory *directory;
	const struct hit *hits; /* NULL: search */
	uint32_t hit_count;
	const char *name;
	size_t len;
	uint32_t at, hit, graft;
};

static uint32_t child_at(const struct position *p, const struct tree *tree, uint32_t *hit)
{
	if (!p->hits)
		return tree_lookup(tree, p->directory->stack[p->at].entry, p->name, p->len);
	if (*hit < p->hit_count && p->hits[*hit].at == p->at)
		return p->hits[(*hit)++].entry;
	return TREE_NONE;
}

/* All that one layer says of the name.  1: nothing below counts. */
static int gather_layer(struct gather *g, struct position *p, uint32_t layer)
{
	const struct directory *directory = p->directory;
	const struct tree *tree = g->merge->layers[layer].tree;
	bool is_whiteout = false, was_closed = g->is_closed;
	uint32_t first = g->count;
	int rc = 0;

	for (; p->at < directory->stack_count && directory->stack[p->at].layer == layer; p->at++) {
		uint32_t entry = child_at(p, tree, &p->hit);

		if (!rc && entry != TREE_NONE)
			rc = offer(g, (struct merge_ref){ layer, entry });
		is_whiteout = is_whiteout ||
			      has_whiteout(tree, directory->stack[p->at].entry, p->name, p->len);
	}
	if (rc)
		return rc;
	rc = offer_grafts(g, layer, &p->graft);
	if (rc)
		return rc;
	if (!was_closed && is_opaque(g, first)) {
		g->is_closed = true;
		raise_bottom(g, layer);
	}
	if (is_whiteout)
		raise_bottom(g, layer);
	return is_whiteout || (g->is_closed && g->has_ref && !g->is_loose);
}

static uint32_t first_graft(const struct merge *merge, uint32_t site)
{
	uint32_t graft = site == TREE_NONE ? TREE_NONE : merge->sites[site].first_graft;

	while (graft != TREE_NONE && merge->grafts[graft].layer >= merge->limit)
		graft = merge->grafts[graft].next;
	return graft;
}

/* hits: as merge_list() found them, or NULL.  -ENOENT, -ENOMEM, -EIO. */
static int gather(struct merge *merge, uint32_t number, const char *name, size_t len,
	const struct hit *hits, uint32_t hit_count, struct gather *g)
{
	const struct directory *directory = &merge->directories[number];
	uint32_t site = graft_find_site(merge, directory->site, name, len);
	struct position p = { .directory = directory,
		.hits = hits,
		.hit_count = hit_count,
		.name = name,
		.len = len,
		.graft = first_graft(merge, site) };
	int rc = 0;

	*g = (struct gather){
		.merge = merge, .ref = no_ref, .bottom = directory->bottom, .site = site
	};
	while (!rc) {
		uint32_t layer = 0;
		bool has_layer = false;

		if (p.at < directory->stack_count) {
			layer = directory->stack[p.at].layer;
			has_layer = true;
		}
		if (p.graft != TREE_NONE && merge->grafts[p.graft].layer >= directory->bottom &&
			(!has_layer || merge->grafts[p.graft].layer > layer)) {
			layer = merge->grafts[p.graft].layer;
			has_layer = true;
		}
		if (!has_layer)
			break;
		rc = gather_layer(g, &p, layer);
	}
	if (rc < 0)
		return rc;
	if (!g->is_directory && !g->has_ref)
		return -ENOENT;
	return !g->is_directory && g->ref.layer == UINT32_MAX ? -EIO : 0;
}

/* --- directories --- */

/* Takes the stack from merge->scratch. */
static int directory_new(struct merge *merge, uint32_t parent, const char *name, uint32_t len,
	const struct gather *g, uint32_t *ret)
{
	struct directory *directories = array_grow(merge->directories, &merge->directory_capacity,
		merge->names.count, sizeof *directories);
	struct merge_ref *stack;
	int rc;

	if (!directories)
		return -ENOMEM;
	merge->directories = directories;
	stack = arena_alloc(&merge->stacks, g->count * sizeof *stack);
	if (!stack)
		return -ENOMEM;
	if (g->count)
		memcpy(stack, merge->scratch, g->count * sizeof *stack);
	rc = names_add(&merge->names, parent, name, len, ret);
	if (rc)
		return rc;
	directories[*ret] = (struct directory){
		.stack = stack,
		.stack_count = g->count,
		.bottom = g->bottom,
		.ref = g->ref,
		.is_ref_below = g->is_ref_below,
		.site = g->site,
	};
	return 0;
}

int merge_set_view(struct merge *merge, uint32_t limit)
{
	struct gather g = { .merge = merge, .ref = no_ref, .site = TREE_NONE };
	uint32_t root;
	int rc = 0;

	names_clear(&merge->names);
	arena_release(&merge->stacks);
	merge->limit = limit;
	for (uint32_t layer = limit; !rc && layer-- > 0;) {
		const struct tree_entry *entry = tree_entry(merge->layers[layer].tree, 0);

		rc = offer_directory(
			&g, (struct merge_ref){ layer, 0 }, entry->flags & TREE_IMPLIED);
		if (!g.is_closed && entry->flags & TREE_OPAQUE) {
			g.is_closed = true;
			g.bottom = layer;
		}
	}
	if (merge->graft_count)
		g.site = PATH_ROOT;
	/* The root is in no directory: its parent is corrected to itself in merge_parent(). */
	return rc ? rc : directory_new(merge, TREE_NONE, "", 0, &g, &root);
}

static struct merge_child directory_child(const struct merge *merge, uint32_t number)
{
	return (struct merge_child){
		.is_directory = true, .directory = number, .ref = merge->directories[number].ref
	};
}

int merge_lookup(struct merge *merge, uint32_t directory, const char *name, size_t len,
	struct merge_child *ret)
{
	struct gather g;
	uint32_t number;
	int rc;

	if (is_hidden(name, len) || !len || len > TREE_NAME_MAX)
		return -ENOENT;
	number = names_find(&merge->names, directory, name, len);
	if (number == TREE_NONE) {
		rc = gather(merge, directory, name, len, NULL, 0, &g);
		if (rc)
			return rc;
		if (!g.is_directory) {
			*ret = (struct merge_child){ .directory = TREE_NONE, .ref = g.ref };
			return 0;
		}
		/* The caller's name goes away; a graft in the stack may have another one. */
		name = g.site != TREE_NONE ? merge->site_names.items[g.site].name
					   : tree_name(merge->layers[merge->scratch[0].layer].tree,
						     merge->scratch[0].entry);
		rc = directory_new(merge, directory, name, (uint32_t)len, &g, &number);
		if (rc)
			return rc;
	}
	*ret = directory_child(merge, number);
	return 0;
}

struct merge_ref merge_directory_ref(const struct merge *merge, uint32_t directory)
{
	return merge->directories[directory].ref;
}

uint32_t merge_parent(const struct merge *merge, uint32_t directory)
{
	return directory == MERGE_ROOT ? MERGE_ROOT : merge->names.items[directory].parent;
}

uint32_t merge_directories(const struct merge *merge)
{
	return merge->names.count;
}

/*
 * The children come from the stack alone, but for what grafts bring to this place
 * or below it, and for links that need the layers further down.
 */
const struct merge_ref *merge_stack(
	const struct merge *merge, uint32_t directory, uint32_t *count, bool *ret_is_unique)
{
	const struct directory *found = &merge->directories[directory];

	*ret_is_unique = found->site != TREE_NONE || found->is_ref_below;
	for (uint32_t i = 0; i < found->stack_count && !*ret_is_unique; i++)
		*ret_is_unique = entry_of(merge, found->stack[i])->flags & TREE_SPECIAL &&
				 merge->layers[found->stack[i].layer].tree->outside_count;
	*count = found->stack_count;
	return found->stack;
}

/* --- listing --- */

/*
 * A place is a name: that of an entry, (layer + 1) << 32 | entry, or of a site, under the
 * number of a layer that cannot be.
 */
enum { PLACE_SITES = IMAGE_LAYERS_MAX + 1 };

static uint64_t place_of(uint32_t where, uint32_t number)
{
	return (uint64_t)where << 32 | number;
}

/* NULL when it is no place. */
static const char *place_name(const struct merge *merge, uint64_t place)
{
	uint64_t where = place >> 32;
	uint32_t number = (uint32_t)place;

	if (where == PLACE_SITES && number < merge->site_names.count)
		return merge->site_names.items[number].name;
	if (!where || where > merge->layer_count ||
		number >= merge->layers[where - 1].tree->entry_count)
		return NULL;
	return tree_name(merge->layers[where - 1].tree, number);
}

/* What is left of one ref's children, or of the children of the directory's site. */
struct source {
	const struct tree *tree; /* NULL: sites */
	uint32_t layer;
	uint32_t next, end; /* entries, or places in listing.sites */
	uint32_t at;        /* in the stack; sites come last */
};

struct listing {
	struct merge *merge;
	struct source *sources; /* a heap: the first has the smallest name */
	uint32_t count;
	struct hit *hits; /* of the name that is next */
	uint32_t hit_count;
	uint32_t *sites; /* in order of names */
};

static const char *source_name(const struct listing *listing, const struct source *source)
{
	if (source->tree)
		return tree_name(source->tree, source->next);
	return listing->merge->site_names.items[listing->sites[source->next]].name;
}

static uint64_t source_place(const struct listing *listing, const struct source *source)
{
	return source->tree ? place_of(source->layer + 1, source->next)
			    : place_of(PLACE_SITES, listing->sites[source->next]);
}

static bool is_before(const struct listing *listing, const struct source *a, const struct source *b)
{
	int order = strcmp(source_name(listing, a), source_name(listing, b));

	return order ? order < 0 : a->at < b->at;
}

static void sift_down(struct listing *listing, uint32_t i)
{
	for (;;) {
		struct source *sources = listing->sources;
		uint32_t least = i, child = 2 * i + 1;

		if (child < listing->count && is_before(listing, &sources[child], &sources[least]))
			least = child;
		if (child + 1 < listing->count &&
			is_before(listing, &sources[child + 1], &sources[least]))
			least = child + 1;
		if (least == i)
			return;
		struct source swapped = sources[i];

		sources[i] = sources[least];
		sources[least] = swapped;
		i = least;
	}
}

static int compare_sites(const void *a, const void *b, void *context)
{
	const struct names *names = context;

	return strcmp(
		names->items[*(const uint32_t *)a].name, names->items[*(const uint32_t *)b].name);
}

/* The names that are here because a graft lies below them. */
static int add_sites(struct listing *listing, uint32_t site, const char *after)
{
	struct merge *merge = listing->merge;
	uint32_t count = 0, next = 0;

	if (site == TREE_NONE)
		return 0;
	for (uint32_t i = merge->sites[site].first_child; i != TREE_NONE;
		i = merge->sites[i].sibling)
		count++;
	listing->sites = malloc((count + 1) * sizeof *listing->sites);
	if (!listing->sites)
		return -ENOMEM;
	count = 0;
	for (uint32_t i = merge->sites[site].first_child; i != TREE_NONE;
		i = merge->sites[i].sibling)
		listing->sites[count++] = i;
	qsort_r(listing->sites, count, sizeof *listing->sites, compare_sites, &merge->site_names);
	while (next < count && after &&
		strcmp(merge->site_names.items[listing->sites[next]].name, after) <= 0)
		next++;
	if (next < count)
		listing->sources[listing->count++] =
			(struct source){ .next = next, .end = count, .at = UINT32_MAX };
	return 0;
}

static int listing_open(
	struct listing *listing, struct merge *merge, uint32_t number, const char *after)
{
	const struct directory *directory = &merge->directories[number];
	int rc;

	*listing = (struct listing){ .merge = merge };
	listing->sources = malloc((directory->stack_count + 1) * sizeof *listing->sources);
	listing->hits = malloc((directory->stack_count + 1) * sizeof *listing->hits);
	if (!listing->sources || !listing->hits)
		return -ENOMEM;
	for (uint32_t i = 0; i < directory->stack_count; i++) {
		struct merge_ref ref = directory->stack[i];
		const struct tree *tree = merge->layers[ref.layer].tree;
		const struct tree_entry *entry = tree_entry(tree, ref.entry);
		struct source source = {
			.tree = tree, .layer = ref.layer, .next = entry->u.children.first, .at = i
		};
		bool is_equal = false;

		source.end = source.next + entry->u.children.count;
		if (after)
			source.next = tree_bound(tree, ref.entry, after, strlen(after), &is_equal);
		source.next += is_equal;
		if (source.next < source.end)
			listing->sources[listing->count++] = source;
	}
	rc = add_sites(listing, directory->site, after);
	for (uint32_t i = listing->count / 2; !rc && i-- > 0;)
		sift_down(listing, i);
	return rc;
}

static void listing_release(struct listing *listing)
{
	free(listing->sources);
	free(listing->hits);
	free(listing->sites);
}

/* The next name, and which refs have it; sources hand it out from the top of the stack down. */
static const char *listing_next(struct listing *listing)
{
	const char *name = source_name(listing, listing->sources);

	listing->hit_count = 0;
	do {
		struct source *source = listing->sources;

		if (source->tree)
			listing->hits[listing->hit_count++] =
				(struct hit){ source->at, source->next };
		if (++source->next == source->end)
			*source = listing->sources[--listing->count];
		sift_down(listing, 0);
	} while (listing->count && !strcmp(source_name(listing, listing->sources), name));
	return name;
}

int merge_list(
	struct merge *merge, uint32_t directory, uint64_t after, merge_list_fn *fn, void *context)
{
	CLEANUP(listing_release) struct listing listing = { 0 };
	const char *name = after ? place_name(merge, after) : NULL;
	int rc = after && !name ? -EINVAL : listing_open(&listing, merge, directory, name);

	while (!rc && listing.count) {
		struct merge_child child = { .directory = TREE_NONE,
			.place = source_place(&listing, listing.sources) };
		struct gather g;
		size_t len;

		name = listing_next(&listing);
		len = strlen(name);

		if (is_hidden(name, len))
			continue;
		rc = gather(merge, directory, name, len, listing.hits, listing.hit_count, &g);
		if (rc == -ENOENT || rc == -EIO) { /* whited out; a link that leads nowhere */
			rc = 0;
			continue;
		}
		child.is_directory = g.is_directory;
		child.ref = g.ref;
		if (!rc)
			rc = fn(context, name, (uint32_t)len, &child);
	}
	return rc;
}

/* --- walking --- */

static int step(void *context, uint32_t *at, const char *name, size_t len, const char **ret_target)
{
	struct merge *merge = context;
	struct merge_child child;
	int rc = merge_lookup(merge, *at, name, len, &child);

	if (rc == -ENOENT || rc == -EIO)
		return PATH_NONE;
	if (rc)
		return rc;
	if (child.is_directory) {
		*at = child.directory;
		return PATH_DIRECTORY;
	}
	if (!S_ISLNK(entry_of(merge, child.ref)->mode))
		return PATH_NONE;
	*ret_target = tree_link(merge->layers[child.ref.layer].tree, child.ref.entry);
	return PATH_SYMLINK;
}

static uint32_t parent_of(void *context, uint32_t at)
{
	return merge_parent(context, at);
}

const struct path_ops merge_path_ops = { step, parent_of };

/* Why a walk ended before its path did. */
static int missing_error(struct merge *merge, uint32_t at, const struct buf *missing)
{
	struct merge_child child;
	int rc = merge_lookup(merge, at, missing->data, strcspn(missing->data, "/"), &child);

	return rc ? rc : -ENOTDIR;
}

int merge_walk(struct merge *merge, const char *path, struct merge_child *ret)
{
	CLEANUP(buf_release) struct buf missing = { .max = PATH_BYTES_MAX };
	uint32_t at = MERGE_ROOT;
	size_t parent_len, len;
	const char *name;
	int rc;

	path_split(path, strlen(path), &parent_len, &name, &len);
	rc = path_resolve(&merge_path_ops, merge, path, parent_len, &at, &missing);
	if (rc)
		return rc;
	if (missing.len)
		return missing_error(merge, at, &missing);
	if (len)
		return merge_lookup(merge, at, name, len, ret);
	*ret = directory_child(merge, at);
	return 0;
}

/* --- life cycle --- */

static bool needs_grafts(const struct tree *tree)
{
	return tree->implied_count > (tree_entry(tree, 0)->flags & TREE_IMPLIED ? 1u : 0u);
}

static int prepare(struct merge *merge)
{
	int rc = 0;

	for (uint32_t i = 0; !rc && i < merge->layer_count; i++) {
		const struct tree *tree = merge->layers[i].tree;
		bool has_grafts = i && needs_grafts(tree);

		if (!tree->outside_count && !has_grafts)
			continue;
		rc = merge_set_view(merge, i);
		if (!rc && tree->outside_count)
			rc = graft_links(merge, i);
		if (!rc && has_grafts)
			rc = graft_layer(merge, i);
	}
	return rc ? rc : merge_set_view(merge, merge->layer_count);
}

int merge_new(
	struct merge **ret, const struct tree *const *layers, uint32_t count, struct error *err)
{
	CLEANUP(merge_freep) struct merge *merge = NULL;
	int rc;

	if (count > IMAGE_LAYERS_MAX)
		return error_set(err, EFBIG, "%u layers: more than %d", count, IMAGE_LAYERS_MAX);
	merge = calloc(1, sizeof *merge);
	if (!merge)
		return error_set(err, ENOMEM, "merge %u layers: out of memory", count);
	names_init(&merge->names);
	names_init(&merge->site_names);
	merge->layers = calloc(count + 1, sizeof *merge->layers);
	merge->layer_count = count;
	for (uint32_t i = 0; merge->layers && i < count; i++)
		merge->layers[i].tree = layers[i];
	rc = merge->layers ? prepare(merge) : -ENOMEM;
	if (rc)
		return error_set(err, -rc, "merge %u layers: %s", count, strerror(-rc));
	*ret = TAKE(merge);
	return 0;
}

void merge_free(struct merge *merge)
{
	if (!merge)
		return;
	for (uint32_t i = 0; merge->layers && i < merge->layer_count; i++) {
		free(merge->layers[i].outside);
		free(merge->layers[i].kept);
	}
	free(merge->layers);
	names_release(&merge->names);
	free(merge->directories);
	arena_release(&merge->stacks);
	names_release(&merge->site_names);
	free(merge->sites);
	free(merge->grafts);
	arena_release(&merge->site_text);
	free(merge->scratch);
	free(merge);
}
