/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json -- strict reading on top of json-c.  Private to parsers: only .c files
 * include this, and json-c's types go no further.
 *
 * json-c alone accepts single quotes, NaN, raw control characters, duplicate
 * keys and silently saturated numbers.  json_parse() takes RFC 8259 and nothing
 * else, whole and once, at most JSON_DEPTH_MAX deep, no duplicate keys; the
 * text is an object or an array.
 */
#ifndef MODEL_JSON_H
#define MODEL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct json_object;

/* *ret is owned: json_object_put().  -EIO for malformed text, -EFBIG for one with so
 * many containers or values that its tree would take hundreds of MiB. */
int json_parse(struct json_object **ret, const char *bytes, size_t len, struct error *err);
void json_putp(struct json_object **object); /* for CLEANUP */

/* Members by name.  Absent and null are the same: 0 and *ret untouched
 * (callers preset it); of another type: -EIO, naming the member. */
int json_get_object(
	struct json_object *object, const char *name, struct json_object **ret, struct error *err);
int json_get_array(
	struct json_object *object, const char *name, struct json_object **ret, struct error *err);
/* *ret is a fresh copy, owned by the caller; NUL inside the string is -EIO. */
int json_get_string(struct json_object *object, const char *name, char **ret, struct error *err);
/* An integer from 0 to INT64_MAX, written as one (no fraction, no exponent). */
int json_get_size(struct json_object *object, const char *name, uint64_t *ret, struct error *err);
int json_get_bool(struct json_object *object, const char *name, bool *ret, struct error *err);
/* An array of strings as a NULL-terminated list; at most max of them. */
int json_get_strings(
	struct json_object *object, const char *name, char ***ret, size_t max, struct error *err);
void strings_free(char **strings);

/* Does Go take the text for that name?  It matches them without regard to case. */
bool json_name_folds(const char *text, const char *name);
/* -EIO when a member, not null, is spelt otherwise and Go takes it for that name: it would mean
 * something to Go tools and nothing here. */
int json_check_spelling(struct json_object *object, const char *name, struct error *err);

/*
 * The members of an object as the texts they are, as Go's maps of json.RawMessage keep them:
 * numbers, escapes and order inside a value stay what they were.  Values are borrowed, from
 * the text or from whoever set them.  A zeroed struct is empty and releasable.
 */
struct json_member {
	char *name; /* decoded */
	const char *value;
	size_t len;
};

struct json_members {
	struct json_member *items;
	size_t count;
};

/* As strict as json_parse(), but for names that stand twice: each is a member. */
int json_members_parse(struct json_members *ret, const char *bytes, size_t len, struct error *err);
const struct json_member *json_members_find(
	const struct json_members *members, const char *name); /* the first one, or NULL */
/* -EIO: a name stands twice. */
int json_members_check_unique(const struct json_members *members, struct error *err);
/* A string, decoded, as json_get_string().  For secrets: that is the only copy made, unless escapes
 * are in it, which json-c decodes. */
int json_members_string(
	const struct json_members *members, const char *name, char **ret, struct error *err);
/* The members of one that is an object; absent and null have none. */
int json_members_object(const struct json_members *members, const char *name,
	struct json_members *ret, struct error *err);
void json_members_remove(struct json_members *members, const char *name);
/* In place of the member of that name, if there is one. */
int json_members_set(struct json_members *members, const char *name, const char *value, size_t len,
	struct error *err);
void json_members_release(struct json_members *members);

#endif
