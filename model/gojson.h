/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gojson -- prints what Go's encoding/json prints: docker and skopeo name
 * images by digests over its output, so ours must be the same to the byte.
 * Private to the writers of model/.
 *
 * A Go struct is a table of fields, in their declared order.  Strings are
 * json_write_string()'s (image.h).  A failed append sticks to the buffer, and
 * whoever made that looks at its end; only what the text itself does wrong (-EIO) is
 * returned at once.
 */
#ifndef MODEL_GOJSON_H
#define MODEL_GOJSON_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct error;
struct json_members;
struct json_object;

enum go_type {
	GO_STRING,
	GO_BOOL,
	GO_INT,
	GO_INT_POINTER,
	GO_TIME,
	GO_STRINGS, /* []string; a lone string is a list of one, as Docker's StrSlice has it */
	GO_SET,     /* map[string]struct{} */
	GO_MAP,     /* map[string]string */
	GO_STRUCT,
	GO_STRUCT_POINTER,
};

struct go_field {
	const char *name;
	enum go_type type;
	bool omits_empty;
	const struct go_field *fields; /* of a struct; ends at a NULL name */
};

/* The object, read into the struct and printed again: members it does not name are gone, those it
 * has and the object has not are there as zeroes. */
int go_write_struct(struct buf *ret, const struct go_field *fields, struct json_object *object,
	struct error *err);
/* ,"name":"value"; nothing for "", as omitempty has it. */
void go_write_optional(struct buf *ret, const char *name, const char *value);
/* A map[string]*json.RawMessage: names sorted, blanks dropped, the rest as it stands. */
int go_write_members(struct buf *ret, const struct json_members *members, struct error *err);
/* A time.Time of RFC 3339 text as a JSON string; NULL and "" are the year 1. */
int go_write_time(struct buf *ret, const char *text, struct error *err);

#endif
