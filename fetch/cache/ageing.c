/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeping refs and proofs in bounds: the oldest go first.
 *
 * They are small, and worth more than their bytes: without them an offline
 * mount finds nothing of what the blobs beside them hold.  So they do not
 * compete with blobs for size_max; each kind has bounds of its own.  All are
 * listed at the first record that a process puts, and again after some
 * thousands, which is how far processes together may be beyond the bounds.
 */
#include "fetch/cache/internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/observer.h"
#include "model/cleanup.h"

enum {
	RECORDS_MAX = 1 << 16, /* refs, and as many proofs; an image of ten layers has about a dozen
				* of each.  Listing so many takes a tenth of a second. */
	RECORDS_SHARE = 16,    /* the part of size_max that refs may take beside it: a list of names
				* can have megabytes */
	RECORDS_SIZE_MIN = 1 << 20, /* but that much they may always */
	MARGIN = 16, /* listed again after a sixteenth of that came in, cut down to one below */
};

struct record {
	char *path;
	uint64_t size;
	struct timespec used;
};

struct records {
	struct record *records;
	size_t count;
	uint64_t size; /* of all */
	bool is_cut;   /* out of memory: these are not all */
};

static uint64_t size_max_of(const struct cache *cache)
{
	uint64_t share = cache->size_max / RECORDS_SHARE;

	return share > RECORDS_SIZE_MIN ? share : RECORDS_SIZE_MIN;
}

bool record_fits(const struct cache *cache, size_t len)
{
	return !cache->size_max || len <= size_max_of(cache) / 2;
}

static void add_record(struct cache *cache, const char *path, const struct stat *st, void *context)
{
	struct records *records = context;
	struct record *record;

	(void)cache;
	if (records->is_cut)
		return;
	if (!(records->count & (records->count - 1))) { /* full at powers of two */
		size_t more = records->count ? records->count * 2 : 1;
		struct record *grown = reallocarray(records->records, more, sizeof *grown);

		records->is_cut = !grown;
		if (!grown)
			return;
		records->records = grown;
	}
	record = &records->records[records->count];
	*record = (struct record){ strdup(path), (uint64_t)st->st_size, used_at(st) };
	records->is_cut = !record->path;
	records->count += !records->is_cut;
	records->size += (uint64_t)st->st_size;
}

static int oldest_first(const void *a, const void *b)
{
	return compare_times(&((const struct record *)a)->used, &((const struct record *)b)->used);
}

bool remove_record(struct cache *cache, enum cache_dir dir, const char *path)
{
	CLEANUP(freep) char *above = strdup(path);
	char *slash;

	if (!above || unlinkat(cache->dirs[dir], path, 0))
		return false;
	while ((slash = strrchr(above, '/')) != NULL) {
		*slash = '\0';
		if (unlinkat(cache->dirs[dir], above, AT_REMOVEDIR))
			break; /* it holds something else */
	}
	return true;
}

static void keep_within(struct cache *cache, enum cache_dir dir, uint64_t size_max)
{
	struct records records = { NULL, 0, 0, false };
	uint64_t left, removed = 0;

	(void)each_record(cache, dir, add_record, &records); /* what is not seen stays */
	left = records.size;
	if (records.count > RECORDS_MAX || left > size_max) {
		qsort(records.records, records.count, sizeof *records.records, oldest_first);
		for (size_t i = 0; i < records.count; i++) {
			const struct record *record = &records.records[i];

			if (records.count - removed <= RECORDS_MAX - RECORDS_MAX / MARGIN &&
				left <= size_max - size_max / MARGIN)
				break;
			if (!remove_record(cache, dir, record->path))
				continue;
			removed++;
			left -= record->size;
		}
	}
	for (size_t i = 0; i < records.count; i++)
		free(records.records[i].path);
	free(records.records);
	if (removed)
		observer_log(cache->observer, LOG_LEVEL_DEBUG,
			"cache '%s': removed the %llu oldest of '%s'", cache->path,
			(unsigned long long)removed, dir_name(dir));
}

void account_record(struct cache *cache, size_t len)
{
	uint64_t size_max = size_max_of(cache);
	bool is_due;

	if (!cache->size_max)
		return; /* what is ours goes at the end; the rest is another's to look after */
	(void)pthread_mutex_lock(&cache->lock);
	is_due = !cache->is_ageing &&
		 (!cache->put_records || cache->put_records >= RECORDS_MAX / MARGIN ||
			 cache->put_record_bytes > size_max / MARGIN);
	cache->is_ageing |= is_due;
	cache->put_records = is_due ? 1 : cache->put_records + 1;
	cache->put_record_bytes = is_due ? 0 : cache->put_record_bytes + len;
	(void)pthread_mutex_unlock(&cache->lock);
	if (!is_due)
		return;
	keep_within(cache, DIR_REFS, size_max);
	keep_within(cache, DIR_PROOF, UINT64_MAX);
	(void)pthread_mutex_lock(&cache->lock);
	cache->is_ageing = false;
	(void)pthread_mutex_unlock(&cache->lock);
}
