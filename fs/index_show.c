/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/index_show.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/log.h"
#include "model/cleanup.h"
#include "model/tar/tar.h"

static void show_escaped(const char *bytes, size_t len, FILE *out)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c <= ' ' || c >= 0x7f || strchr("\\#=", c))
			(void)fprintf(out, "\\%03o", c);
		else
			(void)fputc(c, out);
	}
}

/* --- header and spans --- */

static void show_digest(const char *name, const struct digest *digest, FILE *out)
{
	char text[DIGEST_TEXT_MAX];

	if (digest_is_set(digest))
		(void)fprintf(out, "# %s %s\n", name, digest_format(digest, text));
}

static void show_header(const struct layer *layer, FILE *out)
{
	char why[LOG_LINE_MAX];

	(void)fprintf(out, "#mtree\n# version %d\n", LAYER_INDEX_VERSION);
	show_digest("digest", &layer->digest, out);
	show_digest("diff_id", &layer->diff_id, out);
	(void)fprintf(out, "# coding %s\n# stored_size %" PRIu64 "\n# plain_size %" PRIu64 "\n",
		media_coding_name(layer->coding), layer->stored_size, layer->plain_size);
	(void)fprintf(out, "# spans %" PRIu32 "\n# entries %" PRIu32 "\n# dropped %" PRIu32 "\n",
		layer->span_count, layer->tree.entry_count, layer->dropped);
	if (!layer->status)
		return;
	log_escape(layer->message, why, sizeof why);
	(void)fprintf(out, "# no_tree %s\n", why);
}

static const char *start_name(enum span_start start)
{
	switch (start) {
	case SPAN_STORED:
		return "stored";
	case SPAN_DEFLATE:
		return "deflate";
	case SPAN_GZIP:
		return "gzip";
	case SPAN_ZSTD:
		return "zstd";
	}
	return "";
}

static void show_mac(const uint8_t mac[static SPAN_MAC], FILE *out)
{
	(void)fputs(" mac=", out);
	for (size_t i = 0; i < SPAN_MAC; i++)
		(void)fprintf(out, "%02x", mac[i]);
}

static void show_span(const struct span *span, uint32_t n, FILE *out)
{
	static const uint8_t none[SPAN_MAC];

	(void)fprintf(out, "# span %" PRIu32 " plain=%" PRIu64 "+%" PRIu32, n, span->plain_offset,
		span->plain_len);
	(void)fprintf(out, " %s=%" PRIu64 "+%" PRIu64 " start=%s",
		span->in_spool ? "spool" : "blob", span->stored_offset, span->stored_len,
		start_name((enum span_start)span->start));
	if (span->start == SPAN_DEFLATE)
		(void)fprintf(out, " bits=%u head=%u", span->bits, span->head);
	if (span->window != UINT32_MAX)
		(void)fprintf(out, " window=%" PRIu32, span->window);
	if (span->start == SPAN_DEFLATE || span->start == SPAN_GZIP)
		(void)fprintf(out, " crc=%08" PRIx32, span->crc);
	if (memcmp(span->mac, none, SPAN_MAC) != 0)
		show_mac(span->mac, out);
	(void)fputc('\n', out);
}

/* --- entries --- */

static const char *type_name(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "dir";
	case S_IFLNK:
		return "link";
	case S_IFCHR:
		return "char";
	case S_IFBLK:
		return "block";
	case S_IFIFO:
		return "fifo";
	default:
		return "file";
	}
}

/* Names on the way up to the root, put in front of each other.  No tar has longer ones. */
static void show_path(const struct tree *tree, uint32_t entry, FILE *out)
{
	static char path[TAR_HEADER_MAX];
	char *begin = path + sizeof path;

	for (; entry; entry = tree_entry(tree, entry)->parent) {
		size_t len = tree_entry(tree, entry)->name_len;

		if (len + 1 > (size_t)(begin - path))
			break;
		begin -= len;
		memcpy(begin, tree_name(tree, entry), len);
		*--begin = '/';
	}
	(void)fputc('.', out);
	show_escaped(begin, (size_t)(path + sizeof path - begin), out);
}

static void show_flags(unsigned flags, FILE *out)
{
	static const struct {
		unsigned flag;
		const char *name;
	} names[] = { { TREE_IMPLIED, "implied" }, { TREE_OPAQUE, "opaque" },
		{ TREE_WHITEOUTS, "whiteouts" }, { TREE_SPECIAL, "special" },
		{ TREE_LINK_OUTSIDE, "outside" }, { TREE_HOLLOW, "hollow" } };
	const char *before = " flags=";

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!(flags & names[i].flag))
			continue;
		(void)fprintf(out, "%s%s", before, names[i].name);
		before = ",";
	}
}

static void show_link(const struct tree *tree, uint32_t entry, FILE *out)
{
	const char *target = tree_link(tree, entry);

	(void)fputs(" link=", out);
	show_escaped(target, strlen(target), out);
}

static void show_content(const struct tree *tree, uint32_t entry, FILE *out)
{
	const struct tree_entry *file = tree_entry(tree, entry);
	const struct tree_segment *segments;
	struct tree_segment single;
	const char *before = " segments=";
	uint32_t count;

	(void)fprintf(out, " size=%" PRIu64, file->size);
	segments = tree_segments(tree, entry, &single, &count);
	if (segments == &single) {
		if (count)
			(void)fprintf(out, " offset=%" PRIu64, single.data_offset);
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		(void)fprintf(out, "%s%" PRIu64 "+%" PRIu64 "@%" PRIu64, before, segments[i].offset,
			segments[i].size, segments[i].data_offset);
		before = ",";
	}
}

static void show_xattrs(const struct tree *tree, uint32_t entry, FILE *out)
{
	struct tree_xattr xattr;

	for (uint32_t k = 0; tree_xattr(tree, entry, k, &xattr); k++) {
		(void)fputs(" xattr.", out);
		show_escaped(xattr.name, strlen(xattr.name), out);
		(void)fputc('=', out);
		show_escaped(xattr.value, xattr.value_len, out);
	}
}

static void show_entry(const struct tree *tree, uint32_t number, FILE *out)
{
	const struct tree_entry *entry = tree_entry(tree, number);

	show_path(tree, number, out);
	(void)fprintf(out,
		" type=%s mode=%o uid=%" PRIu32 " gid=%" PRIu32 " nlink=%" PRIu32 " time=%" PRId64
		".%09" PRIu32,
		type_name(entry->mode), entry->mode & 07777, entry->uid, entry->gid, entry->nlink,
		entry->mtime, entry->mtime_nsec);
	if (!S_ISDIR(entry->mode) && entry->nlink > 1)
		(void)fprintf(out, " inode=%" PRIu32, entry->inode);
	if (S_ISLNK(entry->mode) || entry->flags & TREE_LINK_OUTSIDE)
		show_link(tree, number, out);
	else if (S_ISREG(entry->mode))
		show_content(tree, number, out);
	else if (S_ISCHR(entry->mode) || S_ISBLK(entry->mode))
		(void)fprintf(out, " device=native,%" PRIu32 ",%" PRIu32, entry->u.device.major,
			entry->u.device.minor);
	show_flags(entry->flags, out);
	show_xattrs(tree, number, out);
	(void)fputc('\n', out);
}

void index_show(const struct layer *layer, FILE *out)
{
	show_header(layer, out);
	for (uint32_t i = 0; i < layer->span_count; i++)
		show_span(&layer->spans[i], i, out);
	for (uint32_t i = 0; i < layer->tree.entry_count; i++)
		show_entry(&layer->tree, i, out);
}
