/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening, lookup, and what the other files share.
 *
 * Paths are made of three things only: names spelled here, hex digits of a
 * struct digest, and escaped components (records.c).  Every directory is
 * opened once, without following links, and all files are reached from there.
 *
 * "version" in the root tells the layout of the rest.  A cache of another
 * version is left alone: ours then lies in a subdirectory of its own.
 *
 * Recency for eviction is the time of access, which a lookup sets itself:
 * the mount may be noatime.
 */
#include "fetch/cache/internal.h"

#include <assert.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "fetch/at.h"
#include "fetch/clock.h"
#include "fetch/observer.h"
#include "model/cleanup.h"

#define VERSION      "1"
#define VERSION_FILE "version"
#define VERSION_DIR  "v" VERSION

enum { VERSION_TEXT_MAX = 32 };

static const char *const dir_names[DIR_COUNT] = {
	[DIR_BLOBS] = "blobs/sha256",
	[DIR_BLOBS + 1] = "blobs/sha512",
	[DIR_INDEX] = "index/sha256",
	[DIR_INDEX + 1] = "index/sha512",
	[DIR_SPOOL] = "spool/sha256",
	[DIR_SPOOL + 1] = "spool/sha512",
	[DIR_PARTIAL] = "partial",
	[DIR_TMP] = "tmp",
	[DIR_REFS] = "refs",
	[DIR_PROOF] = "proof",
};

const char *dir_name(enum cache_dir dir)
{
	return dir_names[dir];
}

enum cache_dir entry_dir(enum cache_kind kind, const struct digest *digest)
{
	static const enum cache_dir first[] = {
		[CACHE_BLOB] = DIR_BLOBS, [CACHE_INDEX] = DIR_INDEX, [CACHE_SPOOL] = DIR_SPOOL
	};

	assert(digest_is_set(digest));
	return first[kind] + (digest->algorithm == DIGEST_SHA512);
}

bool is_own_file(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_uid == geteuid();
}

static bool is_own_dir(const struct stat *st)
{
	return S_ISDIR(st->st_mode) && st->st_uid == geteuid() &&
	       !(st->st_mode & (S_IWGRP | S_IWOTH));
}

int disk_error(struct cache *cache, int code, struct error *err, const char *what)
{
	bool is_full = false;

	switch (code) {
	case EDQUOT: /* to our callers this one is a rate limit */
	case EFBIG:  /* and this one a format's ceiling */
	case ENOSPC:
		code = ENOSPC;
		is_full = true;
		break;
	case EACCES: /* and this one a registry's answer */
	case EPERM:
	case EROFS:
		code = EROFS;
		break;
	case EINTR:
	case ENOENT:
	case ENOTDIR:
	case ELOOP:
		code = EIO;
		break;
	}
	observer_count(cache->observer, cache_full, is_full);
	observer_count(cache->observer, cache_errors, !is_full);
	if (!atomic_exchange(&cache->was_warned, true))
		observer_log(cache->observer, LOG_LEVEL_WARNING,
			"cache '%s': %s: %s; going on without it where needed", cache->path, what,
			strerror(code));
	return error_set(err, code, "cache '%s': %s: %s", cache->path, what, strerror(code));
}

void note_own(struct cache *cache, const char *fmt, ...)
{
	char *path = NULL, **own;
	va_list ap;
	int n;

	if (cache->size_max)
		return;
	va_start(ap, fmt);
	n = vasprintf(&path, fmt, ap);
	va_end(ap);
	if (n < 0)
		return; /* then it stays: a cache is allowed to keep things */
	(void)pthread_mutex_lock(&cache->lock);
	own = cache->own;
	if (!(cache->own_count & (cache->own_count - 1))) { /* full at powers of two */
		own = reallocarray(own, cache->own_count ? cache->own_count * 2 : 1, sizeof *own);
		if (own)
			cache->own = own;
	}
	if (own)
		own[cache->own_count++] = TAKE(path);
	(void)pthread_mutex_unlock(&cache->lock);
	free(path);
}

/* --- opening --- */

/* One step of open_below(): a directory that is ours alone to write. */
static int step_below(int from, const char *name, bool create)
{
	CLEANUP(closep) int fd = -1;
	struct stat st;

	if (create && mkdirat(from, name, DIR_MODE) && errno != EEXIST) {
		int saved = errno;

		if (faccessat(from, name, F_OK, AT_SYMLINK_NOFOLLOW)) {
			errno = saved; /* EROFS, and it is not there already */
			return -1;
		}
	}
	fd = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return -1;
	if (!is_own_dir(&st)) {
		errno = ENOTDIR;
		return -1;
	}
	return TAKE_FD(fd);
}

int open_below(int from, const char *path, bool create)
{
	CLEANUP(freep) char *copy = strdup(path);
	int at = from;
	char *rest = NULL;

	if (!copy)
		return -1;
	for (char *name = strtok_r(copy, "/", &rest); name; name = strtok_r(NULL, "/", &rest)) {
		int next = step_below(at, name, create);

		if (at != from)
			closep(&at);
		if (next < 0)
			return -1;
		at = next;
	}
	return at == from ? fcntl(from, F_DUPFD_CLOEXEC, 0) : at;
}

/* mkdir -p; what exists already is checked when it is opened. */
static int make_path(const char *path)
{
	CLEANUP(freep) char *copy = strdup(path);

	if (!copy)
		return -1;
	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, DIR_MODE) && errno == ENOENT)
			return -1;
		*slash = '/';
	}
	return mkdir(copy, DIR_MODE) && errno != EEXIST ? -1 : 0;
}

static int open_root(struct cache *cache, struct error *err)
{
	int made = cache->is_surveyed ? 0 : make_path(cache->path), code = errno;
	struct stat st;

	cache->root = open(cache->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cache->root < 0 && made && errno == ENOENT)
		errno = code;
	if (cache->root < 0 || fstat(cache->root, &st))
		return error_set(err, errno, "cache '%s': %m", cache->path);
	if (!is_own_dir(&st))
		return error_set(err, EACCES,
			"cache '%s': it is not ours, or others may write to it", cache->path);
	return 0;
}

enum version { VERSION_OURS, VERSION_NONE, VERSION_OTHER };

static enum version read_version(int root)
{
	CLEANUP(closep)
	int fd = openat(root, VERSION_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char text[VERSION_TEXT_MAX] = "";
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? VERSION_NONE : VERSION_OTHER;
	n = read(fd, text, sizeof text - 1);
	if (n <= 0) /* killed before it was written */
		return n ? VERSION_OTHER : VERSION_NONE;
	return strcmp(text, VERSION "\n") ? VERSION_OTHER : VERSION_OURS;
}

static void write_version(int root)
{
	static const char text[] = VERSION "\n";
	CLEANUP(closep)
	int fd = openat(root, VERSION_FILE, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);

	if (fd >= 0) /* on a read-only disk there is nothing to mark */
		(void)write_at(fd, text, sizeof text - 1, 0);
}

static int check_version(struct cache *cache, struct error *err)
{
	int root;

	if (read_version(cache->root) == VERSION_OTHER) {
		root = open_below(cache->root, VERSION_DIR, !cache->is_surveyed);
		if (root < 0 || read_version(root) == VERSION_OTHER) {
			closep(&root);
			return error_set(err, EIO, "cache '%s': of another version", cache->path);
		}
		observer_log(cache->observer, LOG_LEVEL_INFO,
			"cache '%s': of another version; using '" VERSION_DIR "' in it",
			cache->path);
		closep(&cache->root);
		cache->root = root;
	}
	if (read_version(cache->root) != VERSION_NONE)
		return 0;
	if (cache->is_surveyed)
		return error_set(err, EINVAL, "'%s': not a cache of imgfs", cache->path);
	write_version(cache->root);
	return 0;
}

/* One that is not there, and is not going to be: nothing is kept in it. */
static bool cannot_be_made(int code)
{
	return code == EROFS || code == EACCES || code == EPERM || code == ENOSPC || code == EDQUOT;
}

static int open_dirs(struct cache *cache, struct error *err)
{
	for (size_t i = 0; i < DIR_COUNT; i++) {
		cache->dirs[i] = open_below(cache->root, dir_names[i], !cache->is_surveyed);
		if (cache->dirs[i] >= 0 ||
			(cache->is_surveyed ? errno == ENOENT : cannot_be_made(errno)))
			continue;
		return error_set(err, errno == ENOTDIR || errno == ELOOP ? EACCES : errno,
			"cache '%s': '%s' is no directory of ours: %m", cache->path, dir_names[i]);
	}
	return 0;
}

CLEANUP_POINTER(cachep, struct cache, cache_close)

static int open_any(struct cache **ret, const char *path, uint64_t size_max, bool is_surveyed,
	struct observer *observer, struct error *err)
{
	CLEANUP(cachep) struct cache *cache = calloc(1, sizeof *cache);
	int rc;

	if (!cache)
		return error_set(err, ENOMEM, "cache '%s': out of memory", path);
	cache->root = -1;
	for (size_t i = 0; i < DIR_COUNT; i++)
		cache->dirs[i] = -1;
	(void)pthread_mutex_init(&cache->lock, NULL); /* cannot fail with default attributes */
	cache->observer = observer;
	cache->size_max = size_max;
	cache->is_surveyed = is_surveyed;
	cache->path = strdup(path);
	if (!cache->path)
		return error_set(err, ENOMEM, "cache '%s': out of memory", path);
	rc = open_root(cache, err);
	if (!rc)
		rc = check_version(cache, err);
	if (!rc)
		rc = open_dirs(cache, err);
	if (rc)
		return rc;
	*ret = TAKE(cache);
	return 0;
}

int cache_open(struct cache **ret, const char *path, uint64_t size_max, struct observer *observer,
	struct error *err)
{
	int rc = open_any(ret, path, size_max, false, observer, err);

	if (rc)
		return rc;
	collect_dead(*ret);
	secret_open(*ret);
	return 0;
}

int cache_open_existing(
	struct cache **ret, const char *path, struct observer *observer, struct error *err)
{
	return open_any(ret, path, UINT64_MAX, true, observer, err);
}

void cache_close(struct cache *cache)
{
	if (!cache)
		return;
	for (size_t i = 0; i < cache->own_count; i++) {
		(void)unlinkat(cache->root, cache->own[i], 0); /* gone already is as good */
		free(cache->own[i]);
	}
	free(cache->own);
	for (size_t i = 0; i < DIR_COUNT; i++)
		closep(&cache->dirs[i]);
	closep(&cache->root);
	explicit_bzero(&cache->secret, sizeof cache->secret);
	(void)pthread_mutex_destroy(&cache->lock);
	free(cache->path);
	free(cache);
}

const char *cache_path(const struct cache *cache)
{
	return cache->path;
}

const struct secret *cache_secret(const struct cache *cache)
{
	return cache && cache->has_secret ? &cache->secret : NULL;
}

bool cache_fits(const struct cache *cache, uint64_t size)
{
	return !cache->size_max || size == DESCRIPTOR_SIZE_UNKNOWN || size <= cache->size_max;
}

/* --- lookup --- */

static int miss(
	struct cache *cache, enum cache_kind kind, const struct digest *digest, struct error *err)
{
	char text[DIGEST_TEXT_MAX];

	observer_count(cache->observer, cache_misses, 1);
	return error_set(err, ENOENT, "%s: not in the cache (%s)", digest_format(digest, text),
		dir_names[entry_dir(kind, digest)]);
}

bool is_distrusted(struct cache *cache, const struct stat *st)
{
	bool is_it = false;

	if (!atomic_load(&cache->distrusted_count))
		return false;
	(void)pthread_mutex_lock(&cache->lock);
	for (size_t i = 0; !is_it && i < DISTRUSTED_MAX; i++) {
		const struct distrusted *file = &cache->distrusted[i];

		is_it = file->ino && file->ino == st->st_ino && file->dev == st->st_dev &&
			times_equal(&file->mtime, &st->st_mtim);
	}
	(void)pthread_mutex_unlock(&cache->lock);
	return is_it;
}

static void distrust(struct cache *cache, const struct stat *st)
{
	if (is_distrusted(cache, st))
		return;
	(void)pthread_mutex_lock(&cache->lock);
	cache->distrusted[atomic_fetch_add(&cache->distrusted_count, 1) % DISTRUSTED_MAX] =
		(struct distrusted){ st->st_dev, st->st_ino, st->st_mtim };
	(void)pthread_mutex_unlock(&cache->lock);
}

static void refuse(struct cache *cache, enum cache_dir dir, const char *name)
{
	observer_log(cache->observer, LOG_LEVEL_WARNING,
		"cache '%s': %s/%s is not a file of ours; not used", cache->path, dir_names[dir],
		name);
}

void cache_hold(int fd)
{
	(void)flock(fd, LOCK_SH | LOCK_NB); /* unmarked it may be fetched once more, no worse */
}

/* An entry that is there and does not open is in the way of a good one. */
static void drop_unreadable(struct cache *cache, enum cache_kind kind, const struct digest *digest)
{
	enum cache_dir dir = entry_dir(kind, digest);
	char hex[DIGEST_HEX_MAX];

	observer_count(cache->observer, cache_errors, 1);
	observer_log(cache->observer, LOG_LEVEL_WARNING, "cache '%s': %s/%s: %s", cache->path,
		dir_names[dir], digest_hex(digest, hex), strerror(errno));
	cache_drop(cache, kind, digest);
}

int cache_lookup(struct cache *cache, enum cache_kind kind, const struct digest *digest,
	uint64_t size, struct error *err)
{
	static const struct timespec now[2] = { { .tv_nsec = UTIME_NOW },
		{ .tv_nsec = UTIME_OMIT } };
	enum cache_dir dir = entry_dir(kind, digest);
	CLEANUP(closep) int fd = -1;
	char name[DIGEST_HEX_MAX];
	struct stat st;

	digest_hex(digest, name);
	if (cache->dirs[dir] < 0)
		return miss(cache, kind, digest, err);
	fd = openat(cache->dirs[dir], name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		return error_set(err, errno, "cache '%s': %m", cache->path);
	if (fd < 0 && (errno == ELOOP || errno == ENXIO))
		refuse(cache, dir, name);
	else if (fd < 0 && errno != ENOENT)
		drop_unreadable(cache, kind, digest);
	if (fd < 0 || fstat(fd, &st))
		return miss(cache, kind, digest, err);
	if (!is_own_file(&st)) {
		refuse(cache, dir, name);
		return miss(cache, kind, digest, err);
	}
	if (is_distrusted(cache, &st))
		return miss(cache, kind, digest, err);
	if (size != DESCRIPTOR_SIZE_UNKNOWN && (uint64_t)st.st_size != size) {
		cache_drop(cache, kind, digest);
		return miss(cache, kind, digest, err);
	}
	cache_hold(fd);
	(void)futimens(fd, now); /* on a read-only disk nothing is evicted either */
	observer_count(cache->observer, cache_hits, 1);
	return TAKE_FD(fd);
}

void cache_drop(struct cache *cache, enum cache_kind kind, const struct digest *digest)
{
	enum cache_dir dir = entry_dir(kind, digest);
	char name[DIGEST_HEX_MAX];
	struct stat st;

	digest_hex(digest, name);
	if (cache->dirs[dir] < 0 || fstatat(cache->dirs[dir], name, &st, AT_SYMLINK_NOFOLLOW))
		return;
	observer_count(cache->observer, cache_corrupt, 1);
	if (unlinkat(cache->dirs[dir], name, 0)) {
		if (errno == ENOENT)
			return; /* somebody else was faster */
		observer_log(cache->observer, LOG_LEVEL_WARNING,
			"cache '%s': %s/%s is damaged and cannot be removed: %s; not used",
			cache->path, dir_names[dir], name, strerror(errno));
		distrust(cache, &st);
		return;
	}
	account_removed(cache, (uint64_t)st.st_size);
	observer_log(cache->observer, LOG_LEVEL_WARNING, "cache '%s': %s/%s was damaged; dropped",
		cache->path, dir_names[dir], name);
}
