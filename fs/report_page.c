/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page is HTML that is well-formed XML too.  It refers to nothing outside, and its policy
 * forbids that.  Failures to append stick to the buffer, where the caller looks.
 */
#include "fs/report_page.h"

#include <inttypes.h>
#include <string.h>

#include "fs/control.h"
#include "fs/report_text.h"
#include "model/cleanup.h"

enum {
	COMMAND_SHORT = 160,           /* bytes of a layer's command that are shown at once */
	COMMAND_MAX = 256 << 10,       /* and at all */
	HUE_FIRST = 210,               /* of the base, in degrees */
	HUE_STEP_THOUSANDTHS = 222492, /* by the golden ratio: neighbours are far apart */
};

static void put(struct buf *ret, const char *html)
{
	(void)buf_append_text(ret, html);
}

static void put_size(struct buf *ret, uint64_t size)
{
	if (size == REPORT_UNKNOWN)
		put(ret, "?");
	else
		put_bytes(ret, size);
}

/* A cell that tells the exact number to who points at it. */
static void put_size_cell(struct buf *ret, uint64_t size)
{
	if (size == REPORT_UNKNOWN)
		put(ret, "<td class=\"r\">");
	else
		(void)buf_printf(ret, "<td class=\"r\" title=\"%" PRIu64 " bytes\">", size);
	put_size(ret, size);
	put(ret, "</td>");
}

static void put_count_cell(struct buf *ret, const char *sign, uint64_t count)
{
	if (count == REPORT_UNKNOWN)
		put(ret, "<td class=\"r\">?</td>");
	else
		(void)buf_printf(ret, "<td class=\"r\">%s%" PRIu64 "</td>", sign, count);
}

/* Rounded down, so that 100 % is nothing less. */
static void put_percent(struct buf *ret, double part)
{
	(void)buf_printf(ret, "%.2f %%", (double)(uint64_t)(part * 10000) / 100);
}

void report_put_layer(size_t layer, struct buf *ret)
{
	(void)buf_printf(ret,
		"<svg class=\"patch\"><rect class=\"k l%zu\" width=\"12\" height=\"12\"/></svg>"
		"%02zu",
		layer + 1, layer + 1);
}

/* --- head --- */

static void put_name(const struct report *report, struct buf *ret)
{
	html_put(ret, report->source);
	put(ret, *report->source && *report->image ? " " : "");
	html_put(ret, report->image);
}

static void put_head(const struct report *report, struct buf *ret)
{
	put(ret, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
		 "<meta http-equiv=\"Content-Security-Policy\" "
		 "content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n"
		 "<meta name=\"viewport\" content=\"width=device-width\"/>\n"
		 "<meta name=\"generator\" content=\"imgfs report\"/>\n<title>");
	put_name(report, ret);
	put(ret, "</title>\n<style>\n");
	put(ret, report_style);
	for (size_t i = 0; i < report->layer_count; i++)
		(void)buf_printf(ret, ".l%zu{--h:%zu}\n", i + 1,
			(HUE_FIRST + i * HUE_STEP_THOUSANDTHS / 1000) % 360);
	put(ret, "</style>\n</head>\n<body>\n"
		 "<svg class=\"patterns\" width=\"0\" height=\"0\" aria-hidden=\"true\"><defs>"
		 "<pattern id=\"hatch\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" "
		 "patternTransform=\"rotate(45)\"><rect class=\"hatch-ground\" width=\"5\" "
		 "height=\"5\"/><rect class=\"hatch-line\" width=\"2.5\" height=\"5\"/></pattern>"
		 "</defs></svg>\n");
}

static void put_fact(struct buf *ret, const char *name, const char *value)
{
	if (!*value)
		return;
	(void)buf_printf(ret, "<dt>%s</dt><dd><code>", name);
	html_put(ret, value);
	put(ret, "</code></dd>\n");
}

/* A figure, and below it what it is; the caller puts the figure, then calls this, then explains. */
static void begin_card(struct buf *ret, const char *name)
{
	(void)buf_printf(ret, "<div class=\"card\"><span>%s</span><b>", name);
}

static void explain_card(struct buf *ret)
{
	put(ret, "</b><span>");
}

static void end_card(struct buf *ret)
{
	put(ret, "</span></div>\n");
}

static void put_file_cards(const struct report *report, struct buf *ret)
{
	begin_card(ret, "Root file system");
	put_size(ret, report->rootfs_bytes);
	explain_card(ret);
	(void)buf_printf(ret, "%" PRIu64 " files", report->rootfs_files);
	end_card(ret);
	begin_card(ret, "Wasted");
	put_size(ret, report->wasted_bytes);
	explain_card(ret);
	(void)buf_printf(ret, "%" PRIu64 " files, ", report->wasted_files);
	put_percent(ret,
		report->file_bytes ? (double)report->wasted_bytes / (double)report->file_bytes : 0);
	put(ret, " of all bytes");
	end_card(ret);
	begin_card(ret, "Efficiency");
	put_percent(ret, report_efficiency(report));
	explain_card(ret);
	put(ret, "explained below");
	end_card(ret);
}

static void put_summary(const struct report *report, struct buf *ret)
{
	put(ret, "<header>\n<h1>");
	put_name(report, ret);
	put(ret, "</h1>\n<dl>\n");
	put_fact(ret, "Digest", report->digest);
	put_fact(ret, "Platform", report->platform);
	put_fact(ret, "Created", report->created);
	put(ret, "</dl>\n<div class=\"cards\">\n");
	begin_card(ret, "Layers");
	(void)buf_printf(ret, "%zu", report->layer_count);
	explain_card(ret);
	put(ret, report->has_rootfs ? "of an image" : "of an artifact");
	end_card(ret);
	begin_card(ret, "Stored");
	put_size(ret, report->stored_size);
	explain_card(ret);
	put(ret, "all layers as they are");
	end_card(ret);
	begin_card(ret, "Unpacked");
	put_size(ret, report->plain_size);
	explain_card(ret);
	put(ret, "their archives, uncompressed");
	end_card(ret);
	if (report->has_rootfs)
		put_file_cards(report, ret);
	put(ret, "</div>\n</header>\n");
}

/* --- layers --- */

#define BAR_LEAST .3 /* percent */

/* Percent a byte. */
static double bar_scale(const struct report *report)
{
	uint64_t longest = 1;

	for (size_t i = 0; i < report->layer_count; i++) {
		const struct report_layer *layer = &report->layers[i];

		if (layer->plain_size != REPORT_UNKNOWN && layer->plain_size > longest)
			longest = layer->plain_size;
		if (layer->stored_size != REPORT_UNKNOWN && layer->stored_size > longest)
			longest = layer->stored_size;
	}
	return 100 / (double)longest;
}

/* In percent; something is never nothing to see. */
static double bar_length(uint64_t size, double scale)
{
	double length = (double)size * scale;

	if (!size || size == REPORT_UNKNOWN)
		return 0;
	return length < BAR_LEAST ? BAR_LEAST : length;
}

static void put_bar(const struct report_layer *layer, size_t number, double scale, struct buf *ret)
{
	double plain = bar_length(layer->plain_size, scale);
	double wasted = bar_length(layer->wasted_bytes, scale);

	if (wasted > plain) /* holes in files are wasted too, and in no archive */
		wasted = plain;
	put(ret, "<svg width=\"100%\" height=\"24\" role=\"img\"><title>");
	put_size(ret, layer->stored_size);
	put(ret, " stored, ");
	put_size(ret, layer->plain_size);
	put(ret, " unpacked, ");
	put_size(ret, layer->wasted_bytes);
	(void)buf_printf(ret,
		" wasted</title>"
		"<rect class=\"k l%zu\" y=\"1\" width=\"%.3f%%\" height=\"15\"/>"
		"<rect class=\"hatch\" x=\"%.3f%%\" y=\"1\" width=\"%.3f%%\" height=\"15\"/>"
		"<rect class=\"stored\" y=\"18\" width=\"%.3f%%\" height=\"4\"/></svg>",
		number + 1, plain, plain - wasted, wasted, bar_length(layer->stored_size, scale));
}

static void put_command(const char *command, struct buf *ret)
{
	if (!*command) {
		put(ret, "<span class=\"dim\">no history</span>");
	} else if (strlen(command) <= COMMAND_SHORT) {
		put(ret, "<code>");
		html_put(ret, command);
		put(ret, "</code>");
	} else {
		put(ret, "<details><summary><code>");
		(void)html_put_short(ret, command, COMMAND_SHORT);
		put(ret, "</code></summary><code>");
		(void)html_put_short(ret, command, COMMAND_MAX);
		put(ret, "</code></details>");
	}
}

static void put_layer_row(const struct report *report, size_t i, double scale, struct buf *ret)
{
	const struct report_layer *layer = &report->layers[i];

	put(ret, "<tbody><tr><td class=\"n\">");
	report_put_layer(i, ret);
	put(ret, "</td><td class=\"bar\">");
	put_bar(layer, i, scale, ret);
	put(ret, "</td>");
	put_size_cell(ret, layer->stored_size);
	put_size_cell(ret, layer->plain_size);
	if (report->has_rootfs) {
		put_size_cell(ret, layer->wasted_bytes);
		put_count_cell(ret, "+", layer->added);
		put_count_cell(ret, "~", layer->modified);
		put_count_cell(ret, "\xe2\x88\x92", layer->deleted);
	}
	(void)buf_printf(
		ret, "</tr>\n<tr><td></td><td colspan=\"%d\">", report->has_rootfs ? 7 : 3);
	put_command(layer->created_by, ret);
	put(ret, "<div><small><code>");
	html_put(ret, layer->digest);
	put(ret, "</code></small></div></td></tr></tbody>\n");
}

static void put_layers(const struct report *report, struct buf *ret)
{
	double scale = bar_scale(report);

	put(ret, "<section>\n<h2>Layers</h2>\n<div class=\"key\"><span>bar: unpacked</span>\n");
	if (report->has_rootfs)
		put(ret, "<span><svg class=\"patch\"><rect class=\"hatch\" width=\"12\" "
			 "height=\"12\"/></svg>of it wasted</span>\n");
	put(ret,
		"<span><svg class=\"patch\"><rect class=\"stored\" y=\"4\" width=\"12\" "
		"height=\"4\"/></svg>stored</span></div>\n"
		"<table class=\"layers\">\n<thead><tr><th></th><th></th><th class=\"r\">stored</th>"
		"<th class=\"r\">unpacked</th>");
	if (report->has_rootfs)
		put(ret, "<th class=\"r\">wasted</th><th class=\"r\">added</th>"
			 "<th class=\"r\">modified</th><th class=\"r\">deleted</th>");
	put(ret, "</tr></thead>\n");
	for (size_t i = 0; i < report->layer_count; i++)
		put_layer_row(report, i, scale, ret);
	put(ret, "</table>\n</section>\n");
}

/* --- waste --- */

static void put_waste_row(const struct report_waste *waste, struct buf *ret)
{
	put(ret, "<tr>");
	put_size_cell(ret, waste->size);
	put(ret, "<td><code>");
	html_put(ret, waste->path);
	put(ret, "</code></td><td class=\"n\">");
	report_put_layer(waste->layer, ret);
	(void)buf_printf(ret, "</td><td class=\"n\">%s ",
		waste->is_deleted ? "deleted by" : "overwritten by");
	report_put_layer(waste->end, ret);
	put(ret, "</td></tr>\n");
}

static void put_waste(const struct report *report, struct buf *ret)
{
	put(ret, "<section>\n<h2>Wasted bytes</h2>\n<p class=\"dim\">");
	put_size(ret, report->wasted_bytes);
	(void)buf_printf(ret,
		" in %" PRIu64 " files that a later layer overwrote or deleted%s</p>\n",
		report->wasted_files,
		!report->wasted_bytes                        ? "."
		: report->waste_count < report->wasted_files ? "; the largest of them:"
							     : ":");
	if (report->waste_count) {
		put(ret, "<table class=\"waste\">\n<thead><tr><th class=\"r\">size</th>"
			 "<th>path</th><th>written by</th><th></th></tr></thead>\n<tbody>\n");
		for (size_t i = 0; i < report->waste_count; i++)
			put_waste_row(&report->waste[i], ret);
		put(ret, "</tbody>\n</table>\n");
	}
	put(ret, "</section>\n");
}

static void put_foot(const struct report *report, struct buf *ret)
{
	put(ret, "<footer>\n");
	if (report->has_rootfs)
		put(ret,
			"<p>Files are regular files by their size, holes included; one with several "
			"names in its layer counts once.</p>\n"
			"<p><b>Wasted</b> is what a layer wrote and a later one overwrote or deleted."
			"</p>\n<p><b>Efficiency</b>: for each path, the size of the smallest file that "
			"any layer has there, or nothing if one was deleted there, and of all of them "
			"together; then the sum of the former, divided by the sum of the latter.</p>\n"
			"<p><b>Added, modified, deleted</b> are paths, as <code>changes.txt</code> "
			"has them.</p>\n");
	put(ret, "<p>Made by imgfs report.</p>\n</footer>\n</body>\n</html>\n");
}

int report_write_page(const struct report *report, struct buf *ret, struct error *err)
{
	int rc = 0;

	put_head(report, ret);
	put_summary(report, ret);
	put_layers(report, ret);
	if (report->has_rootfs)
		rc = report_put_map(report, ret, err);
	if (rc)
		return rc;
	if (report->has_rootfs)
		put_waste(report, ret);
	put_foot(report, ret);
	return 0;
}
