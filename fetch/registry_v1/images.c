/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image from its id: the ancestry, then the JSON of each.  Both say who is
 * whose parent, and must say the same.
 *
 *	GET images/ID/ancestry   ["ID","PARENT",...]     newest first
 *	GET images/ID/json       {"id":"ID","parent":"PARENT",...}
 *
 * An id names the same image for ever, so what was made up for it is kept, by repository:
 * what one may read, the other need not.
 */
#include "fetch/registry_v1/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "model/cleanup.h"
#include "model/json.h"

enum { SUBJECT_SIZE = REPOSITORY_MAX + V1_ID_LEN + 32 };

/* ---- fetching --------------------------------------------------------------------------- */

/* images/ID/WHAT of the repository. */
static int get_part(struct registry_v1 *v1, const char *repository, const char *id,
	const char *what, struct buf *body, struct cancel *cancel, struct error *err)
{
	char path[V1_ID_LEN + 16], subject[SUBJECT_SIZE];
	const struct v1_call call = {
		.repository = repository, .of_image = path, .subject = subject
	};
	int rc;

	(void)snprintf(path, sizeof path, "%s/%s", id, what);
	(void)snprintf(subject, sizeof subject, "%s of image '%.12s'", what, id);
	rc = v1_get(v1, &call, body, cancel, err);
	return rc == -ENOENT ? -EIO : rc; /* the tag is there, so this should be */
}

static int take_ids(struct name_list *ret, struct json_object *array, struct error *err)
{
	size_t count = json_object_array_length(array);

	if (count > IMAGE_LAYERS_MAX)
		return error_set(err, EFBIG, "more than %d layers", IMAGE_LAYERS_MAX);
	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(array, i);
		const char *id = json_object_is_type(item, json_type_string)
					 ? json_object_get_string(item)
					 : "";
		int rc = v1_id_is_valid(id) ? name_list_add(ret, id, err)
					    : error_set(err, EIO, "entry %zu is no image id", i);

		if (rc)
			return rc;
	}
	return 0;
}

static int check_loop(const struct name_list *ids, struct error *err)
{
	struct name_list sorted = { NULL, 0 };
	int rc = 0;

	for (size_t i = 0; !rc && i < ids->count; i++)
		rc = name_list_add(&sorted, ids->names[i], err);
	name_list_sort(&sorted);
	if (!rc && sorted.count != ids->count)
		rc = error_set(err, EIO, "an image is its own ancestor");
	name_list_release(&sorted);
	return rc;
}

/* Newest first, not sorted. */
int v1_parse_ancestry(
	struct name_list *ret, const struct buf *body, const char *id, struct error *err)
{
	CLEANUP(json_putp) struct json_object *document = NULL;
	int rc = json_parse(&document, body->data ? body->data : "", body->len, err);

	if (!rc && !json_object_is_type(document, json_type_array))
		rc = error_set(err, EIO, "no list");
	if (!rc)
		rc = take_ids(ret, document, err);
	if (!rc && (!ret->count || strcmp(ret->names[0], id) != 0))
		rc = error_set(err, EIO, "does not begin with the image");
	return rc ? rc : check_loop(ret, err);
}

static int get_ancestry(struct registry_v1 *v1, const char *repository, const char *id,
	struct name_list *ret, struct cancel *cancel, struct error *err)
{
	CLEANUP(buf_release) struct buf body = { .max = V1_ANCESTRY_MAX };
	struct name_list list = { NULL, 0 };
	int rc = get_part(v1, repository, id, "ancestry", &body, cancel, err);

	if (rc)
		return rc;
	rc = v1_parse_ancestry(&list, &body, id, err);
	if (rc) {
		name_list_release(&list);
		return error_prefix(
			err, rc, "%s: ancestry of image '%.12s'", v1->registry.name, id);
	}
	*ret = list;
	return 0;
}

/* parent is what the ancestry says, NULL for the base. */
static int check_json(const struct buf *body, const char *id, const char *parent, struct error *err)
{
	CLEANUP(json_putp) struct json_object *document = NULL;
	CLEANUP(freep) char *own_id = NULL;
	CLEANUP(freep) char *own_parent = NULL;
	int rc = json_parse(&document, body->data ? body->data : "", body->len, err);

	if (!rc && !json_object_is_type(document, json_type_object))
		rc = error_set(err, EIO, "no object");
	if (!rc)
		rc = json_get_string(document, "id", &own_id, err);
	if (!rc)
		rc = json_get_string(document, "parent", &own_parent, err);
	if (rc)
		return rc;
	if (!own_id || strcmp(own_id, id) != 0)
		return error_set(err, EIO, "is that of another image");
	if (strcmp(own_parent ? own_parent : "", parent ? parent : "") != 0)
		return error_set(err, EIO, "contradicts the ancestry about its parent");
	return 0;
}

static int get_entry(struct registry_v1 *v1, const char *repository, const char *id,
	const char *parent, size_t room, struct v1_entry *ret, struct cancel *cancel,
	struct error *err)
{
	CLEANUP(buf_release) struct buf body = { .max = room };
	int rc = get_part(v1, repository, id, "json", &body, cancel, err);

	if (rc)
		return rc;
	rc = check_json(&body, id, parent, err);
	if (rc)
		return error_prefix(err, rc, "%s: json of image '%.12s'", v1->registry.name, id);
	ret->id = strdup(id);
	ret->json = buf_take(&body, &ret->json_len);
	return ret->id && ret->json ? 0 : error_set(err, ENOMEM, "out of memory");
}

/* Base first.  All of them together become one document, so that is how large they may be. */
static int get_entries(struct registry_v1 *v1, const char *repository,
	const struct name_list *ancestry, struct v1_entry *ret, struct cancel *cancel,
	struct error *err)
{
	size_t room = DOCUMENT_MAX;

	for (size_t i = 0; i < ancestry->count; i++) {
		const char *parent = i + 1 < ancestry->count ? ancestry->names[i + 1] : NULL;
		struct v1_entry *entry = &ret[ancestry->count - 1 - i];
		int rc = get_entry(
			v1, repository, ancestry->names[i], parent, room, entry, cancel, err);

		if (rc)
			return rc;
		room -= entry->json_len;
	}
	return 0;
}

static int write_document(struct registry_v1 *v1, const char *repository,
	const struct name_list *ancestry, struct buf *ret, struct cancel *cancel, struct error *err)
{
	struct v1_entry *entries;
	int rc;

	assert(ancestry->count); /* the image itself, at least */
	entries = calloc(ancestry->count, sizeof *entries);
	if (!entries)
		return error_set(err, ENOMEM, "out of memory");
	rc = get_entries(v1, repository, ancestry, entries, cancel, err);
	if (!rc)
		rc = v1_document_write(entries, ancestry->count, ret, err);
	v1_entries_free(entries, ancestry->count);
	return rc;
}

static int make_document(struct registry_v1 *v1, const char *repository, const char *id,
	struct buf *ret, struct cancel *cancel, struct error *err)
{
	struct name_list ancestry = { NULL, 0 };
	int rc = get_ancestry(v1, repository, id, &ancestry, cancel, err);

	if (!rc)
		rc = write_document(v1, repository, &ancestry, ret, cancel, err);
	name_list_release(&ancestry);
	return rc;
}

/* ---- remembering ------------------------------------------------------------------------ */

static void document_free(struct v1_document *document)
{
	free(document->repository);
	free(document->bytes);
	free(document);
}

void v1_documents_free(struct registry_v1 *v1)
{
	for (struct v1_document *document = v1->documents, *next; document; document = next) {
		next = document->next;
		document_free(document);
	}
}

/* Under lock: the oldest go. */
static void keep_bounds(struct registry_v1 *v1)
{
	size_t bytes = 0;

	for (struct v1_document **at = &v1->documents; *at;) {
		struct v1_document *document = *at;

		bytes += document->len;
		if (bytes <= V1_DOCUMENTS_MAX) {
			at = &document->next;
			continue;
		}
		*at = document->next;
		document_free(document);
	}
}

static struct v1_document *document_new(
	const char *repository, const char *id, struct buf *bytes, struct error *err)
{
	struct v1_document *document = calloc(1, sizeof *document);

	if (document) {
		document->repository = strdup(repository);
		document->bytes = buf_take(bytes, &document->len);
		memcpy(document->id, id, sizeof document->id);
	}
	if (!document || !document->repository || !document->bytes)
		(void)error_set(err, ENOMEM, "out of memory");
	else if (!digest_of(&document->digest, DIGEST_SHA256, document->bytes, document->len, err))
		return document;
	if (document)
		document_free(document);
	return NULL;
}

static int describe(
	struct descriptor *ret, const struct digest *digest, size_t len, struct error *err)
{
	char *type = strdup(document_media_type(DOCUMENT_V1));

	if (!type)
		return error_set(err, ENOMEM, "out of memory");
	*ret = (struct descriptor){ .media_type = type, .digest = *digest, .size = len };
	return 0;
}

static int remember(struct registry_v1 *v1, const char *repository, const char *id,
	struct buf *bytes, struct descriptor *ret, struct error *err)
{
	struct v1_document *document = document_new(repository, id, bytes, err);
	int rc;

	if (!document)
		return -ENOMEM;
	rc = describe(ret, &document->digest, document->len, err);
	if (rc) {
		document_free(document);
		return rc;
	}
	(void)pthread_mutex_lock(&v1->lock);
	document->next = v1->documents;
	v1->documents = document;
	keep_bounds(v1);
	(void)pthread_mutex_unlock(&v1->lock);
	return 0;
}

/* Under lock. */
static const struct v1_document *recall(
	struct registry_v1 *v1, const char *repository, const char *id, const struct digest *digest)
{
	for (const struct v1_document *document = v1->documents; document;
		document = document->next)
		if (!strcmp(document->repository, repository) &&
			(id ? !strcmp(document->id, id) : digest_equal(&document->digest, digest)))
			return document;
	return NULL;
}

/* *ret_is_known: what was made up before serves again. */
static int describe_known(struct registry_v1 *v1, const char *repository, const char *id,
	struct descriptor *ret, bool *ret_is_known, struct error *err)
{
	const struct v1_document *document;
	int rc = 0;

	(void)pthread_mutex_lock(&v1->lock);
	document = recall(v1, repository, id, NULL);
	*ret_is_known = document;
	if (document)
		rc = describe(ret, &document->digest, document->len, err);
	(void)pthread_mutex_unlock(&v1->lock);
	return rc;
}

/* ---- operations ------------------------------------------------------------------------- */

int v1_resolve(struct source *source, const char *repository, const char *tag,
	struct descriptor *ret, struct cancel *cancel, struct error *err)
{
	struct registry_v1 *v1 = registry_v1_of(source);
	CLEANUP(buf_release) struct buf bytes = { .max = DOCUMENT_MAX };
	char id[V1_ID_LEN + 1];
	bool is_known;
	int rc;

	if (!repository_is_valid(repository) || !tag_is_valid(tag))
		return error_set(err, ENOENT, "not a repository and tag");
	rc = v1_tag_id(v1, repository, tag, id, cancel, err);
	if (rc)
		return rc;
	rc = describe_known(v1, repository, id, ret, &is_known, err);
	if (rc || is_known)
		return rc;
	rc = make_document(v1, repository, id, &bytes, cancel, err);
	return rc ? rc : remember(v1, repository, id, &bytes, ret, err);
}

int v1_manifest(struct source *source, const char *repository, const struct digest *digest,
	struct buf *body, char **ret_type, struct cancel *cancel, struct error *err)
{
	struct registry_v1 *v1 = registry_v1_of(source);
	const struct v1_document *document;
	CLEANUP(freep) char *type = strdup(document_media_type(DOCUMENT_V1));
	char text[DIGEST_TEXT_MAX];
	int rc = 0;

	(void)cancel; /* nothing is waited for */
	if (!type)
		return error_set(err, ENOMEM, "out of memory");
	(void)pthread_mutex_lock(&v1->lock);
	document = recall(v1, repository, NULL, digest);
	if (!document)
		rc = error_set(err, ENOENT, "%s: '%s': '%s' was not made up since the mount",
			v1->registry.name, repository, digest_format(digest, text));
	else if (buf_append(body, document->bytes, document->len))
		rc = error_set(
			err, -buf_status(body), "a manifest of more than %zu bytes", body->max);
	(void)pthread_mutex_unlock(&v1->lock);
	if (!rc && ret_type)
		*ret_type = TAKE(type);
	return rc;
}
