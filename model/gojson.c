/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources: Go's encoding/json (Marshal, Compact) and time (RFC3339Nano).
 *
 * What Go prints of a zero value by its type, unless the field omits it:
 * "" false 0 null null null; a struct prints all of its fields.  omitempty never
 * leaves out a struct, and of pointers only null ones.
 */
#include "model/gojson.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "model/buf.h"
#include "model/cleanup.h"
#include "model/error.h"
#include "model/image.h"
#include "model/json.h"

#define ZERO_TIME "0001-01-01T00:00:00Z"

/* Value of the next count digits, or -1. */
static int digits(const char *text, size_t count)
{
	int value = 0;

	for (size_t i = 0; i < count; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = value * 10 + (text[i] - '0');
	}
	return value;
}

static int days_in(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return month < 1 || month > 12 ? 0 : days[month - 1] + (month == 2 && is_leap);
}

/* YYYY-MM-DDTHH:MM:SS */
static bool is_date_time(const char *text)
{
	enum { LEN = 19 };
	int year, day, hour, minute, second;

	if (strnlen(text, LEN) < LEN || text[4] != '-' || text[7] != '-' || text[10] != 'T' ||
		text[13] != ':' || text[16] != ':')
		return false;
	year = digits(text, 4);
	day = digits(text + 8, 2);
	hour = digits(text + 11, 2);
	minute = digits(text + 14, 2);
	second = digits(text + 17, 2);
	return year >= 0 && day >= 1 && day <= days_in(year, digits(text + 5, 2)) && hour >= 0 &&
	       hour < 24 && minute >= 0 && minute < 60 && second >= 0 && second < 60;
}

/* "Z" or "+HH:MM", to the end of the text. */
static bool is_zone(const char *text)
{
	int hours, minutes;

	if (!strcmp(text, "Z"))
		return true;
	if ((*text != '+' && *text != '-') || strlen(text) != 6 || text[3] != ':')
		return false;
	hours = digits(text + 1, 2);
	minutes = digits(text + 4, 2);
	return hours >= 0 && hours < 24 && minutes >= 0 && minutes < 60;
}

int go_write_time(struct buf *ret, const char *text, struct error *err)
{
	enum { DATE_TIME = 19, NANOSECONDS = 9 };
	const char *zone, *fraction;
	int fraction_len = 0;

	if (!text || !*text)
		text = ZERO_TIME;
	if (!is_date_time(text))
		return error_set(err, EIO, "'%.64s' is not a time (RFC 3339)", text);
	zone = fraction = text + DATE_TIME;
	if (*fraction == '.') {
		fraction_len = (int)strspn(fraction + 1, "0123456789");
		zone += 1 + fraction_len;
	}
	if (!is_zone(zone) || (zone > fraction && !fraction_len))
		return error_set(err, EIO, "'%.64s' is not a time (RFC 3339)", text);

	if (fraction_len > NANOSECONDS)
		fraction_len = NANOSECONDS;
	while (fraction_len && fraction[fraction_len] == '0')
		fraction_len--;
	if (!strcmp(zone + 1, "00:00"))
		zone = "Z";
	(void)buf_printf(ret, "\"%.*s%.*s%s\"", DATE_TIME, text,
		fraction_len ? fraction_len + 1 : 0, fraction, zone);
	return 0;
}

static void write_string(struct buf *ret, struct json_object *value)
{
	const char *text = value ? json_object_get_string(value) : "";

	(void)json_write_string(ret, text, value ? (size_t)json_object_get_string_len(value) : 0);
}

static int wrong_type(const char *name, struct error *err)
{
	return error_set(err, EIO, "'%s' has a value of the wrong type", name);
}

static int write_strings(
	struct buf *ret, const char *name, struct json_object *value, struct error *err)
{
	if (json_object_is_type(value, json_type_string)) {
		(void)buf_append_text(ret, "[");
		write_string(ret, value);
		(void)buf_append_text(ret, "]");
		return 0;
	}
	if (!json_object_is_type(value, json_type_array))
		return wrong_type(name, err);
	(void)buf_append_text(ret, "[");
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		struct json_object *item = json_object_array_get_idx(value, i);

		if (item && !json_object_is_type(item, json_type_string))
			return wrong_type(name, err);
		if (i)
			(void)buf_append_text(ret, ",");
		write_string(ret, item);
	}
	(void)buf_append_text(ret, "]");
	return 0;
}

struct entry {
	const char *name;
	struct json_object *value;
};

static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* The members of a map, sorted; the caller frees them. */
static struct entry *sorted_entries(struct json_object *map)
{
	size_t count = (size_t)json_object_object_length(map), n = 0;
	struct entry *entries = calloc(count ? count : 1, sizeof *entries);

	if (!entries)
		return NULL;
	json_object_object_foreach(map, name, value)
	{
		entries[n++] = (struct entry){ name, value };
	}
	qsort(entries, n, sizeof *entries, by_name);
	return entries;
}

/* A map of strings, or of empty structs. */
static int write_map(
	struct buf *ret, const struct go_field *field, struct json_object *value, struct error *err)
{
	enum json_type type = field->type == GO_MAP ? json_type_string : json_type_object;
	CLEANUP(freep) struct entry *entries = NULL;

	if (!json_object_is_type(value, json_type_object))
		return wrong_type(field->name, err);
	entries = sorted_entries(value);
	if (!entries)
		return error_set(err, ENOMEM, "'%s': out of memory", field->name);
	(void)buf_append_text(ret, "{");
	for (int i = 0; i < json_object_object_length(value); i++) {
		if (entries[i].value && !json_object_is_type(entries[i].value, type))
			return wrong_type(field->name, err);
		if (i)
			(void)buf_append_text(ret, ",");
		(void)json_write_string(ret, entries[i].name, strlen(entries[i].name));
		(void)buf_append_text(ret, ":");
		if (field->type == GO_MAP)
			write_string(ret, entries[i].value);
		else
			(void)buf_append_text(ret, "{}");
	}
	(void)buf_append_text(ret, "}");
	return 0;
}

/* json-c makes the nearest end of its range of an integer that is too large. */
static int write_int(
	struct buf *ret, const char *name, struct json_object *value, struct error *err)
{
	int64_t number = json_object_get_int64(value);

	if (!json_object_is_type(value, json_type_int) || number == INT64_MAX ||
		number == INT64_MIN)
		return wrong_type(name, err);
	(void)buf_printf(ret, "%" PRId64, number);
	return 0;
}

static int write_scalar(struct buf *ret, const struct go_field *field, struct json_object *value,
	enum json_type type, struct error *err)
{
	if (!json_object_is_type(value, type))
		return wrong_type(field->name, err);
	if (field->type == GO_TIME)
		return go_write_time(ret, json_object_get_string(value), err);
	if (field->type == GO_STRING)
		write_string(ret, value);
	else
		(void)buf_append_text(ret, json_object_get_boolean(value) ? "true" : "false");
	return 0;
}

static int write_zero(struct buf *ret, const struct go_field *field, struct error *err)
{
	switch (field->type) {
	case GO_STRING:
		(void)buf_append_text(ret, "\"\"");
		return 0;
	case GO_BOOL:
		(void)buf_append_text(ret, "false");
		return 0;
	case GO_INT:
		(void)buf_append_text(ret, "0");
		return 0;
	case GO_TIME:
		return go_write_time(ret, NULL, err);
	case GO_STRUCT:
		return go_write_struct(ret, field->fields, NULL, err);
	case GO_INT_POINTER:
	case GO_STRINGS:
	case GO_SET:
	case GO_MAP:
	case GO_STRUCT_POINTER:
		(void)buf_append_text(ret, "null");
		return 0;
	}
	return 0;
}

static int write_value(
	struct buf *ret, const struct go_field *field, struct json_object *value, struct error *err)
{
	switch (field->type) {
	case GO_STRING:
	case GO_TIME:
		return write_scalar(ret, field, value, json_type_string, err);
	case GO_BOOL:
		return write_scalar(ret, field, value, json_type_boolean, err);
	case GO_INT:
	case GO_INT_POINTER:
		return write_int(ret, field->name, value, err);
	case GO_STRINGS:
		return write_strings(ret, field->name, value, err);
	case GO_SET:
	case GO_MAP:
		return write_map(ret, field, value, err);
	case GO_STRUCT:
	case GO_STRUCT_POINTER:
		if (!json_object_is_type(value, json_type_object))
			return wrong_type(field->name, err);
		return go_write_struct(ret, field->fields, value, err);
	}
	return 0;
}

/* Does omitempty leave it out?  Null sets nothing, so it is absent. */
static bool is_empty(enum go_type type, struct json_object *value)
{
	if (type == GO_STRUCT || type == GO_TIME)
		return false;
	if (!value)
		return true;
	if (type == GO_INT_POINTER || type == GO_STRUCT_POINTER)
		return false;
	if (json_object_is_type(value, json_type_string))
		return type == GO_STRING && !json_object_get_string_len(value);
	if (json_object_is_type(value, json_type_array))
		return !json_object_array_length(value);
	if (json_object_is_type(value, json_type_object))
		return !json_object_object_length(value);
	return !json_object_get_int64(value); /* false is 0 */
}

/* Of several that Go takes for the name it keeps the last. */
static struct json_object *find_value(struct json_object *object, const char *name)
{
	struct json_object *found = NULL;

	if (!object)
		return NULL;
	json_object_object_foreach(object, spelt, value)
	{
		if (json_name_folds(spelt, name))
			found = value;
	}
	return found;
}

int go_write_struct(struct buf *ret, const struct go_field *fields, struct json_object *object,
	struct error *err)
{
	bool is_first = true;
	int rc = 0;

	(void)buf_append_text(ret, "{");
	for (const struct go_field *field = fields; field->name && !rc; field++) {
		struct json_object *value = find_value(object, field->name);

		if (field->omits_empty && is_empty(field->type, value))
			continue;
		(void)buf_printf(ret, "%s\"%s\":", is_first ? "" : ",", field->name);
		is_first = false;
		rc = value ? write_value(ret, field, value, err) : write_zero(ret, field, err);
	}
	(void)buf_append_text(ret, "}");
	return rc;
}

void go_write_optional(struct buf *ret, const char *name, const char *value)
{
	if (!*value)
		return;
	(void)buf_printf(ret, ",\"%s\":", name);
	(void)json_write_string(ret, value, strlen(value));
}

/* What Go escapes in a raw text: of its own strings the rest is escaped already. */
static const char *raw_escape(const char *p, const char *end, size_t *ret_len)
{
	static const struct {
		const char *text, *escape;
	} rows[] = {
		{ "<", "\\u003c" },
		{ ">", "\\u003e" },
		{ "&", "\\u0026" },
		{ "\xe2\x80\xa8", "\\u2028" },
		{ "\xe2\x80\xa9", "\\u2029" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		*ret_len = strlen(rows[i].text);
		if ((size_t)(end - p) >= *ret_len && !memcmp(p, rows[i].text, *ret_len))
			return rows[i].escape;
	}
	return NULL;
}

/* A well-formed value without the blanks between its tokens. */
static void write_raw(struct buf *ret, const char *value, size_t len)
{
	const char *from = value, *end = value + len, *escape;
	bool in_string = false;
	size_t step;

	for (const char *p = value; p < end; p += step) {
		step = 1;
		if (in_string && *p == '\\') {
			step = 2; /* the escaped character is none of ours */
			continue;
		}
		if (*p == '"')
			in_string = !in_string;
		if (in_string)
			escape = raw_escape(p, end, &step);
		else
			escape = strchr(" \t\r\n", *p) ? "" : NULL;
		if (!escape) {
			step = 1;
			continue;
		}
		(void)buf_append(ret, from, (size_t)(p - from));
		(void)buf_append_text(ret, escape);
		from = p + step;
	}
	(void)buf_append(ret, from, (size_t)(end - from));
}

static int by_member_name(const void *a, const void *b)
{
	const struct json_member *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

int go_write_members(struct buf *ret, const struct json_members *members, struct error *err)
{
	CLEANUP(freep) const struct json_member **sorted = NULL;

	sorted = calloc(members->count ? members->count : 1, sizeof *sorted);
	if (!sorted)
		return error_set(err, ENOMEM, "JSON: out of memory");
	for (size_t i = 0; i < members->count; i++)
		sorted[i] = &members->items[i];
	qsort(sorted, members->count, sizeof *sorted, by_member_name);

	(void)buf_append_text(ret, "{");
	for (size_t i = 0; i < members->count; i++) {
		if (i)
			(void)buf_append_text(ret, ",");
		(void)json_write_string(ret, sorted[i]->name, strlen(sorted[i]->name));
		(void)buf_append_text(ret, ":");
		write_raw(ret, sorted[i]->value, sorted[i]->len);
	}
	(void)buf_append_text(ret, "}");
	return 0;
}
