/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes of a layer, in any order, from many threads: what layer_decode_span() gives is
 * what the decompressor of the coding's own tool gives.  Blobs are made, and decoded for
 * comparison, by these tools.
 *
 * Each of 16 threads reads its share of 10,000 (offset, length) pairs.  They share layer, reader
 * and spool, and nothing else.  A thread stays in the neighbourhood for some pairs, and keeps the
 * last even and the last odd span, so that a pair costs less than a span.
 */
#include "fetch/layer/indexer.h"
#include "fetch/layer/layer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fetch/layer/internal.h"
#include "fetch/reader.h"
#include "model/cleanup.h"
#include "model/descriptor.h"
#include "tests/unit/cases.h"

enum {
	CONTENT = 24 << 20, /* bytes of the one file in the layer */
	PAIRS = 10000,
	THREADS = 16,
	NEIGHBOURS = 50, /* pairs that begin in the same span */
	LENGTH_MAX = 128 << 10,
};

#define STORED                                                                                     \
	"python3 -c 'import gzip, sys; "                                                           \
	"sys.stdout.buffer.write(gzip.compress(sys.stdin.buffer.read(), 0, mtime=0))'"

static const struct coding_case {
	const char *name;
	const char *encode, *decode; /* commands that read stdin and write stdout */
	enum media_coding coding;
} coding_cases[] = {
	{ "gzip: one member", "gzip -c", "gzip -dc", CODING_GZIP },
	{ "gzip: members", "split -b 700001 --filter='gzip -c' -", "gzip -dc", CODING_GZIP },
	{ "gzip: stored blocks", STORED, "gzip -dc", CODING_GZIP },
	{ "zstd: one frame", "zstd -qc", "zstd -dqc", CODING_ZSTD },
	{ "zstd: frames", "split -b 700001 --filter='zstd -qc' -", "zstd -dqc", CODING_ZSTD },
	{ "xz", "xz -0c", "xz -dc", CODING_XZ },
	{ "bzip2", "bzip2 -c", "bzip2 -dc", CODING_BZIP2 },
	{ "plain", "cat", "cat", CODING_PLAIN },
};

/* A row, by one of the engines. */
static struct trial {
	char name[80];
	const struct coding_case *row;
	const struct inflate_ops *const *engine;
	const struct secret *secret; /* NULL: without */
} trials[3 * ARRAY_SIZE(coding_cases)];

static uint32_t random_next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* --- files: directory/tar, and of each coding blob and plain --- */

static char directory[] = "/tmp/imgfs-random-reads.XXXXXX";

/* Text that compresses well, bytes that do not, zeroes, in pieces of odd lengths. */
static void fill_content(uint8_t *bytes, size_t len)
{
	static const char text[] = "a span says where its stored bytes lie, and how it starts\n";
	uint32_t state = 1;

	for (size_t done = 0, n; done < len; done += n) {
		unsigned kind = random_next(&state) % 4;

		n = 1 + random_next(&state) % 60000;
		n = n < len - done ? n : len - done;
		for (size_t i = 0; i < n; i++)
			bytes[done + i] = kind == 0   ? 0
					  : kind == 1 ? (uint8_t)(random_next(&state) >> 9)
					  : i % 37    ? (uint8_t)text[i % (sizeof text - 1)]
						      : (uint8_t)(random_next(&state) >> 9);
	}
}

static void run(const char *command)
{
	char line[800];

	(void)snprintf(line, sizeof line, "cd %s && set -e && %s", directory, command);
	assert_int_equal(system(line), 0);
}

static int make_tar(void **state)
{
	uint8_t *content = malloc(CONTENT);
	char path[80];
	FILE *file;

	(void)state;
	assert_non_null(content);
	assert_non_null(mkdtemp(directory));
	fill_content(content, CONTENT);
	(void)snprintf(path, sizeof path, "%s/content", directory);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(content, 1, CONTENT, file), CONTENT);
	assert_int_equal(fclose(file), 0);
	free(content);
	run("tar -cf tar content && rm content");
	return 0;
}

static int remove_all(void **state)
{
	(void)state;
	run("rm -f tar blob plain && rmdir \"$PWD\"");
	return 0;
}

static int open_in_directory(const char *name)
{
	char path[80];
	int fd;

	(void)snprintf(path, sizeof path, "%s/%s", directory, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* --- a layer, and what it should hold --- */

struct subject {
	struct layer *layer;
	struct reader *blob;
	int spool_fd;
	const uint8_t *plain; /* by the tool */
	size_t plain_len;
	uint32_t span_max; /* plain bytes of the longest span */
};

static int give_spool(void *context, uint64_t size, struct error *err)
{
	struct subject *subject = context;

	(void)size;
	if (subject->spool_fd < 0)
		subject->spool_fd = memfd_create("spool", MFD_CLOEXEC);
	return subject->spool_fd < 0 ? error_set(err, errno, "memfd_create: %m")
				     : subject->spool_fd;
}

static const struct secret secret = { "0123456789abcdef0123456789abcde" };

static void index_blob(struct subject *subject, struct error *err)
{
	int index_fd = memfd_create("index", MFD_CLOEXEC);
	struct indexer *indexer;
	ssize_t n = 1;

	assert_true(index_fd >= 0);
	assert_int_equal(
		indexer_new(&indexer, NULL, DESCRIPTOR_SIZE_UNKNOWN, give_spool, subject, err), 0);
	assert_int_equal(indexer_set_secret(indexer, &secret, err), 0);
	for (uint64_t at = 0; n; at += (uint64_t)n) {
		size_t room;
		uint8_t *bytes = indexer_room(indexer, &room, err);

		assert_non_null(bytes);
		n = reader_read(subject->blob, bytes, room, at, err);
		assert_true(n >= 0);
		assert_int_equal(indexer_put(indexer, (size_t)n, err), 0);
	}
	assert_int_equal(indexer_finish(indexer, index_fd, err), 0);
	indexer_free(indexer);
	assert_int_equal(layer_open(&subject->layer, index_fd, NULL, err), 0);
	assert_int_equal(close(index_fd), 0);
	for (uint32_t i = 0; i < subject->layer->span_count; i++)
		if (subject->layer->spans[i].plain_len > subject->span_max)
			subject->span_max = subject->layer->spans[i].plain_len;
}

static void subject_open(struct subject *subject, const struct coding_case *row, struct error *err)
{
	char command[600];
	struct stat st;
	int fd;

	*subject = (struct subject){ .spool_fd = -1 };
	(void)snprintf(command, sizeof command, "%s <tar >blob && %s <blob >plain", row->encode,
		row->decode);
	run(command);
	assert_int_equal(reader_of_fd(&subject->blob, open_in_directory("blob"), err), 0);
	fd = open_in_directory("plain");
	assert_int_equal(fstat(fd, &st), 0);
	subject->plain_len = (size_t)st.st_size;
	subject->plain = mmap(NULL, subject->plain_len, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(subject->plain, MAP_FAILED);
	assert_int_equal(close(fd), 0);
	index_blob(subject, err);
}

static void subject_close(struct subject *subject)
{
	layer_free(subject->layer);
	reader_unref(subject->blob);
	closep(&subject->spool_fd);
	assert_int_equal(munmap((void *)subject->plain, subject->plain_len), 0);
}

/* --- threads: they assert nothing, for cmocka belongs to the first one --- */

struct thread {
	pthread_t id;
	const struct subject *subject;
	uint32_t random;
	/* A span ends where the memory does, so that a sanitizer sees what goes beyond. */
	struct {
		uint8_t *memory;
		uint32_t span; /* UINT32_MAX: none */
	} kept[2];
	unsigned pairs; /* that were right */
	struct error err;
};

/* The plain bytes of a span; NULL: thread->err says why. */
static const uint8_t *span_bytes(struct thread *thread, uint32_t n)
{
	const struct subject *subject = thread->subject;
	uint32_t len = subject->layer->spans[n].plain_len;
	uint8_t *bytes = thread->kept[n % 2].memory + subject->span_max - len;

	if (thread->kept[n % 2].span == n)
		return bytes;
	thread->kept[n % 2].span = n;
	memset(bytes, 0xa5, len);
	return layer_decode_span(
		       subject->layer, n, subject->blob, subject->spool_fd, bytes, &thread->err)
		       ? NULL
		       : bytes;
}

static bool is_right(struct thread *thread, uint64_t offset, size_t len)
{
	const struct subject *subject = thread->subject;
	size_t part;

	for (; len; offset += part, len -= part) {
		uint32_t n = layer_span_at(subject->layer, offset);
		const struct span *span = &subject->layer->spans[n];
		uint64_t skip = offset - span->plain_offset;
		const uint8_t *bytes = span_bytes(thread, n);

		if (!bytes)
			return false;
		part = len < span->plain_len - skip ? len : (size_t)(span->plain_len - skip);
		if (memcmp(bytes + skip, subject->plain + offset, part)) {
			(void)error_set(
				&thread->err, EIO, "%zu bytes at %" PRIu64 " differ", part, offset);
			return false;
		}
	}
	return true;
}

/* A pair that begins in the span; one in sixteen goes over its end. */
static bool try_pair(struct thread *thread, const struct span *span)
{
	uint64_t left = thread->subject->plain_len - span->plain_offset;
	uint64_t skip = random_next(&thread->random) % span->plain_len;
	uint64_t len = 1 + random_next(&thread->random) % LENGTH_MAX;

	if (random_next(&thread->random) % 16 == 0 && len < span->plain_len)
		skip = span->plain_len - random_next(&thread->random) % len - 1;
	if (len > left - skip)
		len = left - skip;
	return is_right(thread, span->plain_offset + skip, (size_t)len);
}

static void *read_some(void *context)
{
	struct thread *thread = context;
	const struct layer *layer = thread->subject->layer;
	const struct span *span = NULL;

	for (size_t i = 0; i < 2; i++) {
		thread->kept[i].span = UINT32_MAX;
		thread->kept[i].memory = malloc(thread->subject->span_max);
		if (!thread->kept[i].memory)
			abort();
	}
	for (; thread->pairs < PAIRS / THREADS; thread->pairs++) {
		if (thread->pairs % NEIGHBOURS == 0)
			span = &layer->spans[random_next(&thread->random) % layer->span_count];
		if (!try_pair(thread, span))
			break;
	}
	free(thread->kept[0].memory);
	free(thread->kept[1].memory);
	return NULL;
}

static unsigned read_all(const struct subject *subject)
{
	static struct thread threads[THREADS];
	unsigned pairs = 0;

	for (uint32_t i = 0; i < THREADS; i++) {
		threads[i] = (struct thread){ .subject = subject, .random = i + 1 };
		assert_int_equal(pthread_create(&threads[i].id, NULL, read_some, &threads[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i].id, NULL), 0);
		if (*threads[i].err.text)
			print_error("thread %zu: %s\n", i, threads[i].err.text);
		pairs += threads[i].pairs;
	}
	return pairs;
}

static void reads(void **state)
{
	const struct trial *trial = *state;
	struct error err = { "" };
	struct subject subject;

	inflate_choose(trial->engine);
	subject_open(&subject, trial->row, &err);
	layer_set_secret(subject.layer, trial->secret);
	assert_int_equal(!subject.layer->mac_key, !trial->secret);
	assert_int_equal(subject.layer->coding, trial->row->coding);
	assert_int_equal(subject.layer->plain_size, subject.plain_len);
	assert_in_range(subject.layer->span_count, 10, CONTENT / SPAN_SIZE_MIN + 2);
	assert_int_equal(read_all(&subject), PAIRS);
	subject_close(&subject);
	inflate_choose(&inflate_engines[0]);
}

int main(void)
{
	struct trial *trial = trials;

	for (size_t i = 0; i < ARRAY_SIZE(coding_cases); i++) {
		const struct coding_case *row = &coding_cases[i];

		for (size_t k = 0; inflate_engines[k] && (!k || row->coding == CODING_GZIP); k++) {
			/* By MACs, as in a mount; with the second engine by SHA-256. */
			*trial = (struct trial){ .row = row,
				.engine = &inflate_engines[k],
				.secret = k ? NULL : &secret };
			(void)snprintf(trial->name, sizeof trial->name, "%s (%s)", row->name,
				inflate_engines[k]->name);
			add(trial->name, reads, trial);
			trial++;
		}
	}
	return _cmocka_run_group_tests("random_reads", tests, test_count, make_tar, remove_all);
}
