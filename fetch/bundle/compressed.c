/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of a compressed archive is that of a layer (fetch/layer): one pass over the bytes
 * gives the members, the places to enter the stream, and the archive's digest, by which index
 * and spool are kept in the cache.
 *
 * What the digest is, is remembered by what the file is, as a ref:
 *
 *	host "archive", repository the real path, tag the stamp  ->  the digest
 *
 * The digest is known only behind the last byte, so both files are temporary ones first.
 */
#include "fetch/bundle/internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "fetch/cache/cache.h"
#include "fetch/cancel.h"
#include "fetch/disk.h"
#include "fetch/layer/indexer.h"
#include "fetch/observer.h"
#include "fetch/temporary.h"

#define REF_HOST "archive"

enum {
	PIECE = 256 << 10, /* bytes per read */
	STAMP_MAX = 160,   /* seven numbers */
};

void archive_index_release(struct archive_index *idx)
{
	layer_free(TAKE(idx->layer));
	closep(&idx->spool_fd);
	idx->spool_fd = -1;
}

/* --- what was made before --- */

/* Where a digest is remembered. */
struct memory {
	char *path; /* NULL: it cannot be */
	char stamp[STAMP_MAX];
};

static void memory_release(struct memory *memory)
{
	free(memory->path);
}

static void memory_init(struct memory *memory, const struct archive_job *job, const struct stat *st)
{
	memory->path = job->cache ? realpath(job->name, NULL) : NULL;
	(void)snprintf(memory->stamp, sizeof memory->stamp, "%ju-%ju-%jd-%jd.%09ld-%jd.%09ld",
		(uintmax_t)st->st_dev, (uintmax_t)st->st_ino, (intmax_t)st->st_size,
		(intmax_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (intmax_t)st->st_ctim.tv_sec,
		st->st_ctim.tv_nsec);
}

static int open_kept(struct archive_index *ret, struct cache *cache, const struct digest *digest)
{
	CLEANUP(closep)
	int fd = cache_lookup(cache, CACHE_INDEX, digest, DESCRIPTOR_SIZE_UNKNOWN, NULL);
	CLEANUP(archive_index_release) struct archive_index idx = ARCHIVE_INDEX_NONE;

	if (fd < 0)
		return fd;
	if (layer_open(&idx.layer, fd, digest, NULL)) {
		cache_drop(cache, CACHE_INDEX, digest);
		return -ENOENT;
	}
	layer_set_secret(idx.layer, cache_secret(cache));
	if (idx.layer->needs_spool) {
		idx.spool_fd =
			cache_lookup(cache, CACHE_SPOOL, digest, DESCRIPTOR_SIZE_UNKNOWN, NULL);
		if (idx.spool_fd < 0)
			return idx.spool_fd;
	}
	ret->layer = TAKE(idx.layer);
	ret->spool_fd = TAKE_FD(idx.spool_fd);
	return 0;
}

static int find_kept(
	struct archive_index *ret, const struct archive_job *job, const struct memory *memory)
{
	CLEANUP(descriptor_release) struct descriptor archive = { 0 };
	uint64_t age_s;
	int rc = -ENOENT;

	if (memory->path)
		rc = cache_ref_get(
			job->cache, REF_HOST, memory->path, memory->stamp, &archive, &age_s, NULL);
	return rc ? rc : open_kept(ret, job->cache, &archive.digest);
}

void compressed_forget(struct cache *cache, const struct layer *layer)
{
	cache_drop(cache, CACHE_SPOOL, &layer->digest);
	cache_drop(cache, CACHE_INDEX, &layer->digest);
}

/* --- what is to be kept --- */

static void drop_writer(struct cache_writer **writer)
{
	if (*writer)
		cache_writer_free(*writer, false);
}

static int copy(struct cache_writer *writer, struct reader *from)
{
	CLEANUP(freep) char *piece = malloc(PIECE);
	uint64_t offset = 0;
	ssize_t n;
	int rc = piece ? 0 : -ENOMEM;

	while (!rc && (n = reader_read(from, piece, PIECE, offset, NULL)) != 0) {
		rc = n < 0 ? (int)n : cache_writer_append(writer, piece, (size_t)n, NULL);
		offset += (uint64_t)n;
	}
	return rc;
}

/* Puts a copy of a temporary file into the cache, and that in its place. */
static int keep(struct cache *cache, enum cache_kind kind, const struct digest *digest, int *fd)
{
	CLEANUP(drop_writer) struct cache_writer *writer = NULL;
	CLEANUP(readerp) struct reader *from = NULL;
	CLEANUP(closep) int kept = -1;
	int rc = reader_of_fd(&from, fcntl(*fd, F_DUPFD_CLOEXEC, 0), NULL);

	if (!rc && !cache_fits(cache, from->size))
		rc = -ENOSPC;
	if (!rc)
		rc = cache_writer_new(&writer, cache, kind, digest, NULL);
	if (!rc)
		rc = copy(writer, from);
	if (rc)
		return rc;
	kept = cache_writer_reader(writer, NULL);
	rc = kept < 0 ? kept : cache_writer_commit(writer, NULL);
	if (rc)
		return rc;
	cache_hold(kept);
	closep(fd);
	*fd = TAKE_FD(kept);
	return 0;
}

/* --- one pass --- */

struct pass {
	const struct archive_job *job;
	unsigned place; /* of temporary files */
	int index_fd, spool_fd;
	struct digest digest; /* of the archive */
};

static void pass_release(struct pass *pass)
{
	closep(&pass->index_fd);
	closep(&pass->spool_fd);
	pass->index_fd = pass->spool_fd = -1;
}

/* indexer_spool_fn.  Whoever mounts an archive has chosen it, and may have a small cache: the disk
 * alone limits the copy. */
static int give_spool(void *context, uint64_t size, struct error *err)
{
	struct pass *pass = context;

	(void)size;
	if (pass->spool_fd < 0)
		pass->spool_fd = temporary_open(&pass->place, err);
	if (pass->spool_fd >= 0 && !disk_has_room(pass->spool_fd, PIECE))
		return error_set(
			err, ENOSPC, "%s: no space left to spare", temporary_place(pass->place));
	return pass->spool_fd;
}

static int feed(struct indexer *indexer, const struct archive_job *job, struct error *err)
{
	uint64_t offset = 0;
	int rc = 0;

	while (!rc) {
		size_t room;
		uint8_t *bytes = indexer_room(indexer, &room, err);
		ssize_t n = bytes ? reader_read(job->archive, bytes, room, offset, err) : -ENOMEM;

		if (n <= 0)
			return (int)n;
		rc = indexer_put(indexer, (size_t)n, err);
		offset += (uint64_t)n;
		if (!rc && cancel_is_set(job->cancel))
			rc = error_set(err, EINTR, "interrupted");
	}
	return rc;
}

static int run(struct pass *pass, struct error *err)
{
	struct indexer *indexer = NULL;
	int rc;

	pass->index_fd = temporary_open(&pass->place, err);
	if (pass->index_fd < 0)
		return pass->index_fd;
	rc = indexer_new(&indexer, NULL, pass->job->archive->size, give_spool, pass, err);
	if (rc)
		return rc;
	indexer_set_cancel(indexer, pass->job->cancel);
	rc = indexer_set_secret(indexer, cache_secret(pass->job->cache), err);
	if (!rc)
		rc = feed(indexer, pass->job, err);
	if (!rc)
		rc = indexer_finish(indexer, pass->index_fd, err);
	if (!rc)
		pass->digest = *indexer_digest(indexer);
	indexer_free(indexer);
	return rc;
}

/* Where one place is full, all is done once more in the next. */
static int run_anywhere(struct pass *pass, struct error *err)
{
	int rc;

	do {
		pass_release(pass);
		rc = run(pass, err);
	} while ((rc == -ENOSPC || rc == -EDQUOT) && ++pass->place < TEMPORARY_PLACES);
	return rc;
}

/* A ref is the last to come: who finds it finds the rest. */
static void remember(struct pass *pass, const struct memory *memory)
{
	const struct archive_job *job = pass->job;
	const struct descriptor archive = { .digest = pass->digest, .size = job->archive->size };
	int rc = 0;

	if (!memory->path)
		return;
	if (pass->spool_fd >= 0)
		rc = keep(job->cache, CACHE_SPOOL, &pass->digest, &pass->spool_fd);
	if (!rc)
		rc = keep(job->cache, CACHE_INDEX, &pass->digest, &pass->index_fd);
	if (!rc)
		rc = cache_ref_put(
			job->cache, REF_HOST, memory->path, memory->stamp, &archive, NULL);
	if (rc && job->observer)
		observer_log(job->observer, LOG_LEVEL_WARNING,
			"'%s': its index cannot be kept in the cache", job->name);
}

static int make(struct archive_index *ret, const struct archive_job *job,
	const struct memory *memory, const struct stat *before, struct error *err)
{
	CLEANUP(pass_release)
	struct pass pass = { .job = job, .index_fd = -1, .spool_fd = -1 };
	struct stat after;
	int rc;

	if (job->observer)
		observer_log(
			job->observer, LOG_LEVEL_INFO, "'%s': compressed, indexing it", job->name);
	rc = run_anywhere(&pass, err);
	if (!rc)
		rc = reader_stat(job->archive, &after, err);
	if (!rc && !stat_is_same(before, &after))
		rc = error_set(err, EIO, "it was changed while it was read");
	if (rc)
		return rc;
	if (job->observer)
		observer_count(job->observer, layers_indexed, 1);
	remember(&pass, memory);
	rc = layer_open(&ret->layer, pass.index_fd, &pass.digest, err);
	if (rc)
		return rc;
	layer_set_secret(ret->layer, cache_secret(job->cache));
	ret->spool_fd = TAKE_FD(pass.spool_fd);
	return 0;
}

int compressed_index(struct archive_index *ret, const struct archive_job *job, struct error *err)
{
	CLEANUP(memory_release) struct memory memory = { .path = NULL };
	struct stat st;
	int rc = reader_stat(job->archive, &st, err);

	if (rc)
		return rc;
	memory_init(&memory, job, &st);
	return find_kept(ret, job, &memory) ? make(ret, job, &memory, &st, err) : 0;
}
