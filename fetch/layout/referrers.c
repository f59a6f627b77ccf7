/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layout has no list of referrers: every manifest that index.json leads to
 * is looked at for its subject.  What clients wrote for registries without the
 * API, an index by the name of the fallback tag, is taken at its word.
 *
 * Works through the source's own operations.  What cannot be read or is
 * malformed refers to nothing, and hides none of the others.
 */
#include "fetch/layout/internal.h"

#include <errno.h>
#include <string.h>

#include "fetch/referrers.h"
#include "model/cleanup.h"
#include "model/image.h"

enum { VISITS_MAX = 100000 }; /* documents looked at: an index may be named many times */

struct scan {
	struct source *source;
	const char *repository;
	const struct digest *subject;
	struct cancel *cancel;
	struct referrer_list found;
	unsigned visits;
};

static int take_manifest(struct scan *scan, const struct descriptor *self, enum document_kind kind,
	const struct buf *body, struct error *err)
{
	CLEANUP(image_release) struct image image = { 0 };
	struct descriptor referrer = *self;

	if (image_parse(&image, kind, body->data, body->len, NULL) || !image.has_subject ||
		!digest_equal(&image.subject.digest, scan->subject))
		return 0;
	referrer.artifact_type =
		image.artifact_type ? image.artifact_type : image.config.media_type;
	referrer.annotations = image.annotations; /* only copied from */
	return referrer_list_add(&scan->found, &referrer, err);
}

static int visit(struct scan *scan, const struct descriptor *entry, unsigned depth,
	bool holds_referrers, struct error *err);

/* Depth is bounded by INDEX_DEPTH_MAX. */
static int take_index(struct scan *scan, const struct descriptor *self, enum document_kind kind,
	const struct buf *body, unsigned depth, bool holds_referrers, struct error *err)
{
	CLEANUP(image_index_release) struct image_index idx = { 0 };
	struct descriptor referrer = *self;
	int rc = 0;

	if (image_index_parse(&idx, kind, body->data, body->len, NULL))
		return 0;
	if (idx.has_subject && digest_equal(&idx.subject.digest, scan->subject)) {
		referrer.artifact_type = idx.artifact_type;
		referrer.annotations = idx.annotations; /* only copied from */
		rc = referrer_list_add(&scan->found, &referrer, err);
	}
	for (size_t i = 0; !rc && i < idx.entry_count; i++) {
		if (holds_referrers)
			rc = referrer_list_add(&scan->found, &idx.entries[i], err);
		if (!rc && depth + 1 < INDEX_DEPTH_MAX)
			rc = visit(scan, &idx.entries[i], depth + 1, false, err);
	}
	return rc;
}

static int visit(struct scan *scan, const struct descriptor *entry, unsigned depth,
	bool holds_referrers, struct error *err)
{
	CLEANUP(buf_release) struct buf body = { .max = DOCUMENT_MAX };
	struct source *source = scan->source;
	struct descriptor self = { .digest = entry->digest };
	enum document_kind kind;
	int rc;

	if (++scan->visits > VISITS_MAX)
		return error_set(err, EFBIG, "more than %d manifests to look at", VISITS_MAX);
	rc = source->ops->manifest(
		source, scan->repository, &entry->digest, &body, NULL, scan->cancel, err);
	if (rc == -EINTR || rc == -ENOMEM)
		return rc;
	if (rc || !body.len || document_kind(&kind, entry->media_type, body.data, body.len, NULL))
		return 0;
	self.media_type = (char *)document_media_type(kind); /* only copied from */
	self.size = body.len;
	if (kind == DOCUMENT_OCI_INDEX || kind == DOCUMENT_DOCKER_LIST)
		return take_index(scan, &self, kind, &body, depth, holds_referrers, err);
	return kind == DOCUMENT_UNKNOWN ? 0 : take_manifest(scan, &self, kind, &body, err);
}

static int visit_tagged(struct scan *scan, const char *repository, struct error *err)
{
	CLEANUP(name_list_release) struct name_list tags = { NULL, 0 };
	struct source *source = scan->source;
	char fallback[REFERRERS_TAG_MAX];
	int rc = source->ops->tags(source, repository, &tags, scan->cancel, err);

	(void)referrers_tag(scan->subject, fallback);
	for (size_t i = 0; !rc && i < tags.count; i++) {
		CLEANUP(descriptor_release) struct descriptor entry = { 0 };

		rc = source->ops->resolve(
			source, repository, tags.names[i], &entry, scan->cancel, err);
		if (!rc)
			rc = visit(scan, &entry, 0, !strcmp(tags.names[i], fallback), err);
		else if (rc == -ENOENT)
			rc = 0; /* gone in the meantime */
	}
	return rc;
}

static int visit_untagged(struct scan *scan, const char *repository, struct error *err)
{
	CLEANUP(name_list_release) struct name_list untagged = { NULL, 0 };
	struct source *source = scan->source;
	int rc = source->ops->untagged(source, repository, &untagged, scan->cancel, err);

	for (size_t i = 0; !rc && i < untagged.count; i++) {
		struct descriptor entry = { .size = DESCRIPTOR_SIZE_UNKNOWN };

		rc = digest_parse(&entry.digest, untagged.names[i], err);
		if (!rc)
			rc = visit(scan, &entry, 0, false, err);
	}
	return rc;
}

int layout_referrers(struct source *source, const char *repository, const struct digest *subject,
	struct descriptor **ret, size_t *ret_count, struct cancel *cancel, struct error *err)
{
	CLEANUP(name_list_release) struct name_list repositories = { NULL, 0 };
	struct scan scan = { source, repository, subject, cancel, { NULL, 0 }, 0 };
	int rc = source->ops->repositories(source, &repositories, cancel, err);

	/* Blobs are common to all, and a manifest without a name is in none of them. */
	for (size_t i = 0; !rc && i < repositories.count; i++) {
		rc = visit_tagged(&scan, repositories.names[i], err);
		if (!rc)
			rc = visit_untagged(&scan, repositories.names[i], err);
	}
	if (!rc)
		referrer_list_give(&scan.found, subject, ret, ret_count);
	referrer_list_release(&scan.found);
	return rc;
}
