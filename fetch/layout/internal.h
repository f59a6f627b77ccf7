/* SPDX-License-Identifier: Apache-2.0 */
/* internal -- index.json as the layout reads it.  Nobody outside fetch/layout includes this. */
#ifndef FETCH_LAYOUT_INTERNAL_H
#define FETCH_LAYOUT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "fetch/source.h"
#include "model/descriptor.h"
#include "model/error.h"

struct observer;

/* One entry of index.json and the name it goes by. */
struct layout_entry {
	struct descriptor descriptor; /* media type, digest and size */
	char *repository; /* "" in a layout of plain names, and for entries without a name */
	char *tag;        /* NULL: without a name */
	bool is_lost;     /* an earlier entry has the name, and another digest */
};

struct layout_index {
	struct layout_entry *entries; /* in the order of the document */
	size_t count;
	bool has_full_names;
};

/* With plain_only all names are taken as plain ones.  Entries that cannot be read are left
 * out, with a warning; a document that is no index is -EIO. */
int layout_index_parse(struct layout_index **ret, const char *bytes, size_t len, bool plain_only,
	struct observer *observer, struct error *err);
void layout_index_free(struct layout_index *idx);

/* referrers.c: source_ops.referrers, for any source that lists what it has. */
int layout_referrers(struct source *source, const char *repository, const struct digest *subject,
	struct descriptor **ret, size_t *ret_count, struct cancel *cancel, struct error *err);

#endif
