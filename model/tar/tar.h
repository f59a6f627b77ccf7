/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar -- a push parser: bytes in, entries out.
 *
 * Reads v7, ustar, old GNU (long names, sparse), pax (local and global
 * records, all GNU.sparse forms, SCHILY.xattr, LIBARCHIVE.xattr, RHT.security)
 * and base-256 numbers, in pieces of any size, and never looks at file
 * content, which whoever can seek need not even feed.  One effective size rules both the data and
 * the skip, so no byte of content can be taken for a header.  Members of types that are no file
 * (vendor types, volume labels) are passed over.
 *
 * Malformed input fails with -EIO and a message that names the offset;
 * a number or name that cannot be represented is malformed, never wrapped or
 * cut.  Over one of the ceilings below: -EFBIG.  After a failure the parser
 * only repeats it.
 *
 * Sources: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Header
 * Block"; GNU tar manual, "Basic Tar Format" and "Sparse Formats"; rules for
 * layers: OCI image-spec layer.md.
 */
#ifndef MODEL_TAR_TAR_H
#define MODEL_TAR_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum {
	TAR_BLOCK = 512,
	TAR_HEADER_MAX = 1 << 20,       /* bytes of one pax header or GNU long name */
	TAR_GLOBAL_MAX = 1 << 20,       /* bytes of all global records in force */
	TAR_SPARSE_MAX = 65536,         /* segments of one sparse file */
	TAR_SPARSE_BYTES_MAX = 1 << 20, /* bytes of one sparse map as written */
	TAR_XATTRS_MAX = 1024,          /* extended attributes of one entry */
};

enum tar_type {
	TAR_REGULAR,
	TAR_HARDLINK,
	TAR_SYMLINK,
	TAR_CHAR,
	TAR_BLOCKDEV,
	TAR_DIRECTORY,
	TAR_FIFO
};

/* size bytes of content at offset of the file, never 0; they lie one after the
 * other in the stored data, in ascending order of offset. Between them are holes. */
struct tar_segment {
	uint64_t offset;
	uint64_t size;
};

struct tar_xattr {
	const char *name; /* ends in NUL */
	const void *value;
	size_t value_len;
};

/* Borrowed from the parser until the callback returns. */
struct tar_entry {
	enum tar_type type;
	/* As in the archive, ends in NUL, holds none; may be absolute, empty, or hold "..". */
	const char *path;
	size_t path_len;
	const char *link; /* target of a hard link or symlink, else "" */
	size_t link_len;
	uint32_t mode; /* permission, set-id and sticky bits only */
	uint32_t uid, gid;
	int64_t mtime;       /* seconds since 1970, may be negative */
	uint32_t mtime_nsec; /* 0..999999999, counted forward from mtime */
	uint32_t dev_major, dev_minor;
	uint64_t size;        /* what a reader of the file sees; 0 but for regular files */
	uint64_t data_offset; /* of the first stored byte, in the plain tar stream */
	uint64_t data_size;   /* stored bytes; equals size unless sparse */
	bool is_sparse;
	const struct tar_segment *segments; /* of a sparse file */
	size_t segment_count;
	const struct tar_xattr *xattrs; /* by name, each name once */
	size_t xattr_count;
};

/* Called as soon as the entry's headers (and sparse map) are complete, before
 * its content arrives.  A negative return stops the parser with that code. */
typedef int tar_entry_fn(void *context, const struct tar_entry *entry, struct error *err);

struct tar_parser;

int tar_parser_new(struct tar_parser **ret, tar_entry_fn *fn, void *context, struct error *err);
void tar_parser_free(struct tar_parser *parser);

int tar_parser_feed(struct tar_parser *parser, const void *bytes, size_t len, struct error *err);

/* How many of the bytes that come next are of no interest: content and its padding; behind
 * the end of the archive all there are, UINT64_MAX.  0 where headers go on, and after a failure. */
uint64_t tar_parser_skippable(const struct tar_parser *parser);
/* As if len bytes had been fed: no more than that. */
void tar_parser_skip(struct tar_parser *parser, uint64_t len);

/* The stream is at its end.  -EIO when it ends inside a header or inside the
 * content of an entry; missing end-of-archive blocks are no error, nor is an
 * empty stream.  Anything after the end-of-archive blocks was ignored. */
int tar_parser_finish(struct tar_parser *parser, struct error *err);

#endif
