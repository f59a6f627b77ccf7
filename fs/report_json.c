/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/report.h"

#include <inttypes.h>
#include <string.h>

#include "model/image.h"

/* Failures stick to the buffer. */
static void put_text(struct buf *ret, const char *name, const char *value)
{
	(void)buf_printf(ret, "\"%s\": ", name);
	if (*value)
		(void)json_write_string(ret, value, strlen(value));
	else
		(void)buf_append_text(ret, "null");
}

static void put_number(struct buf *ret, const char *name, uint64_t value)
{
	if (value == REPORT_UNKNOWN)
		(void)buf_printf(ret, "\"%s\": null", name);
	else
		(void)buf_printf(ret, "\"%s\": %" PRIu64, name, value);
}

struct member {
	const char *name;
	const char *text; /* or NULL: */
	uint64_t number;
};

static void put_members(
	struct buf *ret, const char *between, const struct member *members, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		(void)buf_append_text(ret, i ? between : "");
		if (members[i].text)
			put_text(ret, members[i].name, members[i].text);
		else
			put_number(ret, members[i].name, members[i].number);
	}
}

#define PUT_MEMBERS(ret, between, ...)                                                             \
	do {                                                                                       \
		const struct member members_[] = { __VA_ARGS__ };                                  \
		put_members(ret, between, members_, sizeof members_ / sizeof *members_);           \
	} while (0)

static void put_layer(const struct report *report, size_t number, struct buf *ret)
{
	const struct report_layer *layer = &report->layers[number];

	(void)buf_append_text(ret, number ? ",\n    {" : "\n    {");
	PUT_MEMBERS(ret, ", ", { "number", NULL, number + 1 }, { "digest", layer->digest, 0 },
		{ "diff_id", layer->diff_id, 0 }, { "created", layer->created, 0 },
		{ "created_by", layer->created_by, 0 }, { "stored_size", NULL, layer->stored_size },
		{ "plain_size", NULL, layer->plain_size });
	if (report->has_rootfs) {
		(void)buf_append_text(ret, ", ");
		PUT_MEMBERS(ret, ", ", { "added", NULL, layer->added },
			{ "modified", NULL, layer->modified }, { "deleted", NULL, layer->deleted },
			{ "files", NULL, layer->files }, { "file_bytes", NULL, layer->file_bytes },
			{ "wasted_bytes", NULL, layer->wasted_bytes });
	}
	(void)buf_append_text(ret, "}");
}

static void put_files(const struct report *report, struct buf *ret)
{
	(void)buf_append_text(ret, ",\n  ");
	PUT_MEMBERS(ret, ",\n  ", { "file_bytes", NULL, report->file_bytes },
		{ "rootfs_files", NULL, report->rootfs_files },
		{ "rootfs_bytes", NULL, report->rootfs_bytes },
		{ "wasted_files", NULL, report->wasted_files },
		{ "wasted_bytes", NULL, report->wasted_bytes },
		{ "smallest_bytes", NULL, report->smallest_bytes });
	(void)buf_printf(
		ret, ",\n  \"efficiency\": %.6f,\n  \"wasted\": [", report_efficiency(report));
	for (size_t i = 0; i < report->waste_count; i++) {
		const struct report_waste *waste = &report->waste[i];

		(void)buf_append_text(ret, i ? ",\n    {" : "\n    {");
		PUT_MEMBERS(ret, ", ", { "path", waste->path, 0 }, { "size", NULL, waste->size },
			{ "layer", NULL, waste->layer + 1 },
			{ "how", waste->is_deleted ? "deleted" : "overwritten", 0 },
			{ "by", NULL, waste->end + 1 });
		(void)buf_append_text(ret, "}");
	}
	(void)buf_append_text(ret, "\n  ]");
}

void report_write_json(const struct report *report, struct buf *ret)
{
	(void)buf_append_text(ret, "{\n  \"schema\": 1,\n  ");
	PUT_MEMBERS(ret, ",\n  ", { "source", report->source, 0 }, { "image", report->image, 0 },
		{ "digest", report->digest, 0 }, { "platform", report->platform, 0 },
		{ "created", report->created, 0 }, { "stored_size", NULL, report->stored_size },
		{ "plain_size", NULL, report->plain_size });
	(void)buf_append_text(ret, ",\n  \"layers\": [");
	for (size_t i = 0; i < report->layer_count; i++)
		put_layer(report, i, ret);
	(void)buf_append_text(ret, "\n  ]");
	if (report->has_rootfs)
		put_files(report, ret);
	(void)buf_append_text(ret, "\n}\n");
}
