/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two tables that only grow: what was found out about a member, by its path,
 * and which member a blob is, by its digest.  Neither can have more entries than
 * manifest.json has layers and images, or the archive V1 images.
 */
#include "fetch/archive/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A failed insertion into a table is an error as others, not the end of the process. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "model/cleanup.h"

enum { SNIFF = 512 }; /* bytes that tell the coding */

struct archive_member {
	struct member_facts facts;
	UT_hash_handle hh;
	char path[];
};

struct archive_blob {
	struct digest digest;
	UT_hash_handle hh;
	char path[];
};

/* --- names --- */

int archive_member_path(char **ret, const char *name, struct error *err)
{
	CLEANUP(freep) char *path = malloc(strlen(name) + 1);
	char *end = path;

	if (!path)
		return error_set(err, ENOMEM, "out of memory");
	for (const char *p = name; *p;) {
		size_t len = strcspn(p, "/");

		if (len == 2 && !strncmp(p, "..", 2))
			return error_set(err, EIO, "'%.200s' leads out of the archive", name);
		if (len && !(len == 1 && *p == '.')) {
			if (end > path)
				*end++ = '/';
			memcpy(end, p, len);
			end += len;
		}
		p += len + (p[len] == '/');
	}
	if (end == path)
		return error_set(err, EIO, "'%.200s' names no file", name);
	*end = '\0';
	*ret = TAKE(path);
	return 0;
}

/* --- members --- */

static bool is_compressed(enum media_coding coding)
{
	switch (coding) {
	case CODING_GZIP:
	case CODING_ZSTD:
	case CODING_XZ:
	case CODING_BZIP2:
		return true;
	case CODING_PLAIN:
	case CODING_UNKNOWN: /* a damaged tar, and for its digest to tell */
		break;
	}
	return false;
}

static int look(struct archive *archive, const char *path, struct member_facts *ret,
	struct cancel *cancel, struct error *err)
{
	CLEANUP(readerp) struct reader *reader = NULL;
	char head[SNIFF];
	ssize_t n;
	int rc = bundle_file(archive->bundle, path, &reader, err);

	if (rc)
		return rc;
	n = reader_read(reader, head, sizeof head, 0, err);
	if (n < 0)
		return (int)n;
	*ret = (struct member_facts){ media_coding_sniff(head, (size_t)n), reader->size, { 0 } };
	return is_compressed(ret->coding)
		       ? reader_digest(reader, DIGEST_SHA256, &ret->digest, cancel, err)
		       : 0;
}

static bool recall(struct archive *archive, const char *path, struct member_facts *ret)
{
	struct archive_member *member;

	(void)pthread_mutex_lock(&archive->lock);
	HASH_FIND_STR(archive->members, path, member);
	if (member)
		*ret = member->facts;
	(void)pthread_mutex_unlock(&archive->lock);
	return member;
}

static int remember(struct archive *archive, const char *path, const struct member_facts *facts,
	struct error *err)
{
	size_t len = strlen(path);
	struct archive_member *member = calloc(1, sizeof *member + len + 1);
	struct archive_member *other;

	if (!member)
		return error_set(err, ENOMEM, "out of memory");
	member->facts = *facts;
	memcpy(member->path, path, len + 1);
	(void)pthread_mutex_lock(&archive->lock);
	HASH_FIND_STR(archive->members, path, other);
	if (!other)
		HASH_ADD_STR(archive->members, path, member);
	HASH_FIND_STR(archive->members, path, other);
	(void)pthread_mutex_unlock(&archive->lock);
	if (other != member)
		free(member);
	return other ? 0 : error_set(err, ENOMEM, "out of memory");
}

int archive_member_examine(struct archive *archive, const char *path, struct member_facts *ret,
	struct cancel *cancel, struct error *err)
{
	int rc;

	if (recall(archive, path, ret))
		return 0;
	rc = look(archive, path, ret, cancel, err);
	return rc ? rc : remember(archive, path, ret, err);
}

/* --- blobs --- */

int archive_blob_remember(
	struct archive *archive, const struct digest *digest, const char *path, struct error *err)
{
	size_t len = strlen(path);
	struct archive_blob *blob = calloc(1, sizeof *blob + len + 1);
	struct archive_blob *other;

	if (!blob)
		return error_set(err, ENOMEM, "out of memory");
	blob->digest = *digest;
	memcpy(blob->path, path, len + 1);
	(void)pthread_mutex_lock(&archive->lock);
	HASH_FIND(hh, archive->blobs, digest, sizeof *digest, other);
	if (!other)
		HASH_ADD(hh, archive->blobs, digest, sizeof blob->digest, blob);
	HASH_FIND(hh, archive->blobs, digest, sizeof *digest, other);
	(void)pthread_mutex_unlock(&archive->lock);
	if (other != blob)
		free(blob);
	return other ? 0 : error_set(err, ENOMEM, "out of memory");
}

int archive_blob_open(struct archive *archive, const struct digest *digest, struct reader **ret,
	struct error *err)
{
	struct archive_blob *blob;
	char text[DIGEST_TEXT_MAX];
	int rc;

	(void)pthread_mutex_lock(&archive->lock);
	HASH_FIND(hh, archive->blobs, digest, sizeof *digest, blob);
	(void)pthread_mutex_unlock(&archive->lock);
	if (!blob) /* once in the table, it stays */
		return error_set(err, ENOENT, "no blob %s", digest_format(digest, text));
	rc = bundle_file(archive->bundle, blob->path, ret, err);
	return rc == -ENOENT ? error_set(err, EIO, "'%.200s' is gone", blob->path) : rc;
}

void archive_members_release(struct archive *archive)
{
	struct archive_member *member, *next_member;
	struct archive_blob *blob, *next_blob;

	HASH_ITER(hh, archive->members, member, next_member)
	{
		HASH_DEL(archive->members, member);
		free(member);
	}
	HASH_ITER(hh, archive->blobs, blob, next_blob)
	{
		HASH_DEL(archive->blobs, blob);
		free(blob);
	}
}
