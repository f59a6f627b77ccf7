/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One layer: what its entries come to (OCI image-spec layer.md; POSIX link(2)
 * and mkdir(2) for what extractors do), the image, and damage to it.
 */
#include "model/tree/tree.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "layers.h"
#include "model/buf.h"
#include "model/cleanup.h"

enum { LISTING_MAX = 1 << 20, DEEP = 20000, MANY = 200000 };

#define NAME_51  "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxy"
#define NAME_255 NAME_51 NAME_51 NAME_51 NAME_51 NAME_51

/*
 * In a listing: a directory ends in '/', its mode if that is not 0755, '?' when it is
 * implied and '!' when it is opaque; a file in the number of its line, and of
 * its names when there are several; links in their targets.
 */
static const struct layer_case {
	const char *name, *layer;
	const char *expected;
	uint32_t dropped;
} layer_cases[] = {
	{ "nothing", "", "/?", 0 },
	{ "the root's own entry", "d ./ 0700", "/700", 0 },
	{ "the root stays a directory", "f .\nl ./ x", "/?", 2 },
	{ "names are cleaned", "d ./a/\nf /a//b\nf a/./c\nd d/. 0700", "/? a/ a/b=2 a/c=3 d/700",
		0 },
	{ "names sort by bytes", "f b\nf a-\nd a\nf a.\nf B\nf \xc3\xa9",
		"/? B=5 a/ a-=2 a.=4 b=1 \xc3\xa9=6", 0 },
	{ ".. within the root, as text", "d a\nf a/../b\nf c/../d", "/? a/ b=2 d=3", 0 },
	{ ".. is taken before links are followed", "d b\nd b/c\nl a b/c\nf a/../x",
		"/? a->b/c b/ b/c/ x=4", 0 },
	{ ".. out of the root", "f ../a\nf a/../../b\nf c", "/? c=3", 2 },
	{ "a name of 255 bytes", "f " NAME_255, "/? " NAME_255 "=1", 0 },
	{ "longer names", "f " NAME_255 "x\nf a/" NAME_255 "x/b", "/?", 2 },

	{ "implied parents", "f a/b/c", "/? a/? a/b/? a/b/c=1", 0 },
	{ "implied, then its own entry", "f a/b\nd a 0700", "/? a/700 a/b=1", 0 },
	{ "its own entry, then a file below", "d a 0700\nf a/b", "/? a/700 a/b=2", 0 },
	{ "a file over a file", "f a 1\nf a 2", "/? a=2", 0 },
	{ "a directory over a directory", "d a 0700\nf a/x\nd a 0711", "/? a/711 a/x=2", 0 },
	{ "a file over a directory", "d a\nf a/x\nd a/b\nf a/b/y\nf a", "/? a=5", 0 },
	{ "a directory over a file", "f a\nd a 0700", "/? a/700!", 0 },
	{ "a directory over a symlink", "d b\nl a b\nd a\nf a/x", "/? a/! a/x=4 b/", 0 },
	{ "a symlink over a directory", "d a\nf a/x\nl a b", "/? a->b", 0 },
	{ "an implied directory over a file", "f a\nf a/x", "/? a/?! a/x=2", 0 },
	{ "a name comes back", "d a\nf a/x\nf a\nd a\nf a/y", "/? a/! a/y=5", 0 },

	{ "a path through a symlink", "d b\nl a b\nf a/x", "/? a->b b/ b/x=3", 0 },
	{ "through an absolute symlink", "d b\nd b/c\nl b/a /b/c\nf b/a/x",
		"/? b/ b/a->/b/c b/c/ b/c/x=4", 0 },
	{ "through a symlink that climbs out", "l a ../../b\nf a/x", "/? a->../../b b/? b/x=2", 0 },
	{ "through symlinks that lead nowhere", "l a b/c\nf a/x/y",
		"/? a->b/c b/? b/c/? b/c/x/? b/c/x/y=2", 0 },
	{ "through a symlink that turns back", "d d\nl a none/../d\nf a/x",
		"/? a->none/../d d/ d/x=3", 0 },
	{ "through a symlink over a file", "f b\nl a b\nf a/x", "/? a->b b/?! b/x=3", 0 },
	{ "through a symlink loop", "l a b\nl b a\nf a/x\nf c", "/? a->b b->a c=4", 1 },
	{ "a symlink as the last component", "d b\nl a b\nf a", "/? a=3 b/", 0 },
	{ "through a link to a symlink", "d d\nl a d\nh b a\nf b/x", "/? a->d*2 b->d*2 d/ d/x=4",
		0 },

	{ "a hard link", "f a\nh b a\nh c b", "/? a=1*3 b=1*3 c=1*3", 0 },
	{ "its names are cleaned", "d d\nf d/a\nh b ./d//a\nh c /d/x/../a",
		"/? b=2*3 c=2*3 d/ d/a=2*3", 0 },
	{ "to what comes later", "h b a\nf a", "/? a=2*2 b=2*2", 0 },
	{ "a chain, backwards", "h d c\nh c b\nh b a\nf a", "/? a=4*4 b=4*4 c=4*4 d=4*4", 0 },
	{ "through a symlink", "d d\nf d/a\nl s d\nh b s/a", "/? b=2*2 d/ d/a=2*2 s->d", 0 },
	{ "to a symlink", "l a x\nh b a", "/? a->x*2 b->x*2", 0 },
	{ "to a device", "c a\nh b a", "/? a%*2 b%*2", 0 },
	{ "out of the layer", "h b a", "/? b=>a", 0 },
	{ "out of the layer, shared", "h b a\nh c b", "/? b=>a*2 c=>a*2", 0 },
	{ "out of the layer through its own symlink", "l s x/y\nh b s/z/../a", "/? b=>x/y/a s->x/y",
		0 },
	{ "to itself", "f a\nh a a\nh b b", "/? a=1", 2 },
	{ "a ring", "h a b\nh b c\nh c a\nf d", "/? d=4", 3 },
	{ "into a ring", "h a b\nh b a\nh c a", "/?", 3 },
	{ "to a directory", "d a\nf b\nh b a\nh c a\nh d /", "/? a/ b=2", 3 },
	{ "to a directory that comes later", "h b a\nd a", "/? a/", 1 },
	{ "out of the root", "h b ../a", "/?", 1 },
	{ "its target is replaced", "f a\nh b a\nf a", "/? a=3 b=1", 0 },
	{ "its target is replaced, two are left", "f a\nh b a\nh c a\nd a", "/? a/! b=1*2 c=1*2",
		0 },
	{ "its target is removed with its directory", "f d/a\nh b d/a\nf d", "/? b=1 d=3", 0 },
	{ "over the directory of its target", "f d/a\nh d d/a", "/? d=1", 0 },
	{ "below its own target", "f a\nh a/b a", "/? a/?! a/b=1", 0 },
	{ "over another of its names", "f a\nh b a\nh b a", "/? a=1*2 b=1*2", 0 },
	{ "as a parent", "f a\nh b a\nf b/x", "/? a=1 b/?! b/x=3", 0 },
	{ "whose name is a whiteout", "f a\nh .wh.b a", "/? .wh.b=0 a=1", 0 },

	{ "whiteouts stay", "f a\nf d/.wh.a\nf .wh.a", "/? .wh.a=3 a=1 d/? d/.wh.a=2", 0 },
	{ "opaque", "d a\nf a/x\nf a/.wh..wh..opq", "/? a/! a/.wh..wh..opq=3 a/x=2", 0 },
	{ "opaque, implied", "f a/.wh..wh..opq", "/? a/?! a/.wh..wh..opq=1", 0 },
	{ "opaque, as a directory", "d a/.wh..wh..opq", "/? a/?! a/.wh..wh..opq/", 0 },
	{ "a whiteout below a file", "f a\nf a/.wh.x\nf a/b/.wh..wh..opq", "/? a=1", 2 },
	{ "a file over whiteouts", "f a/.wh.x\nf a", "/? a=2", 0 },
	{ "a whiteout where a symlink comes", "f a/.wh.x\nl a b", "/? a->b", 0 },
};

/* --- listings --- */

static void show_entry(const struct tree *tree, uint32_t i, struct buf *text)
{
	const struct tree_entry *entry = tree_entry(tree, i);

	switch (entry->mode & S_IFMT) {
	case S_IFDIR:
		(void)buf_append_text(text, "/");
		if ((entry->mode & 07777) != 0755)
			(void)buf_printf(text, "%o", entry->mode & 07777);
		(void)buf_append_text(text, entry->flags & TREE_IMPLIED ? "?" : "");
		(void)buf_append_text(text, entry->flags & TREE_OPAQUE ? "!" : "");
		return;
	case S_IFLNK:
		(void)buf_printf(text, "->%s", tree_link(tree, i));
		break;
	case S_IFREG:
		if (entry->flags & TREE_LINK_OUTSIDE)
			(void)buf_printf(text, "=>%s", tree_link(tree, i));
		else
			(void)buf_printf(text, "=%d", (int)(entry->u.data_offset / 1000));
		break;
	default:
		(void)buf_append_text(text, "%");
	}
	if (entry->nlink > 1)
		(void)buf_printf(text, "*%u", entry->nlink);
}

static void show_below(
	const struct tree *tree, uint32_t directory, const char *path, struct buf *text)
{
	uint32_t first = tree_entry(tree, directory)->u.children.first;
	uint32_t count = tree_entry(tree, directory)->u.children.count;

	for (uint32_t i = first; i < first + count; i++) {
		char own[2048];

		assert_true(snprintf(own, sizeof own, "%s%s", path, tree_name(tree, i)) <
			    (int)sizeof own);
		assert_int_equal(tree_walk(tree, own), i);
		(void)buf_printf(text, " %s", own);
		show_entry(tree, i, text);
		if (S_ISDIR(tree_entry(tree, i)->mode)) {
			(void)strcat(own, "/");
			show_below(tree, i, own, text);
		}
	}
}

static void applies(void **state)
{
	const struct layer_case *c = *state;
	struct test_layer layer;
	struct buf text;

	buf_init(&text, LISTING_MAX);
	assert_int_equal(layer_make(&layer, c->layer), 0);
	show_entry(&layer.tree, 0, &text);
	show_below(&layer.tree, 0, "", &text);
	assert_string_equal(text.data, c->expected);
	assert_int_equal(layer.dropped, c->dropped);
	buf_release(&text);
	free(layer.image);
}

/* --- entries in detail --- */

static void add(struct tree_builder *builder, struct tar_entry entry, const char *path)
{
	entry.path = path;
	entry.path_len = strlen(path);
	entry.link = entry.link ? entry.link : "";
	entry.link_len = strlen(entry.link);
	assert_int_equal(tree_builder_add(builder, &entry, NULL), 0);
}

static struct tree_builder *builder_make(void)
{
	struct tree_builder *builder = NULL;

	assert_int_equal(tree_builder_new(&builder, NULL), 0);
	return builder;
}

static void finish(struct tree_builder *builder, struct test_layer *layer)
{
	*layer = (struct test_layer){ .dropped = tree_builder_dropped(builder) };
	assert_int_equal(tree_builder_finish(builder, &layer->image, &layer->len, NULL), 0);
	tree_builder_free(builder);
	assert_int_equal(tree_open(&layer->tree, layer->image, layer->len, NULL), 0);
}

static void metadata_is_kept(void **state)
{
	static const struct tar_entry file = { .mode = 06755,
		.uid = UINT32_MAX,
		.gid = 5,
		.mtime = -3,
		.mtime_nsec = 999999999,
		.size = UINT64_C(1) << 40,
		.data_offset = 512 };
	static const struct tar_entry device = {
		.type = TAR_BLOCKDEV, .dev_major = 259, .dev_minor = 1 << 20
	};
	struct tree_builder *builder = builder_make();
	const struct tree_entry *entry;
	struct test_layer layer;

	(void)state;
	add(builder, file, "d/file");
	add(builder, device, "device");
	finish(builder, &layer);
	entry = tree_entry(&layer.tree, tree_walk(&layer.tree, "d/file"));
	assert_int_equal(entry->mode, S_IFREG | 06755);
	assert_int_equal(entry->uid, UINT32_MAX);
	assert_int_equal(entry->gid, 5);
	assert_int_equal(entry->mtime, -3);
	assert_int_equal(entry->mtime_nsec, 999999999);
	assert_true(entry->size == UINT64_C(1) << 40);
	assert_true(
		tree_blocks(&layer.tree, tree_walk(&layer.tree, "d/file")) == UINT64_C(1) << 31);
	entry = tree_entry(&layer.tree, tree_walk(&layer.tree, "device"));
	assert_int_equal(entry->mode & S_IFMT, S_IFBLK);
	assert_int_equal(entry->u.device.major, 259);
	assert_int_equal(entry->u.device.minor, 1 << 20);
	entry = tree_entry(&layer.tree, tree_walk(&layer.tree, "d")); /* implied */
	assert_int_equal(entry->mode, S_IFDIR | 0755);
	assert_int_equal(entry->uid, 0);
	assert_int_equal(entry->mtime, -3);
	assert_int_equal(entry->nlink, 2);
	assert_int_equal(tree_entry(&layer.tree, 0)->nlink, 3);
	assert_int_equal(layer.tree.implied_count, 2);
	free(layer.image);
}

static void links_share_all_but_their_names(void **state)
{
	static const struct tar_xattr xattr = { "user.x", "v", 1 };
	static const struct tar_entry file = {
		.mode = 0640, .uid = 7, .size = 3, .xattrs = &xattr, .xattr_count = 1
	};
	static const struct tar_entry link = {
		.type = TAR_HARDLINK, .link = "z", .mode = 0777, .uid = 9, .size = 99
	};
	struct tree_builder *builder = builder_make();
	const struct tree_entry *first, *second;
	struct test_layer layer;
	struct tree_xattr found;

	(void)state;
	add(builder, file, "z");
	add(builder, link, "a");
	finish(builder, &layer);
	first = tree_entry(&layer.tree, tree_walk(&layer.tree, "a"));
	second = tree_entry(&layer.tree, tree_walk(&layer.tree, "z"));
	assert_int_equal(first->inode, second->inode);
	assert_int_equal(first->mode, S_IFREG | 0640);
	assert_int_equal(first->uid, 7);
	assert_int_equal(first->size, 3);
	assert_true(tree_xattr(&layer.tree, tree_walk(&layer.tree, "a"), 0, &found));
	free(layer.image);
}

static void flags_go_up(void **state)
{
	struct test_layer layer;

	(void)state;
	assert_int_equal(layer_make(&layer, "f a/b/.wh.x\nf c/d/e\nd f\nh g/h gone"), 0);
	assert_int_equal(tree_entry(&layer.tree, 0)->flags, TREE_IMPLIED | TREE_SPECIAL);
	assert_int_equal(tree_entry(&layer.tree, tree_walk(&layer.tree, "a"))->flags,
		TREE_IMPLIED | TREE_SPECIAL | TREE_HOLLOW);
	assert_int_equal(tree_entry(&layer.tree, tree_walk(&layer.tree, "a/b"))->flags,
		TREE_IMPLIED | TREE_SPECIAL | TREE_WHITEOUTS | TREE_HOLLOW);
	assert_int_equal(tree_entry(&layer.tree, tree_walk(&layer.tree, "c"))->flags, TREE_IMPLIED);
	assert_int_equal(tree_entry(&layer.tree, tree_walk(&layer.tree, "f"))->flags, 0);
	assert_int_equal(tree_entry(&layer.tree, tree_walk(&layer.tree, "g"))->flags,
		TREE_IMPLIED | TREE_SPECIAL);
	assert_int_equal(layer.tree.outside_count, 1);
	free(layer.image);
}

static void attributes_are_bytes(void **state)
{
	static const struct tar_xattr xattrs[] = { { "security.capability", "\1\0\0\2\0", 5 },
		{ "user.empty", "", 0 }, { "user.x", "\0", 1 } };
	static const struct tar_entry file = { .xattrs = xattrs,
		.xattr_count = ARRAY_SIZE(xattrs) };
	struct tree_builder *builder = builder_make();
	struct test_layer layer;
	struct tree_xattr found;

	(void)state;
	add(builder, file, "a");
	add(builder, (struct tar_entry){ .type = TAR_REGULAR }, "b");
	finish(builder, &layer);
	for (uint32_t k = 0; k < ARRAY_SIZE(xattrs); k++) {
		assert_true(tree_xattr(&layer.tree, 1, k, &found));
		assert_string_equal(found.name, xattrs[k].name);
		assert_int_equal(found.value_len, xattrs[k].value_len);
		assert_memory_equal(found.value, xattrs[k].value, found.value_len);
	}
	assert_false(tree_xattr(&layer.tree, 1, ARRAY_SIZE(xattrs), &found));
	assert_false(tree_xattr(&layer.tree, 2, 0, &found));
	free(layer.image);
}

/* Segments follow each other in the archive from the entry's data on. */
static void content_has_places(void **state)
{
	static const struct tar_segment map[] = { { 1000, 10 }, { 4096, 600 }, { 9000, 0 } };
	static const struct tar_entry sparse = { .is_sparse = true,
		.size = 9000,
		.data_offset = 2048,
		.data_size = 610,
		.segments = map,
		.segment_count = ARRAY_SIZE(map) };
	static const struct tar_entry hole = { .is_sparse = true, .size = 1 << 20 };
	static const struct tar_entry plain = { .size = 513, .data_offset = 512, .data_size = 513 };
	const struct tree_segment *segments;
	struct tree_builder *builder = builder_make();
	struct tree_segment single;
	struct test_layer layer;
	uint32_t count;

	(void)state;
	add(builder, sparse, "1-sparse");
	add(builder, hole, "2-hole");
	add(builder, plain, "3-plain");
	add(builder, (struct tar_entry){ .data_offset = 7 }, "4-empty");
	finish(builder, &layer);
	segments = tree_segments(&layer.tree, 1, &single, &count);
	assert_int_equal(count, 2);
	assert_int_equal(segments[0].offset, 1000);
	assert_int_equal(segments[0].data_offset, 2048);
	assert_int_equal(segments[1].offset, 4096);
	assert_int_equal(segments[1].size, 600);
	assert_int_equal(segments[1].data_offset, 2058);
	assert_int_equal(tree_blocks(&layer.tree, 1), 2);
	assert_non_null(tree_segments(&layer.tree, 2, &single, &count));
	assert_int_equal(count, 0);
	assert_int_equal(tree_blocks(&layer.tree, 2), 0);
	segments = tree_segments(&layer.tree, 3, &single, &count);
	assert_int_equal(count, 1);
	assert_int_equal(segments[0].size, 513);
	assert_int_equal(segments[0].data_offset, 512);
	assert_int_equal(tree_blocks(&layer.tree, 3), 2);
	assert_non_null(tree_segments(&layer.tree, 4, &single, &count));
	assert_int_equal(count, 0);
	free(layer.image);
}

static void symlinks_have_a_longest_target(void **state)
{
	struct tree_builder *builder = builder_make();
	char target[TREE_LINK_MAX + 2];
	struct test_layer layer;

	(void)state;
	memset(target, 'x', sizeof target - 1);
	target[sizeof target - 1] = '\0';
	add(builder, (struct tar_entry){ .type = TAR_SYMLINK, .link = target }, "long");
	target[TREE_LINK_MAX] = '\0';
	add(builder, (struct tar_entry){ .type = TAR_SYMLINK, .link = target }, "most");
	finish(builder, &layer);
	assert_int_equal(layer.dropped, 1);
	assert_int_equal(tree_walk(&layer.tree, "long"), TREE_NONE);
	assert_int_equal(
		tree_entry(&layer.tree, tree_walk(&layer.tree, "most"))->size, TREE_LINK_MAX);
	free(layer.image);
}

static void whiteouts_are_named(void **state)
{
	static const struct {
		const char *name, *of;
	} cases[] = { { "x", NULL }, { ".wh", NULL }, { "x.wh.y", NULL }, { ".wh.x", "x" },
		{ ".wh..x", ".x" }, { ".wh.", "" }, { ".wh..wh..opq", "" },
		{ ".wh..wh.plnk", "" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *of = tree_whiteout_of(cases[i].name);

		if (cases[i].of)
			assert_string_equal(of, cases[i].of);
		else
			assert_null(of);
	}
}

/* --- size --- */

static void paths_may_be_deep(void **state)
{
	struct tree_builder *builder = builder_make();
	char *path = malloc(2 * DEEP + 2);
	struct test_layer layer;
	uint32_t entry;

	(void)state;
	for (size_t i = 0; i < DEEP; i++)
		memcpy(path + 2 * i, "d/", 3);
	memcpy(path + (size_t)2 * DEEP, "x", 2);
	add(builder, (struct tar_entry){ .size = 1 }, path);
	finish(builder, &layer);
	assert_int_equal(layer.tree.entry_count, DEEP + 2);
	entry = tree_walk(&layer.tree, path);
	assert_int_equal(entry, DEEP + 1);
	for (uint32_t i = 0; i <= DEEP; i++)
		entry = tree_entry(&layer.tree, entry)->parent;
	assert_int_equal(entry, 0);
	free(layer.image);
	free(path);
}

/* And deep trees go away without recursion. */
static void deep_paths_may_be_replaced(void **state)
{
	struct tree_builder *builder = builder_make();
	char *path = malloc(2 * DEEP + 2);
	struct test_layer layer;

	(void)state;
	for (size_t i = 0; i < DEEP; i++)
		memcpy(path + 2 * i, "d/", 3);
	for (int i = 0; i < 5; i++) {
		add(builder, (struct tar_entry){ .type = TAR_DIRECTORY }, path);
		add(builder, (struct tar_entry){ .type = TAR_REGULAR }, "d");
	}
	finish(builder, &layer);
	assert_int_equal(layer.tree.entry_count, 2);
	free(layer.image);
	free(path);
}

static void directories_may_be_large(void **state)
{
	struct tree_builder *builder = builder_make();
	struct test_layer layer;
	char path[32];

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		(void)snprintf(path, sizeof path, "d/%06u", i * 7919u % MANY); /* in no order */
		add(builder, (struct tar_entry){ .size = i }, path);
	}
	finish(builder, &layer);
	assert_int_equal(tree_entry(&layer.tree, 1)->u.children.count, MANY);
	for (unsigned i = 0; i < MANY; i++) {
		(void)snprintf(path, sizeof path, "%06u", i);
		assert_int_equal(tree_lookup(&layer.tree, 1, path, 6), 2 + i);
	}
	free(layer.image);
}

/* Long chains of links that all wait for the last entry, and rings, take no more than linear time.
 */
static void links_may_wait_for_each_other(void **state)
{
	struct tree_builder *builder = builder_make();
	struct test_layer layer;
	char path[32], target[32];

	(void)state;
	for (unsigned i = 0; i < MANY / 2; i++) {
		(void)snprintf(path, sizeof path, "n%u", i);
		(void)snprintf(target, sizeof target, "n%u", i + 1);
		add(builder, (struct tar_entry){ .type = TAR_HARDLINK, .link = target }, path);
	}
	add(builder, (struct tar_entry){ .size = 1 }, target);
	finish(builder, &layer);
	assert_int_equal(layer.tree.entry_count, MANY / 2 + 2);
	assert_int_equal(tree_entry(&layer.tree, 1)->nlink, MANY / 2 + 1);
	assert_int_equal(layer.dropped, 0);
	free(layer.image);
}

/* A name costs its bytes once. */
static void names_are_kept_once(void **state)
{
	struct tree_builder *builder = builder_make();
	struct test_layer layer;
	char path[300];

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		(void)snprintf(path, sizeof path, "%u/" NAME_255, i);
		add(builder, (struct tar_entry){ .size = 1 }, path);
	}
	finish(builder, &layer);
	assert_true(layer.tree.strings_len < 8192);
	free(layer.image);
}

/* --- damage --- */

/* Reads whatever an opened tree offers; a sanitizer sees what lies outside. */
static void read_all(const struct tree *tree)
{
	volatile size_t sum = 0;

	for (uint32_t i = 0; i < tree->entry_count; i++) {
		const struct tree_entry *entry = tree_entry(tree, i);
		const struct tree_segment *segments;
		struct tree_segment single;
		struct tree_xattr xattr;
		uint32_t count;

		sum += strlen(tree_name(tree, i)) + tree_blocks(tree, i);
		sum += tree_lookup(tree, entry->parent, tree_name(tree, i), entry->name_len);
		sum += tree_entry(tree, entry->inode)->nlink;
		if (S_ISLNK(entry->mode) || entry->flags & TREE_LINK_OUTSIDE)
			sum += strlen(tree_link(tree, i));
		segments = tree_segments(tree, i, &single, &count);
		for (uint32_t k = 0; k < count; k++)
			sum += segments[k].offset + segments[k].size;
		for (uint32_t k = 0; k < 1024 && tree_xattr(tree, i, k, &xattr); k++)
			for (uint32_t b = 0; b < xattr.value_len; b++)
				sum += strlen(xattr.name) + ((const unsigned char *)xattr.value)[b];
	}
}

static void damage_is_found_or_harmless(void **state)
{
	static const uint8_t flips[] = { 0x01, 0x08, 0x40, 0x80, 0xff };
	static const struct tar_segment map[] = { { 512, 512 }, { 2048, 100 } };
	static const struct tar_xattr xattrs[] = { { "user.a", "value", 5 }, { "user.b", "", 0 } };
	struct tree_builder *builder = builder_make();
	struct test_layer layer;
	struct tree tree;
	size_t refused = 0;

	(void)state;
	add(builder,
		(struct tar_entry){
			.is_sparse = true, .size = 4096, .segments = map, .segment_count = 2 },
		"d/s");
	add(builder, (struct tar_entry){ .size = 9, .xattrs = xattrs, .xattr_count = 2 }, "d/x");
	add(builder, (struct tar_entry){ .type = TAR_HARDLINK, .link = "d/x" }, "h");
	add(builder, (struct tar_entry){ .type = TAR_HARDLINK, .link = "gone" }, "o");
	add(builder, (struct tar_entry){ .type = TAR_SYMLINK, .link = "d/x" }, "l");
	add(builder, (struct tar_entry){ .type = TAR_DIRECTORY }, "empty");
	finish(builder, &layer);
	read_all(&layer.tree);
	for (size_t i = 0; i < layer.len; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(flips); k++) {
			((uint8_t *)layer.image)[i] ^= flips[k];
			if (tree_open(&tree, layer.image, layer.len, NULL) == 0)
				read_all(&tree);
			else
				refused++;
			((uint8_t *)layer.image)[i] ^= flips[k];
		}
	}
	assert_true(refused > layer.len);
	assert_int_equal(tree_open(&tree, layer.image, layer.len, NULL), 0);
	free(layer.image);
}

static void a_cut_image_is_refused(void **state)
{
	struct test_layer layer;

	(void)state;
	assert_int_equal(layer_make(&layer, "d a\nf a/b\nl c a/b"), 0);
	for (size_t len = 0; len < layer.len; len++) {
		void *copy = malloc(len + 1);
		struct tree tree;

		memcpy(copy, layer.image, len);
		assert_int_equal(tree_open(&tree, copy, len, NULL), -EIO);
		free(copy);
	}
	free(layer.image);
}

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(metadata_is_kept),
		cmocka_unit_test(links_share_all_but_their_names),
		cmocka_unit_test(flags_go_up),
		cmocka_unit_test(attributes_are_bytes),
		cmocka_unit_test(content_has_places),
		cmocka_unit_test(symlinks_have_a_longest_target),
		cmocka_unit_test(whiteouts_are_named),
		cmocka_unit_test(paths_may_be_deep),
		cmocka_unit_test(deep_paths_may_be_replaced),
		cmocka_unit_test(directories_may_be_large),
		cmocka_unit_test(links_may_wait_for_each_other),
		cmocka_unit_test(names_are_kept_once),
		cmocka_unit_test(damage_is_found_or_harmless),
		cmocka_unit_test(a_cut_image_is_refused),
	};
	struct CMUnitTest tests[ARRAY_SIZE(layer_cases) + ARRAY_SIZE(others)];

	for (size_t i = 0; i < ARRAY_SIZE(layer_cases); i++)
		tests[i] = (struct CMUnitTest){ .name = layer_cases[i].name,
			.test_func = applies,
			.initial_state = (void *)&layer_cases[i] };
	memcpy(tests + ARRAY_SIZE(layer_cases), others, sizeof others);
	return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
