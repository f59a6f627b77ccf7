/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser: blocks in, entries out.
 *
 *	         member                     member of pax sparse 1.0
 *	    +-----------------------+-------------------------------+
 *	    |            old GNU,   |                               |
 *	    |            extended   v                               v
 *	    |   +--------------> IN_GNU_MAP                    IN_TEXT_MAP
 *	    |   |                   |                               |
 *	    |   |                   +----------> complete() <-------+
 *	    v   |                                   |
 *	  AT_HEADER <-- content passed over -- IN_CONTENT
 *	    |   ^
 *	    |   +-- body complete -- IN_EXTENSION <-- x g L K
 *	    +-- zero block --> AT_END
 *
 * All but IN_CONTENT and AT_END move in whole blocks: one that lies whole in
 * the caller's bytes is read there, else it is gathered first.  Content is
 * passed over by counting.
 *
 * The first zero block is the end, as for GNU tar, bsdtar and Python's
 * tarfile: what follows a lone one is for none of them part of the archive.
 *
 * An extension (x, L, K) speaks of the next member, of whatever type, and is
 * forgotten behind it; pax beats GNU beats the header.  Two x headers in a row
 * are refused: readers differ on whether they add up.
 */
#include "model/tar/tar.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/buf.h"
#include "model/cleanup.h"
#include "model/error.h"
#include "model/tar/internal.h"

enum state { AT_HEADER, IN_EXTENSION, IN_GNU_MAP, IN_TEXT_MAP, IN_CONTENT, AT_END };

enum kind { MEMBER, GNU_SPARSE, PAX_LOCAL, PAX_GLOBAL, LONG_NAME, LONG_LINK, VENDOR };

/* Whether content follows the header, size bytes of it. */
enum content { NEVER, ALWAYS, IF_PAX };

struct type_flag {
	char flag;
	enum kind kind;
	enum tar_type type;
	enum content content;
};

/*
 * Content: POSIX lets none follow a device, FIFO, symlink or directory, and
 * their size may be anything.  Of a hard link it is 0 in ustar, and old tars
 * repeated the file's size there with nothing behind it; only the pax format
 * lets content follow ("-o linkdata").  libarchive goes by the archive (any x
 * header seen) and looks at the next block when in doubt; we go by the member
 * itself, so that no content is ever looked at.  Either way the link shows its
 * target's content.
 */
static const struct type_flag type_flags[] = {
	{ '0', MEMBER, TAR_REGULAR, ALWAYS },
	{ '\0', MEMBER, TAR_REGULAR, ALWAYS },
	{ '1', MEMBER, TAR_HARDLINK, IF_PAX },
	{ '2', MEMBER, TAR_SYMLINK, NEVER },
	{ '3', MEMBER, TAR_CHAR, NEVER },
	{ '4', MEMBER, TAR_BLOCKDEV, NEVER },
	{ '5', MEMBER, TAR_DIRECTORY, NEVER },
	{ '6', MEMBER, TAR_FIFO, NEVER },
	{ '7', MEMBER, TAR_REGULAR, ALWAYS }, /* contiguous */
	{ 'S', GNU_SPARSE, TAR_REGULAR, ALWAYS },
	{ 'x', PAX_LOCAL, 0, ALWAYS },
	{ 'X', PAX_LOCAL, 0, ALWAYS }, /* Solaris, before POSIX had x */
	{ 'g', PAX_GLOBAL, 0, ALWAYS },
	{ 'L', LONG_NAME, 0, ALWAYS },
	{ 'K', LONG_LINK, 0, ALWAYS },
};

struct tar_parser {
	tar_entry_fn *fn;
	void *context;

	enum state state;
	uint64_t offset;        /* of the byte behind the block or content at hand */
	uint64_t header_offset; /* for messages */
	char block[TAR_BLOCK];  /* gathered, when it came in pieces */
	size_t filled;

	enum kind extension; /* whose body is being read */
	struct buf *body;    /* pax or long_name or long_link */
	uint64_t body_left;
	struct buf pax, long_name, long_link;
	bool has_pax, has_long_name, has_long_link; /* they wait for their member */
	struct pax local, global;

	struct tar_entry entry;
	uint64_t stored; /* bytes behind the headers, the text map among them */
	struct sparse_text text;
	char path[HEADER_PATH_MAX];
	char link[HEADER_LINK_MAX];
	struct tar_xattr merged[TAR_XATTRS_MAX];

	uint64_t content_left; /* with its padding */
	uint64_t padding;

	int status; /* the first failure, and its words */
	struct error failure;
};

int tar_parser_new(struct tar_parser **ret, tar_entry_fn *fn, void *context, struct error *err)
{
	struct tar_parser *parser = calloc(1, sizeof *parser);

	if (!parser)
		return error_set(err, ENOMEM, "out of memory");
	parser->fn = fn;
	parser->context = context;
	buf_init(&parser->pax, TAR_HEADER_MAX);
	buf_init(&parser->long_name, TAR_HEADER_MAX);
	buf_init(&parser->long_link, TAR_HEADER_MAX);
	*ret = parser;
	return 0;
}

void tar_parser_free(struct tar_parser *parser)
{
	if (!parser)
		return;
	pax_release(&parser->local);
	pax_release(&parser->global);
	buf_release(&parser->pax);
	buf_release(&parser->long_name);
	buf_release(&parser->long_link);
	free(parser);
}

static struct type_flag find_type(char flag)
{
	for (size_t i = 0; i < ARRAY_SIZE(type_flags); i++)
		if (type_flags[i].flag == flag)
			return type_flags[i];
	if (flag >= 'A' && flag <= 'Z')
		return (struct type_flag){ flag, VENDOR, TAR_REGULAR, ALWAYS };
	/* Not assigned: a file, to GNU tar and libarchive too. */
	return (struct type_flag){ flag, MEMBER, TAR_REGULAR, ALWAYS };
}

static bool has_extension(const struct tar_parser *parser)
{
	return parser->has_pax || parser->has_long_name || parser->has_long_link;
}

static void forget_extensions(struct tar_parser *parser)
{
	if (parser->has_pax)
		pax_release(&parser->local);
	sparse_reset(&parser->local.map); /* may be of the old GNU form */
	parser->has_pax = parser->has_long_name = parser->has_long_link = false;
}

static const struct pax_value *find(const struct tar_parser *parser, enum pax_field field)
{
	return pax_find(&parser->local, &parser->global, field);
}

/* An unsigned field: the record, else the header. */
static int effective(const struct tar_parser *parser, uint64_t *ret, enum pax_field field,
	const char *octal, size_t len, uint64_t max, const char *name, struct error *err)
{
	const struct pax_value *value = find(parser, field);

	if (!value)
		return header_number(ret, octal, len, max, name, err);
	*ret = (uint64_t)value->number; /* pax.c knows the same maxima */
	return 0;
}

static int effective32(const struct tar_parser *parser, uint32_t *ret, enum pax_field field,
	const char octal[static 8], const char *name, struct error *err)
{
	uint64_t value;
	int rc = effective(parser, &value, field, octal, 8, UINT32_MAX, name, err);

	if (!rc)
		*ret = (uint32_t)value;
	return rc;
}

/* ---- content ---- */

/* From here on size bytes and their padding are content. */
static int begin_content(struct tar_parser *parser, uint64_t size, struct error *err)
{
	uint64_t padding = -size % TAR_BLOCK;

	if (size > INT64_MAX - TAR_BLOCK || parser->offset > INT64_MAX - size - padding)
		return error_set(err, EIO, "size %" PRIu64 " ends beyond 2^63", size);
	parser->content_left = size + padding;
	parser->padding = padding;
	parser->state = parser->content_left ? IN_CONTENT : AT_HEADER;
	return 0;
}

static uint64_t pass_over(struct tar_parser *parser, uint64_t len)
{
	if (len > parser->content_left)
		len = parser->content_left;
	parser->content_left -= len;
	if (parser->content_left == 0)
		parser->state = AT_HEADER;
	return len;
}

/* ---- extensions ---- */

/* GNU long names end in a NUL, or with the body. */
static int end_long_name(struct buf *name, struct error *err)
{
	while (name->len && name->data[name->len - 1] == '\0')
		name->len--;
	if (name->len == 0 || memchr(name->data, '\0', name->len))
		return error_set(err, EIO, "long name: empty, or NUL inside");
	return 0;
}

static int end_global(struct tar_parser *parser, struct error *err)
{
	int rc = pax_parse(&parser->global, parser->pax.data, parser->pax.len, err);

	if (rc)
		return rc;
	/* A map of every file to come can be nothing but a trap. */
	if (pax_is_sparse(&parser->global))
		return error_set(err, EIO, "sparse map in a global pax header");
	if (pax_bytes(&parser->global) > TAR_GLOBAL_MAX)
		return error_set(err, EFBIG, "global pax records of more than %d bytes",
			(int)TAR_GLOBAL_MAX);
	return 0;
}

static int end_extension(struct tar_parser *parser, struct error *err)
{
	parser->state = AT_HEADER;
	switch (parser->extension) {
	case PAX_LOCAL:
		parser->has_pax = true;
		return pax_parse(&parser->local, parser->pax.data, parser->pax.len, err);
	case PAX_GLOBAL:
		return end_global(parser, err);
	case LONG_NAME:
		parser->has_long_name = true;
		return end_long_name(&parser->long_name, err);
	case LONG_LINK:
		parser->has_long_link = true;
		return end_long_name(&parser->long_link, err);
	case MEMBER:
	case GNU_SPARSE:
	case VENDOR:
		break;
	}
	return 0;
}

static int begin_extension(
	struct tar_parser *parser, const struct header *header, enum kind kind, struct error *err)
{
	uint64_t size;
	int rc;

	rc = header_number(&size, header->size, sizeof header->size, INT64_MAX, "size", err);
	if (rc)
		return rc;
	if (size > TAR_HEADER_MAX)
		return error_set(err, EFBIG, "extended header of %" PRIu64 " bytes, at most %d",
			size, (int)TAR_HEADER_MAX);
	if (kind == PAX_LOCAL && parser->has_pax)
		return error_set(err, EIO, "two pax headers for one entry");
	parser->extension = kind;
	parser->body = kind == LONG_NAME   ? &parser->long_name
		       : kind == LONG_LINK ? &parser->long_link
					   : &parser->pax;
	buf_clear(parser->body);
	parser->body_left = size;
	parser->state = IN_EXTENSION;
	return size ? 0 : end_extension(parser, err);
}

static int take_body(struct tar_parser *parser, const char *block, struct error *err)
{
	size_t len = parser->body_left < TAR_BLOCK ? (size_t)parser->body_left : TAR_BLOCK;
	int rc = buf_append(parser->body, block, len);

	if (rc)
		return error_set(err, -rc, "extended header: cannot be kept");
	parser->body_left -= len;
	return parser->body_left ? 0 : end_extension(parser, err);
}

/* ---- members ---- */

static void take_path(struct tar_parser *parser, const struct header *header)
{
	struct tar_entry *entry = &parser->entry;
	const struct pax_value *value = find(parser, PAX_SPARSE_NAME);

	if (!value)
		value = find(parser, PAX_PATH);
	if (value) {
		entry->path = value->text;
		entry->path_len = value->len;
	} else if (parser->has_long_name) {
		parser->long_name.data[parser->long_name.len] = '\0';
		entry->path = parser->long_name.data;
		entry->path_len = parser->long_name.len;
	} else {
		entry->path = parser->path;
		entry->path_len = header_path(header, parser->path);
	}
}

static void take_link(struct tar_parser *parser, const struct header *header)
{
	struct tar_entry *entry = &parser->entry;
	const struct pax_value *value = find(parser, PAX_LINKPATH);

	if (value) {
		entry->link = value->text;
		entry->link_len = value->len;
	} else if (parser->has_long_link) {
		parser->long_link.data[parser->long_link.len] = '\0';
		entry->link = parser->long_link.data;
		entry->link_len = parser->long_link.len;
	} else {
		entry->link = parser->link;
		entry->link_len = header_link(header, parser->link);
	}
}

static int take_numbers(struct tar_parser *parser, const struct header *header, struct error *err)
{
	const struct pax_value *mtime = find(parser, PAX_MTIME);
	struct tar_entry *entry = &parser->entry;
	uint64_t mode;
	int rc;

	/* Some writers store the whole st_mode. */
	rc = header_number(&mode, header->mode, sizeof header->mode, INT64_MAX, "mode", err);
	if (!rc)
		rc = effective32(parser, &entry->uid, PAX_UID, header->uid, "uid", err);
	if (!rc)
		rc = effective32(parser, &entry->gid, PAX_GID, header->gid, "gid", err);
	if (!rc && mtime) {
		entry->mtime = mtime->number;
		entry->mtime_nsec = mtime->nsec;
	} else if (!rc) {
		rc = header_time(&entry->mtime, header->mtime, sizeof header->mtime, err);
	}
	if (!rc && (entry->type == TAR_CHAR || entry->type == TAR_BLOCKDEV)) {
		rc = effective32(parser, &entry->dev_major, PAX_DEV_MAJOR, header->dev_major,
			"device major number", err);
		if (!rc)
			rc = effective32(parser, &entry->dev_minor, PAX_DEV_MINOR,
				header->dev_minor, "device minor number", err);
	}
	if (!rc)
		entry->mode = mode & 07777;
	return rc;
}

/* The one size that rules what a reader sees and what is passed over. */
static int take_size(struct tar_parser *parser, const struct header *header, enum content content,
	struct error *err)
{
	parser->stored = 0;
	if (content == NEVER || (content == IF_PAX && !parser->has_pax))
		return 0;
	return effective(parser, &parser->stored, PAX_SIZE, header->size, sizeof header->size,
		INT64_MAX, "size", err);
}

/* Local and global attributes; the local ones win. */
static int take_xattrs(struct tar_parser *parser, struct error *err)
{
	const struct xattr_list *local = &parser->local.xattrs, *global = &parser->global.xattrs;
	struct tar_entry *entry = &parser->entry;

	if (local->count && global->count) {
		if (local->count + global->count > TAR_XATTRS_MAX)
			return error_set(err, EFBIG, "more than %d extended attributes",
				(int)TAR_XATTRS_MAX);
		entry->xattrs = parser->merged;
		entry->xattr_count = xattr_merge(parser->merged, local, global);
	} else {
		const struct xattr_list *list = local->count ? local : global;

		entry->xattrs = list->items;
		entry->xattr_count = list->count;
	}
	return 0;
}

/* All that describes the entry is there: hands it out. */
static int complete(struct tar_parser *parser, struct error *err)
{
	struct tar_entry *entry = &parser->entry;
	bool has_content = entry->type == TAR_REGULAR;
	int rc;

	entry->data_offset = parser->offset;
	entry->data_size = has_content ? parser->stored : 0;
	if (entry->is_sparse) {
		rc = sparse_check(&parser->local.map, entry->size, parser->stored, err);
		if (rc)
			return rc;
		entry->segments = parser->local.map.segments;
		entry->segment_count = parser->local.map.count;
	} else {
		entry->size = entry->data_size;
	}
	rc = take_xattrs(parser, err);
	if (!rc)
		rc = begin_content(parser, parser->stored, err);
	if (!rc)
		rc = parser->fn(parser->context, entry, err);
	forget_extensions(parser);
	return rc < 0 ? rc : 0;
}

/* GNU.sparse records of the three pax forms; where the map is in the content,
 * it is read first. */
static int begin_pax_sparse(struct tar_parser *parser, struct error *err)
{
	const struct pax *local = &parser->local;
	const struct pax_value *major = find(parser, PAX_SPARSE_MAJOR);
	const struct pax_value *minor = find(parser, PAX_SPARSE_MINOR);
	const struct pax_value *count = find(parser, PAX_SPARSE_COUNT);
	const struct pax_value *real_size = find(parser, PAX_SPARSE_REAL_SIZE);

	if (parser->entry.type != TAR_REGULAR)
		return error_set(err, EIO, "sparse map of an entry that is no file");
	if (!real_size || !major != !minor || local->has_offset)
		return error_set(err, EIO, "sparse map: incomplete");
	parser->entry.is_sparse = true;
	parser->entry.size = (uint64_t)real_size->number;
	if (major && major->number == 1 && minor->number == 0) {
		if (local->map.written)
			return error_set(err, EIO, "sparse map: two of them");
		parser->text = (struct sparse_text){ 0 };
		parser->state = IN_TEXT_MAP;
		return 0;
	}
	if (major && (major->number != 0 || minor->number > 1))
		return error_set(err, EIO, "sparse map: unknown version %" PRId64 ".%" PRId64,
			major->number, minor->number);
	if (count && (uint64_t)count->number != local->map.written)
		return error_set(err, EIO, "sparse map: %zu segments, announced were %" PRId64,
			local->map.written, count->number);
	return complete(parser, err);
}

static int begin_gnu_sparse(
	struct tar_parser *parser, const struct header *header, struct error *err)
{
	const struct gnu_tail *tail = &header->gnu;
	int rc;

	if (!header_is_gnu(header) || pax_is_sparse(&parser->local))
		return error_set(err, EIO, "sparse entry: not of the GNU format");
	parser->entry.is_sparse = true;
	rc = header_number(&parser->entry.size, tail->real_size, sizeof tail->real_size, INT64_MAX,
		"real size", err);
	if (!rc)
		rc = sparse_add_gnu(&parser->local.map, tail->sparse, GNU_SPARSE_IN_HEADER, err);
	if (rc)
		return rc;
	parser->text = (struct sparse_text){ 0 };
	if (tail->is_extended == '\0')
		return complete(parser, err);
	parser->state = IN_GNU_MAP;
	return 0;
}

static int take_gnu_map(struct tar_parser *parser, const char *block, struct error *err)
{
	const struct gnu_extension *extension = (const struct gnu_extension *)block;
	int rc;

	parser->text.bytes += TAR_BLOCK;
	if (parser->text.bytes > TAR_SPARSE_BYTES_MAX)
		return error_set(
			err, EFBIG, "sparse map of more than %d bytes", (int)TAR_SPARSE_BYTES_MAX);
	rc = sparse_add_gnu(&parser->local.map, extension->sparse, GNU_SPARSE_IN_EXTENSION, err);
	if (rc || extension->is_extended)
		return rc;
	return complete(parser, err);
}

static int take_text_map(struct tar_parser *parser, const char *block, struct error *err)
{
	bool is_done;
	int rc;

	if (parser->stored < TAR_BLOCK)
		return error_set(err, EIO, "sparse map: goes on behind the content");
	parser->stored -= TAR_BLOCK;
	rc = sparse_add_text(&parser->local.map, &parser->text, block, &is_done, err);
	return rc || !is_done ? rc : complete(parser, err);
}

static int begin_member(struct tar_parser *parser, const struct header *header,
	const struct type_flag *type, struct error *err)
{
	struct tar_entry *entry = &parser->entry;
	int rc;

	*entry = (struct tar_entry){ .type = type->type, .link = "" };
	rc = take_size(parser, header, type->content, err);
	if (!rc && type->kind == VENDOR) {
		forget_extensions(parser);
		return begin_content(parser, parser->stored, err);
	}
	if (!rc)
		rc = take_numbers(parser, header, err);
	if (rc)
		return rc;
	take_path(parser, header);
	if (entry->type == TAR_HARDLINK || entry->type == TAR_SYMLINK)
		take_link(parser, header);
	if (type->kind == GNU_SPARSE)
		return begin_gnu_sparse(parser, header, err);
	/* v7 had no type for directories.  With '0' in its place GNU tar and
	 * bsdtar see one too; Go, so every engine that unpacks layers, a file. */
	if (type->flag == '\0' && entry->path_len && entry->path[entry->path_len - 1] == '/')
		entry->type = TAR_DIRECTORY;
	if (pax_is_sparse(&parser->local))
		return begin_pax_sparse(parser, err);
	return complete(parser, err);
}

/* ---- blocks ---- */

static int take_header(struct tar_parser *parser, const char *block, struct error *err)
{
	const struct header *header = (const struct header *)block;
	struct type_flag type;

	parser->header_offset = parser->offset - TAR_BLOCK;
	if (block_is_zero(block)) {
		parser->state = AT_END;
		return has_extension(parser)
			       ? error_set(err, EIO, "extended header without an entry")
			       : 0;
	}
	if (!header_has_checksum(header))
		return error_set(err, EIO, "%s",
			parser->header_offset ? "wrong header checksum" : "not a tar archive");
	type = find_type(header->type);
	switch (type.kind) {
	case PAX_LOCAL:
	case PAX_GLOBAL:
	case LONG_NAME:
	case LONG_LINK:
		return begin_extension(parser, header, type.kind, err);
	case MEMBER:
	case GNU_SPARSE:
	case VENDOR:
		break;
	}
	return begin_member(parser, header, &type, err);
}

static int take_block(struct tar_parser *parser, const char *block, struct error *err)
{
	switch (parser->state) {
	case AT_HEADER:
		return take_header(parser, block, err);
	case IN_EXTENSION:
		return take_body(parser, block, err);
	case IN_GNU_MAP:
		return take_gnu_map(parser, block, err);
	case IN_TEXT_MAP:
		return take_text_map(parser, block, err);
	case IN_CONTENT:
	case AT_END:
		break;
	}
	return 0;
}

/* Takes the next block, or what there is of it; returns the bytes used. */
static size_t gather(
	struct tar_parser *parser, const char *bytes, size_t len, const char **ret_block)
{
	size_t want = TAR_BLOCK - parser->filled;

	*ret_block = NULL;
	if (want == TAR_BLOCK && len >= TAR_BLOCK) {
		*ret_block = bytes;
		return TAR_BLOCK;
	}
	if (want > len)
		want = len;
	memcpy(parser->block + parser->filled, bytes, want);
	parser->filled += want;
	if (parser->filled == TAR_BLOCK) {
		parser->filled = 0;
		*ret_block = parser->block;
	}
	return want;
}

static void fail(struct tar_parser *parser, int rc)
{
	parser->status =
		error_prefix(&parser->failure, rc, "offset %" PRIu64, parser->header_offset);
}

static int report(const struct tar_parser *parser, struct error *err)
{
	if (parser->status && err)
		*err = parser->failure;
	return parser->status;
}

int tar_parser_feed(struct tar_parser *parser, const void *bytes, size_t len, struct error *err)
{
	const char *at = bytes;

	while (len && !parser->status && parser->state != AT_END) {
		const char *block = NULL;
		size_t used = parser->state == IN_CONTENT ? (size_t)pass_over(parser, len)
							  : gather(parser, at, len, &block);
		int rc;

		parser->offset += used;
		at += used;
		len -= used;
		rc = block ? take_block(parser, block, &parser->failure) : 0;
		if (rc)
			fail(parser, rc);
	}
	return report(parser, err);
}

uint64_t tar_parser_skippable(const struct tar_parser *parser)
{
	if (parser->status)
		return 0;
	if (parser->state == AT_END)
		return UINT64_MAX;
	return parser->state == IN_CONTENT ? parser->content_left : 0;
}

void tar_parser_skip(struct tar_parser *parser, uint64_t len)
{
	assert(len <= tar_parser_skippable(parser));
	if (parser->state == IN_CONTENT)
		parser->offset += pass_over(parser, len);
}

/* What the end of the stream cuts short, or NULL. */
static const char *unfinished(struct tar_parser *parser)
{
	switch (parser->state) {
	case AT_HEADER:
		if (has_extension(parser))
			return "behind an extended header, before its entry";
		/* All zero: the end mark, cut short. */
		memset(parser->block + parser->filled, 0, TAR_BLOCK - parser->filled);
		return block_is_zero(parser->block) ? NULL : "inside a header";
	case IN_EXTENSION:
		return "inside an extended header";
	case IN_GNU_MAP:
	case IN_TEXT_MAP:
		return "inside a sparse map";
	case IN_CONTENT:
		/* The padding is nobody's content. */
		return parser->content_left > parser->padding ? "inside the content of an entry"
							      : NULL;
	case AT_END:
		break;
	}
	return NULL;
}

int tar_parser_finish(struct tar_parser *parser, struct error *err)
{
	const char *where = parser->status ? NULL : unfinished(parser);

	if (where && parser->offset < TAR_BLOCK)
		fail(parser, error_set(&parser->failure, EIO, "not a tar archive"));
	else if (where)
		fail(parser, error_set(&parser->failure, EIO, "archive ends at %" PRIu64 ", %s",
				     parser->offset, where));
	return report(parser, err);
}
