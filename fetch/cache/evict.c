/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeping to size_max: least recently used first.
 *
 * A running sum says when to look; the directories are listed only when it is
 * over the limit, or when so much came in that other processes, who keep
 * sums of their own, may have added as much.  An eviction goes down to a low
 * mark below the limit, so that the next one is some commits away.
 *
 * Unlinking takes nothing from a reader: open files stay.  A partial is
 * removed only under its lock.
 */
#include "fetch/cache/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "fetch/clock.h"
#include "fetch/observer.h"
#include "model/cleanup.h"

enum {
	LOW_MARK_SHARE = 16, /* evict a sixteenth below the limit */
	RESCAN_SHARE = 8,    /* list again after an eighth of the limit came in */
	FULL_SHARE = 4,      /* a full disk: give a quarter back */
	FRESH_S = 5,         /* cache_used() may be that old */
	DEAD_AGE_S = 3600,   /* of temporary files where locks do not work */
};

struct item {
	enum cache_dir dir;
	char name[DIGEST_HEX_MAX];
	uint64_t size;
	struct timespec used;
};

struct items {
	struct item *items;
	size_t count;
	uint64_t size; /* of all */
};

int compare_times(const struct timespec *a, const struct timespec *b)
{
	if (a->tv_sec != b->tv_sec)
		return a->tv_sec < b->tv_sec ? -1 : 1;
	return (a->tv_nsec > b->tv_nsec) - (a->tv_nsec < b->tv_nsec);
}

static int oldest_first(const void *a, const void *b)
{
	return compare_times(&((const struct item *)a)->used, &((const struct item *)b)->used);
}

struct timespec used_at(const struct stat *st)
{
	return compare_times(&st->st_atim, &st->st_mtim) > 0 ? st->st_atim : st->st_mtim;
}

int each_file(struct cache *cache, enum cache_dir dir, file_fn *fn, void *context)
{
	CLEANUP(closep) int fd = -1;
	struct dirent *entry;
	DIR *stream;
	int rc;

	if (cache->dirs[dir] < 0)
		return 0;
	fd = openat(cache->dirs[dir], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	stream = fd < 0 ? NULL : fdopendir(fd);
	if (!stream)
		return -errno;
	(void)TAKE_FD(fd); /* the stream's */
	while (errno = 0, (entry = readdir(stream)) != NULL)
		if (*entry->d_name != '.' && strlen(entry->d_name) < DIGEST_HEX_MAX)
			fn(cache, dir, entry->d_name, context);
	rc = -errno;
	(void)closedir(stream);
	return rc;
}

static void add_item(struct cache *cache, enum cache_dir dir, const char *name, void *context)
{
	struct items *items = context;
	struct item *item;
	struct stat st;

	if (fstatat(cache->dirs[dir], name, &st, AT_SYMLINK_NOFOLLOW) || !is_own_file(&st))
		return;
	items->size += (uint64_t)st.st_size;
	if (!(items->count & (items->count - 1))) { /* full at powers of two */
		size_t more = items->count ? items->count * 2 : 1;
		struct item *grown = reallocarray(items->items, more, sizeof *grown);

		if (!grown)
			return; /* counted; it stays this time */
		items->items = grown;
	}
	item = &items->items[items->count++];
	*item = (struct item){ .dir = dir, .size = (uint64_t)st.st_size };
	memcpy(item->name, name, strlen(name) + 1);
	item->used = used_at(&st);
}

/* Files on their way are counted, and are nobody's to remove. */
static void add_size(struct cache *cache, enum cache_dir dir, const char *name, void *context)
{
	struct items *items = context;
	struct stat st;

	if (!fstatat(cache->dirs[dir], name, &st, AT_SYMLINK_NOFOLLOW) && is_own_file(&st))
		items->size += (uint64_t)st.st_size;
}

/* A partial goes only if nobody is at it. */
static bool remove_partial(struct cache *cache, const char *name)
{
	int dir = cache->dirs[DIR_PARTIAL];
	CLEANUP(closep) int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat by_fd, by_name;

	return fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB) && !fstat(fd, &by_fd) &&
	       !fstatat(dir, name, &by_name, AT_SYMLINK_NOFOLLOW) &&
	       by_fd.st_ino == by_name.st_ino && !unlinkat(dir, name, 0);
}

static bool remove_item(struct cache *cache, const struct item *item)
{
	if (item->dir == DIR_PARTIAL)
		return remove_partial(cache, item->name);
	return !unlinkat(cache->dirs[item->dir], item->name, 0);
}

/* What eviction must spare: the entry that was the reason for it. */
struct spared {
	enum cache_dir dir;
	const char *name; /* NULL: none */
};

/* Lists, removes the oldest until no more than low bytes are left (if over high). */
static uint64_t scan(struct cache *cache, uint64_t high, uint64_t low, struct spared spared)
{
	struct items items = { NULL, 0, 0 };
	uint64_t left, removed = 0;

	for (enum cache_dir dir = 0; dir <= DIR_PARTIAL; dir++)
		(void)each_file(cache, dir, add_item, &items); /* what is not seen stays */
	(void)each_file(cache, DIR_TMP, add_size, &items);
	left = items.size;
	if (left > high && items.count)
		qsort(items.items, items.count, sizeof *items.items, oldest_first);
	for (size_t i = 0; left > high && i < items.count; i++) {
		const struct item *item = &items.items[i];

		if (left - removed <= low)
			break;
		if (spared.name && item->dir == spared.dir && !strcmp(item->name, spared.name))
			continue;
		if (remove_item(cache, item))
			removed += item->size;
	}
	free(items.items);
	if (removed)
		observer_log(cache->observer, LOG_LEVEL_DEBUG, "cache '%s': evicted %llu bytes",
			cache->path, (unsigned long long)removed);
	return left - removed;
}

static uint64_t no_limit(const struct cache *cache)
{
	return cache->size_max ? cache->size_max : UINT64_MAX;
}

/* Runs scan() unless another thread does. */
static bool scan_alone(struct cache *cache, uint64_t high, uint64_t low, struct spared spared)
{
	uint64_t left;
	bool is_mine;

	(void)pthread_mutex_lock(&cache->lock);
	is_mine = !cache->is_scanning;
	cache->is_scanning = true;
	(void)pthread_mutex_unlock(&cache->lock);
	if (!is_mine)
		return false;
	left = scan(cache, high, low, spared);
	(void)pthread_mutex_lock(&cache->lock);
	cache->is_scanning = false;
	cache->used = left;
	cache->unscanned = 0;
	cache->scanned_s = now_ms() / 1000 + 1; /* never 0 */
	(void)pthread_mutex_unlock(&cache->lock);
	return true;
}

void account_added(struct cache *cache, uint64_t size, enum cache_dir dir, const char *name)
{
	uint64_t max = no_limit(cache);
	bool is_due;

	(void)pthread_mutex_lock(&cache->lock);
	cache->used += size;
	cache->unscanned += size;
	is_due = !cache->scanned_s || cache->used > max || cache->unscanned > max / RESCAN_SHARE;
	(void)pthread_mutex_unlock(&cache->lock);
	if (is_due && cache->size_max)
		(void)scan_alone(
			cache, max, max - max / LOW_MARK_SHARE, (struct spared){ dir, name });
}

void account_removed(struct cache *cache, uint64_t size)
{
	(void)pthread_mutex_lock(&cache->lock);
	cache->used -= size < cache->used ? size : cache->used;
	(void)pthread_mutex_unlock(&cache->lock);
}

uint64_t cache_used(struct cache *cache)
{
	uint64_t used;
	bool is_due;

	(void)pthread_mutex_lock(&cache->lock);
	is_due = !cache->scanned_s || now_ms() / 1000 + 1 - cache->scanned_s > FRESH_S;
	(void)pthread_mutex_unlock(&cache->lock);
	if (is_due)
		(void)scan_alone(cache, UINT64_MAX, UINT64_MAX, (struct spared){ .name = NULL });
	(void)pthread_mutex_lock(&cache->lock);
	used = cache->used;
	(void)pthread_mutex_unlock(&cache->lock);
	return used;
}

bool make_room(struct cache *cache)
{
	uint64_t before = cache_used(cache), after;

	if (!cache->size_max || !before)
		return false;
	(void)scan_alone(cache, 0, before - before / FULL_SHARE, (struct spared){ .name = NULL });
	(void)pthread_mutex_lock(&cache->lock);
	after = cache->used;
	(void)pthread_mutex_unlock(&cache->lock);
	return after < before;
}

static void collect_one(struct cache *cache, enum cache_dir dir, const char *name, void *context)
{
	CLEANUP(closep)
	int fd = openat(cache->dirs[dir], name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	unsigned *removed = context;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || !is_own_file(&st))
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) &&
		(errno == EWOULDBLOCK || time(NULL) - st.st_mtime < DEAD_AGE_S))
		return;
	if (!unlinkat(cache->dirs[dir], name, 0))
		++*removed;
}

void collect_dead(struct cache *cache)
{
	unsigned removed = 0;

	(void)each_file(cache, DIR_TMP, collect_one, &removed); /* another time, then */
	observer_count(cache->observer, cache_tmp_removed, removed);
	if (removed)
		observer_log(cache->observer, LOG_LEVEL_INFO,
			"cache '%s': removed %u temporary files of dead writers", cache->path,
			removed);
}
