/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache under what may happen to it: killed writers, damaged and planted
 * files, other processes, a full disk.
 */
#include "fetch/cache/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "fetch/cancel.h"
#include "fetch/observer.h"
#include "fetch/disk.h"
#include "model/cleanup.h"
#include "tests/unit/failing_disk.h"

/* printf hello | sha256sum, and sha512sum */
#define HELLO     "hello"
#define HELLO_HEX "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define HELLO_512_HEX                                                                              \
	"9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca7"                         \
	"2323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043"
#define HELLO_512 "sha512:" HELLO_512_HEX
#define UNKNOWN   DESCRIPTOR_SIZE_UNKNOWN

/* --- a directory for each test --- */

struct place {
	char dir[64];  /* removed at the end */
	char path[80]; /* of the cache, in it */
	struct observer observer;
	_Atomic unsigned warnings;
};

static void count_warning(struct observer *observer, enum log_level level, const char *text)
{
	(void)text;
	if (level <= LOG_LEVEL_WARNING)
		container_of(observer, struct place, observer)->warnings++;
}

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof *place);

	if (!place)
		return -1;
	strcpy(place->dir, "/tmp/imgfs-cache-XXXXXX");
	if (!mkdtemp(place->dir))
		return -1;
	(void)snprintf(place->path, sizeof place->path, "%s/cache", place->dir);
	place->observer.log = count_warning;
	*state = place;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct place *place = *state;

	(void)nftw(place->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(place);
	return 0;
}

static struct cache *open_cache(struct place *place, uint64_t size_max)
{
	struct error err = { "" };
	struct cache *cache;

	if (cache_open(&cache, place->path, size_max, &place->observer, &err))
		fail_msg("%s", err.text);
	return cache;
}

static const char *in_cache(const struct place *place, const char *name)
{
	static char path[512];

	(void)snprintf(path, sizeof path, "%s/%s", place->path, name);
	return path;
}

static unsigned count_files(const struct place *place, const char *name)
{
	DIR *dir = opendir(in_cache(place, name));
	struct dirent *entry;
	unsigned count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		count += *entry->d_name != '.';
	(void)closedir(dir);
	return count;
}

static struct digest digest_text(const char *text)
{
	struct digest digest;

	assert_int_equal(digest_parse(&digest, text, NULL), 0);
	return digest;
}

static struct digest hello(void)
{
	return digest_text("sha256:" HELLO_HEX);
}

/* A digest told apart by its last byte only. */
static struct digest numbered(unsigned char number)
{
	struct digest digest = hello();

	digest.bytes[31] = number;
	return digest;
}

static void put(struct cache *cache, enum cache_kind kind, const struct digest *digest,
	const char *bytes, size_t len)
{
	struct cache_writer *writer;
	struct error err = { "" };
	int rc = cache_writer_new(&writer, cache, kind, digest, &err);

	if (!rc)
		rc = cache_writer_append(writer, bytes, len, &err);
	if (!rc)
		rc = cache_writer_commit(writer, &err);
	if (rc)
		fail_msg("%s", err.text);
	cache_writer_free(writer, false);
}

static bool has(struct cache *cache, enum cache_kind kind, const struct digest *digest)
{
	CLEANUP(closep) int fd = cache_lookup(cache, kind, digest, UNKNOWN, NULL);

	assert_true(fd >= 0 || fd == -ENOENT);
	return fd >= 0;
}

static void assert_content(int fd, const char *text)
{
	char bytes[64] = "";

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, bytes, sizeof bytes - 1, 0), strlen(text));
	assert_string_equal(bytes, text);
}

/* --- entries --- */

static void an_entry_is_seen_when_committed(void **state)
{
	struct place *place = *state;
	struct cache *cache = open_cache(place, UNKNOWN);
	static const char *const texts[] = { "sha256:" HELLO_HEX, HELLO_512 };

	for (enum cache_kind kind = CACHE_BLOB; kind <= CACHE_SPOOL; kind++) {
		for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
			struct digest digest = digest_text(texts[i]);
			struct cache_writer *writer;
			int fd, early;

			assert_int_equal(cache_writer_new(&writer, cache, kind, &digest, NULL), 0);
			assert_int_equal(cache_writer_append(writer, "hel", 3, NULL), 0);
			assert_int_equal(cache_writer_append(writer, "lo", 2, NULL), 0);
			assert_false(has(cache, kind, &digest));
			early = cache_writer_reader(writer, NULL);
			assert_int_equal(cache_writer_commit(writer, NULL), 0);
			cache_writer_free(writer, false);
			assert_content(early, HELLO);
			assert_int_equal(fcntl(early, F_GETFL) & O_ACCMODE, O_RDONLY);
			fd = cache_lookup(cache, kind, &digest, 5, NULL);
			assert_content(fd, HELLO);
			assert_int_equal(write(fd, "x", 1), -1);
			(void)close(fd);
			(void)close(early);
		}
	}
	assert_int_equal(count_files(place, "tmp"), 0);
	assert_int_equal(cache_used(cache), 6 * 5);
	assert_string_equal(cache_path(cache), place->path);
	cache_close(cache);
}

static void one_given_up_leaves_nothing(void **state)
{
	struct place *place = *state;
	struct cache *cache = open_cache(place, UNKNOWN);
	struct digest digest = hello();
	struct cache_writer *writer;

	assert_int_equal(cache_writer_new(&writer, cache, CACHE_INDEX, &digest, NULL), 0);
	assert_int_equal(cache_writer_append(writer, "x", 1, NULL), 0);
	cache_writer_free(writer, true); /* nothing to keep: not resumable */
	assert_int_equal(count_files(place, "tmp"), 0);
	assert_false(has(cache, CACHE_INDEX, &digest));
	cache_close(cache);
}

/* --- what may lie where an entry should be --- */

static void make_short(const char *path)
{
	assert_int_equal(truncate(path, 4), 0);
}
static void make_empty(const char *path)
{
	assert_int_equal(truncate(path, 0), 0);
}
static void make_long(const char *path)
{
	assert_int_equal(truncate(path, 6), 0);
}
static void make_link(const char *path)
{
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
}
static void make_fifo(const char *path)
{
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
}
static void make_directory(const char *path)
{
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
}

static const struct damage_case {
	const char *name;
	void (*damage)(const char *path);
	bool is_dropped, can_be_replaced;
} damage_cases[] = {
	{ "a blob that is too short is a miss", make_short, true, true },
	{ "a blob that is empty after a crash is a miss", make_empty, true, true },
	{ "a blob that is too long is a miss", make_long, true, true },
	{ "a planted link is refused", make_link, false, true },
	{ "a FIFO is refused and does not block", make_fifo, false, true },
	{ "a directory is refused", make_directory, false, false },
};

static void damage_is_a_miss(struct place *place, const struct damage_case *c)
{
	struct cache *cache = open_cache(place, UNKNOWN);
	const char *path = in_cache(place, "blobs/sha256/" HELLO_HEX);
	struct digest digest = hello();
	struct stat st;

	put(cache, CACHE_BLOB, &digest, HELLO, 5);
	c->damage(path);
	assert_int_equal(cache_lookup(cache, CACHE_BLOB, &digest, 5, NULL), -ENOENT);
	assert_true(place->warnings > 0);
	assert_int_equal(place->observer.counters.cache_corrupt, c->is_dropped);
	assert_int_equal(lstat(path, &st), c->is_dropped ? -1 : 0);
	if (c->can_be_replaced) {
		put(cache, CACHE_BLOB, &digest, HELLO, 5);
		assert_true(has(cache, CACHE_BLOB, &digest));
	}
	cache_close(cache);
}

/* cmocka gives one state: the row; the place is made here. */
static void damage_row(void **state)
{
	void *place;

	assert_int_equal(setup(&place), 0);
	damage_is_a_miss(place, *state);
	(void)teardown(&place);
}

/* --- opening --- */

static const struct open_case {
	const char *name;
	mode_t mode;
	int rc;
} open_cases[] = {
	{ "a directory of ours", 0700, 0 },
	{ "one that others may read", 0755, 0 },
	{ "one that the group may write to", 0770, -EACCES },
	{ "one that all may write to", 0777, -EACCES },
};

static void open_row(void **state)
{
	const struct open_case *c = *state;
	struct cache *cache = NULL;
	struct place *place;
	void *made;

	assert_int_equal(setup(&made), 0);
	place = made;
	assert_int_equal(mkdir(place->path, 0700), 0);
	assert_int_equal(chmod(place->path, c->mode), 0);
	assert_int_equal(cache_open(&cache, place->path, UNKNOWN, &place->observer, NULL), c->rc);
	cache_close(cache);
	(void)teardown(&made);
}

static void missing_directories_are_made_private(void **state)
{
	struct place *place = *state;
	struct cache *cache;
	struct stat st;

	(void)strcat(place->path, "/a/b");
	cache = open_cache(place, UNKNOWN);
	assert_int_equal(stat(place->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(in_cache(place, "blobs/sha256"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	cache_close(cache);
}

static void a_file_is_no_cache(void **state)
{
	struct place *place = *state;
	struct cache *cache = NULL;
	int fd = open(place->path, O_CREAT | O_WRONLY, 0600);

	(void)close(fd);
	assert_int_equal(
		cache_open(&cache, place->path, UNKNOWN, &place->observer, NULL), -ENOTDIR);
}

static void a_foreign_directory_is_refused(void **state)
{
	struct place *place = *state;
	struct cache *cache = NULL;

	if (geteuid() != 0)
		skip(); /* only root can give a directory away */
	assert_int_equal(mkdir(place->path, 0700), 0);
	assert_int_equal(chown(place->path, 12345, 12345), 0);
	assert_int_equal(cache_open(&cache, place->path, UNKNOWN, &place->observer, NULL), -EACCES);
}

static void a_linked_subdirectory_is_refused(void **state)
{
	struct place *place = *state;
	struct cache *cache = NULL;

	assert_int_equal(mkdir(place->path, 0700), 0);
	assert_int_equal(symlink("/tmp", in_cache(place, "blobs")), 0);
	assert_int_equal(cache_open(&cache, place->path, UNKNOWN, &place->observer, NULL), -EACCES);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	(void)fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static void another_version_is_left_alone(void **state)
{
	struct place *place = *state;
	struct digest digest = hello();
	struct cache *cache;

	assert_int_equal(mkdir(place->path, 0700), 0);
	write_file(in_cache(place, "version"), "999\n");
	cache = open_cache(place, UNKNOWN);
	put(cache, CACHE_BLOB, &digest, HELLO, 5);
	cache_close(cache);
	assert_int_equal(access(in_cache(place, "blobs"), F_OK), -1);
	assert_int_equal(access(in_cache(place, "v1/blobs/sha256/" HELLO_HEX), F_OK), 0);
	cache = open_cache(place, UNKNOWN);
	assert_true(has(cache, CACHE_BLOB, &digest));
	cache_close(cache);
}

static void an_empty_version_file_is_a_killed_writers(void **state)
{
	struct place *place = *state;
	struct cache *cache;

	assert_int_equal(mkdir(place->path, 0700), 0);
	write_file(in_cache(place, "version"), "");
	cache = open_cache(place, UNKNOWN);
	cache_close(cache);
	assert_int_equal(access(in_cache(place, "v1"), F_OK), -1);
}

/* --- killed at any point --- */

enum kill_point { AT_BEGIN, AT_APPEND, AT_SECOND_APPEND, AT_COMMIT, KILL_POINTS };

static void killed_child(struct place *place, bool is_blob, enum kill_point point)
{
	struct cache *cache = open_cache(place, UNKNOWN);
	struct digest digest = hello();
	struct cache_writer *writer;
	uint64_t offset;
	int rc = is_blob ? cache_writer_resume(&writer, cache, &digest, &offset, NULL, NULL)
			 : cache_writer_new(&writer, cache, CACHE_INDEX, &digest, NULL);

	if (rc)
		_exit(2);
	if (point == AT_BEGIN)
		_exit(0);
	if (cache_writer_append(writer, "hel", 3, NULL))
		_exit(2);
	if (point == AT_APPEND)
		_exit(0);
	if (cache_writer_append(writer, "lo", 2, NULL))
		_exit(2);
	if (point == AT_SECOND_APPEND)
		_exit(0);
	_exit(cache_writer_commit(writer, NULL) ? 2 : 0); /* not even freed */
}

static void wait_for_child(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_killed_writer_loses_a_partial_at_most(void **state)
{
	static const uint64_t kept[] = { 0, 3, 5 };
	struct place *place = *state;
	struct digest digest = hello();

	for (int point = AT_BEGIN; point < 2 * KILL_POINTS; point++) {
		bool is_blob = point >= KILL_POINTS, is_complete = point % KILL_POINTS == AT_COMMIT;
		enum cache_kind kind = is_blob ? CACHE_BLOB : CACHE_INDEX;
		struct cache_writer *writer;
		struct cache *cache;
		uint64_t offset = 99;
		pid_t child = fork();

		assert_true(child >= 0);
		if (!child)
			killed_child(place, is_blob, (enum kill_point)(point % KILL_POINTS));
		wait_for_child(child);
		cache = open_cache(place, UNKNOWN);
		assert_int_equal(count_files(place, "tmp"), 0);
		assert_int_equal(has(cache, kind, &digest), is_complete);
		if (is_complete) {
			CLEANUP(closep) int fd = cache_lookup(cache, kind, &digest, 5, NULL);

			assert_content(fd, HELLO);
			cache_drop(cache, kind, &digest);
		} else if (is_blob) {
			assert_int_equal(
				cache_writer_resume(&writer, cache, &digest, &offset, NULL, NULL),
				0);
			assert_int_equal(offset, kept[point % KILL_POINTS]);
			cache_writer_free(writer, false);
			assert_int_equal(count_files(place, "partial"), 0);
		}
		cache_close(cache);
	}
}

static void a_living_writers_file_is_not_collected(void **state)
{
	struct place *place = *state;
	struct cache *first = open_cache(place, UNKNOWN), *second;
	struct digest digest = hello();
	struct cache_writer *writer;

	assert_int_equal(cache_writer_new(&writer, first, CACHE_SPOOL, &digest, NULL), 0);
	second = open_cache(place, UNKNOWN);
	assert_int_equal(count_files(place, "tmp"), 1);
	assert_int_equal(cache_writer_append(writer, HELLO, 5, NULL), 0);
	assert_int_equal(cache_writer_commit(writer, NULL), 0);
	cache_writer_free(writer, false);
	assert_true(has(second, CACHE_SPOOL, &digest));
	cache_close(first);
	cache_close(second);
}

/* --- two at one partial --- */

enum outcome { COMMITS, COMMITS_AND_READS, DIES, GIVES_UP, KEEPS };

static const struct race_case {
	const char *name;
	enum outcome outcome;
	int rc;
	uint64_t offset;
} race_cases[] = {
	{ "waiting for one who commits", COMMITS, -EEXIST, 0 },
	{ "waiting for one who commits, and reads it for ever", COMMITS_AND_READS, -EEXIST, 0 },
	{ "waiting for one who dies", DIES, 0, 3 },
	{ "waiting for one who gives up", GIVES_UP, 0, 0 },
	{ "waiting for one who keeps the partial", KEEPS, 0, 3 },
};

static bool commits(struct cache_writer *writer)
{
	return !cache_writer_append(writer, "lo", 2, NULL) && !cache_writer_commit(writer, NULL);
}

/* Marks it as in use before the other has looked again, and until the end. */
static void commit_and_read(struct cache_writer *writer, int end)
{
	int fd = cache_writer_reader(writer, NULL);
	char byte;

	if (fd < 0 || !commits(writer))
		_exit(2);
	cache_hold(fd);
	cache_writer_free(writer, false);
	_exit(read(end, &byte, 1) != 0);
}

/* Takes the lock, says so, and holds it for a moment that the other spends waiting. */
static void holder(struct place *place, enum outcome outcome, int ready, int end)
{
	struct cache *cache = open_cache(place, UNKNOWN);
	struct timespec moment = { .tv_nsec = 50000000 };
	struct digest digest = hello();
	struct cache_writer *writer;
	uint64_t offset;

	if (cache_writer_resume(&writer, cache, &digest, &offset, NULL, NULL) || offset ||
		cache_writer_append(writer, "hel", 3, NULL) || write(ready, "x", 1) != 1)
		_exit(2);
	(void)nanosleep(&moment, NULL);
	if (outcome == DIES)
		_exit(0);
	if (outcome == COMMITS_AND_READS)
		commit_and_read(writer, end);
	if (outcome == COMMITS && !commits(writer))
		_exit(2);
	cache_writer_free(writer, outcome == KEEPS);
	_exit(0);
}

static void race_row(void **state)
{
	const struct race_case *c = *state;
	struct cache_writer *writer = NULL;
	struct digest digest = hello();
	struct cache *cache;
	uint64_t offset = 0;
	int ready[2], end[2];
	char byte;
	pid_t child;
	void *place;

	assert_int_equal(setup(&place), 0);
	cache = open_cache(place, UNKNOWN);
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(end), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		(void)close(end[1]);
		holder(place, c->outcome, ready[1], end[0]);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(cache_writer_resume(&writer, cache, &digest, &offset, NULL, NULL), c->rc);
	assert_int_equal(offset, c->offset);
	assert_int_equal(has(cache, CACHE_BLOB, &digest), c->rc == -EEXIST);
	cache_writer_free(writer, true);
	(void)close(end[1]);
	wait_for_child(child);
	(void)close(end[0]);
	(void)close(ready[0]);
	(void)close(ready[1]);
	cache_close(cache);
	(void)teardown(&place);
}

static void *cancel_soon(void *context)
{
	struct timespec moment = { .tv_nsec = 20000000 };

	(void)nanosleep(&moment, NULL);
	cancel_set(context);
	return NULL;
}

static void waiting_ends_with_a_cancel(void **state)
{
	struct cache *cache = open_cache(*state, UNKNOWN);
	struct cache_writer *writer, *second = NULL;
	struct digest digest = hello();
	struct cancel cancel;
	pthread_t thread;
	uint64_t offset;

	cancel_init(&cancel);
	assert_int_equal(cache_writer_resume(&writer, cache, &digest, &offset, NULL, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancel), 0);
	assert_int_equal(
		cache_writer_resume(&second, cache, &digest, &offset, &cancel, NULL), -EINTR);
	assert_int_equal(
		cache_writer_resume(&second, cache, &digest, &offset, &cancel, NULL), -EINTR);
	(void)pthread_join(thread, NULL);
	cache_writer_free(writer, false);
	cancel_release(&cancel);
	cache_close(cache);
}

static void a_partial_can_start_over(void **state)
{
	struct cache *cache = open_cache(*state, UNKNOWN);
	struct digest digest = hello();
	struct cache_writer *writer;
	uint64_t offset;

	assert_int_equal(cache_writer_resume(&writer, cache, &digest, &offset, NULL, NULL), 0);
	assert_int_equal(cache_writer_append(writer, "garbage", 7, NULL), 0);
	assert_int_equal(cache_writer_reset(writer, NULL), 0);
	assert_int_equal(cache_writer_append(writer, HELLO, 5, NULL), 0);
	assert_content(cache_writer_fd(writer), HELLO);
	assert_int_equal(cache_writer_commit(writer, NULL), 0);
	cache_writer_free(writer, false);
	assert_true(has(cache, CACHE_BLOB, &digest));
	assert_int_equal(
		cache_writer_resume(&writer, cache, &digest, &offset, NULL, NULL), -EEXIST);
	assert_int_equal(count_files(*state, "partial"), 0);
	cache_close(cache);
}

/* What the disk was told to begin with, and what it says to that. */
static struct {
	unsigned calls;
	uint64_t end;
	int code;
} written_back;

int __wrap_sync_file_range(int fd, off_t offset, off_t len, unsigned flags);

int __wrap_sync_file_range(int fd, off_t offset, off_t len, unsigned flags)
{
	struct stat st;

	written_back.calls++;
	assert_int_equal(flags, SYNC_FILE_RANGE_WRITE); /* and does not wait for it */
	assert_int_equal((uint64_t)offset, written_back.end);
	written_back.end += (uint64_t)len;
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(written_back.end <= (uint64_t)st.st_size);
	errno = written_back.code;
	return written_back.code ? -1 : 0;
}

static const char piece[64 << 10];

/* Bytes from where the last ones ended. */
static void append_pieces(struct cache_writer *writer, uint64_t len)
{
	for (uint64_t done = 0; done < len; done += sizeof piece)
		assert_int_equal(cache_writer_append(writer, piece, sizeof piece, NULL), 0);
}

/* Each byte once, 8 MiB at a time: no more than that is left for the end. */
static void the_disk_writes_while_bytes_come(void **state)
{
	struct cache *cache = open_cache(*state, UNKNOWN);
	struct digest digest = hello();
	struct cache_writer *writer;
	uint64_t offset;

	memset(&written_back, 0, sizeof written_back);
	assert_int_equal(cache_writer_resume(&writer, cache, &digest, &offset, NULL, NULL), 0);
	append_pieces(writer, 20 << 20);
	assert_int_equal(written_back.calls, 2);
	assert_int_equal(written_back.end, 16 << 20);
	cache_writer_free(writer, true);

	written_back.end = 20 << 20; /* who resumes leaves alone what is there */
	assert_int_equal(cache_writer_resume(&writer, cache, &digest, &offset, NULL, NULL), 0);
	assert_int_equal(offset, 20 << 20);
	append_pieces(writer, 8 << 20);
	assert_int_equal(written_back.calls, 3);
	assert_int_equal(written_back.end, 28 << 20);

	assert_int_equal(cache_writer_reset(writer, NULL), 0);
	written_back.end = 0;
	written_back.code = ENOSYS; /* there is fsync, still */
	append_pieces(writer, 8 << 20);
	assert_int_equal(written_back.calls, 4);

	written_back.code = EIO; /* which fsync need not repeat */
	append_pieces(writer, (8 << 20) - (64 << 10));
	assert_int_equal(cache_writer_append(writer, piece, sizeof piece, NULL), -EIO);
	assert_int_equal(written_back.calls, 5);
	cache_writer_free(writer, false);
	cache_close(cache);
}

/* --- no room --- */

static void full_child(struct place *place)
{
	struct cache *cache = open_cache(place, UNKNOWN);
	struct rlimit limit = { 8, 8 };
	struct digest digest = hello();
	struct cache_writer *writer;
	uint64_t offset;

	(void)signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &limit) ||
		cache_writer_resume(&writer, cache, &digest, &offset, NULL, NULL) ||
		cache_writer_append(writer, "12345", 5, NULL))
		_exit(2);
	if (cache_writer_append(writer, "67890", 5, NULL) != -ENOSPC)
		_exit(3);
	if (lseek(cache_writer_fd(writer), 0, SEEK_END) != 5)
		_exit(4); /* no half of a piece */
	cache_writer_free(writer, true);
	if (place->warnings != 1 ||
		cache_ref_put(cache, "h", "r", "t",
			&(struct descriptor){ .digest = digest, .size = 1 }, NULL) != -ENOSPC ||
		place->warnings != 1)
		_exit(5);
	if (cache_ref_get(cache, "h", "r", "t", &(struct descriptor){ 0 }, &offset, NULL) !=
		-ENOENT)
		_exit(6);
	_exit(0);
}

static void a_full_disk_is_enospc(void **state)
{
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child)
		full_child(*state);
	wait_for_child(child);
	assert_int_equal(count_files(*state, "tmp"), 0);
	assert_int_equal(count_files(*state, "partial"), 1);
}

/* A disk of that many bytes, of which so many are free; 0: the real one. */
static uint64_t disk_size, disk_free;

int __wrap_fstatvfs64(int fd, struct statvfs *ret);
int __real_fstatvfs64(int fd, struct statvfs *ret);

int __wrap_fstatvfs64(int fd, struct statvfs *ret)
{
	if (!disk_size)
		return __real_fstatvfs64(fd, ret);
	*ret = (struct statvfs){
		.f_frsize = 512, .f_blocks = disk_size / 512, .f_bavail = disk_free / 512
	};
	return 0;
}

/* A twentieth is left, but of a large disk no more than 1 GiB. */
static void some_of_a_disk_is_left(void **state)
{
	static const struct {
		uint64_t size, free, bytes;
		bool has_room;
	} rows[] = {
		{ 20 << 20, 3 << 20, 2 << 20, true },
		{ 20 << 20, 3 << 20, (2 << 20) + 1, false },
		{ 20 << 20, 1 << 20, 0, true },
		{ 20 << 20, 0, 0, false },
		{ UINT64_C(1) << 40, (UINT64_C(1) << 30) + 512, 512, true },
		{ UINT64_C(1) << 40, UINT64_C(1) << 30, 512, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		disk_size = rows[i].size;
		disk_free = rows[i].free;
		assert_int_equal(disk_has_room(0, rows[i].bytes), rows[i].has_room);
	}
	disk_size = 0;
}

/* What is old goes first, once; when that does not help, there is no room. */
static void what_nobody_asked_for_leaves_room(void **state)
{
	struct cache *cache = open_cache(*state, UNKNOWN);
	struct digest digest = hello();
	struct cache_writer *writer;
	struct error err = { "" };

	put(cache, CACHE_BLOB, &digest, "hello", 5);
	assert_int_equal(cache_writer_new(&writer, cache, CACHE_SPOOL, &digest, NULL), 0);
	assert_int_equal(cache_writer_reserve(writer, 100, &err), 0);
	assert_true(has(cache, CACHE_BLOB, &digest));
	disk_size = 20 << 20;
	disk_free = 1 << 20;
	assert_int_equal(cache_writer_reserve(writer, 100, &err), -ENOSPC);
	assert_true(*err.text);
	assert_false(has(cache, CACHE_BLOB, &digest));
	disk_free = 2 << 20;
	assert_int_equal(cache_writer_reserve(writer, 100, &err), 0);
	disk_size = 0;
	cache_writer_free(writer, false);
	cache_close(cache);
}

static void a_cache_removed_under_us_is_a_miss(void **state)
{
	struct place *place = *state;
	struct cache *cache = open_cache(place, UNKNOWN);
	struct digest digest = hello();
	struct cache_writer *writer;
	uint64_t offset, age;

	(void)nftw(place->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	assert_false(has(cache, CACHE_BLOB, &digest));
	assert_int_equal(cache_writer_new(&writer, cache, CACHE_BLOB, &digest, NULL), -EIO);
	assert_int_equal(cache_writer_resume(&writer, cache, &digest, &offset, NULL, NULL), -EIO);
	assert_int_equal(cache_ref_get(cache, "h", "r", "t", &(struct descriptor){ 0 }, &age, NULL),
		-ENOENT);
	cache_proof_put(cache, "key", &digest);
	assert_false(cache_proof_has(cache, "key", &digest, true));
	cache_close(cache);
}

/* --- eviction --- */

static void set_age(const struct place *place, const char *name, time_t age_s)
{
	struct timespec times[2] = { { .tv_sec = time(NULL) - age_s } };

	times[1] = times[0];
	assert_int_equal(utimensat(AT_FDCWD, in_cache(place, name), times, AT_SYMLINK_NOFOLLOW), 0);
}

static void set_entry_age(const struct place *place, const struct digest *digest, time_t age_s)
{
	char name[256], hex[DIGEST_HEX_MAX];

	(void)snprintf(name, sizeof name, "blobs/sha256/%s", digest_hex(digest, hex));
	set_age(place, name, age_s);
}

static void the_least_recently_used_goes_first(void **state)
{
	struct place *place = *state;
	struct cache *cache = open_cache(place, 1000);
	static const char bytes[300];
	struct digest digests[4];
	CLEANUP(closep) int reader = -1;
	char byte;

	for (unsigned char i = 0; i < 4; i++)
		digests[i] = numbered(i);
	for (int i = 0; i < 3; i++) {
		put(cache, CACHE_BLOB, &digests[i], bytes, sizeof bytes);
		set_entry_age(place, &digests[i], 1000 - i);
	}
	assert_int_equal(cache_used(cache), 900);
	assert_true(has(cache, CACHE_BLOB, &digests[0])); /* which makes it the youngest */
	reader = cache_lookup(cache, CACHE_BLOB, &digests[1], 300, NULL);
	set_entry_age(place, &digests[1], 5000);
	put(cache, CACHE_BLOB, &digests[3], bytes, sizeof bytes);
	assert_true(has(cache, CACHE_BLOB, &digests[0]));
	assert_false(has(cache, CACHE_BLOB, &digests[1]));
	assert_true(has(cache, CACHE_BLOB, &digests[2]));
	assert_true(has(cache, CACHE_BLOB, &digests[3]));
	assert_int_equal(cache_used(cache), 900);
	assert_int_equal(pread(reader, &byte, 1, 299), 1); /* its reader notices nothing */
	cache_close(cache);
}

static void what_was_just_committed_stays(void **state)
{
	struct cache *cache = open_cache(*state, 100);
	static const char bytes[300];
	struct digest small = numbered(1), large = numbered(2);

	put(cache, CACHE_INDEX, &small, bytes, 50);
	put(cache, CACHE_BLOB, &large, bytes, 300);
	assert_false(has(cache, CACHE_INDEX, &small));
	assert_true(has(cache, CACHE_BLOB, &large));
	assert_false(cache_fits(cache, 300));
	assert_true(cache_fits(cache, 100));
	assert_true(cache_fits(cache, UNKNOWN));
	cache_close(cache);
}

static void a_partial_goes_only_when_nobody_is_at_it(void **state)
{
	struct place *place = *state;
	struct cache *cache = open_cache(place, 1000);
	static const char bytes[400];
	struct digest held = numbered(1), left = numbered(2), fresh = numbered(3);
	struct cache_writer *holder_writer, *writer;
	char name[200], hex[DIGEST_HEX_MAX];
	uint64_t offset;

	assert_int_equal(cache_writer_resume(&holder_writer, cache, &held, &offset, NULL, NULL), 0);
	assert_int_equal(cache_writer_append(holder_writer, bytes, 400, NULL), 0);
	(void)snprintf(name, sizeof name, "partial/%s", digest_hex(&held, hex));
	set_age(place, name, 9000);
	assert_int_equal(cache_writer_resume(&writer, cache, &left, &offset, NULL, NULL), 0);
	assert_int_equal(cache_writer_append(writer, bytes, 400, NULL), 0);
	cache_writer_free(writer, true);
	put(cache, CACHE_BLOB, &fresh, bytes, 400);
	assert_int_equal(access(in_cache(place, name), F_OK), 0);
	(void)snprintf(name, sizeof name, "partial/%s", digest_hex(&left, hex));
	assert_int_equal(access(in_cache(place, name), F_OK), -1);
	cache_writer_free(holder_writer, false);
	cache_close(cache);
}

static void size_zero_leaves_nothing_of_ours(void **state)
{
	struct place *place = *state;
	struct cache *keeper = open_cache(place, UNKNOWN), *cache;
	struct digest theirs = numbered(1), ours = numbered(2), begun = numbered(3);
	struct descriptor descriptor = { .digest = ours, .size = 5 };
	struct cache_writer *writer;
	uint64_t offset;

	put(keeper, CACHE_BLOB, &theirs, HELLO, 5);
	cache = open_cache(place, 0);
	put(cache, CACHE_BLOB, &ours, HELLO, 5);
	assert_int_equal(cache_writer_resume(&writer, cache, &begun, &offset, NULL, NULL), 0);
	assert_int_equal(cache_writer_append(writer, "x", 1, NULL), 0);
	cache_writer_free(writer, true);
	assert_int_equal(cache_ref_put(cache, "h", "r", "t", &descriptor, NULL), 0);
	cache_proof_put(cache, "key", &ours);
	assert_true(has(cache, CACHE_BLOB, &ours));
	cache_close(cache);
	assert_true(has(keeper, CACHE_BLOB, &theirs));
	assert_false(has(keeper, CACHE_BLOB, &ours));
	assert_int_equal(count_files(place, "partial"), 0);
	assert_int_equal(cache_ref_get(keeper, "h", "r", "t", &descriptor, &offset, NULL), -ENOENT);
	assert_false(cache_proof_has(keeper, "key", &ours, true));
	cache_close(keeper);
}

/* --- records --- */

#define LONG_TAG                                                                                   \
	"////////////////////////////////////////////////////////////////////////////////"         \
	"////////////////////////////////////////////////////////////////////////////////"

static const struct ref_row {
	const char *host, *repository, *tag;
} ref_rows[] = {
	{ "docker.io", "library/nginx", "1.28" },
	{ "docker.io", "a/b", "c" },
	{ "docker.io", "a/b/c", "d" },
	{ "docker.io", "a/b/c", "_tags" },
	{ "docker.io", "a/b/_tags", "c" },
	{ "docker.io", "a", "b" },
	{ "docker.io", "a%2Fb", "c" },
	{ "docker.io", "", "c" },
	{ "registry.example:5000", "a/b", "c" },
	{ "registry.example_5000_", "a/b", "c" },
	{ "registry.example", "a/b", "c" },
	{ "[::1]:5000", "a/b", "c" },
	{ "", "a/b", "c" },
	{ "_local", "a/b", "c" },
	{ "docker.io", "a/b", "" },
	{ "docker.io", "a/b", "%" },
	{ "docker.io", "a/b", ".." },
	{ "docker.io", "../../b", "c" },
	{ "docker.io", "a/b", "with\nline" },
	{ "docker.io", "a/b", LONG_TAG },
	{ "docker.io", "a/b", LONG_TAG "x" },
	{ "docker.io", "a/b", "sha256:" HELLO_HEX },
};

static void refs_never_collide(void **state)
{
	struct cache *cache = open_cache(*state, UNKNOWN);

	for (size_t i = 0; i < ARRAY_SIZE(ref_rows); i++) {
		const struct ref_row *row = &ref_rows[i];
		struct descriptor descriptor = { .digest = numbered((unsigned char)i),
			.size = i,
			.media_type = (char *)"application/vnd.oci.image.index.v1+json" };

		if (i % 2) {
			descriptor.size = UNKNOWN;
			descriptor.media_type = NULL;
		}
		assert_int_equal(cache_ref_put(cache, row->host, row->repository, row->tag,
					 &descriptor, NULL),
			0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(ref_rows); i++) {
		const struct ref_row *row = &ref_rows[i];
		struct digest digest = numbered((unsigned char)i);
		CLEANUP(descriptor_release) struct descriptor found = { 0 };
		uint64_t age = 99;

		assert_int_equal(cache_ref_get(cache, row->host, row->repository, row->tag, &found,
					 &age, NULL),
			0);
		assert_true(digest_equal(&found.digest, &digest));
		assert_true(found.size == (i % 2 ? UNKNOWN : i));
		assert_int_equal(!found.media_type, i % 2);
		assert_true(age < 60);
	}
	cache_close(cache);
}

static const char ref_file[] = "refs/registry.example_5000_/a/b/_tags/c";

static void any_flipped_bit_of_a_ref_is_a_miss(void **state)
{
	struct place *place = *state;
	struct cache *cache = open_cache(place, UNKNOWN);
	struct descriptor descriptor = {
		.digest = hello(), .size = 5, .media_type = (char *)"a/b"
	};
	struct stat st = { .st_size = 1 };

	for (off_t i = 0; i < st.st_size; i++) {
		struct descriptor found = { 0 };
		uint64_t age;
		char byte;
		int fd;

		assert_int_equal(cache_ref_put(cache, "registry.example:5000", "a/b", "c",
					 &descriptor, NULL),
			0);
		fd = open(in_cache(place, ref_file), O_RDWR);
		assert_true(fd >= 0);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(pread(fd, &byte, 1, i), 1);
		byte ^= (char)(1 << i % 8);
		assert_int_equal(pwrite(fd, &byte, 1, i), 1);
		(void)close(fd);
		assert_int_equal(cache_ref_get(cache, "registry.example:5000", "a/b", "c", &found,
					 &age, NULL),
			-ENOENT);
	}
	cache_close(cache);
}

static void an_unreadable_ref_is_a_miss(void **state)
{
	struct place *place = *state;
	struct cache *cache = open_cache(place, UNKNOWN);
	struct descriptor descriptor = { .digest = hello(), .size = 5 }, found = { 0 };
	uint64_t age;

	for (int opens = 0; opens < 2; opens++) {
		assert_int_equal(cache_ref_put(cache, "registry.example:5000", "a/b", "c",
					 &descriptor, NULL),
			0);
		disk_fails(in_cache(place, ref_file), opens, false);
		assert_int_equal(cache_ref_get(cache, "registry.example:5000", "a/b", "c", &found,
					 &age, NULL),
			-ENOENT);
		disk_is_mended();
	}
	assert_int_equal(place->warnings, 1); /* it is said once */
	assert_int_equal(
		cache_ref_put(cache, "registry.example:5000", "a/b", "c", &descriptor, NULL), 0);
	assert_int_equal(
		cache_ref_get(cache, "registry.example:5000", "a/b", "c", &found, &age, NULL), 0);
	cache_close(cache);
}

/* More of them than are remembered. */
static void damage_that_cannot_be_removed_is_a_miss(void **state)
{
	struct place *place = *state;
	struct cache *cache = open_cache(place, UNKNOWN);
	struct cache_writer *writer;
	uint64_t offset = 99;

	for (int i = 0; i < 100; i++) {
		struct digest digest = numbered((unsigned char)i);

		put(cache, CACHE_BLOB, &digest, HELLO, 5);
	}
	disk_fails(place->path, true, true);
	for (int i = 0; i < 100; i++) {
		struct digest digest = numbered((unsigned char)i);

		assert_true(has(cache, CACHE_BLOB, &digest));
		cache_drop(cache, CACHE_BLOB, &digest);
		assert_false(has(cache, CACHE_BLOB, &digest));
		assert_int_equal(
			cache_writer_resume(&writer, cache, &digest, &offset, NULL, NULL), 0);
		assert_int_equal(offset, 0);
		assert_int_equal(cache_writer_append(writer, HELLO, 5, NULL), 0);
		assert_int_equal(cache_writer_commit(writer, NULL), 0);
		cache_writer_free(writer, false);
		assert_true(has(cache, CACHE_BLOB, &digest)); /* it is another file */
	}
	disk_is_mended();
	assert_int_equal(place->observer.counters.cache_corrupt, 100);
	cache_close(cache);
}

static void any_prefix_of_a_ref_is_a_miss(void **state)
{
	struct place *place = *state;
	struct cache *cache = open_cache(place, UNKNOWN);
	struct descriptor descriptor = { .digest = hello(), .size = 5 }, found = { 0 };
	uint64_t age;

	for (off_t len = 0; len < 100; len++) {
		assert_int_equal(cache_ref_put(cache, "registry.example:5000", "a/b", "c",
					 &descriptor, NULL),
			0);
		assert_int_equal(truncate(in_cache(place, ref_file), len), 0);
		assert_int_equal(cache_ref_get(cache, "registry.example:5000", "a/b", "c", &found,
					 &age, NULL),
			-ENOENT);
	}
	cache_close(cache);
}

static void lists_come_back(void **state)
{
	static const char text[] = "1.0\n1.1\nlatest\n";
	struct cache *cache = open_cache(*state, UNKNOWN);
	CLEANUP(buf_release) struct buf found = { .max = 1000 };
	uint64_t age = 99;

	assert_int_equal(cache_list_get(cache, "h", "a/b", "tags", &found, &age, NULL), -ENOENT);
	assert_int_equal(cache_list_put(cache, "h", "a/b", "tags", text, sizeof text - 1, NULL), 0);
	assert_int_equal(cache_list_put(cache, "h", "", "repositories", "", 0, NULL), 0);
	assert_int_equal(cache_list_get(cache, "h", "a/b", "tags", &found, &age, NULL), 0);
	assert_string_equal(found.data, text);
	assert_true(age < 60);
	buf_release(&found);
	assert_int_equal(cache_list_get(cache, "h", "", "repositories", &found, &age, NULL), 0);
	assert_int_equal(found.len, 0);
	assert_int_equal(cache_list_get(cache, "h", "", "tags", &found, &age, NULL), -ENOENT);
	cache_close(cache);
}

/* printf key | sha256sum */
#define KEY_HEX "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"

static void proofs_age(void **state)
{
	static const struct {
		time_t age_s;
		bool is_proof;
	} ages[] = {
		{ 0, true }, { CACHE_PROOF_MAX_AGE_S - 60, true },
		{ CACHE_PROOF_MAX_AGE_S + 60, false },
		{ -3600, false }, /* from the future: a clock was wrong */
	};
	struct place *place = *state;
	struct cache *cache = open_cache(place, UNKNOWN);
	struct digest digest = hello(), other = numbered(1);

	assert_false(cache_proof_has(cache, "key", &digest, true));
	cache_proof_put(cache, "key", &digest);
	assert_false(cache_proof_has(cache, "another key", &digest, true));
	assert_false(cache_proof_has(cache, "key", &other, true));
	for (size_t i = 0; i < ARRAY_SIZE(ages); i++) {
		set_age(place, "proof/" KEY_HEX "/" HELLO_HEX, ages[i].age_s);
		assert_int_equal(cache_proof_has(cache, "key", &digest, false), ages[i].is_proof);
		assert_true(cache_proof_has(cache, "key", &digest, true));
	}
	cache_proof_put(cache, "key", &digest);
	assert_true(cache_proof_has(cache, "key", &digest, false));
	cache_close(cache);
}

/* --- bounds of records --- */

enum { PROOFS_MAX = 65536 };

static unsigned count_proofs(const struct place *place)
{
	return count_files(place, "proof/" KEY_HEX);
}

static void the_oldest_proofs_go(void **state)
{
	struct place *place = *state;
	struct cache *cache = open_cache(place, UNKNOWN);
	struct digest digest = hello();
	char name[192];

	assert_int_equal(mkdir(in_cache(place, "proof/" KEY_HEX), 0700), 0);
	assert_int_equal(mkdir(in_cache(place, "proof/another"), 0700), 0);
	write_file(in_cache(place, "proof/another/oldest"), "");
	set_age(place, "proof/another/oldest", 99000);
	for (unsigned i = 0; i < PROOFS_MAX - 1; i++) {
		(void)snprintf(name, sizeof name, "proof/" KEY_HEX "/%064x", i);
		(void)close(open(in_cache(place, name), O_CREAT | O_WRONLY, 0600));
	}
	set_age(place, name, 90000);
	cache_proof_put(cache, "key", &digest); /* one too many */
	assert_true(cache_proof_has(cache, "key", &digest, false));
	assert_int_equal(count_proofs(place), PROOFS_MAX - PROOFS_MAX / 16);
	assert_int_equal(access(in_cache(place, "proof/another"), F_OK), -1);
	assert_int_equal(access(in_cache(place, name), F_OK), -1);
	cache_close(cache);
}

static bool has_list(struct cache *cache, const char *repository)
{
	CLEANUP(buf_release) struct buf found = { .max = 1 << 20 };
	uint64_t age;

	return !cache_list_get(cache, "h", repository, "tags", &found, &age, NULL);
}

static void the_oldest_lists_go(void **state)
{
	static char text[600 << 10];
	const size_t len = sizeof text / 2;
	struct place *place = *state;
	struct cache *cache = open_cache(place, 1 << 20);

	memset(text, 'x', sizeof text);
	assert_int_equal(cache_list_put(cache, "h", "a/b", "tags", text, len, NULL), 0);
	set_age(place, "refs/h/a/b/_list-tags", 1000);
	assert_int_equal(cache_list_put(cache, "h", "c", "tags", text, len, NULL), 0);
	set_age(place, "refs/h/c/_list-tags", 2000);
	assert_int_equal(cache_list_put(cache, "h", "d", "tags", text, len, NULL), 0);
	assert_int_equal(cache_list_put(cache, "h", "c", "tags", text, len, NULL), 0);
	assert_int_equal(access(in_cache(place, "refs/h/a/b/_list-tags"), F_OK), 0);
	assert_int_equal(cache_list_put(cache, "h", "e", "tags", text, len, NULL), 0);
	assert_false(has_list(cache, "a/b"));
	assert_int_equal(access(in_cache(place, "refs/h/a"), F_OK), -1);
	assert_true(has_list(cache, "c") && has_list(cache, "d") && has_list(cache, "e"));
	/* One that would push out most others is not kept. */
	assert_int_equal(cache_list_put(cache, "h", "f", "tags", text, len / 2, NULL), 0);
	assert_int_equal(cache_list_put(cache, "h", "f", "tags", text, sizeof text, NULL), -ENOSPC);
	cache_close(cache);
}

static void what_is_being_written_counts(void **state)
{
	struct cache *cache = open_cache(*state, 1000);
	static const char bytes[400];
	struct digest old = numbered(1), next = numbered(2), fresh = numbered(3);
	struct cache_writer *writer;

	put(cache, CACHE_BLOB, &old, bytes, 400);
	set_entry_age(*state, &old, 1000);
	assert_int_equal(cache_writer_new(&writer, cache, CACHE_SPOOL, &next, NULL), 0);
	assert_int_equal(cache_writer_append(writer, bytes, 400, NULL), 0);
	put(cache, CACHE_BLOB, &fresh, bytes, 400);
	assert_false(has(cache, CACHE_BLOB, &old));
	assert_true(has(cache, CACHE_BLOB, &fresh));
	assert_int_equal(cache_writer_commit(writer, NULL), 0);
	cache_writer_free(writer, false);
	assert_true(has(cache, CACHE_SPOOL, &next));
	cache_close(cache);
}

/* --- what `imgfs cache` sees --- */

static const struct cache_entry *find_entry(
	const struct cache_entry *entries, size_t count, const struct digest *digest)
{
	for (size_t i = 0; i < count; i++)
		if (digest_equal(&entries[i].digest, digest))
			return &entries[i];
	return NULL;
}

static void ignore_record(const struct cache_record *record, void *context)
{
	(void)record;
	(void)context;
}

static void entries_are_listed(void **state)
{
	struct place *place = *state;
	struct cache *cache = open_cache(place, UNKNOWN);
	struct digest blob = numbered(1), index = numbered(2), spool = digest_text(HELLO_512),
		      partial = numbered(3);
	CLEANUP(freep) struct cache_entry *entries = NULL;
	char name[CACHE_ENTRY_NAME_MAX], hex[DIGEST_HEX_MAX], expected[256];
	const struct cache_entry *entry;
	struct cache_writer *writer;
	size_t count;
	uint64_t offset;
	int fd;

	put(cache, CACHE_BLOB, &blob, HELLO, 5);
	set_entry_age(place, &blob, 1000);
	put(cache, CACHE_INDEX, &index, HELLO, 4);
	put(cache, CACHE_SPOOL, &spool, HELLO, 3);
	assert_int_equal(cache_writer_resume(&writer, cache, &partial, &offset, NULL, NULL), 0);
	assert_int_equal(cache_writer_append(writer, HELLO, 2, NULL), 0);
	write_file(in_cache(place, "blobs/sha256/stranger"), "");
	assert_int_equal(symlink("/etc/passwd", in_cache(place, "blobs/sha256/" HELLO_HEX)), 0);
	fd = cache_lookup(cache, CACHE_INDEX, &index, UNKNOWN, NULL);
	assert_int_equal(cache_entries(cache, &entries, &count, NULL), 0);
	assert_int_equal(count, 4);
	for (size_t i = 1; i < count; i++)
		assert_true(entries[i - 1].used.tv_sec >= entries[i].used.tv_sec);
	assert_true(digest_equal(&entries[3].digest, &blob));
	assert_true(entries[3].used.tv_sec <= time(NULL) - 1000);
	assert_false(entries[3].is_in_use || entries[3].is_partial);
	assert_int_equal(entries[3].size, 5);
	(void)snprintf(expected, sizeof expected, "blobs/sha256/%s", digest_hex(&blob, hex));
	assert_string_equal(cache_entry_name(&entries[3], name), expected);
	entry = find_entry(entries, count, &index);
	assert_true(entry->kind == CACHE_INDEX && entry->is_in_use && entry->size == 4);
	entry = find_entry(entries, count, &spool);
	assert_true(entry->kind == CACHE_SPOOL && !entry->is_in_use && entry->size == 3);
	assert_string_equal(cache_entry_name(entry, name), "spool/sha512/" HELLO_512_HEX);
	entry = find_entry(entries, count, &partial);
	assert_true(entry->is_partial && entry->is_in_use && entry->size == 2);
	cache_writer_free(writer, false);
	(void)close(fd);
	cache_close(cache);
}

/* Not an empty one: who asked for all would have been told of a part. */
static void a_directory_that_cannot_be_read_is_an_error(void **state)
{
	struct place *place = *state;
	struct cache *cache = open_cache(place, UNKNOWN);
	struct digest digest = hello();
	struct descriptor descriptor = { .digest = digest, .size = 5 };
	struct cache_entry *entries;
	struct cache_pruned pruned;
	size_t count;

	put(cache, CACHE_BLOB, &digest, HELLO, 5);
	assert_int_equal(cache_ref_put(cache, "host", "a/b", "c", &descriptor, NULL), 0);
	disk_fails(in_cache(place, "blobs/sha256"), false, false);
	assert_int_equal(cache_entries(cache, &entries, &count, NULL), -EIO);
	assert_int_equal(cache_prune(cache, 0, false, &pruned, NULL), -EIO);
	disk_is_mended();
	disk_fails(in_cache(place, "refs/host/a"), false, false);
	assert_int_equal(cache_records(cache, ignore_record, NULL, NULL), -EIO);
	disk_is_mended();
	assert_true(has(cache, CACHE_BLOB, &digest));
	cache_close(cache);
}

static void one_that_was_replaced_is_not_removed(void **state)
{
	struct place *place = *state;
	struct cache *cache = open_cache(place, UNKNOWN);
	struct digest digest = hello();
	CLEANUP(freep) struct cache_entry *entries = NULL;
	size_t count;
	int old;

	put(cache, CACHE_BLOB, &digest, "wrong", 5);
	old = open(in_cache(place, "blobs/sha256/" HELLO_HEX), O_RDONLY); /* keeps its inode */
	assert_int_equal(cache_entries(cache, &entries, &count, NULL), 0);
	put(cache, CACHE_BLOB, &digest, HELLO, 5);
	assert_int_equal(cache_entry_open(cache, &entries[0], NULL), -ENOENT);
	assert_false(cache_entry_remove(cache, &entries[0], false));
	assert_true(has(cache, CACHE_BLOB, &digest));
	(void)close(old);
	cache_close(cache);
}

static void pruning_spares_what_is_in_use(void **state)
{
	struct place *place = *state;
	struct cache *cache = open_cache(place, UNKNOWN), *mount = open_cache(place, UNKNOWN);
	static const char bytes[100];
	struct descriptor gone = { .digest = numbered(0), .size = 100 };
	struct descriptor kept = { .digest = numbered(5), .size = 100 }, found = { 0 };
	struct cache_pruned pruned;
	struct digest digests[6];
	int open_fd, mapped_fd;
	uint64_t age;
	void *mapping;

	for (unsigned char i = 0; i < 6; i++) {
		digests[i] = numbered(i);
		put(cache, CACHE_BLOB, &digests[i], bytes, sizeof bytes);
		set_entry_age(place, &digests[i], 1000 - i);
	}
	assert_int_equal(cache_ref_put(mount, "h", "a", "gone", &gone, NULL), 0);
	assert_int_equal(cache_ref_put(mount, "h", "b", "kept", &kept, NULL), 0);
	cache_proof_put(mount, "key", &digests[0]);
	open_fd = cache_lookup(mount, CACHE_BLOB, &digests[1], UNKNOWN, NULL);
	mapped_fd = cache_lookup(mount, CACHE_BLOB, &digests[2], UNKNOWN, NULL);
	mapping = mmap(NULL, 100, PROT_READ, MAP_PRIVATE, mapped_fd, 0);
	assert_true(mapping != MAP_FAILED);
	(void)close(mapped_fd);
	for (unsigned char i = 1; i < 3; i++)
		set_entry_age(place, &digests[i], 1000 - i);

	for (int is_trial = 1; is_trial >= 0; is_trial--) {
		assert_int_equal(cache_prune(cache, 350, is_trial, &pruned, NULL), 0);
		assert_int_equal(pruned.removed, 3);
		assert_int_equal(pruned.removed_bytes, 300);
		assert_int_equal(pruned.spared, 2);
		assert_int_equal(pruned.spared_bytes, 200);
		assert_int_equal(pruned.records, 1);
		assert_int_equal(pruned.left_bytes, 300);
		assert_int_equal(count_files(place, "blobs/sha256"), is_trial ? 6 : 3);
	}
	assert_true(has(cache, CACHE_BLOB, &digests[1]) && has(cache, CACHE_BLOB, &digests[2]) &&
		    has(cache, CACHE_BLOB, &digests[5]));
	assert_int_equal(cache_ref_get(mount, "h", "a", "gone", &found, &age, NULL), -ENOENT);
	assert_int_equal(cache_ref_get(mount, "h", "b", "kept", &found, &age, NULL), 0);
	assert_true(cache_proof_has(mount, "key", &digests[0], false));
	(void)munmap(mapping, 100);
	(void)close(open_fd);
	assert_int_equal(cache_prune(cache, 0, false, &pruned, NULL), 0);
	assert_int_equal(pruned.left_bytes, 0);
	assert_int_equal(pruned.records, 2);
	assert_int_equal(count_files(place, "blobs/sha256"), 0);
	assert_int_equal(count_files(place, "refs"), 0);
	assert_int_equal(count_files(place, "proof"), 0);
	cache_close(mount);
	cache_close(cache);
}

struct told {
	unsigned count, damaged, lists;
	bool was_told[ARRAY_SIZE(ref_rows)];
};

static void take_record(const struct cache_record *record, void *context)
{
	struct told *told = context;

	told->count++;
	told->damaged += record->is_damaged;
	if (record->is_damaged)
		return;
	told->lists += !record->tag;
	for (size_t i = 0; record->tag && i < ARRAY_SIZE(ref_rows); i++) {
		struct digest digest = numbered((unsigned char)i);

		if (!digest_equal(&record->digest, &digest))
			continue;
		told->was_told[i] = true;
		assert_string_equal(record->host, ref_rows[i].host);
		assert_string_equal(record->repository, ref_rows[i].repository);
		if (strlen(ref_rows[i].tag) < 100) /* longer ones are hashed */
			assert_string_equal(record->tag, ref_rows[i].tag);
		assert_string_equal(record->media_type, "a/b");
	}
}

static void records_tell_their_names(void **state)
{
	struct place *place = *state;
	struct cache *cache = open_cache(place, UNKNOWN);
	struct told told = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(ref_rows); i++) {
		struct descriptor descriptor = {
			.digest = numbered((unsigned char)i), .size = i, .media_type = (char *)"a/b"
		};

		assert_int_equal(cache_ref_put(cache, ref_rows[i].host, ref_rows[i].repository,
					 ref_rows[i].tag, &descriptor, NULL),
			0);
	}
	assert_int_equal(cache_list_put(cache, "h", "a/b", "tags", "x", 1, NULL), 0);
	assert_int_equal(cache_records(cache, take_record, &told, NULL), 0);
	assert_int_equal(told.count, ARRAY_SIZE(ref_rows) + 1);
	assert_int_equal(told.lists, 1);
	assert_int_equal(told.damaged, 0);
	for (size_t i = 0; i < ARRAY_SIZE(ref_rows); i++)
		assert_true(told.was_told[i]);
	assert_int_equal(truncate(in_cache(place, ref_file), 10), 0);
	told = (struct told){ 0 };
	assert_int_equal(cache_records(cache, take_record, &told, NULL), 0);
	assert_int_equal(told.damaged, 1);
	cache_close(cache);
}

/* --- the secret --- */

static struct secret secret_of(struct place *place)
{
	struct cache *cache = open_cache(place, UNKNOWN);
	struct secret secret;

	assert_non_null(cache_secret(cache));
	secret = *cache_secret(cache);
	cache_close(cache);
	return secret;
}

static bool is_same_secret(const struct secret *a, const struct secret *b)
{
	return !memcmp(a->bytes, b->bytes, SECRET_SIZE);
}

static void a_secret_is_kept(void **state)
{
	struct place *place = *state;
	struct secret first = secret_of(place), again = secret_of(place), zeroes = { { 0 } };
	struct cache *cache;
	struct stat st;

	assert_true(is_same_secret(&first, &again));
	assert_false(is_same_secret(&first, &zeroes));
	assert_int_equal(stat(in_cache(place, "secret"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_size, SECRET_SIZE);
	assert_int_equal(st.st_nlink, 1); /* its first name is gone */
	assert_int_equal(cache_open_existing(&cache, place->path, &place->observer, NULL), 0);
	assert_null(cache_secret(cache));
	cache_close(cache);
	assert_null(cache_secret(NULL));
	assert_int_equal(unlink(in_cache(place, "secret")), 0);
	again = secret_of(place);
	assert_false(is_same_secret(&first, &again));
}

enum { OPENERS = 16 };

static void all_who_open_have_one_secret(void **state)
{
	struct place *place = *state;
	struct secret *secrets = mmap(NULL, OPENERS * sizeof *secrets, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(secrets, MAP_FAILED);
	assert_int_equal(mkdir(place->path, 0700), 0);
	for (int i = 0; i < OPENERS; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (!pid) {
			secrets[i] = secret_of(place);
			_exit(0);
		}
	}
	for (int i = 0; i < OPENERS; i++) {
		int status;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	for (int i = 1; i < OPENERS; i++)
		assert_true(is_same_secret(&secrets[0], &secrets[i]));
	assert_int_equal(munmap(secrets, OPENERS * sizeof *secrets), 0);
}

enum { SECRET_FILE_MAX = SECRET_SIZE + 1 };

/* Of 'a's in a file that is there already. */
static const struct secret_case {
	const char *name;
	size_t len;
	mode_t mode;
	enum { THE_FILE, A_LINK_TO_IT, A_DIRECTORY } what;
	bool is_taken, is_replaced;
} secret_cases[] = {
	{ "a secret that is there is taken", 32, 0600, THE_FILE, true, false },
	{ "an empty secret is replaced", 0, 0600, THE_FILE, false, true },
	{ "a cut one is", 31, 0600, THE_FILE, false, true },
	{ "a longer one is", 33, 0600, THE_FILE, false, true },
	{ "one that others may read is", 32, 0604, THE_FILE, false, true },
	{ "one that the group may read is", 32, 0640, THE_FILE, false, true },
	{ "a link is", 32, 0600, A_LINK_TO_IT, false, true },
	{ "a directory in its place leaves one in memory", 32, 0600, A_DIRECTORY, false, false },
};

static void secret_row(void **state)
{
	const struct secret_case *c = *state;
	char bytes[SECRET_FILE_MAX + 1] = "", name[600];
	struct secret first, again, planted;
	struct place *place;
	void *made;

	assert_int_equal(setup(&made), 0);
	place = made;
	assert_int_equal(mkdir(place->path, 0700), 0);
	memset(bytes, 'a', c->len);
	memset(planted.bytes, 'a', SECRET_SIZE);
	(void)snprintf(name, sizeof name, "%s/file", place->dir);
	write_file(c->what == THE_FILE ? in_cache(place, "secret") : name, bytes);
	assert_int_equal(chmod(c->what == THE_FILE ? in_cache(place, "secret") : name, c->mode), 0);
	if (c->what == A_LINK_TO_IT)
		assert_int_equal(symlink(name, in_cache(place, "secret")), 0);
	if (c->what == A_DIRECTORY)
		assert_int_equal(mkdir(in_cache(place, "secret"), 0700), 0);
	first = secret_of(place);
	again = secret_of(place);
	assert_int_equal(is_same_secret(&first, &planted), c->is_taken);
	assert_int_equal(is_same_secret(&first, &again), c->is_taken || c->is_replaced);
	assert_int_equal(count_files(place, "tmp"), 0);
	(void)teardown(&made);
}

static const struct survey_case {
	const char *name, *version;
	mode_t mode;
	int rc;
} survey_cases[] = {
	{ "a cache is looked at", "1\n", 0700, 0 },
	{ "a directory that is no cache is left alone", NULL, 0700, -EINVAL },
	{ "one that the group may write to is refused", "1\n", 0770, -EACCES },
	{ "one of another version is left alone", "999\n", 0700, -EIO },
};

static void survey_row(void **state)
{
	const struct survey_case *c = *state;
	struct cache *cache = NULL;
	struct place *place;
	void *made;

	assert_int_equal(setup(&made), 0);
	place = made;
	assert_int_equal(cache_open_existing(&cache, place->path, &place->observer, NULL), -ENOENT);
	assert_int_equal(access(place->path, F_OK), -1);
	assert_int_equal(mkdir(place->path, 0700), 0);
	if (c->version)
		write_file(in_cache(place, "version"), c->version);
	assert_int_equal(chmod(place->path, c->mode), 0);
	assert_int_equal(cache_open_existing(&cache, place->path, &place->observer, NULL), c->rc);
	assert_int_equal(count_files(place, ""), c->version != NULL);
	cache_close(cache);
	(void)teardown(&made);
}

#define PLACED(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest placed[] = {
		PLACED(an_entry_is_seen_when_committed),
		PLACED(one_given_up_leaves_nothing),
		PLACED(missing_directories_are_made_private),
		PLACED(a_file_is_no_cache),
		PLACED(a_foreign_directory_is_refused),
		PLACED(a_linked_subdirectory_is_refused),
		PLACED(another_version_is_left_alone),
		PLACED(an_empty_version_file_is_a_killed_writers),
		PLACED(a_killed_writer_loses_a_partial_at_most),
		PLACED(a_living_writers_file_is_not_collected),
		PLACED(waiting_ends_with_a_cancel),
		PLACED(a_partial_can_start_over),
		PLACED(the_disk_writes_while_bytes_come),
		PLACED(a_full_disk_is_enospc),
		PLACED(some_of_a_disk_is_left),
		PLACED(what_nobody_asked_for_leaves_room),
		PLACED(a_cache_removed_under_us_is_a_miss),
		PLACED(the_least_recently_used_goes_first),
		PLACED(what_was_just_committed_stays),
		PLACED(a_partial_goes_only_when_nobody_is_at_it),
		PLACED(size_zero_leaves_nothing_of_ours),
		PLACED(refs_never_collide),
		PLACED(any_flipped_bit_of_a_ref_is_a_miss),
		PLACED(an_unreadable_ref_is_a_miss),
		PLACED(damage_that_cannot_be_removed_is_a_miss),
		PLACED(any_prefix_of_a_ref_is_a_miss),
		PLACED(lists_come_back),
		PLACED(proofs_age),
		PLACED(the_oldest_proofs_go),
		PLACED(the_oldest_lists_go),
		PLACED(what_is_being_written_counts),
		PLACED(entries_are_listed),
		PLACED(a_directory_that_cannot_be_read_is_an_error),
		PLACED(one_that_was_replaced_is_not_removed),
		PLACED(pruning_spares_what_is_in_use),
		PLACED(records_tell_their_names),
		PLACED(a_secret_is_kept),
		PLACED(all_who_open_have_one_secret),
	};
	struct CMUnitTest tests[ARRAY_SIZE(placed) + ARRAY_SIZE(damage_cases) +
				ARRAY_SIZE(open_cases) + ARRAY_SIZE(race_cases) +
				ARRAY_SIZE(survey_cases) + ARRAY_SIZE(secret_cases)];
	size_t n = ARRAY_SIZE(placed);

	memcpy(tests, placed, sizeof placed);
	for (size_t i = 0; i < ARRAY_SIZE(damage_cases); i++)
		tests[n++] = (struct CMUnitTest){ .name = damage_cases[i].name,
			.test_func = damage_row,
			.initial_state = (void *)&damage_cases[i] };
	for (size_t i = 0; i < ARRAY_SIZE(open_cases); i++)
		tests[n++] = (struct CMUnitTest){ .name = open_cases[i].name,
			.test_func = open_row,
			.initial_state = (void *)&open_cases[i] };
	for (size_t i = 0; i < ARRAY_SIZE(race_cases); i++)
		tests[n++] = (struct CMUnitTest){ .name = race_cases[i].name,
			.test_func = race_row,
			.initial_state = (void *)&race_cases[i] };
	for (size_t i = 0; i < ARRAY_SIZE(survey_cases); i++)
		tests[n++] = (struct CMUnitTest){ .name = survey_cases[i].name,
			.test_func = survey_row,
			.initial_state = (void *)&survey_cases[i] };
	for (size_t i = 0; i < ARRAY_SIZE(secret_cases); i++)
		tests[n++] = (struct CMUnitTest){ .name = secret_cases[i].name,
			.test_func = secret_row,
			.initial_state = (void *)&secret_cases[i] };
	return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
