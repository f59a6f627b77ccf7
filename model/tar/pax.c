/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of a pax header (POSIX.1-2017 pax, "pax Extended Header").
 *
 *	"22 mtime=1500000000.0\n"	length, blank, keyword, =, value, newline
 *
 * The length counts the whole record, itself too, and alone says where the
 * value ends: it may hold newlines, = and NUL.  A record that does not add up
 * fails the archive, since readers that skip it and readers that do not would
 * see two trees.  Keywords that change nothing we show are passed over.
 */
#include "model/tar/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/error.h"

struct keyword {
	const char *name;
	enum pax_field field;
	int (*take)(struct pax *, const struct keyword *, const char *value, size_t len,
		struct error *);
	uint64_t max;
	bool is_list; /* comes many times, or holds many: an empty value deletes nothing */
};

#define FIELD_BIT(field) (UINT32_C(1) << (field))

static const uint32_t sparse_fields =
	FIELD_BIT(PAX_SPARSE_NAME) | FIELD_BIT(PAX_SPARSE_MAJOR) | FIELD_BIT(PAX_SPARSE_MINOR) |
	FIELD_BIT(PAX_SPARSE_REAL_SIZE) | FIELD_BIT(PAX_SPARSE_COUNT) |
	FIELD_BIT(PAX_SPARSE_PAIRS) | FIELD_BIT(PAX_SPARSE_MAP);

static int malformed(const struct keyword *keyword, struct error *err)
{
	return error_set(err, EIO, "pax record '%s': malformed value", keyword->name);
}

/*
 * A name with a NUL in it is one name to C programs and another to all others.
 * NULs at the very end are a terminator that its writer has counted: every
 * reader that accepts them drops them.
 */
static int take_text(struct pax *pax, const struct keyword *keyword, const char *value, size_t len,
	struct error *err)
{
	struct pax_value *field = &pax->values[keyword->field];
	char *text;

	while (len && value[len - 1] == '\0')
		len--;
	if (len == 0 || memchr(value, '\0', len))
		return error_set(err, EIO, "pax record '%s': NUL inside", keyword->name);
	text = strndup(value, len);
	if (!text)
		return error_set(err, ENOMEM, "out of memory");
	free(field->text);
	field->text = text;
	field->len = len;
	return 0;
}

/* Digits up to stop, which may be NULL: to the end. Returns where it stopped. */
static const char *decimal(uint64_t *ret, const char *text, const char *end)
{
	const char *at = text;

	for (*ret = 0; at < end && *at >= '0' && *at <= '9'; at++)
		if (!decimal_push(ret, *at))
			return NULL;
	return at > text ? at : NULL;
}

static int take_number(struct pax *pax, const struct keyword *keyword, const char *value,
	size_t len, struct error *err)
{
	uint64_t number;

	if (decimal(&number, value, value + len) != value + len || number > keyword->max)
		return malformed(keyword, err);
	pax->values[keyword->field].number = (int64_t)number;
	return 0;
}

/* Digits of a fraction in ns; whether more than nine say anything is *ret_more. */
static const char *fraction(uint32_t *ret_nsec, bool *ret_more, const char *at, const char *end)
{
	uint32_t nsec = 0;
	int digits = 0;

	*ret_more = false;
	for (; at < end && *at >= '0' && *at <= '9'; at++, digits++) {
		if (digits < 9)
			nsec = nsec * 10 + (uint32_t)(*at - '0');
		else if (*at != '0')
			*ret_more = true;
	}
	for (; digits < 9; digits++)
		nsec *= 10;
	*ret_nsec = nsec;
	return at;
}

/*
 * -1.5 is 1.5 s before 1970: second -2, and half a second forward.  What is
 * finer than a nanosecond rounds down, to the time not later (POSIX pax,
 * "pax Extended Header File Times").
 */
static int take_time(struct pax *pax, const struct keyword *keyword, const char *value, size_t len,
	struct error *err)
{
	struct pax_value *field = &pax->values[keyword->field];
	const char *at = value, *end = value + len;
	bool is_negative = *value == '-', has_more = false;
	uint64_t seconds;
	uint32_t nsec = 0;

	at = decimal(&seconds, at + is_negative, end);
	if (at && at < end && *at == '.')
		at = fraction(&nsec, &has_more, at + 1, end);
	if (at != end)
		return malformed(keyword, err);
	field->number = is_negative ? -(int64_t)seconds : (int64_t)seconds;
	field->nsec = nsec;
	if (is_negative && (nsec || has_more)) {
		nsec += has_more;
		field->number -= 1; /* seconds are at least -(2^63-1) */
		field->nsec = 1000000000 - nsec;
	}
	return 0;
}

/* GNU.sparse 0.1: "offset,size,offset,size". */
static int take_map(struct pax *pax, const struct keyword *keyword, const char *value, size_t len,
	struct error *err)
{
	const char *at = value, *end = value + len;

	if (pax->map.written)
		return malformed(keyword, err);
	for (;;) {
		uint64_t offset, size;
		int rc;

		at = decimal(&offset, at, end);
		if (!at || at == end || *at != ',')
			return malformed(keyword, err);
		at = decimal(&size, at + 1, end);
		if (!at || (at < end && *at != ','))
			return malformed(keyword, err);
		rc = sparse_add(&pax->map, offset, size, err);
		if (rc || at == end)
			return rc;
		at++;
	}
}

/* GNU.sparse 0.0: one record for each offset, each followed by its size. */
static int take_offset(struct pax *pax, const struct keyword *keyword, const char *value,
	size_t len, struct error *err)
{
	if (pax->has_offset || (pax->set & FIELD_BIT(PAX_SPARSE_MAP)) ||
		decimal(&pax->offset, value, value + len) != value + len)
		return malformed(keyword, err);
	pax->has_offset = true;
	return 0;
}

static int take_size(struct pax *pax, const struct keyword *keyword, const char *value, size_t len,
	struct error *err)
{
	uint64_t size;

	if (!pax->has_offset || decimal(&size, value, value + len) != value + len)
		return malformed(keyword, err);
	pax->has_offset = false;
	return sparse_add(&pax->map, pax->offset, size, err);
}

/* uid 2^32-1 is no user to chown(), yet it is a number that stat can show. */
static const struct keyword keywords[] = {
	{ "path", PAX_PATH, take_text, 0, false },
	{ "linkpath", PAX_LINKPATH, take_text, 0, false },
	{ "size", PAX_SIZE, take_number, INT64_MAX, false },
	{ "uid", PAX_UID, take_number, UINT32_MAX, false },
	{ "gid", PAX_GID, take_number, UINT32_MAX, false },
	{ "mtime", PAX_MTIME, take_time, 0, false },
	{ "SCHILY.devmajor", PAX_DEV_MAJOR, take_number, UINT32_MAX, false },
	{ "SCHILY.devminor", PAX_DEV_MINOR, take_number, UINT32_MAX, false },
	{ "GNU.sparse.major", PAX_SPARSE_MAJOR, take_number, INT64_MAX, false },
	{ "GNU.sparse.minor", PAX_SPARSE_MINOR, take_number, INT64_MAX, false },
	{ "GNU.sparse.name", PAX_SPARSE_NAME, take_text, 0, false },
	{ "GNU.sparse.realsize", PAX_SPARSE_REAL_SIZE, take_number, INT64_MAX, false },
	{ "GNU.sparse.size", PAX_SPARSE_REAL_SIZE, take_number, INT64_MAX, false },
	{ "GNU.sparse.numblocks", PAX_SPARSE_COUNT, take_number, INT64_MAX, false },
	{ "GNU.sparse.map", PAX_SPARSE_MAP, take_map, 0, true },
	{ "GNU.sparse.offset", PAX_SPARSE_PAIRS, take_offset, 0, true },
	{ "GNU.sparse.numbytes", PAX_SPARSE_PAIRS, take_size, 0, true },
};

static const struct keyword *find_keyword(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
		if (strncmp(keywords[i].name, name, len) == 0 && keywords[i].name[len] == '\0')
			return &keywords[i];
	return NULL;
}

static bool strip(const char **name, size_t *len, const char *prefix)
{
	size_t prefix_len = strlen(prefix);

	if (*len < prefix_len || memcmp(*name, prefix, prefix_len) != 0)
		return false;
	*name += prefix_len;
	*len -= prefix_len;
	return true;
}

/*
 * An empty value here is an empty attribute, as GNU tar and bsdtar write one,
 * and deletes nothing: there is no header field to fall back to.
 */
static int take_xattr(struct pax *pax, const char *name, size_t name_len, const char *value,
	size_t len, struct error *err)
{
	static const char selinux[] = "security.selinux";

	if (strip(&name, &name_len, "SCHILY.xattr."))
		return xattr_put(&pax->xattrs, name, name_len, value, len, err);
	if (strip(&name, &name_len, "LIBARCHIVE.xattr."))
		return xattr_put_encoded(&pax->xattrs, name, name_len, value, len, err);
	if (strip(&name, &name_len, "RHT.security.selinux") && name_len == 0)
		return xattr_put(&pax->xattrs, selinux, sizeof selinux - 1, value, len, err);
	return 0;
}

static int take_record(struct pax *pax, const char *name, size_t name_len, const char *value,
	size_t len, struct error *err)
{
	const struct keyword *keyword = find_keyword(name, name_len);
	int rc;

	if (!keyword)
		return take_xattr(pax, name, name_len, value, len, err);
	if (len == 0 && !keyword->is_list) {
		pax->set &= ~FIELD_BIT(keyword->field);
		pax->deleted |= FIELD_BIT(keyword->field);
		return 0;
	}
	rc = len ? keyword->take(pax, keyword, value, len, err) : malformed(keyword, err);
	if (rc)
		return rc;
	pax->set |= FIELD_BIT(keyword->field);
	pax->deleted &= ~FIELD_BIT(keyword->field);
	return 0;
}

int pax_parse(struct pax *pax, const char *body, size_t len, struct error *err)
{
	const char *at = body, *end = len ? body + len : body; /* body may be NULL then */

	while (at < end) {
		const char *record = at, *name, *equals;
		uint64_t size;
		int rc;

		at = decimal(&size, at, end);
		if (!at || at == end || *at != ' ' || size > (size_t)(end - record) ||
			size <= (size_t)(at + 1 - record) || record[size - 1] != '\n')
			return error_set(err, EIO, "pax record at byte %zu: wrong length",
				(size_t)(record - body));
		name = at + 1;
		at = record + size;
		equals = memchr(name, '=', (size_t)(at - name));
		if (!equals || equals == name || memchr(name, '\0', (size_t)(equals - name)))
			return error_set(err, EIO, "pax record at byte %zu: no keyword",
				(size_t)(record - body));
		rc = take_record(pax, name, (size_t)(equals - name), equals + 1,
			(size_t)(at - 1 - (equals + 1)), err);
		if (rc)
			return rc;
	}
	return 0;
}

bool pax_is_sparse(const struct pax *pax)
{
	return pax->set & sparse_fields;
}

size_t pax_bytes(const struct pax *pax)
{
	size_t bytes = xattr_bytes(&pax->xattrs);

	for (size_t i = 0; i < PAX_FIELDS; i++)
		if (pax->set & FIELD_BIT(i))
			bytes += pax->values[i].len;
	return bytes;
}

const struct pax_value *pax_find(
	const struct pax *local, const struct pax *global, enum pax_field field)
{
	if (local->set & FIELD_BIT(field))
		return &local->values[field];
	if (local->deleted & FIELD_BIT(field))
		return NULL;
	return global->set & FIELD_BIT(field) ? &global->values[field] : NULL;
}

void pax_release(struct pax *pax)
{
	for (size_t i = 0; i < PAX_FIELDS; i++)
		free(pax->values[i].text);
	xattr_release(&pax->xattrs);
	sparse_release(&pax->map);
	*pax = (struct pax){ 0 };
}
