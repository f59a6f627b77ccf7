/* SPDX-License-Identifier: Apache-2.0 */
/* What `imgfs report` says of an image, its map, and its text; images are directories here. */
#include "fs/report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "cases.h"
#include "fs/report_text.h"
#include "fs/report_tiles.h"
#include "fs/squarify.h"
#include "model/cleanup.h"
#include "places.h"

enum { LAYERS_MAX = 4 };

/* --- figures --- */

/*
 * Layers, base first, a line for each path, in which a slash at the end makes a directory:
 *	PATH SIZE	a file		PATH = OTHER	another name of OTHER
 *	PATH		an empty file (whiteouts are)	PATH > TARGET	a symbolic link
 */
static const struct figures_case {
	const char *name;
	const char *layers[LAYERS_MAX];
	uint64_t rootfs, wasted, smallest;
	const char *waste; /* "PATH SIZE LAYER HOW BY" of each file, the largest first */
} figures_cases[] = {
	{ "one layer wastes nothing", { "a 10\nd/b 20" }, 30, 0, 30, "" },
	{ "no layer", { NULL }, 0, 0, 0, "" },
	{ "overwritten by a larger file", { "a 10", "a 100" }, 100, 10, 10,
		"/a 10 1 overwritten 2\n" },
	{ "overwritten by a smaller file", { "a 100", "a 10" }, 10, 100, 10,
		"/a 100 1 overwritten 2\n" },
	{ "overwritten twice", { "a 10", "a 20", "a 30" }, 30, 30, 10,
		"/a 20 2 overwritten 3\n/a 10 1 overwritten 2\n" },
	{ "overwritten by an empty file", { "a 10", "a 0" }, 0, 10, 0, "/a 10 1 overwritten 2\n" },
	{ "deleted", { "a 10\nb 5", ".wh.a" }, 5, 10, 5, "/a 10 1 deleted 2\n" },
	{ "deleted, then there again", { "a 10", ".wh.a", "a 10" }, 10, 10, 0,
		"/a 10 1 deleted 2\n" },
	{ "deleted once, though told twice", { "a 10", ".wh.a", ".wh.a" }, 0, 10, 0,
		"/a 10 1 deleted 2\n" },
	{ "a whiteout of nothing", { "a 10", ".wh.b" }, 10, 0, 10, "" },
	{ "a whiteout of what its own layer has", { "a 10", ".wh.a\na 7" }, 7, 10, 7,
		"/a 10 1 overwritten 2\n" },
	{ "a whiteout in the base", { ".wh.a\na 7" }, 7, 0, 7, "" },
	{ "a directory deleted", { "d/a 1\nd/e/b 2\nd/e/f/c 3\nd.x 4\ne 5", ".wh.d" }, 9, 6, 9,
		"/d/e/f/c 3 1 deleted 2\n/d/e/b 2 1 deleted 2\n/d/a 1 1 deleted 2\n" },
	{ "a directory in the place of another", { "d/a 1\nd/b 2", ".wh.d\nd/b 4" }, 4, 3, 2,
		"/d/b 2 1 overwritten 2\n/d/a 1 1 deleted 2\n" },
	{ "opaque", { "d/a 1\nd/b 2\nd/e/c 4\nf 8", "d/.wh..wh..opq\nd/b 16" }, 24, 7, 10,
		"/d/e/c 4 1 deleted 2\n/d/b 2 1 overwritten 2\n/d/a 1 1 deleted 2\n" },
	{ "opaque at the root", { "a 1\nb 2", ".wh..wh..opq\nb 4" }, 4, 3, 2,
		"/b 2 1 overwritten 2\n/a 1 1 deleted 2\n" },
	{ "what AUFS left behind is no path", { "a 1", ".wh..wh.plnk 50\n.wh..wh.aufs 9" }, 1, 0, 1,
		"" },
	{ "a file where a directory was", { "d/a 1\nd/b 2", "d 4" }, 4, 3, 4,
		"/d/b 2 1 deleted 2\n/d/a 1 1 deleted 2\n" },
	{ "a directory where a file was", { "d 4", "d/a 1" }, 1, 4, 1, "/d 4 1 deleted 2\n" },
	{ "a link where a file was", { "a 4", "a > b" }, 0, 4, 0, "/a 4 1 deleted 2\n" },
	{ "a file where a link was", { "a > b", "a 4" }, 4, 0, 4, "" },
	{ "a link where a directory was", { "d/a 4", "d > b" }, 0, 4, 0, "/d/a 4 1 deleted 2\n" },
	{ "two names, one file", { "a 10\nb = a" }, 10, 0, 10, "" },
	{ "one name of two deleted", { "a 10\nb = a", ".wh.a" }, 10, 0, 10, "" },
	{ "one name of two overwritten", { "a 10\nb = a", "b 3" }, 13, 0, 13, "" },
	{ "both names deleted", { "a 10\nb = a", ".wh.a\n.wh.b" }, 0, 10, 0,
		"/a 10 1 deleted 2\n" },
	{ "both names deleted by and by", { "a 10\nb = a", ".wh.a", ".wh.b" }, 0, 10, 0,
		"/b 10 1 deleted 3\n" },
	{ "two names in each of two layers", { "a 10\nb = a", "a 20\nb = a" }, 20, 10, 10,
		"/a 10 1 overwritten 2\n" },
	{ "names that hide in each other", { "a/b 1\na-b 2\na.b 4\na/c 8", "a-b 2\na/c 8" }, 15, 10,
		15, "/a/c 8 1 overwritten 2\n/a-b 2 1 overwritten 2\n" },
	{ "four layers", { "a 1", "b 2", "a 4", "b 8\n.wh.a" }, 8, 7, 2,
		"/a 4 3 deleted 4\n/b 2 2 overwritten 4\n/a 1 1 overwritten 3\n" },
};

static void make_line(const struct place *place, unsigned layer, const char *line)
{
	char name[256] = "", kind[32] = "", other[256] = "", path[1024];

	assert_true(sscanf(line, "%255s %31s %255s", name, kind, other) >= 1);
	(void)snprintf(path, sizeof path, "layers/%02u-x/diff/%s", layer, name);
	if (*kind == '=') {
		char from[1024], to[1024];

		(void)snprintf(to, sizeof to, "%s", place_path(place, path));
		(void)snprintf(path, sizeof path, "layers/%02u-x/diff/%s", layer, other);
		(void)snprintf(from, sizeof from, "%s", place_path(place, path));
		assert_int_equal(link(from, to), 0);
	} else if (*kind == '>') {
		assert_int_equal(symlink(other, place_path(place, path)), 0);
	} else {
		int fd = open(place_path(place, path), O_WRONLY | O_CREAT | O_EXCL, 0644);

		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, (off_t)strtoull(kind, NULL, 10)), 0);
		(void)close(fd);
	}
}

static void make_text(const struct place *place, const char *name, const char *text)
{
	FILE *file = fopen(place_path(place, name), "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void make_layer(const struct place *place, unsigned layer, const char *lines)
{
	CLEANUP(freep) char *text = strdup(lines);
	char path[64], *rest = NULL;

	(void)snprintf(path, sizeof path, "layers/%02u-x/diff/", layer);
	(void)place_path(place, path);
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		make_line(place, layer, line);
	(void)snprintf(path, sizeof path, "layers/%02u-x/info.json", layer);
	make_text(place, path,
		"{\"descriptor\": {\"digest\": \"sha256:00\", \"size\": 7}, \"history\": null,\n"
		" \"storedSize\": 8, \"uncompressedSize\": 9}\n");
	(void)snprintf(path, sizeof path, "layers/%02u-x/changes.txt", layer);
	make_text(place, path, "A /a\nM /b\nA /D\nD /M\\012A\nA /e\n");
}

static void make_image(const struct place *place, const char *const *layers)
{
	(void)place_path(place, "layers/");
	(void)place_path(place, "rootfs/");
	make_text(place, "config.json",
		"{\"architecture\": \"arm\", \"os\": \"linux\", \"variant\": \"v7\",\n"
		" \"created\": \"2024-01-01T00:00:00Z\"}");
	make_text(place, "digest", "sha256:11\n");
	for (unsigned i = 0; i < LAYERS_MAX && layers[i]; i++)
		make_layer(place, i + 1, layers[i]);
}

static void counts(void **state)
{
	const struct figures_case *c = *state;
	CLEANUP(buf_release) struct buf waste = { .max = 4096 };
	struct error err = { "" };
	struct report report;
	struct place place;
	int rc;

	place_make(&place);
	make_image(&place, c->layers);
	rc = report_read(&report, place.files, &err);
	place_drop(&place);
	assert_string_equal(err.text, "");
	assert_int_equal(rc, 0);
	(void)buf_append_text(&waste, "");
	for (size_t i = 0; i < report.waste_count; i++)
		(void)buf_printf(&waste, "%s %" PRIu64 " %u %s %u\n", report.waste[i].path,
			report.waste[i].size, report.waste[i].layer + 1,
			report.waste[i].is_deleted ? "deleted" : "overwritten",
			report.waste[i].end + 1);
	assert_string_equal(waste.data, c->waste);
	assert_int_equal(report.rootfs_bytes, c->rootfs);
	assert_int_equal(report.wasted_bytes, c->wasted);
	assert_int_equal(report.smallest_bytes, c->smallest);
	assert_int_equal(report.file_bytes, c->rootfs + c->wasted);
	report_release(&report);
}

static void tells_what_documents_say(void **state)
{
	static const char *const layers[LAYERS_MAX] = { "a 1", "b 2" };
	struct report report;
	struct place place;

	(void)state;
	place_make(&place);
	make_image(&place, layers);
	assert_int_equal(report_read(&report, place.files, NULL), 0);
	assert_string_equal(report.image, place.files);
	place_drop(&place);
	assert_string_equal(report.source, "");
	assert_string_equal(report.digest, "sha256:11");
	assert_string_equal(report.platform, "linux/arm/v7");
	assert_string_equal(report.created, "2024-01-01T00:00:00Z");
	assert_int_equal(report.layer_count, 2);
	assert_string_equal(report.layers[1].digest, "sha256:00");
	assert_string_equal(report.layers[1].created_by, "");
	assert_int_equal(report.stored_size, 16);
	assert_int_equal(report.plain_size, 18);
	assert_int_equal(report.layers[0].added, 3);
	assert_int_equal(report.layers[0].modified, 1);
	assert_int_equal(report.layers[0].deleted, 1);
	report_release(&report);
}

static const struct refused_case {
	const char *name, *missing, *error;
	int rc;
} refused_cases[] = {
	{ "not there", "", "No such file", -ENOENT },
	{ "no image", "layers", "no directory of an image", -ENOENT },
	{ "no config", "config.json", "config.json", -ENOENT },
	{ "no info.json", "layers/02-x/info.json", "info.json", -ENOENT },
	{ "no diff", "layers/02-x/diff", "diff", -ENOENT },
	{ "no changes.txt", "layers/02-x/changes.txt", "changes.txt", -ENOENT },
};

static void refuses(void **state)
{
	static const char *const layers[LAYERS_MAX] = { "a 1", "b 2" };
	const struct refused_case *c = *state;
	struct error err = { "" };
	struct report report;
	struct place place;

	place_make(&place);
	make_image(&place, layers);
	(void)nftw(place_path(&place, c->missing), place_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	assert_int_equal(report_read(&report, place.files, &err), c->rc);
	place_drop(&place);
	assert_non_null(strstr(err.text, c->error));
}

/* A path of more bytes than any call takes, and more levels than there are descriptors. */
static void goes_as_deep_as_it_is(void **state)
{
	enum { DEPTH = 900 };
	static const char *const layers[LAYERS_MAX] = { "a 1", ".wh.deep" };
	struct rlimit limit, few;
	struct report report;
	struct place place;
	int fd;

	(void)state;
	place_make(&place);
	make_image(&place, layers);
	fd = open(place_path(&place, "layers/01-x/diff"), O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < DEPTH; i++) {
		int next;

		assert_int_equal(mkdirat(fd, "deep", 0755), 0);
		next = openat(fd, "deep", O_RDONLY | O_DIRECTORY);
		assert_true(next >= 0);
		(void)close(fd);
		fd = next;
	}
	(void)close(openat(fd, "file", O_WRONLY | O_CREAT, 0644));
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	few = (struct rlimit){ 64, limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(report_read(&report, place.files, NULL), 0);
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	assert_int_equal(report.wasted_files, 1);
	report_release(&report);
	for (int i = 0; i < DEPTH; i++) { /* nftw() would not get there */
		int above = openat(fd, "..", O_RDONLY | O_DIRECTORY);

		(void)unlinkat(fd, "file", 0);
		(void)unlinkat(above, "deep", AT_REMOVEDIR);
		(void)close(fd);
		fd = above;
	}
	(void)close(fd);
	place_drop(&place);
}

static void huge_sizes_do_not_wrap(void **state)
{
	struct report_layer layers[2] = { { .stored_size = 1 }, { .stored_size = 2 } };
	struct report report = { .has_rootfs = true, .layers = layers, .layer_count = 2 };
	uint32_t path, cursor = PATH_NONE;

	(void)state;
	assert_int_equal(paths_init(&report.paths), 0);
	for (int i = 0; i < 3; i++) {
		const char name[2] = { (char)('a' + i), '\0' };

		assert_int_equal(paths_get(&report.paths, PATH_ROOT, name, &cursor, &path), 0);
		assert_int_equal(paths_put_file(&report.paths, path, UINT64_MAX / 2, 0), 0);
	}
	paths_settle(&report.paths);
	assert_int_equal(report_count(&report, NULL), 0);
	assert_int_equal(report.rootfs_bytes, UINT64_MAX);
	assert_true(report_efficiency(&report) == 1);
	paths_release(&report.paths);
	free(report.waste);
}

/* --- the map --- */

enum { SIZES_MAX = 400 };

static const struct squarify_case {
	const char *name;
	struct rect whole;
	size_t count;
	double first, ratio; /* each size is the one before times ratio */
} squarify_cases[] = {
	{ "one part", { 0, 0, 100, 50 }, 1, 5, 1 },
	{ "equal parts", { 10, 20, 300, 200 }, 400, 1, 1 },
	{ "parts that shrink", { 0, 0, 1200, 680 }, 60, 1e6, .8 },
	{ "a high rectangle", { 0, 0, 10, 1000 }, 50, 100, .95 },
	{ "parts of no size beside a huge one", { 0, 0, 1200, 680 }, 8, 1e18, 1e-3 },
	{ "no area", { 5, 5, 0, 100 }, 3, 1, 1 },
};

static bool overlap(const struct rect *a, const struct rect *b)
{
	const double slack = 1e-6;

	return a->x + slack < b->x + b->width && b->x + slack < a->x + a->width &&
	       a->y + slack < b->y + b->height && b->y + slack < a->y + a->height;
}

static bool is_inside(const struct rect *in, const struct rect *out)
{
	const double slack = 1e-6;

	return in->x >= out->x - slack && in->y >= out->y - slack && in->width >= 0 &&
	       in->height >= 0 && in->x + in->width <= out->x + out->width + slack &&
	       in->y + in->height <= out->y + out->height + slack;
}

static double area(const struct rect *rect)
{
	return rect->width * rect->height;
}

static bool is_near(double a, double b, double slack)
{
	return a - b < slack && b - a < slack;
}

static void cuts(void **state)
{
	const struct squarify_case *c = *state;
	double sizes[SIZES_MAX], sum = 0, size = c->first;
	struct rect parts[SIZES_MAX];

	for (size_t i = 0; i < c->count; i++, size *= c->ratio)
		sum += sizes[i] = size;
	squarify(&c->whole, sizes, c->count, parts);
	for (size_t i = 0; i < c->count; i++) {
		assert_true(is_inside(&parts[i], &c->whole));
		assert_true(is_near(area(&parts[i]), area(&c->whole) * sizes[i] / sum, 1e-6));
		for (size_t j = 0; j < i; j++)
			assert_false(overlap(&parts[i], &parts[j]));
	}
}

/* The example of the paper (section 3.1): 6 x 4, and areas that sum up to it. */
static void cuts_as_published(void **state)
{
	static const double sizes[] = { 6, 6, 4, 3, 2, 2, 1 };
	static const struct rect expected[] = { { 0, 0, 3, 2 }, { 0, 2, 3, 2 },
		{ 3, 0, 12 / 7., 7 / 3. }, { 3 + 12 / 7., 0, 9 / 7., 7 / 3. } };
	const struct rect whole = { 0, 0, 6, 4 };
	struct rect parts[ARRAY_SIZE(sizes)];

	(void)state;
	squarify(&whole, sizes, ARRAY_SIZE(sizes), parts);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_true(is_near(parts[i].x, expected[i].x, 1e-9));
		assert_true(is_near(parts[i].y, expected[i].y, 1e-9));
		assert_true(is_near(parts[i].width, expected[i].width, 1e-9));
		assert_true(is_near(parts[i].height, expected[i].height, 1e-9));
	}
}

static const struct tiles_case {
	const char *name;
	unsigned layers, directories, files; /* files: in each directory */
	bool is_nested;                      /* each directory in the one before */
	size_t least, most;                  /* tiles that are no directories */
} tiles_cases[] = {
	{ "nothing", 1, 0, 0, false, 0, 0 },
	{ "one file", 1, 1, 1, false, 1, 1 },
	{ "a few", 3, 10, 10, false, 100, 100 },
	{ "many", 7, 200, 300, false, 200, TILES_MAX },
	{ "deep", 5, 300, 4, true, 100, 250 },
	{ "more layers than tiles", 3000, 1, 6000, false, 3000, 3000 },
};

/* Files of 1 to 1000 bytes, from layers in turn.  bytes: of each layer. */
static void make_paths(struct paths *paths, const struct tiles_case *c, double *bytes)
{
	uint32_t top = PATH_ROOT, directory, path, around = PATH_NONE;
	unsigned number = 0;

	assert_int_equal(paths_init(paths), 0);
	for (unsigned i = 0; i < c->directories; i++) {
		uint32_t cursor = PATH_NONE;
		char name[16];

		(void)snprintf(name, sizeof name, "d%05u", i);
		assert_int_equal(paths_get(paths, top, name, &around, &directory), 0);
		paths_put(paths, directory, PATH_DIRECTORY);
		for (unsigned j = 0; j < c->files; j++, number++) {
			uint64_t size = 1 + number * 7919 % 1000;

			(void)snprintf(name, sizeof name, "f%05u", j);
			assert_int_equal(paths_get(paths, directory, name, &cursor, &path), 0);
			paths->layer = number % c->layers;
			assert_int_equal(paths_put_file(paths, path, size, 0), 0);
			bytes[number % c->layers] += (double)size;
		}
		if (c->is_nested) {
			top = directory;
			around = PATH_NONE;
		}
	}
	paths_settle(paths);
}

static void maps(void **state)
{
	const struct tiles_case *c = *state;
	const struct rect whole = { 0, 0, 1200, 680 };
	CLEANUP(freep) double *bytes = calloc(c->layers, sizeof *bytes);
	CLEANUP(freep) double *areas = calloc(c->layers, sizeof *areas);
	struct rect around[TILES_DEPTH_MAX + 1] = { whole };
	double sum = 0;
	size_t count = 0;
	struct tiles tiles;
	struct paths paths;

	assert_non_null(bytes);
	assert_non_null(areas);
	make_paths(&paths, c, bytes);
	assert_int_equal(tiles_make(&tiles, &paths, c->layers, &whole), 0);
	for (size_t i = 0; i < tiles.count; i++) {
		const struct tile *tile = &tiles.items[i];

		assert_in_range(tile->depth, 1, TILES_DEPTH_MAX + 1);
		assert_true(is_inside(&tile->rect, &around[tile->depth - 1]));
		if (tile->kind == TILE_DIRECTORY) {
			around[tile->depth] = tile->rect;
			continue;
		}
		count++;
		areas[tile->layer] += area(&tile->rect);
		for (size_t j = 0; j < i; j++)
			assert_false(tiles.items[j].kind != TILE_DIRECTORY &&
				     overlap(&tile->rect, &tiles.items[j].rect));
	}
	assert_in_range(count, c->least, c->most);
	for (unsigned i = 0; i < c->layers; i++)
		sum += bytes[i];
	for (unsigned i = 0; sum > 0 && i < c->layers; i++)
		assert_true(is_near(areas[i], area(&whole) * bytes[i] / sum, 1e-3));
	tiles_release(&tiles);
	paths_release(&paths);
}

/* --- text --- */

static const struct text_case {
	const char *name, *text, *html;
} text_cases[] = {
	{ "plain", "usr/bin/env", "usr/bin/env" },
	{ "markup", "<b a=\"1\" c='2'>&amp;", "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;amp;" },
	{ "control characters", "\033[31m\001\177", "\\x1b[31m\\x01\\x7f" },
	{ "line breaks and tabs", "a\n\tb\r", "a\\n\\tb\\r" },
	{ "other languages", "\xc3\xa9\xe6\x97\xa5\xf0\x9f\x90\xb3",
		"\xc3\xa9\xe6\x97\xa5\xf0\x9f\x90\xb3" },
	{ "no UTF-8", "a\xff\xc3(\xe2\x82", "a\\xff\\xc3(\\xe2\\x82" },
	{ "overlong", "\xc0\xaf\xe0\x80\xaf", "\\xc0\\xaf\\xe0\\x80\\xaf" },
	{ "a surrogate", "\xed\xa0\x80", "\\xed\\xa0\\x80" },
	{ "beyond Unicode", "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },
	{ "C1 controls",
		"\xc2\x9b"
		"31m",
		"\\u{009b}31m" },
	{ "turned around", "\xe2\x80\xaegpj.exe", "\\u{202e}gpj.exe" },
	{ "without a width", "a\xe2\x80\x8b\xef\xbb\xbf", "a\\u{200b}\\u{feff}" },
	{ "no characters for XML", "\xef\xbf\xbe\xef\xbf\xbf", "\\u{fffe}\\u{ffff}" },
};

static void escapes(void **state)
{
	const struct text_case *c = *state;
	CLEANUP(buf_release) struct buf html = { .max = 256 };

	html_put(&html, c->text);
	assert_string_equal(html.data, c->html);
}

static void shortens(void **state)
{
	CLEANUP(buf_release) struct buf html = { .max = 256 };

	(void)state;
	assert_true(html_put_short(&html, "<&>", 3));
	assert_false(html_put_short(&html, "ab\xc3\xa9", 3)); /* no half of a character */
	assert_string_equal(html.data, "&lt;&amp;&gt;ab\xe2\x80\xa6");
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(figures_cases); i++)
		add(figures_cases[i].name, counts, &figures_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(refused_cases); i++)
		add(refused_cases[i].name, refuses, &refused_cases[i]);
	add("documents", tells_what_documents_say, NULL);
	add("900 directories in each other", goes_as_deep_as_it_is, NULL);
	add("huge sizes", huge_sizes_do_not_wrap, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(squarify_cases); i++)
		add(squarify_cases[i].name, cuts, &squarify_cases[i]);
	add("the published example", cuts_as_published, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(tiles_cases); i++)
		add(tiles_cases[i].name, maps, &tiles_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(text_cases); i++)
		add(text_cases[i].name, escapes, &text_cases[i]);
	add("shortened", shortens, NULL);
	return _cmocka_run_group_tests("report", tests, test_count, NULL, NULL);
}
