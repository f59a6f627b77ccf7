/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything is read through the bundle, which is a directory or an archive.
 *
 * What index.json says is kept parsed, under the lock, together with the
 * stat of the file it was read from; each question first compares the stat.
 * Reading and parsing happen without the lock: two threads may both do it,
 * the later result stays.  What refers to what is found from one state of
 * index.json and goes with it, as blobs do not change; there the first result
 * stays.
 */
#include "fetch/layout/layout.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "fetch/bundle/bundle.h"
#include "fetch/cancel.h"
#include "fetch/layout/internal.h"
#include "fetch/observer.h"
#include "model/cleanup.h"
#include "model/image.h"
#include "model/json.h"

enum {
	VERSION_MAX = 64 << 10,                 /* bytes of oci-layout */
	BLOB_PATH_MAX = 6 + 7 + DIGEST_HEX_MAX, /* "blobs/", "sha512/", hex, NUL */
};

struct layout_source {
	struct source base;
	struct bundle *bundle;
	struct observer *observer;
	pthread_mutex_t lock;
	struct layout_index *idx; /* under lock */
	struct stat idx_stat;     /* under lock; of the file it was read from */
};

static struct layout_source *layout_source(struct source *source)
{
	assert(source->kind == SOURCE_LAYOUT);
	return container_of(source, struct layout_source, base);
}

static const char *name_of(const struct layout_source *layout)
{
	return bundle_name(layout->bundle);
}

/* blobs/ALG/HEX */
static int open_blob_file(struct layout_source *layout, const struct digest *digest,
	struct reader **ret, struct error *err)
{
	char path[BLOB_PATH_MAX], hex[DIGEST_HEX_MAX];
	int rc;

	(void)snprintf(path, sizeof path, "blobs/%s/%s", digest_algorithm_name(digest->algorithm),
		digest_hex(digest, hex));
	rc = bundle_file(layout->bundle, path, ret, err);
	return rc ? error_prefix(err, rc, "layout '%s'", name_of(layout)) : 0;
}

/* --- index.json --- */

static int check_version(struct layout_source *layout, struct error *err)
{
	CLEANUP(json_putp) struct json_object *root = NULL;
	CLEANUP(buf_release) struct buf text = { .max = VERSION_MAX };
	CLEANUP(freep) char *version = NULL;
	int rc = bundle_read(layout->bundle, "oci-layout", &text, err);

	if (!rc)
		rc = json_parse(&root, text.data ? text.data : "", text.len, err);
	if (!rc && !json_object_is_type(root, json_type_object))
		rc = error_set(err, EIO, "not an object");
	if (!rc)
		rc = json_get_string(root, "imageLayoutVersion", &version, err);
	if (!rc && !version)
		rc = error_set(err, EIO, "'oci-layout': no imageLayoutVersion");
	if (!rc && strncmp(version, "1.", 2) != 0)
		rc = error_set(err, EOPNOTSUPP, "'oci-layout': version '%s' is not 1.x", version);
	return rc ? error_prefix(err, rc, "layout '%s'", name_of(layout)) : 0;
}

static int parse_index(struct layout_source *layout, bool plain_only, struct reader *file,
	struct layout_index **ret, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { .max = LAYOUT_INDEX_MAX };
	int rc = reader_append_to(file, &text, err);

	if (!rc)
		rc = layout_index_parse(ret, text.data ? text.data : "", text.len, plain_only,
			layout->observer, err);
	return rc ? error_prefix(err, rc, "'index.json'") : 0;
}

static int read_index(struct layout_source *layout, bool plain_only, struct layout_index **ret,
	struct stat *ret_stat, struct error *err)
{
	CLEANUP(readerp) struct reader *file = NULL;
	int rc = bundle_file(layout->bundle, "index.json", &file, err);

	if (!rc)
		rc = reader_stat(file, ret_stat, err);
	if (!rc)
		rc = parse_index(layout, plain_only, file, ret, err);
	if (rc == -ENOENT) /* the layout is there: what it holds cannot be told */
		rc = -EIO;
	return rc ? error_prefix(err, rc, "layout '%s'", name_of(layout)) : 0;
}

/* Reads index.json again if it is another one by now. */
static int refresh(struct layout_source *layout, struct error *err)
{
	struct layout_index *idx, *old;
	struct stat st;
	bool is_fresh;
	int rc;

	if (!bundle_stat(layout->bundle, "index.json", &st, NULL)) {
		(void)pthread_mutex_lock(&layout->lock);
		is_fresh = stat_is_same(&st, &layout->idx_stat);
		(void)pthread_mutex_unlock(&layout->lock);
		if (is_fresh)
			return 0;
	}
	rc = read_index(layout, layout->base.is_single_repository, &idx, &st, err);
	if (rc)
		return rc;
	(void)pthread_mutex_lock(&layout->lock);
	old = layout->idx;
	layout->idx = idx;
	layout->idx_stat = st;
	(void)pthread_mutex_unlock(&layout->lock);
	layout_index_unref(old);
	return 0;
}

/* Refreshes, and takes the lock. */
static int begin(struct layout_source *layout, struct cancel *cancel, struct error *err)
{
	int rc =
		cancel_is_set(cancel) ? error_set(err, EINTR, "interrupted") : refresh(layout, err);

	if (!rc)
		(void)pthread_mutex_lock(&layout->lock);
	return rc;
}

static void end(struct layout_source *layout)
{
	(void)pthread_mutex_unlock(&layout->lock);
}

static int no_repository(struct layout_source *layout, const char *repository, struct error *err)
{
	return error_set(
		err, ENOENT, "layout '%s': no repository '%s'", name_of(layout), repository);
}

/* --- source_ops --- */

static void give_list(struct name_list *list, struct name_list *ret, int rc)
{
	if (rc) {
		name_list_release(list);
		return;
	}
	name_list_sort(list);
	*ret = *list;
}

static int repositories(
	struct source *source, struct name_list *ret, struct cancel *cancel, struct error *err)
{
	struct layout_source *layout = layout_source(source);
	struct name_list list = { NULL, 0 };
	int rc = begin(layout, cancel, err);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < layout->idx->count; i++)
		rc = name_list_add(&list, layout->idx->entries[i].repository, err);
	end(layout);
	give_list(&list, ret, rc);
	return rc;
}

enum which { TAGGED, UNTAGGED };

static int list_entries(struct source *source, const char *repository, enum which which,
	struct name_list *ret, struct cancel *cancel, struct error *err)
{
	struct layout_source *layout = layout_source(source);
	struct name_list list = { NULL, 0 };
	/* The nameless repository is there even when it is empty. */
	bool is_known = !*repository && source->is_single_repository;
	char text[DIGEST_TEXT_MAX];
	int rc = begin(layout, cancel, err);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < layout->idx->count; i++) {
		const struct layout_entry *entry = &layout->idx->entries[i];

		if (strcmp(entry->repository, repository) != 0)
			continue;
		is_known = true;
		if (which == TAGGED && entry->tag)
			rc = name_list_add(&list, entry->tag, err);
		else if (which == UNTAGGED && (!entry->tag || entry->is_lost))
			rc = name_list_add(
				&list, digest_format(&entry->descriptor.digest, text), err);
	}
	end(layout);
	if (!rc && !is_known)
		rc = no_repository(layout, repository, err);
	give_list(&list, ret, rc);
	return rc;
}

static int tags(struct source *source, const char *repository, struct name_list *ret,
	struct cancel *cancel, struct error *err)
{
	return list_entries(source, repository, TAGGED, ret, cancel, err);
}

static int untagged(struct source *source, const char *repository, struct name_list *ret,
	struct cancel *cancel, struct error *err)
{
	return list_entries(source, repository, UNTAGGED, ret, cancel, err);
}

static int resolve(struct source *source, const char *repository, const char *tag,
	struct descriptor *ret, struct cancel *cancel, struct error *err)
{
	struct layout_source *layout = layout_source(source);
	int rc = begin(layout, cancel, err);

	if (rc)
		return rc;
	rc = -ENOENT;
	for (size_t i = 0; rc == -ENOENT && i < layout->idx->count; i++) {
		const struct layout_entry *entry = &layout->idx->entries[i];

		if (entry->tag && !strcmp(entry->tag, tag) &&
			!strcmp(entry->repository, repository))
			rc = descriptor_copy(ret, &entry->descriptor, err);
	}
	end(layout);
	return rc == -ENOENT ? error_set(err, ENOENT, "layout '%s': nothing is called '%s%s%s'",
				       name_of(layout), repository, *repository ? ":" : "", tag)
			     : rc;
}

/* The type index.json gives, when the digest is one of its entries. */
static int listed_type(struct layout_source *layout, const struct digest *digest, char **ret,
	struct cancel *cancel, struct error *err)
{
	int rc = begin(layout, cancel, err);

	if (rc)
		return rc;
	*ret = NULL;
	for (size_t i = 0; i < layout->idx->count; i++) {
		const struct descriptor *descriptor = &layout->idx->entries[i].descriptor;

		if (!descriptor->media_type || !digest_equal(&descriptor->digest, digest))
			continue;
		*ret = strdup(descriptor->media_type);
		if (!*ret)
			rc = error_set(err, ENOMEM, "out of memory");
		break;
	}
	end(layout);
	return rc;
}

static int manifest(struct source *source, const char *repository, const struct digest *digest,
	struct buf *body, char **ret_type, struct cancel *cancel, struct error *err)
{
	struct layout_source *layout = layout_source(source);
	CLEANUP(readerp) struct reader *blob = NULL;
	CLEANUP(freep) char *type = NULL;
	char text[DIGEST_TEXT_MAX];
	int rc;

	(void)repository; /* blobs are common to all */
	rc = open_blob_file(layout, digest, &blob, err);
	if (rc)
		return rc;
	rc = reader_append_to(blob, body, err);
	if (rc)
		return error_prefix(
			err, rc, "layout '%s': '%s'", name_of(layout), digest_format(digest, text));
	if (!ret_type)
		return 0;
	rc = listed_type(layout, digest, &type, cancel, err);
	if (!rc)
		*ret_type = TAKE(type);
	return rc;
}

static int open_blob(struct source *source, const char *repository, const struct descriptor *blob,
	uint64_t offset, struct blob_stream **ret, uint64_t *ret_offset, struct cancel *cancel,
	struct error *err)
{
	CLEANUP(readerp) struct reader *reader = NULL;
	int rc = open_blob_file(layout_source(source), &blob->digest, &reader, err);

	(void)repository;
	if (!rc)
		rc = reader_stream(ret, reader, offset, cancel, err);
	if (!rc)
		*ret_offset = offset;
	return rc;
}

static int open_reader(struct source *source, const struct digest *digest, struct reader **ret,
	struct cancel *cancel, struct error *err)
{
	(void)cancel; /* nothing is waited for */
	return open_blob_file(layout_source(source), digest, ret, err);
}

/* Keeps what was found for those who ask next, if nobody was faster. */
static void keep_referrers(
	struct layout_source *layout, struct layout_index *idx, struct layout_referrers **found)
{
	const char *ceiling = NULL;

	(void)pthread_mutex_lock(&layout->lock);
	if (!idx->referrers) {
		ceiling = (*found)->ceiling;
		idx->referrers = TAKE(*found);
	}
	(void)pthread_mutex_unlock(&layout->lock);
	if (ceiling)
		observer_log(layout->observer, LOG_LEVEL_WARNING,
			"layout '%s': not all referrers are known: %s", name_of(layout), ceiling);
}

/* Blobs are common to all repositories, and a manifest without a name is in none of them. */
static int referrers(struct source *source, const char *repository, const struct digest *subject,
	struct descriptor **ret, size_t *ret_count, struct cancel *cancel, struct error *err)
{
	struct layout_source *layout = layout_source(source);
	CLEANUP(layout_referrersp) struct layout_referrers *found = NULL;
	CLEANUP(layout_indexp) struct layout_index *idx = NULL;
	bool is_known;
	int rc = begin(layout, cancel, err);

	(void)repository;
	if (rc)
		return rc;
	idx = layout_index_ref(layout->idx);
	is_known = idx->referrers;
	end(layout);
	if (!is_known) {
		rc = layout_referrers_find(&found, source, idx, cancel, err);
		if (rc)
			return error_prefix(err, rc, "layout '%s': referrers", name_of(layout));
		keep_referrers(layout, idx, &found);
	}
	return layout_referrers_of(idx->referrers, subject, ret, ret_count, err);
}

static const char *identity(struct source *source)
{
	(void)source;
	return "";
}

static int probe(
	struct source *source, const char *repository, struct cancel *cancel, struct error *err)
{
	struct layout_source *layout = layout_source(source);
	int rc = begin(layout, cancel, err);
	bool is_known = !repository || (!*repository && source->is_single_repository);

	if (rc)
		return rc;
	for (size_t i = 0; !is_known && i < layout->idx->count; i++)
		is_known = !strcmp(layout->idx->entries[i].repository, repository);
	end(layout);
	return is_known ? 0 : no_repository(layout, repository, err);
}

static void layout_free(struct source *source)
{
	struct layout_source *layout = layout_source(source);

	layout_index_unref(layout->idx);
	bundle_free(layout->bundle);
	(void)pthread_mutex_destroy(&layout->lock);
	free(layout);
}

static const struct source_ops layout_ops = {
	.repositories = repositories,
	.tags = tags,
	.untagged = untagged,
	.resolve = resolve,
	.manifest = manifest,
	.open_blob = open_blob,
	.open_reader = open_reader,
	.referrers = referrers,
	.identity = identity,
	.probe = probe,
	.free = layout_free,
};

CLEANUP_POINTER(sourcep, struct source, source_free)

int layout_open(
	struct source **ret, struct bundle *bundle, struct observer *observer, struct error *err)
{
	struct layout_source *layout = calloc(1, sizeof *layout);
	CLEANUP(sourcep) struct source *source = NULL;
	int rc;

	if (!layout) {
		bundle_free(bundle);
		return error_set(err, ENOMEM, "layout: out of memory");
	}
	layout->base = (struct source){ SOURCE_LAYOUT, &layout_ops, .is_local = true };
	source = &layout->base;
	(void)pthread_mutex_init(&layout->lock, NULL); /* cannot fail with default attributes */
	layout->observer = observer;
	layout->bundle = bundle;
	rc = check_version(layout, err);
	if (!rc)
		rc = read_index(layout, false, &layout->idx, &layout->idx_stat, err);
	if (rc)
		return rc;
	source->is_single_repository = !layout->idx->has_full_names;
	*ret = TAKE(source);
	return 0;
}

bool layout_is(struct bundle *bundle)
{
	struct stat st;

	return !bundle_stat(bundle, "oci-layout", &st, NULL);
}
