/* SPDX-License-Identifier: Apache-2.0 */
/* internal -- index.json as the layout reads it, and what is found from it.  Nobody outside
 * fetch/layout includes this. */
#ifndef FETCH_LAYOUT_INTERNAL_H
#define FETCH_LAYOUT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "fetch/source.h"
#include "model/cleanup.h"
#include "model/descriptor.h"
#include "model/error.h"

struct observer;

/* index.json names every tag of a layout: more than an index in a registry does. */
enum {
	LAYOUT_INDEX_MAX = 8 << 20, /* bytes */
	LAYOUT_ENTRIES_MAX = 20000, /* as many as the JSON parser takes, with annotations */
};

/* One entry of index.json and the name it goes by. */
struct layout_entry {
	struct descriptor descriptor; /* media type, digest and size */
	char *repository; /* "" in a layout of plain names, and for entries without a name */
	char *tag;        /* NULL: without a name */
	bool is_lost;     /* an earlier entry has the name, and another digest */
};

/* Shared by the layout and those who look for referrers: entries do not change. */
struct layout_index {
	struct layout_entry *entries; /* in the order of the document */
	size_t count;
	bool has_full_names;
	_Atomic unsigned users;
	/* Set once, under the layout's lock; NULL until somebody asked. */
	struct layout_referrers *referrers;
};

/* With plain_only all names are taken as plain ones.  Entries that cannot be read are left
 * out, with a warning; a document that is no index is -EIO. */
int layout_index_parse(struct layout_index **ret, const char *bytes, size_t len, bool plain_only,
	struct observer *observer, struct error *err);
struct layout_index *layout_index_ref(struct layout_index *idx);
void layout_index_unref(struct layout_index *idx); /* NULL is fine */
CLEANUP_POINTER(layout_indexp, struct layout_index, layout_index_unref)

/* All manifests that have a subject, and their subjects. */
struct layout_referrers {
	struct layout_referrer *items; /* by subject */
	size_t count;
	const char *ceiling; /* that kept some from being found, or NULL */
};

/* Reads all that the index leads to, through source's manifest(). */
int layout_referrers_find(struct layout_referrers **ret, struct source *source,
	const struct layout_index *idx, struct cancel *cancel, struct error *err);
/* Those of one subject, as source_ops.referrers gives them. */
int layout_referrers_of(const struct layout_referrers *referrers, const struct digest *subject,
	struct descriptor **ret, size_t *ret_count, struct error *err);
void layout_referrers_free(struct layout_referrers *referrers); /* NULL is fine */
CLEANUP_POINTER(layout_referrersp, struct layout_referrers, layout_referrers_free)

#endif
