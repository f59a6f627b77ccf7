/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of a cache that somebody else wrote to: refs, lists and proofs.  The first byte tells
 * whether it is the file as it lies there, or what is in one whose checksum is right.
 */
#include "fetch/cache/internal.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch/observer.h"
#include "model/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[] = "/tmp/imgfs-fuzz-records.XXXXXX";
static struct cache *cache;
static struct observer observer;

static void check(bool is_true)
{
	if (!is_true)
		abort();
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void clean_up(void)
{
	cache_close(cache);
	(void)nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void begin(void)
{
	if (cache)
		return;
	check(mkdtemp(directory) != NULL);
	check(!cache_open(&cache, directory, 1 << 30, &observer, NULL));
	(void)atexit(clean_up);
}

static void check_descriptor(struct descriptor *found)
{
	check(digest_is_set(&found->digest));
	check(!found->media_type || !strchr(found->media_type, '\n'));
	descriptor_release(found);
}

static void see(const struct cache_record *record, void *context)
{
	(void)context;
	check(record->path && !strstr(record->path, ".."));
	check(record->is_damaged || (record->host && record->repository));
}

static void check_file(const char *bytes, size_t len)
{
	static const char *const names[] = { "refs/h/r/_tags/t", "refs/h/r/_tags/_" };
	struct descriptor found = { 0 };
	struct buf list = { .max = 1 << 20 };
	uint64_t age;
	int dir;

	begin();
	dir = open(directory, O_DIRECTORY | O_CLOEXEC);
	check(dir >= 0);
	(void)mkdirat(dir, "refs/h", 0700);
	(void)mkdirat(dir, "refs/h/r", 0700);
	(void)mkdirat(dir, "refs/h/r/_tags", 0700);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int fd = openat(dir, names[i], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		check(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
		(void)close(fd);
	}
	(void)close(dir);
	(void)cache_records(cache, see, NULL, NULL);
	if (!cache_ref_get(cache, "h", "r", "t", &found, &age, NULL))
		check_descriptor(&found);
	(void)cache_list_get(cache, "h", "r", "tags", &list, &age, NULL);
	buf_release(&list);
}

/* What was put is what is got, if it is a list of names at all. */
static void check_list(const char *bytes, size_t len)
{
	struct buf list = { .max = 1 << 20 };
	uint64_t age;

	begin();
	if (!cache_list_put(cache, "h", "r", "tags", bytes, len, NULL)) {
		check(!cache_list_get(cache, "h", "r", "tags", &list, &age, NULL));
		check(list.len == len && !memcmp(list.data ? list.data : "", bytes, len));
	}
	buf_release(&list);
}

static void check_body(const char *bytes, size_t len)
{
	CLEANUP(freep) char *body = strndup(bytes, len);
	struct descriptor found = { 0 };

	check(body);
	if (!parse_ref(&found, body, NULL))
		check_descriptor(&found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const checks[])(
		const char *, size_t) = { check_body, check_file, check_list };

	if (size)
		checks[*data % ARRAY_SIZE(checks)]((const char *)data + 1, size - 1);
	return 0;
}
