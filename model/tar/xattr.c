/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes of an entry, and libarchive's spelling of them.
 *
 * The list is kept sorted, so that a header full of attributes costs n log n
 * comparisons, and two lists merge in one walk.  A name and its value share
 * one allocation; the name owns it.
 */
#include "model/tar/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/base64.h"
#include "model/cleanup.h"
#include "model/error.h"

/* Where the name is, or would be; *ret_found says which. */
static size_t position(const struct xattr_list *list, const char *name, bool *ret_found)
{
	size_t low = 0, high = list->count;

	*ret_found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(list->items[middle].name, name);

		if (order == 0)
			*ret_found = true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int grow(struct xattr_list *list, struct error *err)
{
	size_t capacity = list->capacity ? list->capacity * 2 : 4;
	struct tar_xattr *items;

	if (list->count == TAR_XATTRS_MAX)
		return error_set(
			err, EFBIG, "more than %d extended attributes", (int)TAR_XATTRS_MAX);
	if (list->count < list->capacity)
		return 0;
	items = reallocarray(list->items, capacity, sizeof *items);
	if (!items)
		return error_set(err, ENOMEM, "out of memory");
	list->items = items;
	list->capacity = capacity;
	return 0;
}

int xattr_put(struct xattr_list *list, const char *name, size_t name_len, const char *value,
	size_t value_len, struct error *err)
{
	CLEANUP(freep) char *both = NULL;
	struct tar_xattr *item;
	bool is_known;
	size_t at;
	int rc;

	if (name_len == 0 || memchr(name, '\0', name_len))
		return error_set(err, EIO, "an extended attribute without a proper name");
	both = malloc(name_len + 1 + value_len);
	if (!both)
		return error_set(err, ENOMEM, "out of memory");
	memcpy(both, name, name_len);
	both[name_len] = '\0';
	if (value_len)
		memcpy(both + name_len + 1, value, value_len);

	at = position(list, both, &is_known);
	if (is_known) {
		free((char *)list->items[at].name);
	} else {
		rc = grow(list, err);
		if (rc)
			return rc;
		memmove(list->items + at + 1, list->items + at,
			(list->count - at) * sizeof *list->items);
		list->count++;
	}
	item = &list->items[at];
	item->value = both + name_len + 1;
	item->value_len = value_len;
	item->name = TAKE(both);
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A % that starts no pair of digits stands for itself, as in libarchive. */
static size_t percent_decode(char *to, const char *text, size_t len)
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		int high = len - i > 2 ? hex_digit(text[i + 1]) : -1;
		int low = len - i > 2 ? hex_digit(text[i + 2]) : -1;

		if (text[i] == '%' && high >= 0 && low >= 0) {
			to[used++] = (char)(high << 4 | low);
			i += 2;
		} else {
			to[used++] = text[i];
		}
	}
	return used;
}

int xattr_put_encoded(struct xattr_list *list, const char *name, size_t name_len, const char *value,
	size_t value_len, struct error *err)
{
	CLEANUP(freep) char *plain_name = malloc(name_len + 1);
	CLEANUP(freep) char *plain_value = malloc(value_len + 2);

	if (!plain_name || !plain_value)
		return error_set(err, ENOMEM, "out of memory");
	name_len = percent_decode(plain_name, name, name_len);
	/* libarchive leaves the padding out. */
	if (!base64_decode_to(plain_value, &value_len, value, value_len, BASE64_STANDARD))
		return error_set(err, EIO, "an extended attribute that is no base64");
	return xattr_put(list, plain_name, name_len, plain_value, value_len, err);
}

size_t xattr_bytes(const struct xattr_list *list)
{
	size_t bytes = 0;

	for (size_t i = 0; i < list->count; i++)
		bytes += strlen(list->items[i].name) + list->items[i].value_len;
	return bytes;
}

size_t xattr_merge(
	struct tar_xattr *merged, const struct xattr_list *over, const struct xattr_list *under)
{
	size_t o = 0, u = 0, count = 0;

	while (o < over->count && u < under->count) {
		int order = strcmp(over->items[o].name, under->items[u].name);

		merged[count++] = order <= 0 ? over->items[o] : under->items[u];
		o += order <= 0;
		u += order >= 0;
	}
	while (o < over->count)
		merged[count++] = over->items[o++];
	while (u < under->count)
		merged[count++] = under->items[u++];
	return count;
}

void xattr_release(struct xattr_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free((char *)list->items[i].name);
	free(list->items);
	*list = (struct xattr_list){ 0 };
}
