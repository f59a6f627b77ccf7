/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The digest of manifest.json is kept, under the lock, with the stat of the file it was
 * computed from; each question first compares the stats.  Reading happens
 * without the lock: two threads may both do it, the later result stays.
 */
#include "fetch/dir/dir.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/cancel.h"
#include "model/cleanup.h"
#include "model/image.h"

#define VERSION_TEXT "Directory Transport Version: "

enum {
	VERSION_MAX = 4096, /* bytes of the version file */
	FILE_NAME_MAX = DIGEST_HEX_MAX + sizeof ".manifest.json",
};

struct dir_source {
	struct source base;
	struct bundle *bundle;
	pthread_mutex_t lock;
	struct digest digest; /* under lock; of manifest.json */
	uint64_t size;        /* under lock */
	struct stat stat;     /* under lock; of the file they are of */
};

static struct dir_source *dir_source(struct source *source)
{
	assert(source->kind == SOURCE_DIR);
	return container_of(source, struct dir_source, base);
}

static int prefix(struct dir_source *dir, int rc, struct error *err)
{
	return error_prefix(err, rc, "dir '%s'", bundle_name(dir->bundle));
}

/* --- manifest.json --- */

static int read_manifest(struct dir_source *dir, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { 0 };
	struct digest digest;
	struct stat stat;
	int rc = bundle_stat(dir->bundle, "manifest.json", &stat, err);

	buf_init(&text, DOCUMENT_MAX);
	if (!rc)
		rc = bundle_read(dir->bundle, "manifest.json", &text, err);
	if (!rc)
		rc = document_digest(
			&digest, DIGEST_SHA256, text.data ? text.data : "", text.len, err);
	if (rc)
		return rc;
	(void)pthread_mutex_lock(&dir->lock);
	dir->digest = digest;
	dir->size = text.len;
	dir->stat = stat;
	(void)pthread_mutex_unlock(&dir->lock);
	return 0;
}

/* What manifest.json is called by now. */
static int refresh(struct dir_source *dir, struct digest *ret, uint64_t *ret_size,
	struct cancel *cancel, struct error *err)
{
	struct stat stat;
	bool is_same;
	int rc = cancel_is_set(cancel) ? error_set(err, EINTR, "interrupted")
				       : bundle_stat(dir->bundle, "manifest.json", &stat, err);

	if (rc)
		return rc;
	(void)pthread_mutex_lock(&dir->lock);
	is_same = stat_is_same(&dir->stat, &stat);
	(void)pthread_mutex_unlock(&dir->lock);
	rc = is_same ? 0 : read_manifest(dir, err);
	if (rc)
		return rc;
	(void)pthread_mutex_lock(&dir->lock);
	*ret = dir->digest;
	*ret_size = dir->size;
	(void)pthread_mutex_unlock(&dir->lock);
	return 0;
}

/* --- files --- */

/* The first that is there of the files a digest may be called by. */
static int open_named(struct dir_source *dir, const struct digest *digest,
	const char *const suffixes[2], struct reader **ret, struct error *err)
{
	char hex[DIGEST_HEX_MAX], name[FILE_NAME_MAX], text[DIGEST_TEXT_MAX];
	int rc = -ENOENT;

	for (int i = 0; rc == -ENOENT && i < 2; i++) {
		(void)snprintf(name, sizeof name, "%s%s", digest_hex(digest, hex), suffixes[i]);
		rc = bundle_file(dir->bundle, name, ret, err);
	}
	return rc == -ENOENT ? error_set(err, ENOENT, "no %s", digest_format(digest, text)) : rc;
}

static const char *const blob_suffixes[] = { "", ".tar" };
static const char *const manifest_suffixes[] = { ".manifest.json", "" };

/* --- source_ops --- */

static int no_such(struct dir_source *dir, const char *what, const char *name, struct error *err)
{
	return error_set(err, ENOENT, "dir '%s': no %s '%s', nothing here has a name",
		bundle_name(dir->bundle), what, name);
}

static int repositories(
	struct source *source, struct name_list *ret, struct cancel *cancel, struct error *err)
{
	struct name_list list = { NULL, 0 };
	int rc = name_list_add(&list, "", err);

	(void)source;
	(void)cancel;
	if (rc) {
		name_list_release(&list);
		return rc;
	}
	*ret = list;
	return 0;
}

static int tags(struct source *source, const char *repository, struct name_list *ret,
	struct cancel *cancel, struct error *err)
{
	(void)cancel;
	if (*repository)
		return no_such(dir_source(source), "repository", repository, err);
	*ret = (struct name_list){ NULL, 0 };
	return 0;
}

static int resolve(struct source *source, const char *repository, const char *tag,
	struct descriptor *ret, struct cancel *cancel, struct error *err)
{
	struct dir_source *dir = dir_source(source);
	struct descriptor found = { 0 };
	int rc;

	if (*repository)
		return no_such(dir, "repository", repository, err);
	if (*tag)
		return no_such(dir, "tag", tag, err);
	rc = refresh(dir, &found.digest, &found.size, cancel, err);
	if (rc)
		return prefix(dir, rc, err);
	*ret = found;
	return 0;
}

static int open_manifest(struct dir_source *dir, const struct digest *digest, struct reader **ret,
	struct cancel *cancel, struct error *err)
{
	struct digest own;
	uint64_t size;
	int rc = refresh(dir, &own, &size, cancel, err);

	if (rc)
		return rc;
	return digest_equal(digest, &own) ? bundle_file(dir->bundle, "manifest.json", ret, err)
					  : open_named(dir, digest, manifest_suffixes, ret, err);
}

static int manifest(struct source *source, const char *repository, const struct digest *digest,
	struct buf *body, char **ret_type, struct cancel *cancel, struct error *err)
{
	struct dir_source *dir = dir_source(source);
	CLEANUP(readerp) struct reader *reader = NULL;
	int rc = open_manifest(dir, digest, &reader, cancel, err);

	(void)repository;
	if (!rc)
		rc = reader_append_to(reader, body, err);
	if (rc)
		return prefix(dir, rc, err);
	if (ret_type)
		*ret_type = NULL; /* nothing here says it but the body */
	return 0;
}

static int open_reader(struct source *source, const struct digest *digest, struct reader **ret,
	struct cancel *cancel, struct error *err)
{
	struct dir_source *dir = dir_source(source);
	int rc = open_named(dir, digest, blob_suffixes, ret, err);

	(void)cancel; /* nothing is waited for */
	return rc ? prefix(dir, rc, err) : 0;
}

static int open_blob(struct source *source, const char *repository, const struct descriptor *blob,
	uint64_t offset, struct blob_stream **ret, uint64_t *ret_offset, struct cancel *cancel,
	struct error *err)
{
	CLEANUP(readerp) struct reader *reader = NULL;
	int rc = open_reader(source, &blob->digest, &reader, cancel, err);

	(void)repository;
	if (!rc)
		rc = reader_stream(ret, reader, offset, cancel, err);
	if (!rc)
		*ret_offset = offset;
	return rc;
}

static const char *identity(struct source *source)
{
	(void)source;
	return "";
}

static int probe(
	struct source *source, const char *repository, struct cancel *cancel, struct error *err)
{
	struct dir_source *dir = dir_source(source);
	struct digest digest;
	uint64_t size;
	int rc;

	if (repository && *repository)
		return no_such(dir, "repository", repository, err);
	rc = refresh(dir, &digest, &size, cancel, err);
	return rc ? prefix(dir, rc, err) : 0;
}

static void dir_free(struct source *source)
{
	struct dir_source *dir = dir_source(source);

	bundle_free(dir->bundle);
	(void)pthread_mutex_destroy(&dir->lock);
	free(dir);
}

static const struct source_ops dir_ops = {
	.repositories = repositories,
	.tags = tags,
	.resolve = resolve,
	.manifest = manifest,
	.open_blob = open_blob,
	.open_reader = open_reader,
	.identity = identity,
	.probe = probe,
	.free = dir_free,
};

/* --- opening --- */

CLEANUP_POINTER(sourcep, struct source, source_free)

/* Only the first versions had none. */
static int check_version(struct bundle *bundle, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { 0 };
	int rc;

	buf_init(&text, VERSION_MAX);
	rc = bundle_read(bundle, "version", &text, err);
	if (rc == -ENOENT)
		return 0;
	if (rc)
		return error_prefix(err, rc, "version");
	if (!text.data || strncmp(text.data, VERSION_TEXT "1.", sizeof VERSION_TEXT "1." - 1) != 0)
		return error_set(err, EOPNOTSUPP, "version: '%.*s' is not " VERSION_TEXT "1.x",
			(int)strcspn(text.data ? text.data : "", "\r\n"),
			text.data ? text.data : "");
	return 0;
}

int dir_open(
	struct source **ret, struct bundle *bundle, struct observer *observer, struct error *err)
{
	struct dir_source *dir = calloc(1, sizeof *dir);
	CLEANUP(sourcep) struct source *source = NULL;
	int rc;

	(void)observer; /* there is nothing to tell */
	if (!dir) {
		bundle_free(bundle);
		return error_set(err, ENOMEM, "out of memory");
	}
	dir->base = (struct source){
		SOURCE_DIR,
		&dir_ops,
		.is_single_repository = true,
		.is_local = true,
		.is_single_image = true,
	};
	source = &dir->base;
	dir->bundle = bundle;
	(void)pthread_mutex_init(&dir->lock, NULL); /* cannot fail with default attributes */
	rc = check_version(bundle, err);
	if (!rc)
		rc = read_manifest(dir, err);
	if (rc)
		return prefix(dir, rc, err);
	*ret = TAKE(source);
	return 0;
}

bool dir_is(struct bundle *bundle)
{
	CLEANUP(readerp) struct reader *manifest_file = NULL;
	CLEANUP(buf_release) struct buf text = { 0 };

	buf_init(&text, VERSION_MAX);
	return !bundle_read(bundle, "version", &text, NULL) && text.data &&
	       !strncmp(text.data, VERSION_TEXT, sizeof VERSION_TEXT - 1) &&
	       !bundle_file(bundle, "manifest.json", &manifest_file, NULL);
}
