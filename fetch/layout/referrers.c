/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layout has no list of referrers: every manifest that index.json leads to
 * is looked at for its subject, and what is found answers all questions.  What
 * clients wrote for registries without the API, an index by the name of the
 * fallback tag, is taken at its word.
 *
 * Documents wait in a queue, those of index.json first, so that each is met at
 * its least depth, and read once: a tree has those that were ever in the queue.
 * What cannot be read or is malformed refers to nothing, and hides none of the
 * others.
 */
#include <errno.h>
#include <search.h>
#include <stdlib.h>

#include "fetch/cancel.h"
#include "fetch/layout/internal.h"
#include "fetch/referrers.h"
#include "model/cleanup.h"
#include "model/image.h"

enum {
	DOCUMENTS_MAX = 10 * INDEX_ENTRIES_MAX, /* looked at */
	READ_MAX = 256 << 20,                   /* bytes of them */
	KEPT_MAX = 250000,                      /* referrers and their annotations */
};

struct layout_referrer {
	struct digest subject; /* by a fallback tag: its referrers_tag_digest() */
	struct descriptor descriptor;
};

struct fallback {
	struct digest subject;
	struct fallback *next;
};

struct document {
	struct digest digest;
	unsigned depth;
	struct fallback *fallbacks; /* the subjects whose referrers the index has */
	struct document *next;      /* in the queue */
};

struct scan {
	struct source *source;
	struct cancel *cancel;
	struct layout_referrers *found;
	void *seen; /* tsearch(3): all documents, which it owns */
	struct document *first, *last;
	size_t document_count;
	size_t kept;
	size_t left; /* bytes to read */
	bool is_spent;
};

/* --- the queue --- */

static int by_digest(const void *a, const void *b)
{
	const struct document *x = a, *y = b;

	return digest_compare(&x->digest, &y->digest);
}

static void document_free(void *p)
{
	struct document *document = p;

	while (document->fallbacks) {
		struct fallback *fallback = document->fallbacks;

		document->fallbacks = fallback->next;
		free(fallback);
	}
	free(document);
}

static int new_document(
	struct scan *scan, const struct document *like, struct document **ret, struct error *err)
{
	struct document *document = malloc(sizeof *document);

	if (document)
		*document = *like;
	if (!document || !tsearch(document, &scan->seen, by_digest)) {
		free(document);
		return error_set(err, ENOMEM, "out of memory");
	}
	if (scan->last)
		scan->last->next = document;
	else
		scan->first = document;
	scan->last = document;
	scan->document_count++;
	*ret = document;
	return 0;
}

/* Puts it into the queue if it never was there.  *ret is NULL when there is no room. */
static int want(struct scan *scan, const struct digest *digest, unsigned depth,
	struct document **ret, struct error *err)
{
	struct document like = { .digest = *digest, .depth = depth };
	struct document *const *seen = tfind(&like, &scan->seen, by_digest);

	*ret = NULL;
	if (seen) {
		*ret = *seen;
		return 0;
	}
	if (scan->document_count == DOCUMENTS_MAX) {
		scan->found->ceiling = "too many manifests to look at";
		return 0;
	}
	return new_document(scan, &like, ret, err);
}

static int add_fallback(struct document *document, const struct digest *subject, struct error *err)
{
	struct fallback *fallback = malloc(sizeof *fallback);

	if (!fallback)
		return error_set(err, ENOMEM, "out of memory");
	*fallback = (struct fallback){ *subject, document->fallbacks };
	document->fallbacks = fallback;
	return 0;
}

static int want_entries(struct scan *scan, const struct layout_index *idx, struct error *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < idx->count; i++) {
		const struct layout_entry *entry = &idx->entries[i];
		struct document *document;
		struct digest subject;

		rc = want(scan, &entry->descriptor.digest, 0, &document, err);
		if (!rc && document && entry->tag && !entry->is_lost &&
			referrers_tag_parse(&subject, entry->tag))
			rc = add_fallback(document, &subject, err);
	}
	return rc;
}

/* --- what is found --- */

static bool spend(struct scan *scan, size_t bytes)
{
	if (bytes > scan->left) {
		scan->found->ceiling = "too many bytes of manifests";
		scan->is_spent = true;
		return false;
	}
	scan->left -= bytes;
	return true;
}

static int keep(struct scan *scan, const struct digest *subject, const struct descriptor *from,
	struct error *err)
{
	/* Only copied from; the rest of what an index says of a referrer is of no use. */
	const struct descriptor referrer = { .media_type = from->media_type,
		.digest = from->digest,
		.size = from->size,
		.artifact_type = from->artifact_type,
		.annotations = from->annotations };
	struct layout_referrers *found = scan->found;
	struct layout_referrer *items = found->items;
	size_t n = found->count;
	int rc;

	if (1 + from->annotations.count > KEPT_MAX - scan->kept) {
		found->ceiling = "too many referrers";
		return 0;
	}
	if ((n & (n - 1)) == 0) { /* full at powers of two */
		items = realloc(items, (n ? 2 * n : 1) * sizeof *items);
		if (!items)
			return error_set(err, ENOMEM, "out of memory");
		found->items = items;
	}
	rc = descriptor_copy(&items[n].descriptor, &referrer, err);
	if (rc)
		return rc;
	items[n].subject = *subject;
	found->count++;
	scan->kept += 1 + from->annotations.count;
	return 0;
}

/* What went wrong on our side says nothing of the document. */
static int unless_ours(int rc)
{
	return rc == -EINTR || rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE ? rc : 0;
}

static int take_manifest(struct scan *scan, const struct descriptor *self, enum document_kind kind,
	const struct buf *body, struct error *err)
{
	CLEANUP(image_release) struct image image = { 0 };
	struct descriptor referrer = *self;
	int rc = image_parse(&image, kind, body->data, body->len, err);

	if (rc)
		return unless_ours(rc);
	if (!image.has_subject)
		return 0;
	referrer.artifact_type =
		image.artifact_type ? image.artifact_type : image.config.media_type;
	referrer.annotations = image.annotations;
	return keep(scan, &image.subject.digest, &referrer, err);
}

/* Each subject costs as if the index had been read for it: an index may have many such tags. */
static int take_fallbacks(struct scan *scan, const struct document *document,
	const struct image_index *idx, size_t bytes, struct error *err)
{
	int rc = 0;

	for (const struct fallback *fallback = document->fallbacks; !rc && fallback;
		fallback = fallback->next) {
		if (fallback != document->fallbacks && !spend(scan, bytes))
			break;
		for (size_t i = 0; !rc && i < idx->entry_count; i++)
			rc = keep(scan, &fallback->subject, &idx->entries[i], err);
	}
	return rc;
}

static int take_index(struct scan *scan, const struct document *document,
	const struct descriptor *self, enum document_kind kind, const struct buf *body,
	struct error *err)
{
	CLEANUP(image_index_release) struct image_index idx = { 0 };
	struct descriptor referrer = *self;
	struct document *child;
	int rc = image_index_parse(&idx, kind, body->data, body->len, err);

	if (rc)
		return unless_ours(rc);
	if (idx.has_subject) {
		referrer.artifact_type = idx.artifact_type;
		referrer.annotations = idx.annotations;
		rc = keep(scan, &idx.subject.digest, &referrer, err);
	}
	if (!rc)
		rc = take_fallbacks(scan, document, &idx, body->len, err);
	for (size_t i = 0; !rc && document->depth + 1 < INDEX_DEPTH_MAX && i < idx.entry_count; i++)
		rc = want(scan, &idx.entries[i].digest, document->depth + 1, &child, err);
	return rc;
}

/* It is what its own bytes say: those who name it may contradict each other. */
static int look_at(struct scan *scan, const struct document *document, struct error *err)
{
	CLEANUP(buf_release) struct buf body = { .max = DOCUMENT_MAX };
	struct source *source = scan->source;
	struct descriptor self = { .digest = document->digest };
	enum document_kind kind;
	int rc;

	if (cancel_is_set(scan->cancel))
		return error_set(err, EINTR, "interrupted");
	rc = source->ops->manifest(source, "", &document->digest, &body, NULL, scan->cancel, err);
	if (!spend(scan, body.len) || rc || !body.len)
		return unless_ours(rc);
	rc = document_kind(&kind, NULL, body.data, body.len, err);
	if (rc || kind == DOCUMENT_UNKNOWN)
		return unless_ours(rc);
	self.media_type = (char *)document_media_type(kind); /* only copied from */
	self.size = body.len;
	return kind == DOCUMENT_OCI_INDEX || kind == DOCUMENT_DOCKER_LIST
		       ? take_index(scan, document, &self, kind, &body, err)
		       : take_manifest(scan, &self, kind, &body, err);
}

static int by_subject(const void *a, const void *b)
{
	const struct layout_referrer *x = a, *y = b;

	return digest_compare(&x->subject, &y->subject);
}

int layout_referrers_find(struct layout_referrers **ret, struct source *source,
	const struct layout_index *idx, struct cancel *cancel, struct error *err)
{
	CLEANUP(layout_referrersp) struct layout_referrers *found = calloc(1, sizeof *found);
	struct scan scan = { source, cancel, found, .left = READ_MAX };
	int rc;

	if (!found)
		return error_set(err, ENOMEM, "out of memory");
	rc = want_entries(&scan, idx, err);
	for (const struct document *next = scan.first; !rc && !scan.is_spent && next;
		next = next->next)
		rc = look_at(&scan, next, err);
	tdestroy(scan.seen, document_free);
	if (rc)
		return rc;
	if (found->count)
		qsort(found->items, found->count, sizeof *found->items, by_subject);
	*ret = TAKE(found);
	return 0;
}

/* --- answers --- */

/* The first that is not before the subject. */
static size_t lower_bound(const struct layout_referrers *referrers, const struct digest *subject)
{
	size_t low = 0, high = referrers->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (digest_compare(&referrers->items[middle].subject, subject) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int add_those_of(const struct layout_referrers *referrers, const struct digest *subject,
	struct referrer_list *ret, struct error *err)
{
	int rc = 0;

	for (size_t i = lower_bound(referrers, subject); !rc && i < referrers->count; i++) {
		if (!digest_equal(&referrers->items[i].subject, subject))
			break;
		rc = referrer_list_add(ret, &referrers->items[i].descriptor, err);
	}
	return rc;
}

int layout_referrers_of(const struct layout_referrers *referrers, const struct digest *subject,
	struct descriptor **ret, size_t *ret_count, struct error *err)
{
	struct digest by_tag = referrers_tag_digest(subject);
	struct referrer_list list = { NULL, 0 };
	int rc = add_those_of(referrers, subject, &list, err);

	if (!rc && !digest_equal(&by_tag, subject))
		rc = add_those_of(referrers, &by_tag, &list, err);
	if (!rc)
		referrer_list_give(&list, subject, ret, ret_count);
	referrer_list_release(&list);
	return rc;
}

void layout_referrers_free(struct layout_referrers *referrers)
{
	if (!referrers)
		return;
	for (size_t i = 0; i < referrers->count; i++)
		descriptor_release(&referrers->items[i].descriptor);
	free(referrers->items);
	free(referrers);
}
