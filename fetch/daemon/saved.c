/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The archive of an image.  With a cache it becomes a blob there, named by the sha256 that
 * comes out at the end, and a ref from the image's id to it:
 *
 *	refs/docker-daemon/HEX/archive -> blobs/sha256/...
 *
 * Where the cache has no room, or there is none, it is a file without a name, and moves on to
 * the next place when one turns out to be full.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>

#include "fetch/cache/cache.h"
#include "fetch/daemon/internal.h"
#include "fetch/observer.h"
#include "fetch/temporary.h"
#include "model/cleanup.h"

#define REF_HOST   "docker-daemon"
#define REF_TAG    "archive"
#define MEDIA_TYPE "application/x-tar"

enum { PIECE = 256 << 10, COPY = 1 << 30 };

struct saving {
	struct daemon *daemon;
	struct cache_writer *writer; /* or NULL: */
	int fd;                      /* a temporary file */
	unsigned place;              /* where that is */
	uint64_t len;
	struct hasher *hasher;
};

static void saving_release(struct saving *saving)
{
	cache_writer_free(saving->writer, false);
	closep(&saving->fd);
	hasher_free(saving->hasher);
}

/* ---- writing ---------------------------------------------------------------------------- */

static int begin(struct saving *saving, struct error *err)
{
	/* What it will be called shows at the end. */
	const struct digest nameless = { .algorithm = DIGEST_SHA256 };
	struct cache *cache = saving->daemon->cache;
	int rc = hasher_new(&saving->hasher, DIGEST_SHA256, err);

	if (rc)
		return rc;
	if (cache && !cache_writer_new(&saving->writer, cache, CACHE_BLOB, &nameless, NULL))
		return 0;
	saving->fd = temporary_open(&saving->place, err);
	return saving->fd < 0 ? saving->fd : 0;
}

static int write_piece(struct saving *saving, const char *bytes, size_t len, struct error *err)
{
	if (saving->writer)
		return cache_writer_append(saving->writer, bytes, len, err);
	return temporary_write(saving->fd, saving->place, bytes, len, saving->len, err);
}

static int copy(int to, int from, uint64_t len, struct error *err)
{
	off_t offset = 0;

	while ((uint64_t)offset < len) {
		uint64_t left = len - (uint64_t)offset;
		ssize_t n = sendfile(to, from, &offset, left < COPY ? (size_t)left : COPY);

		if (n < 0 && errno != EINTR)
			return error_set(err, errno, "temporary file: %m");
		if (!n)
			return error_set(err, EIO, "temporary file: cannot be read back");
	}
	return 0;
}

/* Takes what is there to the next place that has room for it. */
static int move_on(struct saving *saving, struct error *err)
{
	int from = saving->writer ? cache_writer_fd(saving->writer) : saving->fd;
	unsigned place = saving->writer ? 0 : saving->place + 1;

	for (;; place++) {
		CLEANUP(closep) int fd = temporary_open(&place, err);

		if (fd < 0)
			return fd; /* that was the last one */
		if (copy(fd, from, saving->len, err))
			continue;
		cache_writer_free(TAKE(saving->writer), false);
		closep(&saving->fd);
		saving->fd = TAKE_FD(fd);
		saving->place = place;
		return 0;
	}
}

static int append(struct saving *saving, const char *bytes, size_t len, struct error *err)
{
	int rc = hasher_update(saving->hasher, bytes, len, err);

	if (rc)
		return rc;
	for (rc = write_piece(saving, bytes, len, err); rc;
		rc = write_piece(saving, bytes, len, err)) {
		rc = move_on(saving, err);
		if (rc)
			return rc;
	}
	saving->len += len;
	return 0;
}

static int receive(struct saving *saving, struct http_transfer *transfer, struct error *err)
{
	CLEANUP(freep) char *piece = malloc(PIECE);
	ssize_t n = 0;
	int rc = piece ? 0 : error_set(err, ENOMEM, "out of memory");

	while (!rc && (n = http_read(transfer, piece, PIECE, err)) > 0)
		rc = append(saving, piece, (size_t)n, err);
	return rc ? rc : (int)n;
}

/* ---- keeping ---------------------------------------------------------------------------- */

/* Not kept, it still is a good file, only without a name. */
static bool keep(struct saving *saving, const struct digest *id, const struct digest *digest)
{
	struct cache *cache = saving->daemon->cache;
	const struct descriptor descriptor = {
		.media_type = (char[]){ MEDIA_TYPE }, .digest = *digest, .size = saving->len
	};
	char hex[DIGEST_HEX_MAX];
	struct error why = { "" };

	if (!cache_fits(cache, saving->len))
		return false;
	cache_writer_name(saving->writer, digest);
	if (!cache_writer_commit(saving->writer, &why) &&
		!cache_ref_put(cache, REF_HOST, digest_hex(id, hex), REF_TAG, &descriptor, &why))
		return true;
	observer_log(saving->daemon->observer, LOG_LEVEL_WARNING,
		"image '%.12s': its archive is not kept: %s", hex, why.text);
	return false;
}

static int publish(struct saving *saving, const struct digest *id, struct reader **ret,
	struct digest *ret_digest, struct error *err)
{
	CLEANUP(readerp) struct reader *archive = NULL;
	struct digest digest;
	int fd, rc = hasher_final(saving->hasher, &digest, err);

	if (rc)
		return rc;
	fd = saving->writer ? cache_writer_reader(saving->writer, err) : TAKE_FD(saving->fd);
	rc = fd < 0 ? fd : reader_of_fd(&archive, fd, err);
	if (rc)
		return rc;
	if (saving->writer && keep(saving, id, &digest))
		*ret_digest = digest;
	cache_hold(fd); /* the archive's; a temporary file does not mind */
	*ret = TAKE(archive);
	return 0;
}

static int fetch(struct daemon *daemon, const struct digest *id, struct reader **ret,
	struct digest *ret_digest, struct cancel *cancel, struct error *err)
{
	CLEANUP(saving_release) struct saving saving = { .daemon = daemon, .fd = -1 };
	char text[DIGEST_TEXT_MAX], path[DIGEST_TEXT_MAX + 32], subject[DIGEST_TEXT_MAX + 32];
	struct http_transfer *transfer = NULL;
	int rc;

	(void)snprintf(path, sizeof path, "/images/%s/get", digest_format(id, text));
	(void)snprintf(subject, sizeof subject, "image '%.19s'", text);
	rc = engine_get(daemon, path, subject, NULL, &transfer, cancel, err);
	if (rc)
		return rc;
	rc = begin(&saving, err);
	if (!rc)
		rc = receive(&saving, transfer, err);
	http_close(transfer);
	if (!rc)
		rc = publish(&saving, id, ret, ret_digest, err);
	return rc ? error_prefix(err, rc, "'%s': %s", daemon->socket, subject) : 0;
}

/* A file in the cache may have lost a bit since it was written, and what is made of the
 * archive has no other digest to be checked by.  It is dropped, then: -ENOENT. */
static int check_kept(struct daemon *daemon, struct reader *archive, const struct digest *digest,
	struct cancel *cancel, struct error *err)
{
	struct digest found;
	int rc = reader_digest(archive, digest->algorithm, &found, cancel, err);

	if (rc || digest_equal(&found, digest))
		return rc;
	cache_drop(daemon->cache, CACHE_BLOB, digest);
	return error_set(err, ENOENT, "the archive in the cache is damaged");
}

static int find_kept(struct daemon *daemon, const struct digest *id, struct reader **ret,
	struct digest *ret_digest, struct cancel *cancel, struct error *err)
{
	CLEANUP(descriptor_release) struct descriptor kept = { .media_type = NULL };
	CLEANUP(readerp) struct reader *archive = NULL;
	char hex[DIGEST_HEX_MAX];
	uint64_t age_s;
	int fd, rc;

	if (!daemon->cache || cache_ref_get(daemon->cache, REF_HOST, digest_hex(id, hex), REF_TAG,
				      &kept, &age_s, NULL))
		return -ENOENT;
	fd = cache_lookup(daemon->cache, CACHE_BLOB, &kept.digest, kept.size, NULL);
	rc = fd < 0 ? fd : reader_of_fd(&archive, fd, err);
	if (!rc)
		rc = check_kept(daemon, archive, &kept.digest, cancel, err);
	if (rc)
		return rc;
	*ret = TAKE(archive);
	*ret_digest = kept.digest;
	return 0;
}

int saved_open(struct daemon *daemon, const struct digest *id, struct reader **ret,
	struct digest *ret_digest, struct cancel *cancel, struct error *err)
{
	int rc;

	*ret_digest = (struct digest){ 0 };
	rc = find_kept(daemon, id, ret, ret_digest, cancel, err);
	if (!rc || rc == -EINTR)
		return rc;
	return fetch(daemon, id, ret, ret_digest, cancel, err);
}
