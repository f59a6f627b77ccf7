/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <utlist.h>

#include "fetch/clock.h"
#include "fs/assembly.h"
#include "fs/hash.h"
#include "fs/views.h"
#include "model/cleanup.h"

enum {
	UNLISTED_MS = 1000, /* as long the kernel may do without asking before it lists */
	NANOSECONDS = 1000000000,
};

/* uthash wants its handles in the thing itself: the public struct comes first. */
struct node_slot {
	struct node node;
	struct name_key {
		fuse_ino_t parent;
		char name[]; /* see key_of(): never used as an array of this struct */
	} * key;
	UT_hash_handle by_id;
	UT_hash_handle by_name;
};

struct nodes {
	struct node_slot *by_id;
	struct node_slot *by_name;
	struct node *root;
	struct node *listed; /* those with a listing */
	size_t listing_bytes;
	uint64_t last; /* counter behind 1 << 62 */
};

#define NODE_BIT  (UINT64_C(1) << 62)
#define FIXED_BIT (UINT64_C(1) << 61) /* in a st_ino: see node_fix_ino() */

static struct node_slot *slot(struct node *node)
{
	return container_of(node, struct node_slot, node);
}

static size_t key_len(const char *name)
{
	return sizeof(struct name_key) + strlen(name);
}

static struct name_key *key_of(fuse_ino_t parent, const char *name)
{
	struct name_key *key = calloc(1, key_len(name) + 1);

	if (!key)
		return NULL;
	key->parent = parent;
	memcpy(key->name, name, strlen(name));
	return key;
}

static void free_slot(struct node_slot *slot)
{
	free(slot->node.name);
	free(slot->node.content);
	assembly_free(slot->node.assembly);
	listing_free(slot->node.listing);
	free(slot->key);
	free(slot);
}

static struct node *new_node(struct fs *fs, fuse_ino_t id, struct node *parent, const char *name,
	const struct view *view, const struct place *place)
{
	struct nodes *nodes = fs->nodes;
	struct node_slot *slot = calloc(1, sizeof *slot);

	if (!slot)
		return NULL;
	slot->node = (struct node){
		.id = id,
		.ino = id,
		.view = view,
		.parent = parent,
		.place = *place,
		.time = parent ? parent->time : fs->mounted_at,
	};
	slot->node.name = strdup(name);
	slot->key = key_of(parent ? parent->id : 0, name);
	if (!slot->node.name || !slot->key) {
		free_slot(slot);
		return NULL;
	}
	HASH_ADD(by_id, nodes->by_id, node.id, sizeof slot->node.id, slot);
	if (!HASH_HAS(by_id, slot)) {
		free_slot(slot);
		return NULL;
	}
	if (!parent)
		return &slot->node;
	HASH_ADD_KEYPTR(by_name, nodes->by_name, slot->key, key_len(name), slot);
	if (!HASH_HAS(by_name, slot)) {
		HASH_DELETE(by_id, nodes->by_id, slot);
		free_slot(slot);
		return NULL;
	}
	slot->node.is_current = true;
	parent->children++;
	return &slot->node;
}

int nodes_new(struct fs *fs, struct error *err)
{
	struct place place = { .repository = "" };

	fs->nodes = calloc(1, sizeof *fs->nodes);
	if (!fs->nodes)
		return error_set(err, ENOMEM, "out of memory");
	fs->nodes->root = new_node(fs, FUSE_ROOT_ID, NULL, "", &view_control, &place);
	if (!fs->nodes->root)
		return error_set(err, ENOMEM, "out of memory");
	fs->nodes->root->lookups = 1;
	return 0;
}

void nodes_free(struct fs *fs)
{
	struct node_slot *each, *next;

	if (!fs->nodes)
		return;
	HASH_CLEAR(by_name, fs->nodes->by_name);
	HASH_ITER(by_id, fs->nodes->by_id, each, next)
	{
		HASH_DELETE(by_id, fs->nodes->by_id, each);
		free_slot(each);
	}
	free(fs->nodes);
	fs->nodes = NULL;
}

struct node *node_root(struct fs *fs)
{
	return fs->nodes->root;
}

struct node *node_find(struct fs *fs, fuse_ino_t id)
{
	struct node_slot *found;

	HASH_FIND(by_id, fs->nodes->by_id, &id, sizeof id, found);
	return found ? &found->node : NULL;
}

void nodes_each(struct fs *fs, void (*visit)(struct fs *fs, struct node *node, void *context),
	void *context)
{
	for (struct node_slot *each = fs->nodes->by_id; each; each = each->by_id.next)
		visit(fs, &each->node, context);
}

struct node *node_child(struct fs *fs, struct node *parent, const char *name)
{
	_Alignas(struct name_key) char room[sizeof(struct name_key) + NAME_MAX];
	struct name_key *key = (struct name_key *)(void *)room;
	struct node_slot *found;
	size_t len = strlen(name);

	if (len > NAME_MAX)
		return NULL;
	key->parent = parent->id;
	memcpy(key->name, name, len);
	HASH_FIND(by_name, fs->nodes->by_name, room, key_len(name), found);
	return found ? &found->node : NULL;
}

/* The name is free for another node; this one is still found by its number. */
static void retire(struct fs *fs, struct node *node)
{
	if (!node->is_current)
		return;
	HASH_DELETE(by_name, fs->nodes->by_name, slot(node));
	node->is_current = false;
}

static void forget_listing(struct nodes *nodes, struct node *node)
{
	if (!node->listing)
		return;
	DL_DELETE2(nodes->listed, node, list_prev, list_next);
	nodes->listing_bytes -= node->listing->bytes;
	listing_free(TAKE(node->listing));
}

/* Nodes that nobody holds go, and then their parents that only they held. */
static void drop(struct fs *fs, struct node *node)
{
	while (node != fs->nodes->root && !node->lookups && !node->children) {
		struct node *parent = node->parent;

		retire(fs, node);
		HASH_DELETE(by_id, fs->nodes->by_id, slot(node));
		forget_listing(fs->nodes, node);
		free_slot(slot(node));
		parent->children--;
		node = parent;
	}
}

/* An image may have found which manifest is meant since it was made: it is the same all the same.
 */
static bool is_same_place(const struct place *has, const struct place *wanted)
{
	return has->repository == wanted->repository && has->tag == wanted->tag &&
	       has->platform == wanted->platform && digest_equal(&has->image, &wanted->image) &&
	       (digest_equal(&has->manifest, &wanted->manifest) ||
		       !digest_is_set(&wanted->manifest)) &&
	       has->layer == wanted->layer && has->family == wanted->family &&
	       has->algorithm == wanted->algorithm;
}

struct node *node_make(struct fs *fs, struct node *parent, const char *name,
	const struct view *view, const struct place *place)
{
	struct node *node = node_child(fs, parent, name);

	if (node && node->view == view && is_same_place(&node->place, place))
		return node;
	if (node)
		retire(fs, node);
	return new_node(fs, NODE_BIT | ++fs->nodes->last, parent, name, view, place);
}

struct node *node_make_file(
	struct fs *fs, struct node *parent, const char *name, char *content, size_t len)
{
	struct node *node = node_child(fs, parent, name);

	if (node && node->content && node->content_len == len &&
		!memcmp(node->content, content, len)) {
		free(content);
		return node;
	}
	if (node)
		retire(fs, node);
	node = new_node(fs, NODE_BIT | ++fs->nodes->last, parent, name, &view_file, &parent->place);
	if (!node) {
		free(content);
		return NULL;
	}
	node->content = content;
	node->content_len = len;
	return node;
}

void node_ref(struct fs *fs, fuse_ino_t id)
{
	struct node *node = id & NODE_BIT ? node_find(fs, id) : NULL;

	if (node)
		node->lookups++;
}

void node_forget(struct fs *fs, fuse_ino_t id, uint64_t count)
{
	struct node *node = id & NODE_BIT ? node_find(fs, id) : NULL;

	if (!node)
		return;
	node->lookups -= count < node->lookups ? count : node->lookups;
	drop(fs, node);
}

/* With other users let in, what a mount tells of itself is for its owner alone. */
static bool is_private(const struct fs *fs, const struct node *node)
{
	return fs->options->allow_other &&
	       (node->view == &view_control ||
		       (node->parent && node->parent->view == &view_control));
}

/* Names that the kernel may not give out any more make the directory another one. */
static void take_back_names(struct node *node, uint64_t now)
{
	if (!node->listed_until_ms || node->listed_until_ms > now)
		return;
	node->listed_until_ms = 0;
	node->version++;
}

static double attributes_timeout(const struct fs *fs, const struct node *node, uint64_t now)
{
	uint64_t ms = fs->options->ttl_ms < UNLISTED_MS ? fs->options->ttl_ms : UNLISTED_MS;

	if (!S_ISDIR(node->view->type) || node->listed_until_ms == UINT64_MAX)
		return CONTENT_TIMEOUT_S;
	if (node->listed_until_ms)
		ms = node->listed_until_ms - now;
	return ms / 1000 < CONTENT_TIMEOUT_S ? (double)ms / 1000 : CONTENT_TIMEOUT_S;
}

double node_stat(struct fs *fs, struct node *node, struct stat *ret)
{
	bool is_directory = S_ISDIR(node->view->type);
	uint64_t now = now_ms();

	take_back_names(node, now);
	fs_stat_init(fs, ret, node->ino, node->view->type | (is_directory ? 0555 : 0444));
	ret->st_atim = ret->st_mtim = ret->st_ctim = node->time;
	ret->st_mtim.tv_nsec = (node->time.tv_nsec + (long)node->version) % NANOSECONDS;
	ret->st_mtim.tv_sec += (node->time.tv_nsec + (long)node->version) / NANOSECONDS;
	if (is_private(fs, node))
		ret->st_mode &= ~(mode_t)(S_IRWXG | S_IRWXO);
	ret->st_size = (off_t)node->content_len;
	ret->st_blocks = (blkcnt_t)((node->content_len + 511) / 512);
	return attributes_timeout(fs, node, now);
}

void node_fix_ino(struct fs *fs, struct fuse_entry_param *entry, unsigned number)
{
	struct node *node = node_find(fs, entry->ino);

	if (!node)
		return;
	node->ino = NODE_BIT | FIXED_BIT | number;
	entry->attr.st_ino = node->ino;
}

int entry_node(struct fs *fs, struct node *node, double timeout, struct fuse_entry_param *ret)
{
	if (!node)
		return -ENOMEM;
	*ret = (struct fuse_entry_param){ .ino = node->id, .entry_timeout = timeout };
	ret->attr_timeout = node_stat(fs, node, &ret->attr);
	return 0;
}

char *node_path(const struct node *node)
{
	char *path = strdup("");

	for (; path && node && node->parent; node = node->parent) {
		char *longer = NULL;

		if (asprintf(&longer, "/%s%s", node->name, path) < 0)
			longer = NULL;
		free(path);
		path = longer;
	}
	return path;
}

/* --- listings --- */

CLEANUP_POINTER(listing_freep, struct listing, listing_free)

static void keep_listing(struct nodes *nodes, struct node *node, struct listing *listing)
{
	forget_listing(nodes, node);
	node->listing = listing;
	DL_APPEND2(nodes->listed, node, list_prev, list_next);
	nodes->listing_bytes += listing->bytes;
	while (nodes->listing_bytes > LISTINGS_MAX && nodes->listed != node)
		forget_listing(nodes, nodes->listed);
}

static int make_listing(struct fs *fs, struct node *node, struct need *need)
{
	CLEANUP(listing_freep) struct listing *fresh = calloc(1, sizeof *fresh);
	int rc = fresh ? node->view->list(fs, node, fresh, need) : -ENOMEM;

	if (!rc)
		rc = listing_place(fresh, node->listing);
	if (rc == -ENOMEM)
		return error_set(&need->err, ENOMEM, "out of memory");
	if (rc)
		return rc;
	fresh->good_until_ms = need->good_until_ms;
	keep_listing(fs->nodes, node, TAKE(fresh));
	return 0;
}

int node_list(struct fs *fs, struct node *node, bool from_beginning, const struct listing **ret,
	struct need *need)
{
	bool is_old =
		!node->listing || (from_beginning && node->listing->good_until_ms <= now_ms());
	int rc = is_old ? make_listing(fs, node, need) : 0;
	uint64_t until;

	if (rc)
		return rc;
	DL_DELETE2(fs->nodes->listed, node, list_prev, list_next);
	DL_APPEND2(fs->nodes->listed, node, list_prev, list_next);
	*ret = node->listing;
	until = node->listing->good_until_ms ? node->listing->good_until_ms : 1;
	if (!node->listed_until_ms || until < node->listed_until_ms)
		node->listed_until_ms = until;
	return 0;
}

void nodes_forget_lists(struct fs *fs)
{
	for (struct node_slot *each = fs->nodes->by_id; each; each = each->by_id.next) {
		struct listing *listing = each->node.listing;
		uint64_t until = listing ? listing->good_until_ms : each->node.listed_until_ms;

		if (!until || until == UINT64_MAX)
			continue;
		if (listing)
			listing->good_until_ms = 0;
		each->node.listed_until_ms = 1;
		/* The attributes alone; for that the kernel waits for no answer of ours.  A
		 * failure: it holds none. */
		(void)fuse_lowlevel_notify_inval_inode(fs->session, each->node.id, -1, 0);
	}
}
