/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store between a registry made up here and a cache on disk.  The registry
 * serves from memory, misbehaves as told, and counts: what is asserted is what
 * the caller got, how often the source was asked, and what lies in the cache.
 */
#include "fetch/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>
#include <zstd.h>

#include "fetch/bundle/bundle.h"
#include "fetch/layout/layout.h"
#include "fetch/temporary.h"
#include "model/cleanup.h"
#include "model/image.h"
#include "tests/unit/failing_disk.h"

enum {
	MIB = 1 << 20,
	FILE_LEN = 3 * MIB,
	BLOCK = 512,
	ASKERS = 50,
};

#define TAR_TYPE      "application/vnd.oci.image.layer.v1.tar"
#define LAYER_ID      "1234567890abcdef1234567890abcdef1234567890abcdef1234567890abcdef"
#define SIGNATURE     "c2lnbmF0dXJl0"
#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"

/* --- bytes --- */

/* A tar (POSIX.1-2001 ustar) of one file: len bytes that do not repeat soon. */
static char *make_tar(size_t file_len, size_t *ret_len)
{
	size_t len = BLOCK + (file_len + BLOCK - 1) / BLOCK * BLOCK + 2 * BLOCK;
	char *tar = calloc(1, len);
	unsigned sum = 0, seed = 1;

	assert_non_null(tar);
	(void)snprintf(tar, 100, "file");
	(void)snprintf(tar + 100, 8, "%07o", 0644);
	(void)snprintf(tar + 108, 8, "%07o", 0);
	(void)snprintf(tar + 116, 8, "%07o", 0);
	(void)snprintf(tar + 124, 12, "%011zo", file_len);
	(void)snprintf(tar + 136, 12, "%011o", 0);
	memset(tar + 148, ' ', 8);
	tar[156] = '0';
	memcpy(tar + 257, "ustar\00000", 8);
	for (int i = 0; i < BLOCK; i++)
		sum += (unsigned char)tar[i];
	(void)snprintf(tar + 148, 8, "%06o", sum);
	for (size_t i = 0; i < file_len; i++) {
		seed = seed * 1103515245 + 12345;
		tar[BLOCK + i] = (char)(seed >> 24);
	}
	*ret_len = len;
	return tar;
}

/* --- the registry --- */

struct fake {
	struct source base;
	struct descriptor blob; /* the only one */
	char *bytes;
	const char *type; /* of it as a manifest */
	const char *identity;
	struct reader *archive;  /* is_local: the file that the blob lies in, */
	uint64_t archive_offset; /* from here on */
	/* How it misbehaves; guarded by nobody: set before the threads start. */
	bool ignores_offset, is_unsized;
	int open_rc, prove_rc, names_rc;
	size_t cut_at; /* streams fail there with -EIO, as long as cuts are left */
	unsigned cuts;
	bool signs_anew;      /* in each manifest, the last digit of SIGNATURE is another one */
	unsigned corruptions; /* streams that lie in their last byte */
	size_t longer, shorter;
	_Atomic unsigned hangs; /* streams that hang until they are cancelled */
	_Atomic unsigned hanging;
	/* What it was asked. */
	_Atomic unsigned opens, ranges, proves, manifests, lists, layers, bodies;
	const char *layer_id; /* of the blob opened last */
	_Atomic uint64_t sent;
};

struct fake_stream {
	struct blob_stream base;
	struct fake *fake;
	struct cancel *cancel;
	size_t offset, range_end; /* 0: no range */
	bool is_corrupt, is_cut, hangs;
};

static struct fake *fake_of(struct source *source)
{
	return container_of(source, struct fake, base);
}

static ssize_t stream_read(struct blob_stream *base, void *bytes, size_t len, struct error *err)
{
	struct fake_stream *stream = container_of(base, struct fake_stream, base);
	struct fake *fake = stream->fake;
	size_t size = fake->blob.size + fake->longer - fake->shorter;
	size_t end = stream->is_cut ? fake->cut_at : stream->range_end ? stream->range_end : size;
	struct timespec moment = { .tv_nsec = 1000000 };

	if (stream->hangs) {
		fake->hanging++;
		while (!cancel_is_set(stream->cancel))
			(void)nanosleep(&moment, NULL);
		return error_set(err, EINTR, "interrupted");
	}
	if (cancel_is_set(stream->cancel))
		return error_set(err, EINTR, "interrupted");
	if (stream->is_cut && stream->offset >= end)
		return error_set(err, EIO, "cut off");
	if (len > 100000)
		len = 100000; /* as it comes */
	if (len > end - stream->offset)
		len = end - stream->offset;
	for (size_t i = 0; i < len; i++) {
		size_t at = stream->offset + i;

		((char *)bytes)[i] = at < fake->blob.size ? fake->bytes[at] : 0;
	}
	if (stream->is_corrupt && len && stream->offset + len == size)
		((char *)bytes)[len - 1] ^= 1;
	stream->offset += len;
	fake->sent += len;
	return (ssize_t)len;
}

static void stream_free(struct blob_stream *base)
{
	free(container_of(base, struct fake_stream, base));
}

static const struct blob_stream_ops stream_ops = { stream_read, stream_free };

static int fake_open_blob(struct source *source, const char *repository,
	const struct descriptor *blob, uint64_t offset, struct blob_stream **ret,
	uint64_t *ret_offset, struct cancel *cancel, struct error *err)
{
	struct fake *fake = fake_of(source);
	struct fake_stream *stream;

	(void)repository;
	fake->opens++;
	fake->layer_id = blob->layer_id;
	if (fake->open_rc)
		return error_set(err, -fake->open_rc, "as told");
	if (!digest_equal(&blob->digest, &fake->blob.digest))
		return error_set(err, ENOENT, "no such blob");
	if (offset && offset >= fake->blob.size)
		return error_set(err, ERANGE, "nothing behind the end");
	stream = calloc(1, sizeof *stream);
	assert_non_null(stream);
	*ret_offset = fake->ignores_offset ? 0 : offset;
	*stream = (struct fake_stream){ { &stream_ops }, fake, cancel, *ret_offset, 0,
		fake->corruptions > 0, fake->cuts > 0, false };
	if (fake->hangs) {
		fake->hangs--;
		stream->hangs = true;
	}
	fake->corruptions -= stream->is_corrupt;
	fake->cuts -= stream->is_cut;
	*ret = &stream->base;
	return 0;
}

static int fake_open_range(struct source *source, const char *repository,
	const struct descriptor *blob, uint64_t offset, uint64_t len, struct blob_stream **ret,
	struct cancel *cancel, struct error *err)
{
	struct fake *fake = fake_of(source);
	uint64_t start;
	int rc;

	fake->ranges++;
	fake->opens--; /* counted apart */
	if (fake->ignores_offset)
		return error_set(err, EOPNOTSUPP, "no ranges");
	rc = fake_open_blob(source, repository, blob, offset, ret, &start, cancel, err);
	if (!rc)
		container_of(*ret, struct fake_stream, base)->range_end = offset + len;
	return rc;
}

static int fake_open_layer(struct source *source, const char *repository, const char *layer_id,
	struct blob_stream **ret, struct cancel *cancel, struct error *err)
{
	struct fake *fake = fake_of(source);
	uint64_t start;

	if (strcmp(layer_id, LAYER_ID) != 0)
		return error_set(err, ENOENT, "no such layer");
	fake->layers++;
	fake->opens--; /* counted apart */
	return fake_open_blob(source, repository, &fake->blob, 0, ret, &start, cancel, err);
}

static int fake_manifest(struct source *source, const char *repository, const struct digest *digest,
	struct buf *body, char **ret_type, struct cancel *cancel, struct error *err)
{
	struct fake *fake = fake_of(source);
	size_t len = fake->blob.size - fake->shorter;
	int rc;

	(void)repository;
	(void)cancel;
	fake->manifests++;
	if (fake->open_rc)
		return error_set(err, -fake->open_rc, "as told");
	if (!digest_equal(digest, &fake->blob.digest))
		return error_set(err, ENOENT, "no such manifest");
	rc = buf_append(body, fake->bytes, len);
	if (rc)
		return error_set(err, -rc, "too long");
	if (fake->corruptions) {
		fake->corruptions--;
		body->data[len - 1] ^= 1;
	}
	if (fake->signs_anew)
		strstr(body->data, SIGNATURE)[sizeof SIGNATURE - 2] = (char)('0' + fake->manifests);
	if (ret_type)
		*ret_type = fake->type ? strdup(fake->type) : NULL;
	return 0;
}

static int fake_prove(struct source *source, const char *repository, const struct descriptor *blob,
	struct cancel *cancel, struct error *err)
{
	struct fake *fake = fake_of(source);

	(void)repository;
	(void)blob;
	(void)cancel;
	fake->proves++;
	return fake->prove_rc ? error_set(err, -fake->prove_rc, "as told") : 0;
}

static int fake_list(struct fake *fake, struct name_list *ret, struct error *err)
{
	fake->lists++;
	if (fake->names_rc)
		return error_set(err, -fake->names_rc, "as told");
	assert_int_equal(name_list_add(ret, "one", err), 0);
	assert_int_equal(name_list_add(ret, "two", err), 0);
	return 0;
}

static int fake_repositories(
	struct source *source, struct name_list *ret, struct cancel *cancel, struct error *err)
{
	(void)cancel;
	return fake_list(fake_of(source), ret, err);
}

static int fake_tags(struct source *source, const char *repository, struct name_list *ret,
	struct cancel *cancel, struct error *err)
{
	(void)repository;
	(void)cancel;
	return fake_list(fake_of(source), ret, err);
}

static int fake_resolve(struct source *source, const char *repository, const char *tag,
	struct descriptor *ret, struct cancel *cancel, struct error *err)
{
	struct fake *fake = fake_of(source);

	(void)repository;
	(void)tag;
	(void)cancel;
	fake->lists++;
	if (fake->names_rc)
		return error_set(err, -fake->names_rc, "as told");
	return descriptor_copy(ret, &fake->blob, err);
}

static int fake_resolve_to_read(struct source *source, const char *repository, const char *tag,
	struct descriptor *ret, struct buf *body, struct cancel *cancel, struct error *err)
{
	struct fake *fake = fake_of(source);

	(void)repository;
	(void)tag;
	(void)cancel;
	fake->bodies++;
	if (fake->names_rc)
		return error_set(err, -fake->names_rc, "as told");
	assert_int_equal(buf_append(body, fake->bytes, fake->blob.size), 0);
	return descriptor_copy(ret, &fake->blob, err);
}

static int fake_open_reader(struct source *source, const struct digest *digest, struct reader **ret,
	struct cancel *cancel, struct error *err)
{
	struct fake *fake = fake_of(source);

	(void)cancel;
	fake->opens++;
	if (!digest_equal(digest, &fake->blob.digest))
		return error_set(err, ENOENT, "no such blob");
	return reader_section(ret, fake->archive, fake->archive_offset, fake->blob.size, err);
}

/* The blob, with all that is said of a referrer. */
static int fake_referrers(struct source *source, const char *repository,
	const struct digest *subject, struct descriptor **ret, size_t *ret_count,
	struct cancel *cancel, struct error *err)
{
	struct fake *fake = fake_of(source);
	struct descriptor *referrer;

	(void)repository;
	(void)cancel;
	fake->lists++;
	if (fake->names_rc)
		return error_set(err, -fake->names_rc, "as told");
	if (!digest_equal(subject, &fake->blob.digest))
		return 0;
	referrer = calloc(1, sizeof *referrer);
	assert_non_null(referrer);
	assert_int_equal(descriptor_copy(referrer, &fake->blob, err), 0);
	referrer->artifact_type = strdup("type/of it");
	assert_int_equal(annotations_add(&referrer->annotations, "key", "\"value\"", err), 0);
	*ret = referrer;
	*ret_count = 1;
	return 0;
}

static const char *fake_identity(struct source *source)
{
	return fake_of(source)->identity;
}

static void fake_free(struct source *source)
{
	(void)source; /* part of the bench */
}

static const struct source_ops fake_ops = {
	.repositories = fake_repositories,
	.tags = fake_tags,
	.resolve = fake_resolve,
	.resolve_to_read = fake_resolve_to_read,
	.manifest = fake_manifest,
	.open_blob = fake_open_blob,
	.open_range = fake_open_range,
	.open_reader = fake_open_reader,
	.open_layer = fake_open_layer,
	.referrers = fake_referrers,
	.prove = fake_prove,
	.identity = fake_identity,
	.free = fake_free,
};

/* --- a registry, a cache and a store for each test --- */

struct bench {
	char dir[64];
	struct observer observer;
	_Atomic unsigned warnings;
	_Atomic unsigned fallbacks; /* warnings that say "serving from cache" */
	struct fake fake;
	struct cache *cache;
	struct store_config config;
	struct store *store;
};

static void count_warning(struct observer *observer, enum log_level level, const char *text)
{
	struct bench *bench = container_of(observer, struct bench, observer);

	bench->warnings += level <= LOG_LEVEL_WARNING;
	bench->fallbacks += level <= LOG_LEVEL_WARNING && strstr(text, "from cache") != NULL;
}

static void set_bytes(struct bench *bench, char *bytes, size_t len, const char *type)
{
	struct fake *fake = &bench->fake;

	free(fake->bytes);
	fake->bytes = bytes;
	fake->blob = (struct descriptor){ .media_type = (char *)type, .size = len };
	assert_int_equal(digest_of(&fake->blob.digest, DIGEST_SHA256, bytes, len, NULL), 0);
}

/* One zstd frame of more than a span: only a seekable copy can be entered. */
static void set_packed(struct bench *bench)
{
	size_t len, packed_len;
	CLEANUP(freep) char *tar = make_tar(SPAN_SIZE_MAX + MIB, &len);
	char *packed = malloc(ZSTD_compressBound(len));

	packed_len = ZSTD_compress(packed, ZSTD_compressBound(len), tar, len, 1);
	assert_false(ZSTD_isError(packed_len));
	set_bytes(bench, packed, packed_len, TAR_TYPE "+zstd");
}

/* A store over the same registry and cache, as after a remount. */
static void remount(struct bench *bench)
{
	store_free(bench->store);
	assert_int_equal(store_new(&bench->store, &bench->fake.base, bench->cache, &bench->config,
				 &bench->observer, NULL),
		0);
}

static int setup(void **state)
{
	struct bench *bench = calloc(1, sizeof *bench);
	size_t len;
	char *tar;

	if (!bench)
		return -1;
	strcpy(bench->dir, "/tmp/imgfs-store-XXXXXX");
	if (!mkdtemp(bench->dir))
		return -1;
	bench->observer.log = count_warning;
	bench->config.host = "registry.example:5000";
	bench->fake.base = (struct source){ .kind = SOURCE_REGISTRY, .ops = &fake_ops };
	bench->fake.identity = "me";
	tar = make_tar(FILE_LEN, &len);
	set_bytes(bench, tar, len, TAR_TYPE);
	if (cache_open(&bench->cache, bench->dir, UINT64_MAX, &bench->observer, NULL))
		return -1;
	remount(bench);
	*state = bench;
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
	struct bench *bench = *state;

	store_free(bench->store);
	cache_close(bench->cache);
	(void)nftw(bench->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(bench->fake.bytes);
	reader_unref(bench->fake.archive);
	free(bench);
	return 0;
}

static const char *in_cache(const struct bench *bench, const char *kind)
{
	static char path[512];
	char hex[DIGEST_HEX_MAX];

	(void)snprintf(path, sizeof path, "%s/%s/%s", bench->dir, kind,
		digest_hex(&bench->fake.blob.digest, hex));
	return path;
}

static bool is_cached(const struct bench *bench, const char *kind)
{
	return !access(in_cache(bench, kind), F_OK);
}

/* Flips a bit at offset (from the end when negative). */
static void flip(const char *path, off_t offset)
{
	CLEANUP(closep) int fd = open(path, O_RDWR);
	struct stat st;
	char byte;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	if (offset < 0)
		offset += st.st_size;
	assert_int_equal(pread(fd, &byte, 1, offset), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
}

/* The blob's descriptor, as far as its image says it. */
static struct descriptor as_listed(const struct bench *bench)
{
	struct descriptor blob = bench->fake.blob;

	if (bench->fake.is_unsized)
		blob.size = DESCRIPTOR_SIZE_UNKNOWN;
	return blob;
}

static int get_layer(struct bench *bench)
{
	const struct descriptor blob = as_listed(bench);
	struct error err = { "" };
	struct layer *layer;
	int rc = store_layer(bench->store, STORE_FETCH, "repo", &blob, &layer, NULL, NULL, &err);

	if (rc) {
		assert_true(*err.text);
		return rc;
	}
	assert_int_equal(layer->status, 0);
	assert_int_equal(layer->stored_size, bench->fake.blob.size);
	layer_free(layer);
	return 0;
}

/* The bytes must be those that the registry meant to send. */
static void assert_blob(const struct bench *bench, struct reader *blob)
{
	size_t size = bench->fake.blob.size;
	CLEANUP(freep) char *bytes = malloc(size + 1);

	assert_non_null(blob);
	assert_int_equal(blob->size, size);
	assert_int_equal(reader_read(blob, bytes, size + 1, 0, NULL), size);
	assert_memory_equal(bytes, bench->fake.bytes, size);
}

static int get_blob(struct bench *bench)
{
	const struct descriptor listed = as_listed(bench);
	struct error err = { "" };
	struct stored_blob blob;
	int rc = store_blob(bench->store, STORE_FETCH, "repo", &listed, &blob, NULL, NULL, &err);

	if (rc) {
		assert_true(*err.text);
		return rc;
	}
	assert_int_equal(blob.size, bench->fake.blob.size);
	assert_true(stored_blob_is_intact(&blob));
	assert_blob(bench, blob.bytes);
	stored_blob_release(&blob);
	return 0;
}

static int get_files(struct bench *bench)
{
	const struct descriptor listed = as_listed(bench);
	struct layer *layer;
	CLEANUP(readerp) struct reader *blob = NULL;
	int spool_fd = -1, rc;
	CLEANUP(freep) char *plain = malloc(SPAN_SIZE_MAX);

	assert_int_equal(
		store_layer(bench->store, STORE_FETCH, "repo", &listed, &layer, NULL, NULL, NULL),
		0);
	rc = store_layer_files(bench->store, STORE_FETCH, "repo", &listed, layer, false, &blob,
		&spool_fd, NULL, NULL, NULL);
	if (!rc) {
		assert_blob(bench, blob);
		assert_int_equal(spool_fd >= 0, layer->needs_spool);
		for (uint32_t i = 0; i < layer->span_count; i++)
			assert_int_equal(
				layer_decode_span(layer, i, blob, spool_fd, plain, NULL), 0);
	}
	closep(&spool_fd);
	layer_free(layer);
	return rc;
}

/* --- layers --- */

static void a_layer_is_fetched_once(void **state)
{
	struct bench *bench = *state;
	struct progress progress = { 0 };
	struct layer *layer;

	assert_int_equal(store_layer(bench->store, STORE_FETCH, "repo", &bench->fake.blob, &layer,
				 &progress, NULL, NULL),
		0);
	assert_true(digest_equal(&layer->digest, &bench->fake.blob.digest));
	assert_true(digest_equal(&layer->diff_id, &bench->fake.blob.digest)); /* a plain tar */
	layer_free(layer);
	assert_int_equal(progress.done, bench->fake.blob.size);
	assert_int_equal(progress.total, bench->fake.blob.size);
	assert_true(is_cached(bench, "blobs/sha256"));
	assert_true(is_cached(bench, "index/sha256"));
	assert_false(is_cached(bench, "partial"));
	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(get_files(bench), 0);
	assert_int_equal(get_blob(bench), 0);
	remount(bench);
	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(get_blob(bench), 0);
	assert_int_equal(bench->fake.opens, 1);
	assert_int_equal(bench->fake.proves, 0);
	assert_int_equal(bench->fake.sent, bench->fake.blob.size);
	assert_int_equal(bench->observer.counters.layers_indexed, 1);
	assert_int_equal(bench->warnings, 0);
}

struct asker {
	pthread_t thread;
	struct bench *bench;
	struct cancel cancel;
	int rc;
};

static void *ask(void *context)
{
	struct asker *asker = context;
	struct bench *bench = asker->bench;
	struct layer *layer = NULL;

	asker->rc = store_layer(bench->store, STORE_FETCH, "repo", &bench->fake.blob, &layer, NULL,
		&asker->cancel, NULL);
	layer_free(layer);
	return NULL;
}

static void start(struct asker *asker, struct bench *bench)
{
	asker->bench = bench;
	cancel_init(&asker->cancel);
	assert_int_equal(pthread_create(&asker->thread, NULL, ask, asker), 0);
}

static int finish(struct asker *asker)
{
	assert_int_equal(pthread_join(asker->thread, NULL), 0);
	cancel_release(&asker->cancel);
	return asker->rc;
}

static void wait_until_hanging(struct bench *bench, unsigned count)
{
	struct timespec moment = { .tv_nsec = 1000000 };

	while (bench->fake.hanging < count)
		(void)nanosleep(&moment, NULL);
}

static void many_askers_are_one_fetch(void **state)
{
	static struct asker askers[ASKERS];
	struct bench *bench = *state;

	for (size_t i = 0; i < ASKERS; i++)
		start(&askers[i], bench);
	for (size_t i = 0; i < ASKERS; i++)
		assert_int_equal(finish(&askers[i]), 0);
	assert_int_equal(bench->fake.opens, 1);
	assert_int_equal(bench->fake.sent, bench->fake.blob.size);
}

/* Two mounts on one cache. */
static void two_processes_are_one_fetch(void **state)
{
	struct bench *bench = *state;
	int ready[2], done[2], status;
	unsigned char opens, byte = 0;
	pid_t child;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(done), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		if (write(ready[1], &byte, 1) != 1 || get_layer(bench))
			_exit(2);
		opens = (unsigned char)bench->fake.opens;
		_exit(write(done[1], &opens, 1) == 1 ? 0 : 3);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(read(done[0], &opens, 1), 1);
	assert_int_equal(bench->fake.opens + opens, 1);
	for (size_t i = 0; i < 2; i++) {
		(void)close(ready[i]);
		(void)close(done[i]);
	}
}

static void a_waiter_takes_over_from_a_cancelled_worker(void **state)
{
	struct asker worker, waiters[3];
	struct bench *bench = *state;

	bench->fake.hangs = 1;
	start(&worker, bench);
	wait_until_hanging(bench, 1);
	for (size_t i = 0; i < ARRAY_SIZE(waiters); i++)
		start(&waiters[i], bench);
	cancel_set(&worker.cancel);
	assert_int_equal(finish(&worker), -EINTR);
	for (size_t i = 0; i < ARRAY_SIZE(waiters); i++)
		assert_int_equal(finish(&waiters[i]), 0);
	assert_int_equal(bench->fake.opens, 2);
}

static void a_waiter_can_give_up(void **state)
{
	struct asker worker, waiter;
	struct bench *bench = *state;

	bench->fake.hangs = 1;
	start(&worker, bench);
	wait_until_hanging(bench, 1);
	start(&waiter, bench);
	cancel_set(&waiter.cancel);
	assert_int_equal(finish(&waiter), -EINTR);
	cancel_set(&worker.cancel);
	assert_int_equal(finish(&worker), -EINTR);
	assert_int_equal(bench->fake.opens, 1);
}

/* The blob was evicted and is on its way again; its index is there all the time. */
static void *ask_for_blob(void *context)
{
	struct asker *asker = context;
	struct bench *bench = asker->bench;
	struct stored_blob blob;

	asker->rc = store_blob(bench->store, STORE_FETCH, "repo", &bench->fake.blob, &blob, NULL,
		&asker->cancel, NULL);
	if (!asker->rc)
		stored_blob_release(&blob);
	return NULL;
}

static void what_is_cached_waits_for_nobody(void **state)
{
	struct bench *bench = *state;
	struct asker worker = { .bench = bench };

	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(unlink(in_cache(bench, "blobs/sha256")), 0);
	bench->fake.hangs = 1;
	cancel_init(&worker.cancel);
	assert_int_equal(pthread_create(&worker.thread, NULL, ask_for_blob, &worker), 0);
	wait_until_hanging(bench, 1);
	assert_int_equal(get_layer(bench), 0); /* else this would hang */
	cancel_set(&worker.cancel);
	assert_int_equal(finish(&worker), -EINTR);
}

/* --- faults of the source --- */

static const struct fault_case {
	const char *name;
	size_t cut_at, longer, shorter;
	bool ignores_offset;
	unsigned corruptions;
	int open_rc, first_rc, then_rc; /* of two calls */
	unsigned opens;
	uint64_t sent_of_size; /* per cent of the blob, 0: not looked at */
	unsigned verify_failures;
} fault_cases[] = {
	{ .name = "a cut stream is resumed",
		.cut_at = MIB,
		.first_rc = -EIO,
		.opens = 2,
		.sent_of_size = 100 },
	{ .name = "a cut at the first byte",
		.cut_at = 0,
		.first_rc = -EIO,
		.opens = 2,
		.sent_of_size = 100 },
	{ .name = "resumed where there are no ranges",
		.cut_at = FILE_LEN / 2,
		.ignores_offset = true,
		.first_rc = -EIO,
		.opens = 2 },
	{ .name = "a corrupt copy heals",
		.corruptions = 1,
		.opens = 2,
		.sent_of_size = 200,
		.verify_failures = 1 },
	{ .name = "a registry that is always corrupt",
		.corruptions = 100,
		.first_rc = -EBADMSG,
		.then_rc = -EBADMSG,
		.opens = 4,
		.verify_failures = 4 },
	{ .name = "more bytes than it should have",
		.longer = 1,
		.first_rc = -EBADMSG,
		.then_rc = -EBADMSG,
		.opens = 4,
		.verify_failures = 4 },
	{ .name = "fewer bytes than it should have",
		.shorter = 1,
		.first_rc = -EBADMSG,
		.then_rc = -EBADMSG,
		.opens = 4,
		.verify_failures = 4 },
	{ .name = "not there is no absence",
		.open_rc = -ENOENT,
		.first_rc = -EIO,
		.then_rc = -EIO,
		.opens = 2 },
	{ .name = "not allowed",
		.open_rc = -EACCES,
		.first_rc = -EACCES,
		.then_rc = -EACCES,
		.opens = 2 },
	{ .name = "away",
		.open_rc = -EHOSTUNREACH,
		.first_rc = -EHOSTUNREACH,
		.then_rc = -EHOSTUNREACH,
		.opens = 2 },
};

static void fault_row(void **state)
{
	const struct fault_case *c = *state;
	struct bench *bench;
	struct fake *fake;
	void *made;

	assert_int_equal(setup(&made), 0);
	bench = made;
	fake = &bench->fake;
	fake->cuts = c->first_rc == -EIO && !c->open_rc;
	fake->cut_at = c->cut_at;
	fake->longer = c->longer;
	fake->shorter = c->shorter;
	fake->ignores_offset = c->ignores_offset;
	fake->corruptions = c->corruptions;
	fake->open_rc = c->open_rc;
	assert_int_equal(get_layer(bench), c->first_rc);
	assert_int_equal(is_cached(bench, "partial"), c->cut_at > 0);
	assert_int_equal(is_cached(bench, "blobs/sha256"), !c->first_rc);
	assert_int_equal(get_layer(bench), c->then_rc);
	assert_false(is_cached(bench, "partial"));
	assert_int_equal(is_cached(bench, "index/sha256"), !c->then_rc);
	if (!c->then_rc)
		assert_int_equal(get_files(bench), 0);
	if (c->corruptions != 1)
		assert_int_equal(fake->opens, c->opens);
	if (c->sent_of_size)
		assert_int_equal(fake->sent, fake->blob.size * c->sent_of_size / 100);
	assert_int_equal(bench->observer.counters.verify_failures, c->verify_failures);
	(void)teardown(&made);
}

static void a_rotten_partial_heals(void **state)
{
	struct bench *bench = *state;

	bench->fake.cuts = 1;
	bench->fake.cut_at = MIB;
	assert_int_equal(get_blob(bench), -EIO);
	flip(in_cache(bench, "partial"), 1000);
	assert_int_equal(get_blob(bench), 0);
	assert_int_equal(bench->observer.counters.verify_failures, 1);
	assert_int_equal(bench->fake.opens, 3);
}

static void a_partial_that_is_too_long_starts_over(void **state)
{
	struct bench *bench = *state;

	bench->fake.cuts = 1;
	bench->fake.cut_at = MIB;
	assert_int_equal(get_blob(bench), -EIO);
	assert_int_equal(truncate(in_cache(bench, "partial"), (off_t)bench->fake.blob.size + 1), 0);
	assert_int_equal(get_blob(bench), 0);
	assert_int_equal(bench->fake.opens, 2);
	assert_int_equal(bench->observer.counters.verify_failures, 0);
}

static void a_whole_partial_needs_a_proof(void **state)
{
	struct bench *bench = *state;
	CLEANUP(closep) int fd = open(in_cache(bench, "partial"), O_CREAT | O_WRONLY, 0600);

	assert_int_equal(
		write(fd, bench->fake.bytes, bench->fake.blob.size), bench->fake.blob.size);
	bench->fake.prove_rc = -EACCES;
	assert_int_equal(get_layer(bench), -EACCES);
	bench->fake.prove_rc = 0;
	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(bench->fake.opens, 0);
}

static void a_limit_is_kept_before_any_request(void **state)
{
	struct bench *bench = *state;

	bench->config.fetch_limit = MIB;
	remount(bench);
	assert_int_equal(get_layer(bench), -EFBIG);
	assert_int_equal(get_blob(bench), -EFBIG);
	assert_int_equal(bench->fake.opens, 0);
}

static void a_limit_is_kept_without_a_size(void **state)
{
	struct bench *bench = *state;
	struct descriptor blob = bench->fake.blob;
	struct stored_blob stored;

	blob.size = DESCRIPTOR_SIZE_UNKNOWN;
	bench->config.fetch_limit = MIB;
	remount(bench);
	assert_int_equal(
		store_blob(bench->store, STORE_FETCH, "repo", &blob, &stored, NULL, NULL, NULL),
		-EFBIG);
	assert_true(bench->fake.sent <= MIB + 256 * 1024);
	assert_false(is_cached(bench, "partial"));
	bench->config.fetch_limit = 0;
	remount(bench);
	assert_int_equal(
		store_blob(bench->store, STORE_FETCH, "repo", &blob, &stored, NULL, NULL, NULL), 0);
	assert_blob(bench, stored.bytes);
	stored_blob_release(&stored);
}

/* A layer may be small, and become large; to have it as it is stored is no harm. */
static void a_limit_is_for_what_is_decompressed_too(void **state)
{
	struct bench *bench = *state;
	uint64_t plain = SPAN_SIZE_MAX + MIB + 3 * BLOCK;

	set_packed(bench);
	assert_true(bench->fake.blob.size < plain);
	bench->config.fetch_limit = plain - 1;
	remount(bench);
	assert_int_equal(get_layer(bench), -EFBIG);
	assert_int_equal(get_layer(bench), -EFBIG);
	assert_false(is_cached(bench, "index/sha256"));
	assert_false(is_cached(bench, "spool/sha256"));
	assert_true(bench->fake.sent <= bench->fake.blob.size); /* it stops, and goes on there */
	assert_int_equal(get_blob(bench), 0);
	assert_true(bench->fake.sent <= bench->fake.blob.size);
	assert_int_equal(get_layer(bench), -EFBIG);
	bench->config.fetch_limit = plain;
	remount(bench);
	assert_int_equal(get_files(bench), 0);
	assert_true(bench->fake.sent <= bench->fake.blob.size);
	assert_int_equal(bench->observer.counters.verify_failures, 0);
}

/* The same in one go: who asks for the blob alone is not refused for its index. */
static void a_blob_is_had_without_its_index(void **state)
{
	struct bench *bench = *state;

	set_packed(bench);
	bench->config.fetch_limit = bench->fake.blob.size;
	remount(bench);
	assert_int_equal(get_blob(bench), 0);
	assert_true(bench->fake.sent <= bench->fake.blob.size);
	assert_false(is_cached(bench, "index/sha256"));
}

/* --- sizes that nobody told --- */

static void without_a_size_a_layer_is_fetched_once(void **state)
{
	struct bench *bench = *state;

	bench->fake.is_unsized = true;
	assert_int_equal(get_files(bench), 0);
	assert_int_equal(get_blob(bench), 0);
	remount(bench);
	assert_int_equal(get_files(bench), 0);
	assert_int_equal(get_blob(bench), 0);
	assert_int_equal(bench->fake.opens, 1);
	assert_int_equal(bench->fake.sent, bench->fake.blob.size);
}

static const struct unsized_case {
	const char *name;
	size_t partial; /* bytes that landed before */
	off_t rotten;   /* where a bit of them is wrong, 0: nowhere */
	bool ignores_offset;
	unsigned opens;
	uint64_t sent_less; /* than the blob's size; not looked at when it is 0 */
	unsigned verify_failures;
} unsized_cases[] = {
	{ "without a size, a partial is resumed", MIB, 0, false, 1, MIB - 1, 0 },
	{ "without a size, a partial where there are no ranges", MIB, 0, true, 1, 0, 0 },
	{ "without a size, a partial of one byte", 1, 0, false, 1, 0, 0 },
	{ "without a size, a whole partial", FILE_LEN + 3 * BLOCK, 0, false, 1,
		FILE_LEN + 3 * BLOCK - 1, 0 },
	{ "without a size, a partial that is too long", FILE_LEN + 3 * BLOCK + 2, 0, false, 2, 0,
		1 },
	{ "without a size, a rotten partial", MIB, 1000, false, 2, 0, 1 },
};

static void unsized_row(void **state)
{
	const struct unsized_case *c = *state;
	struct bench *bench;
	void *made;
	int fd;

	assert_int_equal(setup(&made), 0);
	bench = made;
	bench->fake.is_unsized = true;
	bench->fake.ignores_offset = c->ignores_offset;
	fd = open(in_cache(bench, "partial"), O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	assert_true(write(fd, bench->fake.bytes,
			    c->partial < bench->fake.blob.size ? c->partial
							       : bench->fake.blob.size) > 0);
	assert_int_equal(ftruncate(fd, (off_t)c->partial), 0);
	closep(&fd);
	if (c->rotten)
		flip(in_cache(bench, "partial"), c->rotten);
	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(get_blob(bench), 0);
	assert_int_equal(bench->fake.opens, c->opens);
	if (c->sent_less)
		assert_int_equal(bench->fake.sent, bench->fake.blob.size - c->sent_less);
	assert_int_equal(bench->observer.counters.verify_failures, c->verify_failures);
	(void)teardown(&made);
}

/* --- layers without a digest --- */

static int locate(struct bench *bench, const char *id, struct cancel *cancel)
{
	const struct descriptor layer = { .media_type = (char *)TAR_TYPE,
		.size = DESCRIPTOR_SIZE_UNKNOWN,
		.layer_id = (char *)id };
	struct descriptor found = { 0 };
	struct error err = { "" };
	int rc =
		store_locate(bench->store, STORE_FETCH, "repo", &layer, &found, NULL, cancel, &err);

	if (rc) {
		assert_true(*err.text);
		return rc;
	}
	assert_true(digest_equal(&found.digest, &bench->fake.blob.digest));
	assert_int_equal(found.size, bench->fake.blob.size);
	assert_string_equal(found.layer_id, id);
	assert_string_equal(found.media_type, TAR_TYPE);
	descriptor_release(&found);
	return 0;
}

static void see_names(struct bench *bench)
{
	struct name_list list = { NULL, 0 };

	assert_int_equal(store_tags(bench->store, "repo", &list, NULL, NULL), 0);
	name_list_release(&list);
}

static void a_layer_without_a_digest_is_read_once(void **state)
{
	struct bench *bench = *state;

	for (int i = 0; i < 2; i++)
		assert_int_equal(locate(bench, LAYER_ID, NULL), 0);
	assert_true(is_cached(bench, "blobs/sha256"));
	assert_int_equal(get_files(bench), 0);
	assert_int_equal(get_blob(bench), 0);
	assert_int_equal(bench->fake.layers, 1);
	assert_int_equal(bench->fake.opens, 0);
	assert_int_equal(bench->fake.proves, 0);
	assert_int_equal(bench->fake.sent, bench->fake.blob.size);
	assert_int_equal(locate(bench, LAYER_ID "0", NULL), -EIO);
	assert_int_equal(bench->warnings, 0);
}

static void what_was_located_is_remembered_for_those_who_see_names(void **state)
{
	struct bench *bench = *state;

	see_names(bench);
	assert_int_equal(locate(bench, LAYER_ID, NULL), 0);
	remount(bench);
	assert_int_equal(locate(bench, LAYER_ID, NULL), 0);
	assert_int_equal(bench->fake.layers, 1);
	bench->fake.identity = "you";
	remount(bench);
	assert_int_equal(locate(bench, LAYER_ID, NULL), 0);
	assert_int_equal(bench->fake.layers, 2);
	bench->config.offline = true;
	remount(bench);
	assert_int_equal(locate(bench, LAYER_ID, NULL), -ENETUNREACH);
	bench->fake.identity = "me";
	remount(bench);
	assert_int_equal(locate(bench, LAYER_ID, NULL), 0);
	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(bench->fake.layers, 2);
	assert_int_equal(bench->fake.opens, 0);
}

/* A source that knows layers by their ids alone must be told the id whenever it is asked. */
static void an_evicted_layer_is_asked_for_with_its_id(void **state)
{
	struct bench *bench = *state;
	struct descriptor layer;
	struct layer *made;

	assert_int_equal(locate(bench, LAYER_ID, NULL), 0);
	assert_int_equal(unlink(in_cache(bench, "blobs/sha256")), 0);
	layer = bench->fake.blob;
	layer.layer_id = (char *)LAYER_ID;
	assert_int_equal(
		store_layer(bench->store, STORE_FETCH, "repo", &layer, &made, NULL, NULL, NULL), 0);
	layer_free(made);
	assert_string_equal(bench->fake.layer_id, LAYER_ID);
	assert_int_equal(bench->fake.opens, 1);
}

static void a_layer_without_a_digest_can_fail(void **state)
{
	struct bench *bench = *state;
	struct cancel cancel;

	bench->fake.cuts = 1;
	bench->fake.cut_at = MIB;
	assert_int_equal(locate(bench, LAYER_ID, NULL), -EIO);
	bench->fake.open_rc = -EACCES;
	assert_int_equal(locate(bench, LAYER_ID, NULL), -EACCES);
	bench->fake.open_rc = 0;
	cancel_init(&cancel);
	cancel_set(&cancel);
	assert_int_equal(locate(bench, LAYER_ID, &cancel), -EINTR);
	cancel_release(&cancel);
	bench->config.fetch_limit = MIB;
	remount(bench);
	assert_int_equal(locate(bench, LAYER_ID, NULL), -EFBIG);
	assert_false(is_cached(bench, "blobs/sha256"));
	bench->config.fetch_limit = 0;
	remount(bench);
	assert_int_equal(locate(bench, LAYER_ID, NULL), 0);
}

static void a_layer_without_a_digest_needs_no_cache(void **state)
{
	struct bench *bench = *state;
	struct cache *cache = bench->cache;

	bench->cache = NULL;
	remount(bench);
	assert_int_equal(locate(bench, LAYER_ID, NULL), 0);
	assert_int_equal(locate(bench, LAYER_ID, NULL), 0);
	assert_int_equal(get_files(bench), 0);
	assert_int_equal(bench->fake.layers, 1);
	assert_int_equal(bench->fake.opens, 0);
	bench->cache = cache;
}

static void *ask_location(void *context)
{
	struct asker *asker = context;

	asker->rc = locate(asker->bench, LAYER_ID, NULL);
	return NULL;
}

static void many_askers_locate_once(void **state)
{
	static struct asker askers[ASKERS];
	struct bench *bench = *state;

	for (size_t i = 0; i < ASKERS; i++) {
		askers[i].bench = bench;
		assert_int_equal(
			pthread_create(&askers[i].thread, NULL, ask_location, &askers[i]), 0);
	}
	for (size_t i = 0; i < ASKERS; i++) {
		assert_int_equal(pthread_join(askers[i].thread, NULL), 0);
		assert_int_equal(askers[i].rc, 0);
	}
	assert_int_equal(bench->fake.layers, 1);
}

/* --- who may read --- */

static void another_identity_must_prove(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(get_layer(bench), 0);
	bench->fake.identity = "you";
	bench->fake.prove_rc = -EACCES;
	remount(bench);
	assert_int_equal(get_layer(bench), -EACCES);
	assert_int_equal(get_blob(bench), -EACCES);
	bench->fake.prove_rc = -ENOENT;
	assert_int_equal(get_layer(bench), -EIO);
	bench->fake.prove_rc = -EHOSTUNREACH;
	assert_int_equal(get_layer(bench), -EHOSTUNREACH);
	bench->fake.prove_rc = 0;
	bench->fake.proves = 0;
	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(get_blob(bench), 0);
	assert_int_equal(bench->fake.proves, 1);
	assert_int_equal(bench->fake.opens, 1);
}

static int age_proof(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	struct timespec times[2] = { { .tv_sec = time(NULL) - CACHE_PROOF_MAX_AGE_S - 60 } };

	(void)st;
	(void)ftw;
	times[1] = times[0];
	return flag == FTW_F && strstr(path, "/proof/") ? utimensat(AT_FDCWD, path, times, 0) : 0;
}

static void an_old_proof_will_do_when_nobody_can_be_asked(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(nftw(bench->dir, age_proof, 16, FTW_PHYS), 0);
	remount(bench);
	bench->fake.prove_rc = -ETIMEDOUT;
	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(bench->fake.proves, 1);
	assert_int_equal(bench->fallbacks, 1);
	bench->fake.prove_rc = -EACCES;
	assert_int_equal(get_layer(bench), 0); /* nobody asks again so soon */
	assert_int_equal(bench->fake.proves, 1);
	store_ask_again(bench->store);
	assert_int_equal(get_layer(bench), -EACCES);
	bench->config.offline = true;
	remount(bench);
	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(bench->fake.proves, 2);
}

static void offline_asks_for_nothing(void **state)
{
	struct bench *bench = *state;
	struct descriptor resolved = { 0 };
	struct name_list list = { NULL, 0 };
	char *bytes;
	size_t len;

	bench->config.offline = true;
	remount(bench);
	assert_int_equal(get_layer(bench), -ENETUNREACH);
	assert_int_equal(get_blob(bench), -ENETUNREACH);
	assert_int_equal(store_manifest(bench->store, STORE_FETCH, "repo", &bench->fake.blob.digest,
				 &bytes, &len, NULL, NULL, NULL),
		-ENETUNREACH);
	assert_int_equal(
		store_resolve(bench->store, "repo", "1", &resolved, NULL, NULL), -ENETUNREACH);
	assert_int_equal(store_tags(bench->store, "repo", &list, NULL, NULL), -ENETUNREACH);
	assert_int_equal(store_repositories(bench->store, &list, NULL, NULL), -ENETUNREACH);
	assert_int_equal(
		bench->fake.opens + bench->fake.proves + bench->fake.manifests + bench->fake.lists,
		0);
}

/* --- faults of the disk --- */

static void a_rotten_index_is_made_anew(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(get_layer(bench), 0);
	flip(in_cache(bench, "index/sha256"), 100);
	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(truncate(in_cache(bench, "index/sha256"), 10), 0);
	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(bench->fake.opens, 1);
	assert_int_equal(bench->observer.counters.cache_corrupt, 2);
	assert_int_equal(bench->observer.counters.layers_indexed, 3);
}

static void a_rotten_blob_is_fetched_afresh(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(get_blob(bench), 0);
	flip(in_cache(bench, "blobs/sha256"), -1);
	remount(bench);
	assert_int_equal(get_blob(bench), 0);
	assert_int_equal(bench->fake.opens, 2);
	/* Found while it is indexed: the same. */
	flip(in_cache(bench, "blobs/sha256"), 5000);
	assert_int_equal(unlink(in_cache(bench, "index/sha256")), 0);
	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(bench->fake.opens, 3);
	assert_int_equal(bench->observer.counters.cache_corrupt, 2);
	assert_int_equal(get_blob(bench), 0);
}

static void a_damaged_layer_is_made_anew(void **state)
{
	struct bench *bench = *state;
	struct layer *layer;

	assert_int_equal(store_layer(bench->store, STORE_FETCH, "repo", &bench->fake.blob, &layer,
				 NULL, NULL, NULL),
		0);
	store_layer_damaged(bench->store, layer);
	layer_free(layer);
	assert_false(is_cached(bench, "blobs/sha256"));
	assert_false(is_cached(bench, "index/sha256"));
	assert_int_equal(get_files(bench), 0);
	assert_int_equal(bench->fake.opens, 2);
}

static void an_evicted_blob_is_fetched_again(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(unlink(in_cache(bench, "blobs/sha256")), 0);
	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(bench->fake.opens, 1);
	assert_int_equal(get_files(bench), 0);
	assert_int_equal(bench->fake.opens, 2);
	assert_int_equal(bench->observer.counters.layers_indexed, 1);
}

/* Each of them was there, does not come from the disk, and is had again. */
static const struct unreadable_case {
	const char *name, *kind;
	int (*get)(struct bench *bench);
	bool opens, is_read_only;
	unsigned opens_of_source;
} unreadable_cases[] = {
	{ "a blob that the disk does not read", "blobs/sha256", get_blob, true, false, 2 },
	{ "one that it does not open", "blobs/sha256", get_blob, false, false, 2 },
	{ "one that it does not remove either", "blobs/sha256", get_blob, true, true, 2 },
	{ "one that it neither opens nor removes", "blobs/sha256", get_blob, false, true, 2 },
	{ "a layer's blob that it does not read", "blobs/sha256", get_files, true, false, 2 },
	{ "an index that it does not open", "index/sha256", get_layer, false, false, 1 },
	{ "one that it neither opens nor removes, of a layer", "index/sha256", get_layer, false,
		true, 1 },
};

static void unreadable_row(void **state)
{
	const struct unreadable_case *c = *state;
	struct bench *bench;
	void *made;

	assert_int_equal(setup(&made), 0);
	bench = made;
	assert_int_equal(c->get(bench), 0);
	remount(bench);
	disk_fails(in_cache(bench, c->kind), c->opens, c->is_read_only);
	if (c->get == get_files) { /* its reader finds it out, and says so */
		const struct descriptor listed = as_listed(bench);
		struct layer *layer;
		CLEANUP(readerp) struct reader *blob = NULL;
		CLEANUP(freep) char *plain = malloc(SPAN_SIZE_MAX);
		int spool_fd = -1;

		assert_int_equal(store_layer(bench->store, STORE_FETCH, "repo", &listed, &layer,
					 NULL, NULL, NULL),
			0);
		assert_int_equal(store_layer_files(bench->store, STORE_FETCH, "repo", &listed,
					 layer, false, &blob, &spool_fd, NULL, NULL, NULL),
			0);
		assert_int_equal(
			layer_decode_span(layer, 0, blob, spool_fd, plain, NULL), -EBADMSG);
		store_layer_damaged(bench->store, layer);
		layer_free(layer);
	}
	assert_int_equal(c->get(bench), 0);
	assert_true(bench->warnings > 0);
	assert_int_equal(bench->fake.opens, c->opens_of_source);
	assert_int_equal(c->get(bench), 0); /* and it stays good */
	assert_int_equal(bench->fake.opens, c->opens_of_source);
	disk_is_mended();
	assert_true(bench->observer.counters.cache_corrupt > 0);
	(void)teardown(&made);
}

static void an_unreadable_spool_is_a_damaged_one(void **state)
{
	struct bench *bench = *state;
	struct layer *layer;
	CLEANUP(readerp) struct reader *blob = NULL;
	CLEANUP(freep) char *plain = malloc(SPAN_SIZE_MAX);
	int spool_fd = -1;

	set_packed(bench);
	assert_int_equal(get_files(bench), 0);
	disk_fails(in_cache(bench, "spool/sha256"), true, false);
	assert_int_equal(store_layer(bench->store, STORE_FETCH, "repo", &bench->fake.blob, &layer,
				 NULL, NULL, NULL),
		0);
	assert_int_equal(store_layer_files(bench->store, STORE_FETCH, "repo", &bench->fake.blob,
				 layer, false, &blob, &spool_fd, NULL, NULL, NULL),
		0);
	assert_int_equal(layer_decode_span(layer, 0, blob, spool_fd, plain, NULL), -EBADMSG);
	store_layer_damaged(bench->store, layer);
	closep(&spool_fd);
	layer_free(layer);
	assert_int_equal(get_files(bench), 0);
	disk_is_mended();
	assert_int_equal(bench->fake.opens, 2);
}

static void an_unreadable_partial_starts_over(void **state)
{
	struct bench *bench = *state;
	struct stored_blob blob;

	bench->fake.cuts = 1;
	bench->fake.cut_at = MIB;
	assert_int_equal(get_blob(bench), -EIO);
	disk_fails(in_cache(bench, "partial"), true, false);
	assert_int_equal(store_blob(bench->store, STORE_FETCH, "repo", &bench->fake.blob, &blob,
				 NULL, NULL, NULL),
		0);
	stored_blob_release(&blob);
	disk_is_mended();
	assert_int_equal(bench->fake.opens, 2);
	assert_int_equal(bench->fake.sent, MIB + bench->fake.blob.size);
	assert_true(bench->warnings > 0);
	assert_int_equal(get_blob(bench), 0);
	assert_int_equal(bench->fake.opens, 2);
}

/* --- ranges --- */

/* All spans of the layer, each out of a range of its own; *ret_count: how many were fetched. */
static int get_spans(struct bench *bench, uint32_t *ret_count)
{
	CLEANUP(freep) char *plain = malloc(SPAN_SIZE_MAX);
	CLEANUP(readerp) struct reader *blob = NULL;
	CLEANUP(closep) int spool_fd = -1;
	const struct descriptor listed = as_listed(bench);
	struct error err = { "" };
	struct layer *layer;
	int rc;

	*ret_count = 0;
	assert_int_equal(
		store_layer(bench->store, STORE_FETCH, "repo", &listed, &layer, NULL, NULL, NULL),
		0);
	rc = store_layer_files(bench->store, STORE_FETCH, "repo", &listed, layer, true, &blob,
		&spool_fd, NULL, NULL, &err);
	for (uint32_t i = 0; !rc && i < layer->span_count; i++) {
		const struct span *span = &layer->spans[i];
		CLEANUP(readerp) struct reader *part = NULL;

		if (!span->in_spool && !blob) {
			(*ret_count)++;
			rc = store_range(bench->store, "repo", &listed, layer->stored_size, 0,
				span->stored_offset, span->stored_len, &part, NULL, NULL, &err);
		}
		if (!rc)
			rc = layer_decode_span(layer, i, part ? part : blob, spool_fd, plain, &err);
	}
	if (rc)
		assert_true(*err.text);
	layer_free(layer);
	return rc;
}

static void an_evicted_blob_is_read_in_parts(void **state)
{
	struct bench *bench = *state;
	uint32_t count;

	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(get_spans(bench, &count), 0);
	assert_int_equal(count, 0); /* it is here */
	assert_int_equal(unlink(in_cache(bench, "blobs/sha256")), 0);
	bench->fake.sent = 0;
	assert_int_equal(get_spans(bench, &count), 0);
	assert_true(count >= 2);
	assert_int_equal(bench->fake.ranges, count);
	assert_int_equal(bench->fake.sent, bench->fake.blob.size); /* a plain tar, each byte once */
	assert_int_equal(bench->fake.opens, 1);
	assert_false(is_cached(bench, "blobs/sha256"));
}

/* What was fetched whole meanwhile is not fetched in parts. */
static void parts_come_from_the_cache_when_they_can(void **state)
{
	struct bench *bench = *state;
	CLEANUP(readerp) struct reader *part = NULL;
	uint64_t size = bench->fake.blob.size;

	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(store_range(bench->store, "repo", &bench->fake.blob, size, 0, MIB, 10,
				 &part, NULL, NULL, NULL),
		0);
	assert_blob(bench, part);
	assert_int_equal(bench->fake.ranges, 0);
}

/* A range that was given is a proof, one that was refused is none. */
static void a_range_proves_access(void **state)
{
	struct bench *bench = *state;
	uint32_t count;

	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(unlink(in_cache(bench, "blobs/sha256")), 0);
	bench->fake.identity = "somebody else";
	remount(bench);
	bench->fake.prove_rc = -EACCES;
	assert_int_equal(get_layer(bench), -EACCES);
	for (int i = 0; i < 2; i++) {
		struct reader *part = NULL;

		bench->fake.open_rc = i ? 0 : -EACCES;
		assert_int_equal(store_range(bench->store, "repo", &bench->fake.blob,
					 bench->fake.blob.size, 0, 0, 10, &part, NULL, NULL, NULL),
			bench->fake.open_rc);
		reader_unref(part);
		assert_int_equal(get_layer(bench), bench->fake.open_rc);
	}
	assert_int_equal(get_spans(bench, &count), 0);
}

static void what_is_in_the_spool_needs_no_blob(void **state)
{
	struct bench *bench = *state;
	uint32_t count;

	set_packed(bench);
	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(unlink(in_cache(bench, "blobs/sha256")), 0);
	assert_int_equal(get_spans(bench, &count), 0);
	assert_int_equal(count, 0);
	assert_int_equal(bench->fake.opens, 1);
	bench->config.offline = true;
	remount(bench);
	assert_int_equal(get_spans(bench, &count), 0);
	bench->config.offline = false;
	remount(bench);
	assert_int_equal(unlink(in_cache(bench, "spool/sha256")), 0);
	assert_int_equal(get_spans(bench, &count), 0); /* with all that is needed to make it */
	assert_int_equal(bench->fake.opens, 2);
	assert_int_equal(bench->fake.ranges, 0);
}

static const struct range_case {
	const char *name;
	int open_rc, rc;
	bool is_offline, ignores_offset;
	uint64_t limit, fetched;
	unsigned cuts;
} range_cases[] = {
	{ "a range that is not there", .open_rc = -ENOENT, .rc = -EIO },
	{ "a range that is forbidden", .open_rc = -EACCES, .rc = -EACCES },
	{ "a range that is too far behind", .open_rc = -ERANGE, .rc = -EOPNOTSUPP },
	{ "a range of nobody who answers", .open_rc = -EHOSTUNREACH, .rc = -EHOSTUNREACH },
	{ "a range where there are none", .ignores_offset = true, .rc = -EOPNOTSUPP },
	{ "a range that is cut off", .cuts = 1, .rc = -EIO },
	{ "a range while offline", .is_offline = true, .rc = -ENETUNREACH },
	{ "a range of a blob over the limit", .limit = 5000 },
	{ "a range over the limit", .limit = 4999, .rc = -EFBIG },
	{ "a range up to the limit", .limit = 5100, .fetched = 100 },
	{ "a range that is one too many", .limit = 5099, .fetched = 100, .rc = -EFBIG },
};

static void range_row(void **state)
{
	const struct range_case *c = *state;
	struct error err = { "" };
	struct reader *part = NULL;
	struct bench *bench;
	void *made;

	assert_int_equal(setup(&made), 0);
	bench = made;
	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(unlink(in_cache(bench, "blobs/sha256")), 0);
	bench->config.offline = c->is_offline;
	bench->config.fetch_limit = c->limit;
	remount(bench);
	bench->fake.open_rc = c->open_rc;
	bench->fake.ignores_offset = c->ignores_offset;
	bench->fake.cuts = c->cuts;
	bench->fake.cut_at = 2000;
	assert_int_equal(store_range(bench->store, "repo", &bench->fake.blob, bench->fake.blob.size,
				 c->fetched, 1000, 5000, &part, NULL, NULL, &err),
		c->rc);
	if (c->rc)
		assert_true(*err.text);
	assert_int_equal(!part, c->rc != 0);
	reader_unref(part);
	assert_int_equal(bench->fake.ranges, !c->is_offline && c->rc != -EFBIG);
	assert_int_equal(teardown(&made), 0);
}

static void *ask_range(void *context)
{
	struct asker *asker = context;
	struct bench *bench = asker->bench;
	struct reader *part = NULL;

	asker->rc = store_range(bench->store, "repo", &bench->fake.blob, bench->fake.blob.size, 0,
		0, 10, &part, NULL, &asker->cancel, NULL);
	reader_unref(part);
	return NULL;
}

static void a_range_can_be_given_up(void **state)
{
	struct bench *bench = *state;
	struct asker asker = { .bench = bench };

	bench->fake.hangs = 1;
	cancel_init(&asker.cancel);
	assert_int_equal(pthread_create(&asker.thread, NULL, ask_range, &asker), 0);
	wait_until_hanging(bench, 1);
	cancel_set(&asker.cancel);
	assert_int_equal(finish(&asker), -EINTR);
}

static void a_shown_layer_is_indexed_on_the_way(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(get_blob(bench), 0);
	assert_true(is_cached(bench, "index/sha256"));
	assert_int_equal(get_layer(bench), 0);
	assert_int_equal(bench->fake.opens, 1);
}

static void another_blob_is_not_indexed(void **state)
{
	struct bench *bench = *state;

	bench->fake.blob.media_type = (char *)"application/octet-stream";
	assert_int_equal(get_blob(bench), 0);
	assert_false(is_cached(bench, "index/sha256"));
}

static void without_a_cache_there_are_temporary_files(void **state)
{
	struct bench *bench = *state;
	struct cache *cache = bench->cache;

	bench->cache = NULL;
	remount(bench);
	assert_int_equal(get_files(bench), 0);
	assert_int_equal(get_files(bench), 0);
	assert_int_equal(get_blob(bench), 0);
	assert_int_equal(bench->fake.opens, 1);
	assert_int_equal(bench->warnings, 0);
	bench->cache = cache;
}

static void a_broken_cache_degrades(void **state)
{
	struct bench *bench = *state;

	(void)nftw(bench->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	assert_int_equal(get_files(bench), 0);
	assert_int_equal(get_files(bench), 0);
	assert_int_equal(bench->fake.opens, 1);
	assert_int_equal(bench->warnings, 2); /* one of the cache, one of the store */
}

static void a_blob_larger_than_the_cache_stays_out(void **state)
{
	struct bench *bench = *state;

	cache_close(bench->cache);
	assert_int_equal(cache_open(&bench->cache, bench->dir, MIB, &bench->observer, NULL), 0);
	remount(bench);
	assert_int_equal(get_files(bench), 0);
	assert_int_equal(get_files(bench), 0);
	assert_false(is_cached(bench, "blobs/sha256"));
	assert_true(is_cached(bench, "index/sha256"));
	assert_int_equal(bench->fake.opens, 1);
}

/* As another process with that cache_size. */
static void set_cache_size(struct bench *bench, uint64_t size)
{
	cache_close(bench->cache);
	assert_int_equal(cache_open(&bench->cache, bench->dir, size, &bench->observer, NULL), 0);
	remount(bench);
}

/* One that is packed is all in its spool, which takes no less than the blob. */
static void a_spool_over_the_cache_is_refused(void **state)
{
	struct bench *bench = *state;
	uint64_t size;

	set_packed(bench);
	size = bench->fake.blob.size;
	set_cache_size(bench, size / 2);
	assert_int_equal(get_layer(bench), -EFBIG);
	assert_int_equal(get_layer(bench), -EFBIG);
	assert_false(is_cached(bench, "index/sha256"));
	assert_int_equal(get_blob(bench), 0); /* for which there is no need of it */
	assert_int_equal(get_layer(bench), -EFBIG);
	set_cache_size(bench, 4 * size);
	assert_int_equal(get_files(bench), 0);
	assert_true(is_cached(bench, "spool/sha256"));
}

/* What was there goes while a spool grows, not behind it. */
static void a_spool_pushes_out_what_is_old(void **state)
{
	struct bench *bench = *state;
	char path[512];

	assert_int_equal(get_layer(bench), 0);
	(void)snprintf(path, sizeof path, "%s", in_cache(bench, "blobs/sha256"));
	set_packed(bench);
	set_cache_size(bench, 2 * bench->fake.blob.size + MIB);
	assert_int_equal(get_files(bench), 0);
	assert_true(access(path, F_OK) != 0);
	assert_true(cache_used(bench->cache) <= 2 * bench->fake.blob.size + MIB);
}

static void full_child(struct bench *bench, rlim_t bytes, int rc)
{
	struct rlimit limit = { bytes, bytes };

	(void)signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &limit))
		_exit(2);
	_exit(get_layer(bench) == rc ? 0 : 3);
}

/* A limit on files strikes everywhere: there is no place left at all. */
static void no_place_at_all_is_enospc(void **state)
{
	struct bench *bench = *state;
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child)
		full_child(bench, MIB, -ENOSPC);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_false(is_cached(bench, "index/sha256"));
	assert_int_equal(get_layer(bench), 0);
}

/* What is short is then not the space. */
static void too_many_files_are_no_lack_of_space(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (!child) {
		const struct rlimit limit = { 0, 0 };
		unsigned place = 0;

		if (setrlimit(RLIMIT_NOFILE, &limit))
			_exit(2);
		_exit(temporary_open(&place, NULL) == -EMFILE ? 0 : 3);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_spool_comes_with_its_layer(void **state)
{
	struct bench *bench = *state;

	set_packed(bench);
	assert_int_equal(get_files(bench), 0);
	assert_true(is_cached(bench, "spool/sha256"));
	assert_int_equal(unlink(in_cache(bench, "spool/sha256")), 0);
	assert_int_equal(get_files(bench), 0);
	assert_true(is_cached(bench, "spool/sha256"));
	assert_int_equal(bench->fake.opens, 1);
	bench->cache = (cache_close(bench->cache), NULL);
	remount(bench);
	assert_int_equal(get_files(bench), 0);
	assert_int_equal(bench->fake.opens, 2);
}

/* --- documents --- */

static int get_manifest(struct bench *bench, char **ret_type)
{
	CLEANUP(freep) char *bytes = NULL;
	size_t len = 0;
	int rc = store_manifest(bench->store, STORE_FETCH, "repo", &bench->fake.blob.digest, &bytes,
		&len, ret_type, NULL, NULL);

	if (!rc) {
		assert_int_equal(len, bench->fake.blob.size);
		assert_memory_equal(bytes, bench->fake.bytes, len + 1);
	}
	return rc;
}

static int get_document(struct bench *bench, uint64_t size)
{
	CLEANUP(freep) char *bytes = NULL;
	struct descriptor blob = bench->fake.blob;
	size_t len = 0;
	int rc;

	blob.size = size;
	rc = store_document(bench->store, STORE_FETCH, "repo", &blob, &bytes, &len, NULL, NULL);
	if (!rc) {
		assert_int_equal(len, bench->fake.blob.size);
		assert_memory_equal(bytes, bench->fake.bytes, len + 1);
	}
	return rc;
}

static int setup_document(void **state)
{
	int rc = setup(state);

	if (!rc)
		set_bytes(*state, strdup("{\"schemaVersion\":2}"), 19, MANIFEST_TYPE);
	return rc;
}

static void an_unreadable_document_is_fetched_again(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(get_manifest(bench, NULL), 0);
	for (int opens = 0; opens < 2; opens++) {
		disk_fails(in_cache(bench, "blobs/sha256"), opens, false);
		bench->warnings = 0;
		assert_int_equal(get_manifest(bench, NULL), 0);
		disk_is_mended();
		assert_true(bench->warnings > 0);
		assert_int_equal(bench->fake.manifests, 2 + opens);
	}
}

static void a_manifest_is_fetched_once(void **state)
{
	struct bench *bench = *state;
	char *type = NULL;

	bench->fake.type = MANIFEST_TYPE;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(get_manifest(bench, &type), 0);
		assert_string_equal(type, MANIFEST_TYPE);
		free(type);
		remount(bench);
	}
	assert_int_equal(bench->fake.manifests, 1);
	assert_int_equal(bench->fake.proves, 0);
	flip(in_cache(bench, "blobs/sha256"), 3);
	assert_int_equal(get_manifest(bench, NULL), 0);
	assert_int_equal(bench->fake.manifests, 2);
	assert_int_equal(bench->observer.counters.cache_corrupt, 1);
}

static int resolve_to_read(struct bench *bench)
{
	struct descriptor found = { 0 };
	int rc = store_resolve_to_read(bench->store, "repo", "1", &found, NULL, NULL);

	if (!rc)
		assert_true(digest_equal(&found.digest, &bench->fake.blob.digest));
	descriptor_release(&found);
	return rc;
}

/* What was seen before is likely to be here: then its digest is all that is asked for. */
static void a_manifest_comes_with_its_tag(void **state)
{
	struct bench *bench = *state;
	struct fake *fake = &bench->fake;
	char *type = NULL;

	fake->names_rc = -ENOENT;
	assert_int_equal(resolve_to_read(bench), -ENOENT);
	fake->names_rc = 0;
	assert_int_equal(resolve_to_read(bench), 0);
	assert_int_equal(fake->bodies, 2);
	assert_int_equal(fake->lists, 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(get_manifest(bench, &type), 0);
		assert_string_equal(type, MANIFEST_TYPE);
		free(type);
		remount(bench);
		assert_int_equal(resolve_to_read(bench), 0);
	}
	assert_int_equal(fake->manifests, 0);
	assert_int_equal(fake->bodies, 2);
	assert_int_equal(fake->lists, 2);
	/* Others have no proof by that. */
	fake->identity = "you";
	remount(bench);
	assert_int_equal(get_manifest(bench, NULL), 0);
	assert_int_equal(fake->manifests, 1);
}

/* The protected part is base64url of { "formatLength": 66, "formatTail": base64url of "}" ... };
 * the digest is sha256sum's of the payload, which is all but the signatures. */
#define SIGNED                                                                                       \
	"{\"schemaVersion\":1,\"name\":\"a\",\"tag\":\"b\",\"fsLayers\":[],\"history\":[],"          \
	"\"signatures\":[{\"header\":{\"jwk\":{},\"alg\":\"ES256\"},\"signature\":\"" SIGNATURE      \
	"\",\"protected\":\""                                                                        \
	"eyJmb3JtYXRMZW5ndGgiOjY2LCJmb3JtYXRUYWlsIjoiZlEiLCJ0aW1lIjoiMjAyMC0wMS0wMVQwMDowMDowMFoifQ" \
	"\"}]}"
#define SIGNED_DIGEST "sha256:a5c28103f97a37946a82c3cb5ed796601e2ac892eec97957a5b1c1e69cc170dd"

static int get_signed(struct bench *bench, char **ret)
{
	size_t len;

	return store_manifest(bench->store, STORE_FETCH, "repo", &bench->fake.blob.digest, ret,
		&len, NULL, NULL, NULL);
}

static void a_manifest_that_is_signed_anew_is_kept(void **state)
{
	struct bench *bench = *state;
	CLEANUP(freep) char *first = NULL;
	CLEANUP(freep) char *again = NULL;
	CLEANUP(freep) char *fresh = NULL;

	set_bytes(bench, strdup(SIGNED), sizeof SIGNED - 1, MANIFEST_TYPE);
	assert_int_equal(digest_parse(&bench->fake.blob.digest, SIGNED_DIGEST, NULL), 0);
	bench->fake.signs_anew = true;
	assert_int_equal(get_signed(bench, &first), 0);
	remount(bench);
	assert_int_equal(get_signed(bench, &again), 0);
	assert_string_equal(first, again);
	assert_int_equal(bench->fake.manifests, 1);
	assert_int_equal(unlink(in_cache(bench, "blobs/sha256")), 0);
	assert_int_equal(get_signed(bench, &fresh), 0);
	assert_string_not_equal(first, fresh);
	assert_int_equal(bench->observer.counters.verify_failures, 0);
	assert_int_equal(bench->warnings, 0);
	/* Only manifests are named by a part of their bytes. */
	assert_int_equal(unlink(in_cache(bench, "blobs/sha256")), 0);
	assert_int_equal(get_document(bench, DESCRIPTOR_SIZE_UNKNOWN), -EBADMSG);
	bench->fake.bytes[2] ^= 1;
	assert_int_equal(get_signed(bench, &fresh), -EBADMSG);
}

static void a_manifest_is_proved_by_fetching_it(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(get_manifest(bench, NULL), 0);
	bench->fake.identity = "you";
	remount(bench);
	bench->fake.open_rc = -EHOSTUNREACH;
	assert_int_equal(get_manifest(bench, NULL), -EHOSTUNREACH);
	bench->fake.open_rc = -EACCES;
	assert_int_equal(get_manifest(bench, NULL), -EACCES);
	bench->fake.open_rc = 0;
	assert_int_equal(get_manifest(bench, NULL), 0);
	assert_int_equal(bench->fake.manifests, 4);
	assert_int_equal(nftw(bench->dir, age_proof, 16, FTW_PHYS), 0);
	remount(bench);
	bench->fake.open_rc = -EHOSTUNREACH;
	assert_int_equal(get_manifest(bench, NULL), 0);
	assert_int_equal(bench->fallbacks, 1);
	bench->fake.open_rc = -EACCES;
	assert_int_equal(get_manifest(bench, NULL), 0); /* nobody asks again so soon */
	store_ask_again(bench->store);
	assert_int_equal(get_manifest(bench, NULL), -EACCES);
	assert_int_equal(bench->fake.proves, 0);
}

static const struct document_case {
	const char *name;
	unsigned corruptions;
	size_t shorter;
	int open_rc;
	int manifest_rc, document_rc;
} document_cases[] = {
	{ "a good document", 0, 0, 0, 0, 0 },
	{ "a corrupt document heals", 1, 0, 0, 0, 0 },
	{ "one that is always corrupt", 100, 0, 0, -EBADMSG, -EBADMSG },
	{ "one that is cut short", 0, 1, 0, -EBADMSG, -EBADMSG },
	{ "a manifest may be absent, a listed blob may not", 0, 0, -ENOENT, -ENOENT, -EIO },
	{ "one that is not allowed", 0, 0, -EACCES, -EACCES, -EACCES },
};

static void document_row(void **state)
{
	const struct document_case *c = *state;

	for (int is_manifest = 0; is_manifest < 2; is_manifest++) {
		struct bench *bench;
		void *made;

		assert_int_equal(setup_document(&made), 0);
		bench = made;
		bench->fake.corruptions = c->corruptions;
		bench->fake.shorter = c->shorter;
		bench->fake.open_rc = c->open_rc;
		if (is_manifest)
			assert_int_equal(get_manifest(bench, NULL), c->manifest_rc);
		else
			assert_int_equal(
				get_document(bench, bench->fake.blob.size), c->document_rc);
		assert_int_equal(is_cached(bench, "blobs/sha256"),
			is_manifest ? !c->manifest_rc : !c->document_rc);
		(void)teardown(&made);
	}
}

static void a_document_is_as_long_as_it_says(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(get_document(bench, bench->fake.blob.size + 1), -EBADMSG);
	assert_int_equal(get_document(bench, DOCUMENT_MAX + 1), -EFBIG);
	assert_int_equal(get_document(bench, DESCRIPTOR_SIZE_UNKNOWN), 0);
	assert_int_equal(get_document(bench, bench->fake.blob.size), 0);
}

/* printf '{"schemaVersion":2}' | base64 */
#define DATA "eyJzY2hlbWFWZXJzaW9uIjoyfQ=="

static const struct data_case {
	const char *name, *data;
	uint64_t size;
	unsigned opens, warnings;
	int rc;
} data_cases[] = {
	{ "data in a descriptor", DATA, 19, 0, 0, 0 },
	{ "data without a size", DATA, DESCRIPTOR_SIZE_UNKNOWN, 0, 0, 0 },
	{ "data of another size", DATA, 18, 2, 3, -EBADMSG },
	{ "other data", "eyJzY2hlbWFWZXJzaW9uIjozfQ==", 19, 1, 1, 0 },
	{ "data that is no base64", "eyJzY2hlbWFWZXJzaW9uIjoyfQ", 19, 1, 1, 0 },
	{ "no data at all", "", 19, 1, 1, 0 },
};

static void data_row(void **state)
{
	const struct data_case *c = *state;

	for (int is_blob = 0; is_blob < 2; is_blob++) {
		struct bench *bench;
		void *made;

		assert_int_equal(setup_document(&made), 0);
		bench = made;
		bench->fake.blob.data = (char *)c->data;
		bench->fake.is_unsized = c->size == DESCRIPTOR_SIZE_UNKNOWN;
		if (is_blob && !c->rc)
			assert_int_equal(get_blob(bench), c->rc);
		else
			assert_int_equal(get_document(bench, c->size), c->rc);
		assert_int_equal(bench->fake.opens, c->opens);
		assert_int_equal(bench->warnings, c->warnings);
		assert_int_equal(is_cached(bench, "blobs/sha256"), c->opens == 1);
		(void)teardown(&made);
	}
}

static void a_layer_is_no_document(void **state)
{
	struct bench *bench = *state;
	size_t len = DOCUMENT_MAX + 1;

	set_bytes(bench, calloc(1, len), len, TAR_TYPE);
	assert_int_equal(get_document(bench, DESCRIPTOR_SIZE_UNKNOWN), -EFBIG);
	assert_int_equal(get_blob(bench), 0);
	assert_int_equal(get_document(bench, DESCRIPTOR_SIZE_UNKNOWN), -EFBIG);
}

/* --- names --- */

static const struct away_case {
	const char *name;
	int rc;
	bool falls_back;
} away_cases[] = {
	{ "no route: the last answer again", -EHOSTUNREACH, true },
	{ "no answer: the last answer again", -ETIMEDOUT, true },
	{ "out of order: the last answer again", -EIO, true },
	{ "not allowed: no answer", -EACCES, false },
	{ "not there: no answer", -ENOENT, false },
	{ "too many requests: the last answer again", -EDQUOT, true },
	{ "TLS, or nonsense: the last answer again", -EPROTO, true },
	{ "405: no answer", -EOPNOTSUPP, false },
	{ "out of memory: no answer", -ENOMEM, false },
	{ "interrupted: no answer", -EINTR, false },
};

static void ask_referrers(struct bench *bench, int rc)
{
	struct digest other = { .algorithm = DIGEST_SHA512 };
	struct descriptor *found;
	size_t count;

	assert_int_equal(store_referrers(bench->store, "repo", &bench->fake.blob.digest, &found,
				 &count, NULL, NULL),
		rc);
	assert_int_equal(count, rc ? 0 : 1);
	if (!rc) {
		assert_true(digest_equal(&found->digest, &bench->fake.blob.digest));
		assert_int_equal(found->size, bench->fake.blob.size);
		assert_string_equal(found->artifact_type, "type/of it");
		assert_string_equal(annotations_get(&found->annotations, "key"), "\"value\"");
	}
	descriptors_free(found, count);
	assert_int_equal(
		store_referrers(bench->store, "repo", &other, &found, &count, NULL, NULL), rc);
	assert_int_equal(count, 0);
	descriptors_free(found, count);
}

static void ask_names(struct bench *bench, int rc)
{
	struct descriptor found = { 0 };
	struct name_list list = { NULL, 0 };

	assert_int_equal(store_tags(bench->store, "repo", &list, NULL, NULL), rc);
	assert_int_equal(list.count, rc ? 0 : 2);
	assert_int_equal(name_list_has(&list, "two"), !rc);
	name_list_release(&list);
	assert_int_equal(store_repositories(bench->store, &list, NULL, NULL), rc);
	assert_int_equal(list.count, rc ? 0 : 2);
	name_list_release(&list);
	assert_int_equal(store_resolve(bench->store, "repo", "1", &found, NULL, NULL), rc);
	if (!rc) {
		assert_true(digest_equal(&found.digest, &bench->fake.blob.digest));
		assert_int_equal(found.size, bench->fake.blob.size);
		assert_string_equal(found.media_type, TAR_TYPE);
	}
	descriptor_release(&found);
	ask_referrers(bench, rc);
}

/* Asks five times; how often that comes to the registry. */
static unsigned lists_asked(struct bench *bench, int rc)
{
	unsigned before = bench->fake.lists;

	ask_names(bench, rc);
	return bench->fake.lists - before;
}

/* Whoever has an older answer asks once, and not again until it is told to. */
static void away_row(void **state)
{
	const struct away_case *c = *state;
	int rc = c->falls_back ? 0 : c->rc;
	unsigned asked = c->falls_back ? 1 : 5;
	struct store_away away;
	struct bench *bench;
	void *made;

	assert_int_equal(setup(&made), 0);
	bench = made;
	bench->fake.names_rc = c->rc;
	assert_int_equal(lists_asked(bench, c->rc), 5);
	bench->fake.names_rc = 0;
	assert_int_equal(lists_asked(bench, 0), 5);
	assert_false(store_is_away(bench->store, NULL));
	for (unsigned times = 1; times <= 2; times++) { /* one warning each time it goes */
		bench->fake.names_rc = c->rc;
		assert_int_equal(lists_asked(bench, rc), asked);
		store_ask_again(bench->store);
		assert_int_equal(lists_asked(bench, rc), asked);
		assert_int_equal(store_is_away(bench->store, &away), c->falls_back);
		if (c->falls_back)
			assert_int_equal(away.rc, c->rc);
		assert_int_equal(bench->fallbacks, c->falls_back ? times : 0);
		bench->fake.names_rc = 0;
		store_ask_again(bench->store);
		assert_int_equal(lists_asked(bench, 0), 5);
		assert_false(store_is_away(bench->store, NULL));
	}
	bench->fake.names_rc = c->rc;
	bench->fake.identity = "you"; /* who never saw these names */
	remount(bench);
	assert_int_equal(lists_asked(bench, c->rc), 5);
	bench->fake.identity = "me";
	bench->config.offline = true;
	remount(bench);
	assert_int_equal(lists_asked(bench, 0), 0);
	assert_false(store_is_away(bench->store, NULL));
	(void)teardown(&made);
}

/* --- layouts --- */

struct local {
	struct bench *bench;
	char path[80];  /* of the layout */
	char blob[512]; /* of the blob in it */
};

static void write_file(const char *path, const char *bytes, size_t len)
{
	CLEANUP(closep) int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
}

/* Puts the registry's blob into a layout and the bench's store over that. */
static void go_local(struct bench *bench, struct local *local)
{
	static const char version[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	static const char idx[] = "{\"schemaVersion\":2,\"manifests\":[]}";
	char path[512], hex[DIGEST_HEX_MAX];
	struct bundle *bundle;
	struct source *source;

	local->bench = bench;
	(void)snprintf(local->path, sizeof local->path, "%s/layout", bench->dir);
	assert_int_equal(mkdir(local->path, 0755), 0);
	(void)snprintf(path, sizeof path, "%s/oci-layout", local->path);
	write_file(path, version, sizeof version - 1);
	(void)snprintf(path, sizeof path, "%s/index.json", local->path);
	write_file(path, idx, sizeof idx - 1);
	(void)snprintf(path, sizeof path, "%s/blobs", local->path);
	assert_int_equal(mkdir(path, 0755), 0);
	(void)snprintf(path, sizeof path, "%s/blobs/sha256", local->path);
	assert_int_equal(mkdir(path, 0755), 0);
	(void)snprintf(local->blob, sizeof local->blob, "%s/blobs/sha256/%s", local->path,
		digest_hex(&bench->fake.blob.digest, hex));
	write_file(local->blob, bench->fake.bytes, bench->fake.blob.size);
	store_free(bench->store);
	assert_int_equal(bundle_open(&bundle, local->path, NULL, &bench->observer, NULL, NULL), 0);
	assert_int_equal(layout_open(&source, bundle, &bench->observer, NULL), 0);
	assert_int_equal(store_new(&bench->store, source, bench->cache, &bench->config,
				 &bench->observer, NULL),
		0);
}

static void local_blobs_stay_where_they_are(void **state)
{
	struct bench *bench = *state;
	struct progress progress = { 0 };
	struct stored_blob blob;
	struct local local;

	go_local(bench, &local);
	assert_int_equal(get_files(bench), 0);
	assert_false(is_cached(bench, "blobs/sha256"));
	assert_true(is_cached(bench, "index/sha256"));
	assert_int_equal(store_blob(bench->store, STORE_FETCH, "", &bench->fake.blob, &blob,
				 &progress, NULL, NULL),
		0);
	assert_int_equal(progress.done, bench->fake.blob.size);
	assert_true(blob.is_local);
	assert_true(stored_blob_is_intact(&blob));
	flip(local.blob, 600);
	assert_false(stored_blob_is_intact(&blob));
	stored_blob_release(&blob);
	assert_int_equal(get_blob(bench), -EBADMSG);
	assert_int_equal(bench->observer.counters.verify_failures, 1);
	flip(local.blob, 600);
	assert_int_equal(get_blob(bench), 0);
	assert_int_equal(get_document(bench, bench->fake.blob.size), 0);
}

static void a_local_blob_is_hashed_once(void **state)
{
	struct bench *bench = *state;
	struct progress progress = { 0 };
	struct stored_blob blob;
	struct local local;

	go_local(bench, &local);
	assert_int_equal(get_blob(bench), 0);
	assert_int_equal(store_blob(bench->store, STORE_FETCH, "", &bench->fake.blob, &blob,
				 &progress, NULL, NULL),
		0);
	assert_int_equal(progress.done, 0); /* no pass */
	stored_blob_release(&blob);
}

static void a_wrong_local_blob_has_no_index(void **state)
{
	struct bench *bench = *state;
	struct local local;

	go_local(bench, &local);
	flip(local.blob, 600);
	assert_int_equal(get_layer(bench), -EBADMSG);
	assert_false(is_cached(bench, "index/sha256"));
	assert_int_equal(truncate(local.blob, 600), 0);
	assert_int_equal(get_layer(bench), -EBADMSG);
	assert_int_equal(unlink(local.blob), 0);
	assert_int_equal(get_layer(bench), -EIO);
	assert_int_equal(get_blob(bench), -EIO);
	assert_int_equal(get_manifest(bench, NULL), -ENOENT);
}

static void local_layers_work_without_a_cache(void **state)
{
	struct bench *bench = *state;
	struct cache *cache = bench->cache;
	struct local local;

	bench->cache = NULL;
	go_local(bench, &local);
	assert_int_equal(get_files(bench), 0);
	assert_int_equal(get_files(bench), 0);
	assert_int_equal(bench->observer.counters.layers_indexed, 1);
	bench->cache = cache;
}

/* Puts the blob between other bytes of one file, and the bench's store over that. */
static void go_archive(struct bench *bench, char *path, size_t path_len)
{
	struct fake *fake = &bench->fake;
	CLEANUP(closep) int fd = -1;

	(void)snprintf(path, path_len, "%s/archive", bench->dir);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	assert_true(fd >= 0);
	fake->archive_offset = 1234;
	assert_int_equal(pwrite(fd, fake->bytes, fake->blob.size, 1234), fake->blob.size);
	assert_int_equal(pwrite(fd, "behind", 6, (off_t)(1234 + fake->blob.size)), 6);
	assert_int_equal(reader_of_fd(&fake->archive, TAKE_FD(fd), NULL), 0);
	fake->base.is_local = true;
	remount(bench);
}

static void blobs_lie_in_archives(void **state)
{
	struct bench *bench = *state;
	struct stored_blob blob;
	char path[512];

	go_archive(bench, path, sizeof path);
	assert_int_equal(get_files(bench), 0);
	assert_int_equal(get_blob(bench), 0);
	assert_int_equal(get_document(bench, DESCRIPTOR_SIZE_UNKNOWN), 0);
	assert_false(is_cached(bench, "blobs/sha256"));
	assert_true(is_cached(bench, "index/sha256"));
	assert_int_equal(store_blob(bench->store, STORE_FETCH, "repo", &bench->fake.blob, &blob,
				 NULL, NULL, NULL),
		0);
	assert_true(stored_blob_is_intact(&blob));
	flip(path, 0); /* whatever changed there: nobody can tell */
	assert_false(stored_blob_is_intact(&blob));
	stored_blob_release(&blob);
	assert_int_equal(get_blob(bench), 0);
	flip(path, 1234 + 600);
	assert_int_equal(get_blob(bench), -EBADMSG);
	flip(path, 1234 + 600);
	assert_int_equal(truncate(path, 1234 + 600), 0);
	assert_int_equal(get_blob(bench), -EBADMSG);
}

static void the_size_of_a_local_blob_is_what_it_is(void **state)
{
	struct bench *bench = *state;
	struct progress progress = { 0 };
	struct descriptor blob;
	struct layer *layer;
	char path[512];

	bench->fake.is_unsized = true;
	blob = as_listed(bench);
	go_archive(bench, path, sizeof path);
	assert_int_equal(store_layer(bench->store, STORE_FETCH, "repo", &blob, &layer, &progress,
				 NULL, NULL),
		0);
	layer_free(layer);
	assert_int_equal(progress.total, bench->fake.blob.size);
	assert_int_equal(progress.done, bench->fake.blob.size);
	assert_int_equal(get_files(bench), 0);
	assert_int_equal(get_blob(bench), 0);
}

static void local_layers_are_located_where_they_lie(void **state)
{
	struct bench *bench = *state;
	char path[512];

	go_archive(bench, path, sizeof path);
	assert_int_equal(locate(bench, LAYER_ID, NULL), 0);
	assert_false(is_cached(bench, "blobs/sha256"));
	assert_int_equal(get_files(bench), 0);
	assert_int_equal(locate(bench, LAYER_ID "0", NULL), -EIO);
}

/* --- step by step --- */

enum thing { THE_INDEX, THE_BLOB, THE_FILES, ALL_FILES, THE_DOCUMENT, THE_LOCATION };

static int take_step(struct bench *bench, enum thing thing, enum store_step step)
{
	const struct descriptor *blob = &bench->fake.blob;
	const struct descriptor nameless = { .media_type = (char *)TAR_TYPE,
		.size = DESCRIPTOR_SIZE_UNKNOWN,
		.layer_id = (char *)LAYER_ID };
	CLEANUP(descriptor_release) struct descriptor found = { 0 };
	CLEANUP(readerp) struct reader *bytes = NULL;
	CLEANUP(freep) char *text = NULL;
	CLEANUP(closep) int spool_fd = -1;
	struct store *store = bench->store;
	struct stored_blob stored = { 0 };
	struct layer *layer = NULL;
	size_t len;
	int rc = -EINVAL;

	switch (thing) {
	case THE_INDEX:
		rc = store_layer(store, step, "repo", blob, &layer, NULL, NULL, NULL);
		break;
	case THE_BLOB:
		rc = store_blob(store, step, "repo", blob, &stored, NULL, NULL, NULL);
		break;
	case THE_FILES:
	case ALL_FILES:
		layer = calloc(1, sizeof *layer); /* what is asked for depends on that alone: */
		assert_non_null(layer);
		layer->needs_spool = !strcmp(blob->media_type, TAR_TYPE "+zstd");
		rc = store_layer_files(store, step, "repo", blob, layer, thing == THE_FILES, &bytes,
			&spool_fd, NULL, NULL, NULL);
		free(TAKE(layer));
		break;
	case THE_DOCUMENT:
		rc = store_document(store, step, "repo", blob, &text, &len, NULL, NULL);
		break;
	case THE_LOCATION:
		rc = store_locate(store, step, "repo", &nameless, &found, NULL, NULL, NULL);
		break;
	}
	layer_free(layer);
	stored_blob_release(&stored);
	return rc;
}

/* What a call from STORE_LOOK on goes through, as the things are that it finds. */
static const struct step_case {
	const char *name;
	enum thing thing;
	bool was_fetched; /* by this store, whose cache then has all of it; but for: */
	bool lacks_index, lacks_blob, lacks_spool, is_rotten;
	bool is_remounted, is_other; /* identity */
	bool is_old;                 /* the proof is, and nobody can be asked for another one */
	bool is_packed, is_local, may_wait;
	enum store_step steps[4]; /* after STORE_LOOK, up to the last one: zeros */
	unsigned asked;           /* the source was, so often */
} step_cases[] = {
	{ "look: no index", THE_INDEX, .steps = { STORE_FETCH }, .asked = 1 },
	{ "look: an index", THE_INDEX, .was_fetched = true },
	{ "look: an index alone", THE_INDEX, .was_fetched = true, .lacks_blob = true },
	{ "look: a blob to be indexed", THE_INDEX, .was_fetched = true, .lacks_index = true,
		.steps = { STORE_WORK } },
	{ "look: a rotten one", THE_INDEX, .was_fetched = true, .lacks_index = true,
		.is_rotten = true, .steps = { STORE_WORK, STORE_FETCH }, .asked = 1 },
	{ "look: somebody else's index", THE_INDEX, .was_fetched = true, .is_other = true,
		.steps = { STORE_ASK }, .asked = 1 },
	{ "look: somebody else's index alone", THE_INDEX, .was_fetched = true, .lacks_blob = true,
		.is_other = true, .steps = { STORE_ASK }, .asked = 1 },
	{ "look: somebody else's blob to be indexed", THE_INDEX, .was_fetched = true,
		.lacks_index = true, .is_other = true, .steps = { STORE_ASK, STORE_WORK },
		.asked = 1 },
	{ "look: no blob", THE_BLOB, .steps = { STORE_FETCH }, .asked = 1 },
	{ "look: a blob", THE_BLOB, .was_fetched = true },
	{ "look: a blob that lies there", THE_BLOB, .was_fetched = true, .is_remounted = true,
		.steps = { STORE_WORK } },
	{ "look: a rotten blob", THE_BLOB, .was_fetched = true, .is_remounted = true,
		.is_rotten = true, .steps = { STORE_WORK, STORE_FETCH }, .asked = 1 },
	{ "look: somebody else's blob", THE_BLOB, .was_fetched = true, .is_other = true,
		.steps = { STORE_ASK, STORE_WORK }, .asked = 1 },
	{ "look: a blob with an old proof", THE_BLOB, .was_fetched = true, .is_old = true,
		.steps = { STORE_ASK, STORE_WORK }, .asked = 1 },
	{ "look: a blob with an old proof, to be indexed", THE_INDEX, .was_fetched = true,
		.lacks_index = true, .is_old = true, .steps = { STORE_ASK, STORE_WORK },
		.asked = 1 },
	{ "look: an evicted blob", THE_BLOB, .was_fetched = true, .lacks_blob = true,
		.steps = { STORE_FETCH }, .asked = 1 },
	{ "look: files", THE_FILES, .was_fetched = true },
	{ "look: files without a blob", THE_FILES, .was_fetched = true, .lacks_blob = true },
	{ "look: all files", ALL_FILES, .was_fetched = true, .lacks_blob = true,
		.steps = { STORE_FETCH }, .asked = 1 },
	{ "look: files with a spool", THE_FILES, .was_fetched = true, .is_packed = true },
	{ "look: a spool alone", THE_FILES, .was_fetched = true, .is_packed = true,
		.lacks_blob = true },
	{ "look: somebody else's spool", THE_FILES, .was_fetched = true, .is_packed = true,
		.lacks_blob = true, .is_other = true, .steps = { STORE_ASK }, .asked = 1 },
	{ "look: a spool to be made", THE_FILES, .was_fetched = true, .is_packed = true,
		.lacks_spool = true, .steps = { STORE_WORK } },
	{ "look: neither blob nor spool", THE_FILES, .was_fetched = true, .is_packed = true,
		.lacks_spool = true, .lacks_blob = true, .steps = { STORE_FETCH }, .asked = 1 },
	{ "look: no document", THE_DOCUMENT, .steps = { STORE_FETCH }, .asked = 1 },
	{ "look: a document", THE_DOCUMENT, .was_fetched = true },
	{ "look: somebody else's document", THE_DOCUMENT, .was_fetched = true, .is_other = true,
		.steps = { STORE_FETCH }, .asked = 1 },
	{ "look: a layer nobody has read", THE_LOCATION, .steps = { STORE_FETCH }, .asked = 1 },
	{ "look: a layer that was read", THE_LOCATION, .was_fetched = true },
	{ "look: a local blob to be indexed", THE_INDEX, .is_local = true,
		.steps = { STORE_WORK } },
	{ "look: a local index", THE_INDEX, .is_local = true, .was_fetched = true },
	{ "look: a local blob", THE_BLOB, .is_local = true, .steps = { STORE_WORK } },
	{ "look: a local document", THE_DOCUMENT, .is_local = true },
	{ "look: a local layer nobody has read", THE_LOCATION, .is_local = true,
		.steps = { STORE_WORK } },
	{ "look: an engine's blob", THE_INDEX, .is_local = true, .may_wait = true,
		.steps = { STORE_FETCH } },
	{ "look: an engine's document", THE_DOCUMENT, .is_local = true, .may_wait = true,
		.steps = { STORE_FETCH } },
	{ "look: an engine's layer", THE_LOCATION, .is_local = true, .may_wait = true,
		.steps = { STORE_FETCH } },
};

static unsigned asked(const struct bench *bench)
{
	const struct fake *fake = &bench->fake;

	return fake->opens + fake->ranges + fake->proves + fake->manifests + fake->layers;
}

static void prepare_step(struct bench *bench, const struct step_case *c)
{
	char path[512];

	if (c->is_packed)
		set_packed(bench);
	if (c->is_local)
		go_archive(bench, path, sizeof path);
	bench->fake.base.may_wait = c->may_wait;
	if (c->was_fetched)
		assert_int_equal(take_step(bench,
					 c->thing == THE_DOCUMENT   ? THE_DOCUMENT
					 : c->thing == THE_LOCATION ? THE_LOCATION
								    : THE_INDEX,
					 STORE_FETCH),
			0);
	if (c->is_rotten)
		flip(in_cache(bench, "blobs/sha256"), 1000);
	if (c->lacks_index)
		assert_int_equal(unlink(in_cache(bench, "index/sha256")), 0);
	if (c->lacks_blob)
		assert_int_equal(unlink(in_cache(bench, "blobs/sha256")), 0);
	if (c->lacks_spool)
		assert_int_equal(unlink(in_cache(bench, "spool/sha256")), 0);
	if (c->is_other)
		bench->fake.identity = "somebody else";
	if (c->is_old) {
		assert_int_equal(nftw(bench->dir, age_proof, 16, FTW_PHYS), 0);
		bench->fake.prove_rc = -EHOSTUNREACH;
	}
	if (c->is_remounted || c->is_other || c->is_old)
		remount(bench);
}

static void step_row(void **state)
{
	const struct step_case *c = *state;
	enum store_step step = STORE_LOOK;
	struct bench *bench;
	unsigned before;
	void *made;

	assert_int_equal(setup(&made), 0);
	bench = made;
	prepare_step(bench, c);
	before = asked(bench);
	for (size_t i = 0; i == 0 || step; i++) {
		unsigned so_far = asked(bench);
		int rc = take_step(bench, c->thing, step);

		assert_int_equal(rc, c->steps[i]);
		if ((step == STORE_LOOK || step == STORE_WORK) && !c->is_local)
			assert_int_equal(asked(bench), so_far);
		step = (enum store_step)rc;
	}
	if (!c->is_local)
		assert_int_equal(asked(bench) - before, c->asked);
	if (!c->may_wait && !c->is_old && !(c->is_local && c->thing == THE_LOCATION))
		assert_int_equal(take_step(bench, c->thing, STORE_LOOK), 0);
	(void)teardown(&made);
}

/* Somebody fetches the blob and hangs, when it comes into the cache by other ways. */
static void work_waits_for_no_network(void **state)
{
	struct bench *bench = *state;
	struct asker worker = { .bench = bench };
	char aside[512];

	assert_int_equal(get_layer(bench), 0);
	(void)snprintf(aside, sizeof aside, "%s/aside", bench->dir);
	assert_int_equal(rename(in_cache(bench, "blobs/sha256"), aside), 0);
	bench->fake.hangs = 1;
	cancel_init(&worker.cancel);
	assert_int_equal(pthread_create(&worker.thread, NULL, ask_for_blob, &worker), 0);
	wait_until_hanging(bench, 1);
	assert_int_equal(unlink(in_cache(bench, "index/sha256")), 0);
	assert_int_equal(rename(aside, in_cache(bench, "blobs/sha256")), 0);
	assert_int_equal(take_step(bench, THE_INDEX, STORE_LOOK), STORE_WORK);
	assert_int_equal(take_step(bench, THE_INDEX, STORE_WORK), 0); /* else this would hang */
	assert_int_equal(take_step(bench, THE_BLOB, STORE_LOOK), 0);
	cancel_set(&worker.cancel);
	assert_int_equal(finish(&worker), -EINTR);
}

#define BENCHED(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define ROWS(table, fn)                                                                            \
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)                                             \
		tests[n++] = (struct CMUnitTest)                                                   \
		{                                                                                  \
			.name = table[i].name, .test_func = fn, .initial_state = (void *)&table[i] \
		}

int main(void)
{
	static const struct CMUnitTest benched[] = {
		BENCHED(a_layer_is_fetched_once),
		BENCHED(many_askers_are_one_fetch),
		BENCHED(two_processes_are_one_fetch),
		BENCHED(a_waiter_takes_over_from_a_cancelled_worker),
		BENCHED(a_waiter_can_give_up),
		BENCHED(what_is_cached_waits_for_nobody),
		BENCHED(work_waits_for_no_network),
		BENCHED(a_rotten_partial_heals),
		BENCHED(a_partial_that_is_too_long_starts_over),
		BENCHED(a_whole_partial_needs_a_proof),
		BENCHED(a_limit_is_kept_before_any_request),
		BENCHED(a_limit_is_kept_without_a_size),
		BENCHED(another_identity_must_prove),
		BENCHED(an_old_proof_will_do_when_nobody_can_be_asked),
		BENCHED(offline_asks_for_nothing),
		BENCHED(a_rotten_index_is_made_anew),
		BENCHED(a_rotten_blob_is_fetched_afresh),
		BENCHED(a_damaged_layer_is_made_anew),
		BENCHED(an_evicted_blob_is_fetched_again),
		BENCHED(an_unreadable_spool_is_a_damaged_one),
		BENCHED(an_unreadable_partial_starts_over),
		cmocka_unit_test_setup_teardown(
			an_unreadable_document_is_fetched_again, setup_document, teardown),
		BENCHED(an_evicted_blob_is_read_in_parts),
		BENCHED(parts_come_from_the_cache_when_they_can),
		BENCHED(a_range_proves_access),
		BENCHED(what_is_in_the_spool_needs_no_blob),
		BENCHED(a_range_can_be_given_up),
		BENCHED(a_shown_layer_is_indexed_on_the_way),
		BENCHED(another_blob_is_not_indexed),
		BENCHED(without_a_cache_there_are_temporary_files),
		BENCHED(a_broken_cache_degrades),
		BENCHED(a_blob_larger_than_the_cache_stays_out),
		BENCHED(no_place_at_all_is_enospc),
		cmocka_unit_test(too_many_files_are_no_lack_of_space),
		BENCHED(a_spool_comes_with_its_layer),
		BENCHED(a_spool_over_the_cache_is_refused),
		BENCHED(a_spool_pushes_out_what_is_old),
		BENCHED(a_limit_is_for_what_is_decompressed_too),
		BENCHED(a_blob_is_had_without_its_index),
		cmocka_unit_test_setup_teardown(
			a_manifest_is_fetched_once, setup_document, teardown),
		cmocka_unit_test_setup_teardown(
			a_manifest_comes_with_its_tag, setup_document, teardown),
		cmocka_unit_test_setup_teardown(
			a_manifest_is_proved_by_fetching_it, setup_document, teardown),
		cmocka_unit_test_setup_teardown(
			a_document_is_as_long_as_it_says, setup_document, teardown),
		BENCHED(a_layer_is_no_document),
		BENCHED(a_manifest_that_is_signed_anew_is_kept),
		BENCHED(local_blobs_stay_where_they_are),
		BENCHED(a_local_blob_is_hashed_once),
		BENCHED(a_wrong_local_blob_has_no_index),
		BENCHED(local_layers_work_without_a_cache),
		BENCHED(blobs_lie_in_archives),
		BENCHED(the_size_of_a_local_blob_is_what_it_is),
		BENCHED(local_layers_are_located_where_they_lie),
		BENCHED(without_a_size_a_layer_is_fetched_once),
		BENCHED(a_layer_without_a_digest_is_read_once),
		BENCHED(what_was_located_is_remembered_for_those_who_see_names),
		BENCHED(an_evicted_layer_is_asked_for_with_its_id),
		BENCHED(a_layer_without_a_digest_can_fail),
		BENCHED(a_layer_without_a_digest_needs_no_cache),
		BENCHED(many_askers_locate_once),
	};
	struct CMUnitTest tests[ARRAY_SIZE(benched) + ARRAY_SIZE(fault_cases) +
				ARRAY_SIZE(document_cases) + ARRAY_SIZE(away_cases) +
				ARRAY_SIZE(unsized_cases) + ARRAY_SIZE(data_cases) +
				ARRAY_SIZE(range_cases) + ARRAY_SIZE(step_cases) +
				ARRAY_SIZE(unreadable_cases)];
	size_t n = ARRAY_SIZE(benched);

	memcpy(tests, benched, sizeof benched);
	ROWS(fault_cases, fault_row);
	ROWS(document_cases, document_row);
	ROWS(away_cases, away_row);
	ROWS(unsized_cases, unsized_row);
	ROWS(data_cases, data_row);
	ROWS(range_cases, range_row);
	ROWS(step_cases, step_row);
	ROWS(unreadable_cases, unreadable_row);
	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
