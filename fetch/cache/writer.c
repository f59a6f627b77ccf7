/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries on their way.
 *
 *	new:    tmp/PID-N     --commit--> KIND/ALG/HEX
 *	resume: partial/HEX   --commit--> blobs/ALG/HEX
 *
 * Both are under an exclusive flock while somebody writes: a file in tmp/
 * whose lock is free is a dead writer's, a partial whose lock is free may be
 * continued.  The lock goes with the inode, the name may meanwhile belong to
 * another one: whoever gets a lock compares both.
 */
#include "fetch/cache/internal.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "fetch/at.h"
#include "fetch/cancel.h"
#include "fetch/clock.h"
#include "fetch/disk.h"
#include "fetch/observer.h"
#include "model/cleanup.h"

enum {
	TMP_TRIES = 1000,
	LOCK_POLL_FIRST_MS = 5,
	LOCK_POLL_MAX_MS = 100,
	RESERVE_STEP = 16 << 20,  /* bytes between two looks at what else there is */
	WRITEBACK_STEP = 8 << 20, /* bytes that the disk is given at once */
	LOCK_STALL_MS = 60000,    /* the lock's holder wrote nothing for so long: do not wait on */
};

struct cache_writer {
	struct cache *cache;
	enum cache_kind kind;
	struct digest digest;
	int fd;
	enum cache_dir dir; /* where it lies by name: DIR_TMP or DIR_PARTIAL */
	char name[DIGEST_HEX_MAX];
	uint64_t offset;              /* where append goes on */
	uint64_t handed_over;         /* up to there the disk is at work, or done */
	uint64_t reserved, accounted; /* bytes written by others; and what eviction knows of them */
	bool is_committed;
	bool has_made_room; /* once per writer */
};

_Static_assert((int)TMP_NAME_MAX <= (int)DIGEST_HEX_MAX, "names of temporary files fit");

static bool is_named(int fd, int dir, const char *name)
{
	struct stat by_fd, by_name;

	return !fstat(fd, &by_fd) && !fstatat(dir, name, &by_name, AT_SYMLINK_NOFOLLOW) &&
	       by_fd.st_dev == by_name.st_dev && by_fd.st_ino == by_name.st_ino;
}

int tmp_create(struct cache *cache, char *name)
{
	int dir = cache->dirs[DIR_TMP];

	if (dir < 0) {
		errno = EROFS;
		return -1;
	}
	for (int i = 0; i < TMP_TRIES; i++) {
		unsigned serial = atomic_fetch_add(&cache->serial, 1);
		CLEANUP(closep) int fd = -1;

		(void)snprintf(name, TMP_NAME_MAX, "%ld-%u", (long)getpid(), serial);
		fd = openat(
			dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
		if (fd < 0 && errno != EEXIST)
			return -1;
		/* Between the two calls it looked like a dead writer's. */
		if (fd >= 0 && (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) &&
			is_named(fd, dir, name))
			return TAKE_FD(fd);
	}
	errno = EEXIST;
	return -1;
}

static struct cache_writer *writer_alloc(
	struct cache *cache, enum cache_kind kind, const struct digest *digest)
{
	struct cache_writer *writer = calloc(1, sizeof *writer);

	if (!writer)
		return NULL;
	writer->cache = cache;
	writer->kind = kind;
	writer->digest = *digest;
	writer->fd = -1;
	return writer;
}

int cache_writer_new(struct cache_writer **ret, struct cache *cache, enum cache_kind kind,
	const struct digest *digest, struct error *err)
{
	CLEANUP(freep) struct cache_writer *writer = writer_alloc(cache, kind, digest);

	if (!writer)
		return error_set(err, ENOMEM, "cache: out of memory");
	if (cache->dirs[entry_dir(kind, digest)] < 0)
		return disk_error(cache, EROFS, err, "write");
	writer->dir = DIR_TMP;
	writer->fd = tmp_create(cache, writer->name);
	if (writer->fd < 0)
		return disk_error(cache, errno, err, "write");
	*ret = TAKE(writer);
	return 0;
}

/* --- resumable blobs --- */

struct sleeper {
	pthread_mutex_t lock;
	pthread_cond_t woken;
	bool is_cancelled; /* under lock */
};

static void wake(void *context)
{
	struct sleeper *sleeper = context;

	(void)pthread_mutex_lock(&sleeper->lock);
	sleeper->is_cancelled = true;
	(void)pthread_cond_signal(&sleeper->woken);
	(void)pthread_mutex_unlock(&sleeper->lock);
}

/* Sleeps for ms, or until cancelled: false. */
static bool sleep_ms(long ms, struct cancel *cancel)
{
	struct sleeper sleeper = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };
	struct timespec until = deadline_in_ms(ms);
	int rc = 0;

	sleeper.is_cancelled = !cancel_watch(cancel, wake, &sleeper);
	(void)pthread_mutex_lock(&sleeper.lock);
	while (!rc && !sleeper.is_cancelled)
		rc = pthread_cond_clockwait(&sleeper.woken, &sleeper.lock, CLOCK_MONOTONIC, &until);
	(void)pthread_mutex_unlock(&sleeper.lock);
	cancel_unwatch(cancel);

	(void)pthread_cond_destroy(&sleeper.woken);
	(void)pthread_mutex_destroy(&sleeper.lock);
	return !sleeper.is_cancelled;
}

/* Waits for the lock as long as its holder gets on with the file, which has that name: one that was
 * published has not, and may be locked for ever by those who read it. */
static int lock_partial(int fd, const char *name, const struct cache *cache, struct cancel *cancel,
	struct error *err)
{
	off_t seen = -1;
	long poll_ms = LOCK_POLL_FIRST_MS, stalled_ms = 0;
	bool was_counted = false;
	struct stat st;

	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK) /* a file system without flock */
			return error_set(err, EIO, "cache '%s': lock: %m", cache->path);
		if (fstat(fd, &st))
			return error_set(err, EIO, "cache '%s': %m", cache->path);
		if (!is_named(fd, cache->dirs[DIR_PARTIAL], name))
			return 0;
		observer_count(cache->observer, cache_waits, !was_counted);
		was_counted = true;
		stalled_ms = st.st_size == seen ? stalled_ms + poll_ms : 0;
		if (!stalled_ms)
			cancel_note_arrival(cancel);
		seen = st.st_size;
		if (stalled_ms > LOCK_STALL_MS)
			return error_set(err, EBUSY,
				"cache '%s': another process holds the blob and does not get on",
				cache->path);
		if (!sleep_ms(poll_ms, cancel))
			return error_set(err, EINTR, "interrupted");
		poll_ms = poll_ms * 2 > LOCK_POLL_MAX_MS ? LOCK_POLL_MAX_MS : poll_ms * 2;
	}
	return 0;
}

static bool is_complete(const struct cache_writer *writer)
{
	struct cache *cache = writer->cache;
	struct stat st;

	return !fstatat(cache->dirs[entry_dir(CACHE_BLOB, &writer->digest)], writer->name, &st,
		       AT_SYMLINK_NOFOLLOW) &&
	       is_own_file(&st) && !is_distrusted(cache, &st);
}

/* Opens and locks whatever has the name at the end. */
static int take_partial(struct cache_writer *writer, struct cancel *cancel, struct error *err)
{
	struct cache *cache = writer->cache;
	int dir = cache->dirs[DIR_PARTIAL];
	struct stat st;

	for (;;) {
		CLEANUP(closep)
		int fd = openat(dir, writer->name,
			O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, FILE_MODE);
		int rc;

		if (fd < 0 || fstat(fd, &st))
			return disk_error(cache, errno, err, "begin a blob");
		if (!is_own_file(&st))
			return disk_error(cache, EIO, err, "begin a blob: not a file of ours");
		rc = lock_partial(fd, writer->name, cache, cancel, err);
		if (rc)
			return rc;
		if (!is_named(fd, dir, writer->name))
			continue; /* published or given up while we waited: begin again */
		writer->fd = TAKE_FD(fd);
		return 0;
	}
}

static void abandon(struct cache_writer *writer)
{
	cache_writer_free(writer, true);
}

CLEANUP_POINTER(abandonp, struct cache_writer, abandon)

int cache_writer_resume(struct cache_writer **ret, struct cache *cache, const struct digest *digest,
	uint64_t *ret_offset, struct cancel *cancel, struct error *err)
{
	CLEANUP(abandonp) struct cache_writer *writer = writer_alloc(cache, CACHE_BLOB, digest);
	struct stat st;
	int rc;

	if (!writer)
		return error_set(err, ENOMEM, "cache: out of memory");
	if (cache->dirs[DIR_PARTIAL] < 0 || cache->dirs[entry_dir(CACHE_BLOB, digest)] < 0)
		return disk_error(cache, EROFS, err, "write");
	writer->dir = DIR_PARTIAL;
	digest_hex(digest, writer->name);
	rc = take_partial(writer, cancel, err);
	if (rc)
		return rc;
	if (is_complete(writer)) {
		cache_writer_free(TAKE(writer), false);
		return error_set(err, EEXIST, "the blob is complete by now");
	}
	if (fstat(writer->fd, &st))
		return disk_error(cache, errno, err, "begin a blob");
	writer->offset = writer->handed_over = (uint64_t)st.st_size;
	*ret_offset = writer->offset;
	*ret = TAKE(writer);
	return 0;
}

/* --- writing --- */

int cache_writer_fd(const struct cache_writer *writer)
{
	return writer->fd;
}

int cache_writer_reader(const struct cache_writer *writer, struct error *err)
{
	int dir = writer->cache->dirs[writer->dir];
	CLEANUP(closep)
	int fd = openat(dir, writer->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat own, found;

	if (fd < 0 || fstat(fd, &found) || fstat(writer->fd, &own))
		return disk_error(writer->cache, errno, err, "read back");
	if (own.st_dev != found.st_dev || own.st_ino != found.st_ino)
		return disk_error(writer->cache, EIO, err, "read back: not our file");
	return TAKE_FD(fd);
}

static bool is_full(int code)
{
	return code == ENOSPC || code == EDQUOT;
}

/* The disk begins while more bytes arrive: the fsync at the end, which readers wait for, finds
 * little left to do.  It need not tell again of what fails here.  0 or a positive errno. */
static int hand_over(struct cache_writer *writer)
{
	uint64_t begin = writer->handed_over, len = writer->offset - begin;

	if (len < WRITEBACK_STEP)
		return 0;
	writer->handed_over = writer->offset;
	if (!sync_file_range(writer->fd, (off_t)begin, (off_t)len, SYNC_FILE_RANGE_WRITE))
		return 0;
	return errno == ENOSYS ? 0 : errno; /* gVisor, for one: all is left to fsync */
}

int cache_writer_append(
	struct cache_writer *writer, const void *bytes, size_t len, struct error *err)
{
	int code = -write_at(writer->fd, bytes, len, writer->offset);

	if (is_full(code) && !writer->has_made_room) {
		writer->has_made_room = true;
		if (make_room(writer->cache)) /* which has errors of its own to tell */
			code = -write_at(writer->fd, bytes, len, writer->offset);
	}
	if (code) {
		/* What a later resume finds must be what was appended; where that fails too, the
		 * digest finds it out. */
		if (ftruncate(writer->fd, (off_t)writer->offset))
			code = errno;
		return disk_error(writer->cache, code, err, "write");
	}
	writer->offset += len;
	code = hand_over(writer);
	return code ? disk_error(writer->cache, code, err, "write") : 0;
}

int cache_writer_reserve(struct cache_writer *writer, uint64_t len, struct error *err)
{
	struct cache *cache = writer->cache;

	writer->reserved += len;
	if (writer->reserved - writer->accounted >= RESERVE_STEP) {
		account_added(cache, writer->reserved - writer->accounted, writer->dir, NULL);
		writer->accounted = writer->reserved;
	}
	if (disk_has_room(writer->fd, len))
		return 0;
	if (!writer->has_made_room && make_room(cache) && disk_has_room(writer->fd, len))
		return 0;
	writer->has_made_room = true;
	return disk_error(cache, ENOSPC, err, "write");
}

int cache_writer_reset(struct cache_writer *writer, struct error *err)
{
	if (ftruncate(writer->fd, 0))
		return disk_error(writer->cache, errno, err, "truncate");
	writer->offset = writer->handed_over = 0;
	return 0;
}

void cache_writer_name(struct cache_writer *writer, const struct digest *digest)
{
	assert(writer->dir == DIR_TMP);
	writer->digest = *digest;
}

int cache_writer_commit(struct cache_writer *writer, struct error *err)
{
	struct cache *cache = writer->cache;
	enum cache_dir dir = entry_dir(writer->kind, &writer->digest);
	char name[DIGEST_HEX_MAX];
	struct stat st;

	digest_hex(&writer->digest, name);
	if (fsync(writer->fd) || fstat(writer->fd, &st))
		return disk_error(cache, errno, err, "write");
	if (renameat(cache->dirs[writer->dir], writer->name, cache->dirs[dir], name))
		return disk_error(cache, errno, err, "publish");
	writer->is_committed = true;
	(void)flock(writer->fd, LOCK_UN);          /* those who read it mark it as in use */
	account_removed(cache, writer->accounted); /* as a file on its way */
	note_own(cache, "%s/%s", dir_name(dir), name);
	account_added(cache, (uint64_t)st.st_size, dir, name);
	if (fsync(cache->dirs[dir])) /* the entry is whole; a crash may only lose its name */
		observer_log(cache->observer, LOG_LEVEL_DEBUG, "cache '%s': fsync of %s: %s",
			cache->path, dir_name(dir), strerror(errno));
	return 0;
}

void cache_writer_free(struct cache_writer *writer, bool keep_partial)
{
	if (!writer)
		return;
	if (writer->fd >= 0 && !writer->is_committed) {
		if (writer->dir == DIR_PARTIAL && keep_partial && writer->offset)
			note_own(writer->cache, "%s/%s", dir_name(DIR_PARTIAL), writer->name);
		else
			(void)unlinkat(writer->cache->dirs[writer->dir], writer->name, 0);
		account_removed(writer->cache, writer->accounted);
	}
	closep(&writer->fd); /* and with it the lock */
	free(writer);
}
