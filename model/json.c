/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two passes.  The first, here, checks the text against RFC 8259 to the
 * letter, with a stack of its own, and counts.  The second is json-c's, which
 * then has nothing left to be generous with, and builds the tree.  Names that
 * came twice are those the tree has fewer members for than the text.
 *
 * json_members_parse() makes do with the first pass: what it returns lies in
 * the text itself.
 *
 * json-c spends hundreds of bytes on an empty container, so the counts also
 * bound the memory that a small hostile text can ask for.
 */
#include "model/json.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "model/image.h"
#include "model/internal.h"

enum {
	CONTAINERS_MAX = 65536, /* objects and arrays of one text: about 60 MiB as a tree */
	VALUES_MAX = 1 << 20,   /* values of one text: the names of a long list of tags */
};

struct scanner {
	const char *start, *at, *end;
	char closers[JSON_DEPTH_MAX]; /* '}' or ']' for each open container */
	size_t depth;
	size_t containers, values, members;
	struct error *err;
};

/* Lines count from 1, bytes from 0: what editors and Python's json say. */
static int malformed(const struct scanner *s, const char *what)
{
	size_t line = 1;

	for (const char *p = s->start; p < s->at; p++)
		line += *p == '\n';
	return error_set(s->err, EIO, "malformed JSON at line %zu, byte %zu: %s", line,
		(size_t)(s->at - s->start), what);
}

static char peek(const struct scanner *s)
{
	return s->at < s->end ? *s->at : '\0';
}

static bool accept(struct scanner *s, char c)
{
	if (s->at == s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

static void skip_blanks(struct scanner *s)
{
	while (s->at < s->end &&
		(*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
		s->at++;
}

static bool is_continuation(uint8_t byte)
{
	return (byte & 0xc0) == 0x80;
}

size_t utf8_sequence(const void *bytes, size_t len)
{
	/* RFC 3629, section 4: the second byte's bounds keep out overlong forms,
	 * surrogates, and what lies above U+10FFFF. */
	static const struct {
		uint8_t first, last, low, high, len;
	} rows[] = {
		{ 0x00, 0x7f, 0, 0, 1 },
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	const uint8_t *b = bytes;

	for (size_t i = 0; len && i < ARRAY_SIZE(rows); i++) {
		if (b[0] < rows[i].first || b[0] > rows[i].last)
			continue;
		if (len < rows[i].len)
			return 0;
		if (rows[i].len > 1 && (b[1] < rows[i].low || b[1] > rows[i].high))
			return 0;
		for (size_t k = 2; k < rows[i].len; k++)
			if (!is_continuation(b[k]))
				return 0;
		return rows[i].len;
	}
	return 0;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* What follows a backslash.  json-c cuts a member's name at a NUL, so that
 * "layers\u0000" would pass for "layers". */
static int scan_escape(struct scanner *s, bool is_name)
{
	static const char simple[] = "\"\\/bfnrt";
	size_t i;

	if (s->at < s->end && *s->at && strchr(simple, *s->at)) {
		s->at++;
		return 0;
	}
	if (!accept(s, 'u') || s->end - s->at < 4)
		return malformed(s, "unknown escape");
	for (i = 0; i < 4; i++)
		if (!is_hex(s->at[i]))
			return malformed(s, "unknown escape");
	if (is_name && !memcmp(s->at, "0000", 4))
		return malformed(s, "NUL in a name");
	s->at += 4;
	return 0;
}

static int scan_string(struct scanner *s, bool is_name)
{
	if (!accept(s, '"'))
		return malformed(s, is_name ? "expected a name" : "expected a string");
	while (s->at < s->end) {
		size_t len;
		int rc;

		if (accept(s, '"'))
			return 0;
		if (accept(s, '\\')) {
			rc = scan_escape(s, is_name);
			if (rc)
				return rc;
			continue;
		}
		if ((uint8_t)*s->at < 0x20)
			return malformed(s, "control character in a string");
		len = utf8_sequence(s->at, (size_t)(s->end - s->at));
		if (!len)
			return malformed(s, "not UTF-8");
		s->at += len;
	}
	return malformed(s, "string without end");
}

static bool scan_digits(struct scanner *s)
{
	const char *from = s->at;

	while (is_digit(peek(s)))
		s->at++;
	return s->at > from;
}

/* [ "-" ] ( "0" / digit1-9 *digit ) [ "." 1*digit ] [ "e" [ "+" / "-" ] 1*digit ] */
static int scan_number(struct scanner *s)
{
	accept(s, '-');
	if (accept(s, '0') ? is_digit(peek(s)) : !scan_digits(s))
		return malformed(s, "not a value");
	if (accept(s, '.') && !scan_digits(s))
		return malformed(s, "not a number");
	if (accept(s, 'e') || accept(s, 'E')) {
		if (!accept(s, '+'))
			accept(s, '-');
		if (!scan_digits(s))
			return malformed(s, "not a number");
	}
	return 0;
}

static int scan_literal(struct scanner *s, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len))
		return malformed(s, "not a value");
	s->at += len;
	return 0;
}

static int open_container(struct scanner *s, char closer)
{
	s->at++;
	if (s->depth == JSON_DEPTH_MAX)
		return error_set(s->err, EIO, "JSON nested deeper than %d", JSON_DEPTH_MAX);
	if (++s->containers > CONTAINERS_MAX)
		return error_set(
			s->err, EFBIG, "JSON with more than %d objects and arrays", CONTAINERS_MAX);
	s->closers[s->depth++] = closer;
	return 0;
}

/* A scalar, or the opening of a container. */
static int scan_value(struct scanner *s)
{
	if (++s->values > VALUES_MAX)
		return error_set(s->err, EFBIG, "JSON with more than %d values", VALUES_MAX);
	switch (peek(s)) {
	case '{':
		return open_container(s, '}');
	case '[':
		return open_container(s, ']');
	case '"':
		return scan_string(s, false);
	case 't':
		return scan_literal(s, "true");
	case 'f':
		return scan_literal(s, "false");
	case 'n':
		return scan_literal(s, "null");
	default:
		return scan_number(s);
	}
}

/* The next value of the innermost container, with its name in an object. */
static int scan_element(struct scanner *s)
{
	int rc;

	if (s->closers[s->depth - 1] == '}') {
		rc = scan_string(s, true);
		if (rc)
			return rc;
		s->members++;
		skip_blanks(s);
		if (!accept(s, ':'))
			return malformed(s, "expected ':'");
		skip_blanks(s);
	}
	return scan_value(s);
}

/* A value and all it holds.  Each turn either opens, fills or closes a container. */
static int scan_whole(struct scanner *s)
{
	bool is_fresh = true; /* nothing stands in the innermost container yet */
	size_t outside = s->depth;
	int rc;

	rc = scan_value(s);
	while (!rc && s->depth > outside) {
		size_t depth = s->depth;

		skip_blanks(s);
		if (accept(s, s->closers[depth - 1])) {
			s->depth--;
			is_fresh = false;
			continue;
		}
		if (!is_fresh && !accept(s, ','))
			return malformed(s, "expected ',' or an end");
		skip_blanks(s);
		rc = scan_element(s);
		is_fresh = s->depth > depth;
	}
	return rc;
}

/* Leaves s->at behind the value. */
static int scan_text(struct scanner *s)
{
	if (peek(s) != '{' && peek(s) != '[')
		return malformed(s, "expected an object or an array");
	return scan_whole(s);
}

/* Depth is bounded by the scan. */
static size_t count_members(struct json_object *value)
{
	size_t count = 0;

	if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, name, member)
		{
			(void)name;
			count += 1 + count_members(member);
		}
	} else if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++)
			count += count_members(json_object_array_get_idx(value, i));
	}
	return count;
}

CLEANUP_POINTER(tokener_freep, struct json_tokener, json_tokener_free)

int json_parse(struct json_object **ret, const char *bytes, size_t len, struct error *err)
{
	/* json-c counts the value itself and needs one level to spare. */
	CLEANUP(tokener_freep)
	struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH_MAX + 2);
	CLEANUP(json_putp) struct json_object *object = NULL;
	struct scanner s = { .start = bytes, .at = bytes, .end = bytes + len, .err = err };
	const char *from;
	int rc;

	if (!tokener)
		return error_set(err, ENOMEM, "JSON: out of memory");
	if (len > INT_MAX)
		return error_set(err, EFBIG, "JSON of %zu bytes", len);
	skip_blanks(&s);
	from = s.at;
	rc = scan_text(&s);
	if (rc)
		return rc;
	len = (size_t)(s.at - from);
	skip_blanks(&s);
	if (s.at != s.end)
		return malformed(&s, "text behind its end");

	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	object = json_tokener_parse_ex(tokener, from, (int)len);
	if (!object || json_tokener_get_error(tokener) != json_tokener_success)
		return error_set(err, EIO, "malformed JSON: %s",
			json_tokener_error_desc(json_tokener_get_error(tokener)));
	if (count_members(object) != s.members)
		return error_set(err, EIO, "malformed JSON: a name stands twice in one object");
	*ret = TAKE(object);
	return 0;
}

/* A name as it stands in the text, with its quotes; the scan has found it well-formed. */
static char *decode_name(const char *from, size_t len)
{
	CLEANUP(tokener_freep) struct json_tokener *tokener = NULL;
	CLEANUP(json_putp) struct json_object *name = NULL;

	if (!memchr(from, '\\', len))
		return strndup(from + 1, len - 2);
	tokener = json_tokener_new();
	if (tokener)
		name = json_tokener_parse_ex(tokener, from, (int)len);
	return name ? strdup(json_object_get_string(name)) : NULL;
}

/* Grows at each power of two, which the count alone tells. */
static struct json_member *add_member(struct json_members *members)
{
	size_t count = members->count;
	struct json_member *items = members->items;

	if (!(count & (count - 1)))
		items = reallocarray(items, count ? count * 2 : 1, sizeof *items);
	if (!items)
		return NULL;
	members->items = items;
	items[count] = (struct json_member){ 0 };
	members->count++;
	return &items[count];
}

static int split_member(struct json_members *members, struct scanner *s)
{
	struct json_member *member = add_member(members);
	const char *from = s->at;
	int rc;

	if (!member)
		return error_set(s->err, ENOMEM, "JSON: out of memory");
	rc = scan_string(s, true);
	if (rc)
		return rc;
	member->name = decode_name(from, (size_t)(s->at - from));
	if (!member->name)
		return error_set(s->err, ENOMEM, "JSON: out of memory");
	skip_blanks(s);
	if (!accept(s, ':'))
		return malformed(s, "expected ':'");
	skip_blanks(s);
	member->value = s->at;
	rc = scan_whole(s);
	member->len = (size_t)(s->at - member->value);
	return rc;
}

static int split(struct json_members *members, struct scanner *s)
{
	int rc;

	skip_blanks(s);
	if (peek(s) != '{')
		return malformed(s, "expected an object");
	rc = open_container(s, '}');
	for (skip_blanks(s); !rc && !accept(s, '}'); skip_blanks(s)) {
		if (members->count && !accept(s, ','))
			return malformed(s, "expected ',' or an end");
		skip_blanks(s);
		rc = split_member(members, s);
	}
	skip_blanks(s);
	if (!rc && s->at != s->end)
		rc = malformed(s, "text behind its end");
	return rc;
}

int json_members_parse(struct json_members *ret, const char *bytes, size_t len, struct error *err)
{
	CLEANUP(json_members_release) struct json_members members = { 0 };
	struct scanner s = { .start = bytes, .at = bytes, .end = bytes + len, .err = err };
	int rc;

	if (len > INT_MAX)
		return error_set(err, EFBIG, "JSON of %zu bytes", len);
	rc = split(&members, &s);
	if (rc)
		return rc;
	*ret = members;
	members = (struct json_members){ 0 };
	return 0;
}

const struct json_member *json_members_find(const struct json_members *members, const char *name)
{
	for (size_t i = 0; i < members->count; i++)
		if (!strcmp(members->items[i].name, name))
			return &members->items[i];
	return NULL;
}

static int wrong_type(const char *name, const char *wanted, struct error *err)
{
	return error_set(err, EIO, "'%s' is not %s", name, wanted);
}

static int copy_string(struct json_object *value, const char *name, char **ret, struct error *err)
{
	const char *text;
	size_t len;

	if (!json_object_is_type(value, json_type_string))
		return wrong_type(name, "a string", err);
	text = json_object_get_string(value);
	len = (size_t)json_object_get_string_len(value);
	if (memchr(text, '\0', len))
		return error_set(err, EIO, "'%s' holds a NUL", name);
	text = strdup(text);
	if (!text)
		return error_set(err, ENOMEM, "'%s': out of memory", name);
	*ret = (char *)text;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int json_members_check_unique(const struct json_members *members, struct error *err)
{
	CLEANUP(freep) const char **names = calloc(members->count + 1, sizeof *names);

	if (!names)
		return error_set(err, ENOMEM, "JSON: out of memory");
	for (size_t i = 0; i < members->count; i++)
		names[i] = members->items[i].name;
	qsort(names, members->count, sizeof *names, compare_names);
	for (size_t i = 1; i < members->count; i++)
		if (!strcmp(names[i - 1], names[i]))
			return error_set(
				err, EIO, "malformed JSON: a name stands twice in one object");
	return 0;
}

/* Found, and not null. */
static const struct json_member *find_value(const struct json_members *members, const char *name)
{
	const struct json_member *member = json_members_find(members, name);

	return member && *member->value != 'n' ? member : NULL;
}

int json_members_string(
	const struct json_members *members, const char *name, char **ret, struct error *err)
{
	const struct json_member *found = find_value(members, name);
	CLEANUP(tokener_freep) struct json_tokener *tokener = NULL;
	CLEANUP(json_putp) struct json_object *string = NULL;
	int rc;

	if (!found)
		return 0;
	if (*found->value != '"')
		return wrong_type(name, "a string", err);
	if (!memchr(found->value, '\\', found->len)) {
		*ret = strndup(found->value + 1, found->len - 2);
		return *ret ? 0 : error_set(err, ENOMEM, "'%s': out of memory", name);
	}
	tokener = json_tokener_new();
	if (tokener)
		string = json_tokener_parse_ex(tokener, found->value, (int)found->len);
	if (!string)
		return error_set(err, ENOMEM, "'%s': out of memory", name);
	rc = copy_string(string, name, ret, err);
	explicit_bzero(
		(char *)json_object_get_string(string), (size_t)json_object_get_string_len(string));
	return rc;
}

int json_members_object(const struct json_members *members, const char *name,
	struct json_members *ret, struct error *err)
{
	const struct json_member *found = find_value(members, name);
	CLEANUP(json_members_release) struct json_members inner = { 0 };
	int rc;

	if (!found)
		return 0;
	if (*found->value != '{')
		return wrong_type(name, "an object", err);
	rc = json_members_parse(&inner, found->value, found->len, err);
	if (!rc)
		rc = json_members_check_unique(&inner, err);
	if (rc)
		return rc;
	*ret = inner;
	inner = (struct json_members){ 0 };
	return 0;
}

void json_members_remove(struct json_members *members, const char *name)
{
	size_t kept = 0;

	for (size_t i = 0; i < members->count; i++) {
		if (!strcmp(members->items[i].name, name))
			free(members->items[i].name);
		else
			members->items[kept++] = members->items[i];
	}
	members->count = kept;
}

int json_members_set(struct json_members *members, const char *name, const char *value, size_t len,
	struct error *err)
{
	CLEANUP(freep) char *copy = strdup(name);
	struct json_member *items;

	json_members_remove(members, name);
	items = reallocarray(members->items, members->count + 1, sizeof *items);
	if (items)
		members->items = items;
	if (!copy || !items)
		return error_set(err, ENOMEM, "JSON: out of memory");
	items[members->count++] = (struct json_member){ TAKE(copy), value, len };
	return 0;
}

void json_members_release(struct json_members *members)
{
	for (size_t i = 0; i < members->count; i++)
		free(members->items[i].name);
	free(members->items);
	*members = (struct json_members){ 0 };
}

void json_putp(struct json_object **object)
{
	if (*object)
		json_object_put(*object);
}

/* The member, or NULL when it is absent or null.  A NULL object has no members. */
static struct json_object *member(struct json_object *object, const char *name)
{
	struct json_object *value = NULL;

	(void)json_object_object_get_ex(object, name, &value);
	return value;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* encoding/json folds two letters from beyond ASCII as well: the long s and the kelvin sign. */
bool json_name_folds(const char *text, const char *name)
{
	static const char long_s[] = "\xc5\xbf", kelvin[] = "\xe2\x84\xaa";

	for (; *name; name++) {
		if (lower(*name) == 's' && !strncmp(text, long_s, strlen(long_s)))
			text += strlen(long_s);
		else if (lower(*name) == 'k' && !strncmp(text, kelvin, strlen(kelvin)))
			text += strlen(kelvin);
		else if (lower(*text++) != lower(*name))
			return false;
	}
	return !*text;
}

int json_check_spelling(struct json_object *object, const char *name, struct error *err)
{
	json_object_object_foreach(object, spelt, value)
	{
		if (value && strcmp(spelt, name) && json_name_folds(spelt, name))
			return error_set(err, EIO, "ambiguous: '%s' for '%s'", spelt, name);
	}
	return 0;
}

int json_get_object(
	struct json_object *object, const char *name, struct json_object **ret, struct error *err)
{
	struct json_object *value = member(object, name);

	if (!value)
		return 0;
	if (!json_object_is_type(value, json_type_object))
		return wrong_type(name, "an object", err);
	*ret = value;
	return 0;
}

int json_get_array(
	struct json_object *object, const char *name, struct json_object **ret, struct error *err)
{
	struct json_object *value = member(object, name);

	if (!value)
		return 0;
	if (!json_object_is_type(value, json_type_array))
		return wrong_type(name, "an array", err);
	*ret = value;
	return 0;
}

int json_get_string(struct json_object *object, const char *name, char **ret, struct error *err)
{
	struct json_object *value = member(object, name);

	return value ? copy_string(value, name, ret, err) : 0;
}

int json_get_size(struct json_object *object, const char *name, uint64_t *ret, struct error *err)
{
	struct json_object *value = member(object, name);
	uint64_t number;

	if (!value)
		return 0;
	/* json-c makes a double of a fraction or exponent, and the nearest end
	 * of its range of an integer that is too large. */
	if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0)
		return wrong_type(name, "a size", err);
	number = json_object_get_uint64(value);
	if (number > INT64_MAX)
		return wrong_type(name, "a size: too large", err);
	*ret = number;
	return 0;
}

int json_get_bool(struct json_object *object, const char *name, bool *ret, struct error *err)
{
	struct json_object *value = member(object, name);

	if (!value)
		return 0;
	if (!json_object_is_type(value, json_type_boolean))
		return wrong_type(name, "true or false", err);
	*ret = json_object_get_boolean(value);
	return 0;
}

static void strings_freep(char ***strings)
{
	strings_free(*strings);
}

int json_get_strings(
	struct json_object *object, const char *name, char ***ret, size_t max, struct error *err)
{
	CLEANUP(strings_freep) char **strings = NULL;
	struct json_object *array = NULL;
	size_t count;
	int rc;

	rc = json_get_array(object, name, &array, err);
	if (rc || !array)
		return rc;
	count = json_object_array_length(array);
	if (count > max)
		return error_set(err, EFBIG, "'%s' has more than %zu entries", name, max);
	strings = calloc(count + 1, sizeof *strings);
	if (!strings)
		return error_set(err, ENOMEM, "'%s': out of memory", name);
	for (size_t i = 0; i < count; i++) {
		rc = copy_string(json_object_array_get_idx(array, i), name, &strings[i], err);
		if (rc)
			return rc;
	}
	*ret = TAKE(strings);
	return 0;
}

int strings_copy(char ***ret, char **from, struct error *err)
{
	CLEANUP(strings_freep) char **copy = NULL;
	size_t count = 0;

	if (!from)
		return 0;
	while (from[count])
		count++;
	copy = calloc(count + 1, sizeof *copy);
	for (size_t i = 0; copy && i < count; i++) {
		copy[i] = strdup(from[i]);
		if (!copy[i])
			return error_set(err, ENOMEM, "out of memory");
	}
	if (!copy)
		return error_set(err, ENOMEM, "out of memory");
	*ret = TAKE(copy);
	return 0;
}

void strings_free(char **strings)
{
	for (char **p = strings; p && *p; p++)
		free(*p);
	free(strings);
}
