/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tiles first, then the frames of directories, then labels: each over those before.  A
 * directory's label is in its upper left corner, below those of the directories around it that have
 * the same corner; a file's is in the lower left one.
 */
#include "fs/report_page.h"

#include <errno.h>
#include <string.h>

#include "fs/control.h"
#include "fs/report_text.h"
#include "fs/report_tiles.h"
#include "model/cleanup.h"

enum {
	MAP_WIDTH = 1200,
	MAP_HEIGHT = 680,
	LABEL_DEPTH_MAX = 3, /* directories that have labels */
	LABEL_LETTERS_MIN = 4,
	LINE_HEIGHT = 13,
	LETTER_TENTHS = 67, /* the width of a letter, in tenths */
};

static void put_rect(struct buf *ret, const struct rect *rect)
{
	(void)buf_printf(ret, " x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"", rect->x,
		rect->y, rect->width, rect->height);
}

static void put_path(const struct paths *paths, uint32_t path, struct buf *ret)
{
	CLEANUP(buf_release) struct buf text = { .max = PATH_NAMES_MAX };

	paths_format(paths, path, &text);
	html_put(ret, text.data ? text.data : "");
}

static void put_tile(const struct paths *paths, const struct tile *tile, struct buf *ret)
{
	(void)buf_printf(ret, "<rect class=\"k l%u\"", tile->layer + 1);
	put_rect(ret, &tile->rect);
	(void)buf_append_text(ret, "><title>");
	put_path(paths, tile->path, ret);
	if (tile->kind == TILE_REST)
		(void)buf_append_text(
			ret, tile->path == PATH_ROOT ? "other files" : "/: other files");
	(void)buf_append_text(ret, ", ");
	put_bytes(ret, tile->bytes);
	(void)buf_printf(ret, ", layer %02u</title></rect>\n", tile->layer + 1);
}

static void put_frame(const struct tile *tile, struct buf *ret)
{
	(void)buf_append_text(ret, "<rect class=\"frame\"");
	put_rect(ret, &tile->rect);
	(void)buf_printf(ret, " stroke-width=\"%s\"/>\n",
		tile->depth == 1   ? "4"
		: tile->depth == 2 ? "2.5"
				   : "1.2");
}

/* --- labels --- */

/* The directories around a tile, by their depth: how many labels are in each one's corner. */
struct corner {
	double x, y;
	unsigned lines;
};

static unsigned lines_above(const struct corner *around, const struct tile *tile)
{
	const struct corner *corner = &around[tile->depth - 1];

	return tile->rect.x < corner->x + 1 && tile->rect.y < corner->y + 1 ? corner->lines : 0;
}

static bool put_label(
	const struct paths *paths, const struct tile *tile, unsigned lines, struct buf *ret)
{
	bool is_directory = tile->kind == TILE_DIRECTORY;
	double letters = (tile->rect.width - 8) * 10 / LETTER_TENTHS;
	const char *name = tile->kind == TILE_REST ? "other files" : paths_name(paths, tile->path);
	double y = is_directory ? tile->rect.y + (lines + 1) * LINE_HEIGHT
				: tile->rect.y + tile->rect.height - 5;

	if ((tile->kind == TILE_REST && letters < (double)strlen(name)) ||
		(is_directory && tile->depth > LABEL_DEPTH_MAX) || letters < LABEL_LETTERS_MIN ||
		tile->rect.height < (lines + 1) * LINE_HEIGHT + (is_directory ? 3 : 6))
		return false;
	(void)buf_printf(ret, "<text%s x=\"%.2f\" y=\"%.2f\">",
		is_directory ? " class=\"dir\"" : "", tile->rect.x + 5, y);
	if (html_put_short(ret, name, (size_t)letters - is_directory) && is_directory)
		(void)buf_append_text(ret, "/");
	(void)buf_append_text(ret, "</text>\n");
	return true;
}

static void put_labels(const struct paths *paths, const struct tiles *tiles, struct buf *ret)
{
	struct corner around[TILES_DEPTH_MAX + 1] = { { 0, 0, 0 } };

	for (size_t i = 0; i < tiles->count; i++) {
		const struct tile *tile = &tiles->items[i];
		unsigned lines = lines_above(around, tile);
		bool is_labelled = put_label(paths, tile, lines, ret);

		if (tile->kind == TILE_DIRECTORY)
			around[tile->depth] =
				(struct corner){ tile->rect.x, tile->rect.y, lines + is_labelled };
	}
}

/* --- the picture --- */

static void put_key(const struct report *report, struct buf *ret)
{
	(void)buf_append_text(ret, "<div class=\"key\">");
	for (size_t i = 0; i < report->layer_count; i++) {
		const struct report_layer *layer = &report->layers[i];

		if (layer->file_bytes == layer->wasted_bytes)
			continue;
		(void)buf_append_text(ret, "<span>");
		report_put_layer(i, ret);
		(void)buf_append_text(ret, " ");
		put_bytes(ret, layer->file_bytes - layer->wasted_bytes);
		(void)buf_append_text(ret, "</span>\n");
	}
	(void)buf_append_text(ret, "</div>\n");
}

static void put_picture(const struct paths *paths, const struct tiles *tiles, struct buf *ret)
{
	(void)buf_printf(ret,
		"<svg class=\"map\" viewBox=\"0 0 %d %d\" role=\"img\" "
		"aria-label=\"files by size, coloured by layer\">\n",
		MAP_WIDTH, MAP_HEIGHT);
	for (size_t i = 0; i < tiles->count; i++)
		if (tiles->items[i].kind != TILE_DIRECTORY)
			put_tile(paths, &tiles->items[i], ret);
	for (size_t i = tiles->count; i-- > 0;) /* outer ones last: theirs are the wider */
		if (tiles->items[i].kind == TILE_DIRECTORY)
			put_frame(&tiles->items[i], ret);
	put_labels(paths, tiles, ret);
	(void)buf_append_text(ret, "</svg>\n");
}

int report_put_map(const struct report *report, struct buf *ret, struct error *err)
{
	const struct rect whole = { 0, 0, MAP_WIDTH, MAP_HEIGHT };
	struct tiles tiles;
	int rc = tiles_make(&tiles, &report->paths, (unsigned)report->layer_count, &whole);

	if (rc)
		return error_set(err, -rc, "out of memory");
	(void)buf_append_text(ret,
		"<section class=\"keep\">\n<h2>Root file system</h2>\n"
		"<p class=\"dim\">Each file has the area of its size and the colour of the layer "
		"that it comes from; point at it for its path. Small ones are put together.</p>\n");
	put_key(report, ret);
	if (tiles.count)
		put_picture(&report->paths, &tiles, ret);
	else
		(void)buf_append_text(ret, "<p>No file has any content.</p>\n");
	(void)buf_append_text(ret, "</section>\n");
	tiles_release(&tiles);
	return 0;
}
