/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar, private: the parts of the parser, each on its own.
 *
 *	header.c   one 512-byte header block: layout, checksum, numbers, path
 *	xattr.c    a sorted list of extended attributes, and their encodings
 *	sparse.c   a map of segments, and its two forms outside of pax records
 *	pax.c      the records of an x or g header, and what they override
 *	tar.c      the parser: which block comes next, and what an entry is
 *
 * Calls that can fail return 0 or a negative errno and fill *err; only tar.c
 * knows the offset, and puts it in front.
 */
#ifndef MODEL_TAR_INTERNAL_H
#define MODEL_TAR_INTERNAL_H

#include "model/tar/tar.h"

/* POSIX.1-2017 pax, "ustar Interchange Format", Table 4-15. */
struct ustar_tail {
	char prefix[155];
	char pad[12]; /* star: 131 bytes of prefix, two times, and its magic at the end */
};

struct gnu_sparse {
	char offset[12];
	char size[12];
};

enum { GNU_SPARSE_IN_HEADER = 4, GNU_SPARSE_IN_EXTENSION = 21 };

/* GNU tar manual, "Basic Tar Format", struct oldgnu_header. */
struct gnu_tail {
	char atime[12], ctime[12], offset[12], longnames[4], unused;
	struct gnu_sparse sparse[GNU_SPARSE_IN_HEADER];
	char is_extended;
	char real_size[12];
	char pad[17];
};

/* GNU tar manual, struct sparse_header: more of the map, behind the header. */
struct gnu_extension {
	struct gnu_sparse sparse[GNU_SPARSE_IN_EXTENSION];
	char is_extended;
	char pad[7];
};

struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8];
	char type;
	char link[100], magic[8], uname[32], gname[32], dev_major[8], dev_minor[8];
	union {
		struct ustar_tail ustar;
		struct gnu_tail gnu;
	};
};

_Static_assert(sizeof(struct header) == TAR_BLOCK, "a header is one block");
_Static_assert(sizeof(struct gnu_extension) == TAR_BLOCK, "an extension is one block");

enum {
	HEADER_LINK_MAX = 100 + 1,
	HEADER_PATH_MAX = 155 + 1 + 100 + 1, /* prefix, slash, name, NUL */
};

bool block_is_zero(const void *block);
bool header_has_checksum(const struct header *header);
bool header_is_gnu(const struct header *header);
size_t header_path(const struct header *header, char path[static HEADER_PATH_MAX]);
size_t header_link(const struct header *header, char link[static HEADER_LINK_MAX]);

/* Octal or base-256; name is for the message. -EIO unless 0..max. */
int header_number(uint64_t *ret, const char *field, size_t len, uint64_t max, const char *name,
	struct error *err);
/* As header_number(), of the whole range of int64_t. */
int header_time(int64_t *ret, const char *field, size_t len, struct error *err);

/* Puts one digit behind a decimal number; false when it passes 2^63-1. */
static inline bool decimal_push(uint64_t *number, char digit)
{
	unsigned units = (unsigned)(digit - '0');

	if (*number > ((uint64_t)INT64_MAX - units) / 10)
		return false;
	*number = *number * 10 + units;
	return true;
}

/* Sorted by name, each name once. Owns its names; a value lies behind its name. */
struct xattr_list {
	struct tar_xattr *items;
	size_t count, capacity;
};

/* Copies; the last value of a name stays. */
int xattr_put(struct xattr_list *list, const char *name, size_t name_len, const char *value,
	size_t value_len, struct error *err);
/* The same for libarchive's spelling: name %XX, value base64. */
int xattr_put_encoded(struct xattr_list *list, const char *name, size_t name_len, const char *value,
	size_t value_len, struct error *err);
size_t xattr_bytes(const struct xattr_list *list);
void xattr_release(struct xattr_list *list);
/* Both lists in one, those of over in front of those of under; borrows from
 * both. merged has room for count(over) + count(under); returns how many. */
size_t xattr_merge(
	struct tar_xattr *merged, const struct xattr_list *over, const struct xattr_list *under);

/* Segments in the order of the file, none empty, none touching the one before. */
struct sparse_map {
	struct tar_segment *segments;
	size_t count, capacity;
	size_t written;  /* segments as written, the empty ones too */
	uint64_t end;    /* of the last one, in the file */
	uint64_t stored; /* sum of the sizes */
	bool is_closed;  /* the old GNU form has seen its end mark */
};

int sparse_add(struct sparse_map *map, uint64_t offset, uint64_t size, struct error *err);
/* The map fits a file of real_size bytes, stored_size of them in the archive. */
int sparse_check(
	const struct sparse_map *map, uint64_t real_size, uint64_t stored_size, struct error *err);
void sparse_reset(struct sparse_map *map); /* empties, and keeps the memory */
void sparse_release(struct sparse_map *map);

/* Old GNU: count entries of a header or an extension block. */
int sparse_add_gnu(
	struct sparse_map *map, const struct gnu_sparse *entries, size_t count, struct error *err);

/* GNU.sparse 1.0: decimal lines in front of the content, in whole blocks. */
struct sparse_text {
	uint64_t number;
	bool has_digits;
	bool has_count, has_offset;
	uint64_t count; /* segments still to come */
	uint64_t offset;
	size_t bytes;
};
/* Sets *ret_done when the map ends in this block. */
int sparse_add_text(struct sparse_map *map, struct sparse_text *text,
	const char block[static TAR_BLOCK], bool *ret_done, struct error *err);

enum pax_field {
	PAX_PATH,
	PAX_LINKPATH,
	PAX_SPARSE_NAME,
	PAX_SIZE,
	PAX_UID,
	PAX_GID,
	PAX_DEV_MAJOR,
	PAX_DEV_MINOR,
	PAX_MTIME,
	PAX_SPARSE_MAJOR,
	PAX_SPARSE_MINOR,
	PAX_SPARSE_REAL_SIZE,
	PAX_SPARSE_COUNT,
	PAX_SPARSE_PAIRS, /* 0.0: offset and size, a record each */
	PAX_SPARSE_MAP,   /* 0.1: all of them in one */
	PAX_FIELDS
};

struct pax_value {
	char *text; /* owned, ends in NUL and holds none */
	size_t len;
	int64_t number;
	uint32_t nsec;
};

/* The records in force: of one x header, or of all g headers so far. */
struct pax {
	uint32_t set;     /* bit of each field that has a value */
	uint32_t deleted; /* bit of each field that an empty value struck out */
	struct pax_value values[PAX_FIELDS];
	struct xattr_list xattrs;
	struct sparse_map map; /* of pax records; also of both other forms */
	uint64_t offset;       /* waits for its size, if has_offset */
	bool has_offset;
};

/* Adds the records of a header to those in force. */
int pax_parse(struct pax *pax, const char *body, size_t len, struct error *err);
bool pax_is_sparse(const struct pax *pax);
size_t pax_bytes(const struct pax *pax); /* of all its text and attributes */
/* The value in force, or NULL: the header's own counts. */
const struct pax_value *pax_find(
	const struct pax *local, const struct pax *global, enum pax_field field);
void pax_release(struct pax *pax); /* empty and usable again */

#endif
