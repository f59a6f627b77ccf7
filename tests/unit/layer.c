/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blobs are made here with the libraries themselves (and by hand where they do not make such
 * streams), so the plain bytes are known; digests of them come from EVP.  Every blob
 * is indexed three times, fed in pieces of different sizes, and has to give the same
 * index each time.  What is gzip is tried with every inflate engine there is; each reads what
 * the others indexed.
 */
#include "fetch/layer/indexer.h"
#include "fetch/layer/layer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <bzlib.h>
#include <cmocka.h>
#include <lzma.h>
#include <json-c/json.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <zlib.h>
#include <zstd.h>

#include "fetch/cancel.h"
#include "fetch/layer/internal.h"
#include "fetch/reader.h"
#include "model/cleanup.h"
#include "model/descriptor.h"
#include "tests/unit/feed.h"

enum { KIB = 1 << 10, MIB = 1 << 20 };

/* --- bytes --- */

struct blob {
	uint8_t *data;
	size_t len, capacity;
};

static void blob_release(struct blob *blob)
{
	free(blob->data);
}

/* Room for len more bytes, which now belong to the blob. */
static uint8_t *blob_grow(struct blob *blob, size_t len)
{
	if (blob->len + len > blob->capacity) {
		blob->capacity = (blob->len + len) * 2;
		blob->data = realloc(blob->data, blob->capacity);
		assert_non_null(blob->data);
	}
	blob->len += len;
	return blob->data + blob->len - len;
}

static void blob_add(struct blob *blob, const void *bytes, size_t len)
{
	if (len)
		memcpy(blob_grow(blob, len), bytes, len);
}

static void blob_add_le32(struct blob *blob, uint32_t value)
{
	uint8_t bytes[] = { (uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
		(uint8_t)(value >> 24) };

	blob_add(blob, bytes, sizeof bytes);
}

static uint32_t random_state;

static uint32_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

static void add_random(struct blob *blob, size_t len)
{
	uint8_t *next = blob_grow(blob, len);

	while (len--)
		*next++ = (uint8_t)(random_next() >> 11);
}

/* Compresses about three to one. */
static void add_text(struct blob *blob, size_t len)
{
	static const char *const words[] = { "layer ", "blob ", "digest ", "of a ", "span;\n" };
	uint8_t *next = blob_grow(blob, len);

	for (size_t i = 0; i < len; i++) {
		uint32_t r = random_next();
		const char *word = words[r % ARRAY_SIZE(words)];

		while (*word && i < len)
			next[i++] = (uint8_t)*word++;
		if (i < len)
			next[i] = (uint8_t)(r >> 16 & 0x7f);
	}
}

static void add_zeroes(struct blob *blob, size_t len)
{
	if (len)
		memset(blob_grow(blob, len), 0, len);
}

/* --- tar --- */

static void tar_header(struct blob *tar, const char *name, char type, size_t size)
{
	char header[512] = { 0 };
	unsigned sum = 0;

	(void)snprintf(header, 100, "%s", name);
	memcpy(header + 100, "0000644", 8);
	memcpy(header + 108, "0000000", 8);
	memcpy(header + 116, "0000000", 8);
	(void)snprintf(header + 124, 12, "%011zo", size);
	memcpy(header + 136, "14000000000", 12);
	memset(header + 148, ' ', 8);
	header[156] = type;
	memcpy(header + 257, "ustar\00000", 8);
	for (size_t i = 0; i < sizeof header; i++)
		sum += (uint8_t)header[i];
	(void)snprintf(header + 148, 8, "%06o", sum & 0777777);
	blob_add(tar, header, sizeof header);
}

typedef void add_fn(struct blob *, size_t);

/* files files of size bytes each: text, random bytes and zeroes by turns. */
static void make_tar(struct blob *tar, size_t files, size_t size)
{
	static add_fn *const contents[] = { add_text, add_random, add_text, add_zeroes };

	random_state = 1;
	tar_header(tar, "d/", '5', 0);
	for (size_t i = 0; i < files; i++) {
		char name[32];

		(void)snprintf(name, sizeof name, "d/file%zu", i);
		tar_header(tar, name, '0', size);
		contents[i % ARRAY_SIZE(contents)](tar, size);
		add_zeroes(tar, (512 - size % 512) % 512);
	}
	add_zeroes(tar, 1024);
}

/* --- gzip and zstd --- */

/* One gzip member; header may be NULL. */
static void add_member(struct blob *out, const uint8_t *plain, size_t len, int level, int strategy,
	gz_header *header)
{
	size_t room = len + len / 1000 + 4096;
	z_stream z = { 0 };

	assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, 15 + 16, 8, strategy), Z_OK);
	if (header)
		assert_int_equal(deflateSetHeader(&z, header), Z_OK);
	z.next_in = (Bytef *)plain;
	z.avail_in = (uInt)len;
	z.next_out = blob_grow(out, room);
	z.avail_out = (uInt)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out->len -= z.avail_out;
	assert_int_equal(deflateEnd(&z), Z_OK);
}

static void add_frame(struct blob *out, const uint8_t *plain, size_t len, bool has_size)
{
	size_t room = ZSTD_compressBound(len);
	ZSTD_CCtx *compressor = ZSTD_createCCtx();
	ZSTD_inBuffer from = { plain, len, 0 };
	ZSTD_outBuffer to = { blob_grow(out, room), room, 0 };

	assert_non_null(compressor);
	(void)ZSTD_CCtx_setParameter(compressor, ZSTD_c_checksumFlag, 1);
	(void)ZSTD_CCtx_setParameter(compressor, ZSTD_c_contentSizeFlag, has_size);
	if (!has_size) /* an end that is not known when the frame begins */
		assert_false(ZSTD_isError(ZSTD_compressStream2(
			compressor, &to, &(ZSTD_inBuffer){ plain, 0, 0 }, ZSTD_e_flush)));
	assert_int_equal(ZSTD_compressStream2(compressor, &to, &from, ZSTD_e_end), 0);
	out->len -= to.size - to.pos;
	ZSTD_freeCCtx(compressor);
}

static void add_skippable(struct blob *out, size_t len)
{
	blob_add_le32(out, 0x184D2A5E);
	blob_add_le32(out, (uint32_t)len);
	add_random(out, len);
}

static void sha256(const void *bytes, size_t len, struct digest *ret)
{
	*ret = (struct digest){ .algorithm = DIGEST_SHA256 };
	assert_int_equal(EVP_Digest(bytes, len, ret->bytes, NULL, EVP_sha256(), NULL), 1);
}

/* --- indexing --- */

struct pass {
	int blob_fd, spool_fd, index_fd;
	struct digest digest;
};

static int temporary(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static int open_spool(void *context, uint64_t size, struct error *err)
{
	struct pass *pass = context;
	struct stat st = { .st_size = 0 };

	(void)err;
	if (pass->spool_fd < 0)
		pass->spool_fd = temporary();
	assert_int_equal(fstat(pass->spool_fd, &st), 0);
	assert_true(size > (uint64_t)st.st_size); /* it was all asked for */
	return pass->spool_fd;
}

static void pass_release(struct pass *pass)
{
	closep(&pass->blob_fd);
	closep(&pass->spool_fd);
	closep(&pass->index_fd);
}

CLEANUP_POINTER(indexerp, struct indexer, indexer_free)
CLEANUP_POINTER(layerp, struct layer, layer_free)

/* Pieces of at most so many bytes, of changing size; 0: all at once. */
static int feed(
	struct indexer *indexer, const struct blob *blob, size_t piece_max, struct error *err)
{
	size_t n;

	if (!piece_max)
		return feed_bytes(indexer, blob->data, blob->len, err);
	for (size_t done = 0; done < blob->len; done += n) {
		int rc;

		n = 1 + random_next() % piece_max;
		if (n > blob->len - done)
			n = blob->len - done;
		rc = feed_bytes(indexer, blob->data + done, n, err);
		if (rc)
			return rc;
	}
	return 0;
}

static const struct secret our_secret = { "0123456789abcdef0123456789abcde" };

static void index_with(
	struct pass *pass, const struct blob *blob, size_t piece_max, const struct secret *secret)
{
	CLEANUP(indexerp) struct indexer *indexer = NULL;
	struct error err = { "" };
	int rc;

	*pass = (struct pass){ temporary(), -1, temporary(), { 0 } };
	sha256(blob->data, blob->len, &pass->digest);
	assert_int_equal(write(pass->blob_fd, blob->data, blob->len), blob->len);
	rc = indexer_new(&indexer, &pass->digest, blob->len, open_spool, pass, &err);
	if (!rc)
		rc = indexer_set_secret(indexer, secret, &err);
	if (!rc)
		rc = feed(indexer, blob, piece_max, &err);
	if (!rc)
		rc = indexer_finish(indexer, pass->index_fd, &err);
	if (rc)
		fail_msg("indexing: %d, %s", rc, err.text);
}

static void index_blob(struct pass *pass, const struct blob *blob, size_t piece_max)
{
	index_with(pass, blob, piece_max, NULL);
}

static struct layer *open_layer(const struct pass *pass)
{
	struct layer *layer = NULL;
	struct error err = { "" };
	int rc;

	rc = layer_open(&layer, pass->index_fd, &pass->digest, &err);
	if (rc)
		fail_msg("layer_open: %d, %s", rc, err.text);
	return layer;
}

static uint8_t decoded[SPAN_SIZE_MAX];

/* The blob is opened each time: it may have changed. */
static int decode_span(
	const struct layer *layer, uint32_t n, const struct pass *pass, struct error *err)
{
	struct reader *blob;
	int rc;

	assert_int_equal(reader_of_fd(&blob, dup(pass->blob_fd), err), 0);
	rc = layer_decode_span(layer, n, blob, pass->spool_fd, decoded, err);
	reader_unref(blob);
	return rc;
}

/* Stored bytes are of one span, and those of neighbours lie side by side. */
static void check_stored(const struct layer *layer)
{
	for (uint32_t i = 0; i + 1 < layer->span_count; i++) {
		const struct span *span = &layer->spans[i], *next = span + 1;

		if (span->in_spool == next->in_spool)
			assert_int_equal(
				span->stored_offset + span->stored_len, next->stored_offset);
	}
}

static void check_crc(const struct span *span, const uint8_t *plain)
{
	bool has_crc = span->start == SPAN_DEFLATE || span->start == SPAN_GZIP;

	assert_int_equal(
		span->crc, has_crc ? crc32_z(crc32(0, NULL, 0), plain, span->plain_len) : 0);
}

/* What every index has to satisfy, whatever the coding. */
static void check_plain(
	const struct layer *layer, const struct pass *pass, const struct blob *plain)
{
	struct error err = { "" };
	struct digest diff_id;
	uint64_t covered = 0;

	sha256(plain->data, plain->len, &diff_id);
	assert_true(digest_equal(&layer->diff_id, &diff_id));
	assert_int_equal(layer->plain_size, plain->len);
	check_stored(layer);
	for (uint32_t i = 0; i < layer->span_count; i++) {
		const struct span *span = &layer->spans[i];
		int rc = decode_span(layer, i, pass, &err);

		if (rc)
			fail_msg("span %" PRIu32 ": %d, %s", i, rc, err.text);
		assert_int_equal(span->plain_offset, covered);
		assert_in_range(span->plain_len, 1, SPAN_SIZE_MAX);
		if (i + 1 < layer->span_count && !span->in_spool)
			assert_true(span->plain_len >= SPAN_SIZE_MIN);
		assert_memory_equal(decoded, plain->data + covered, span->plain_len);
		check_crc(span, plain->data + covered);
		covered += span->plain_len;
	}
	assert_int_equal(covered, plain->len);
	for (int i = 0; plain->len && i < 200; i++) {
		uint64_t offset = random_next() % plain->len;
		const struct span *span = &layer->spans[layer_span_at(layer, offset)];

		assert_true(span->plain_offset <= offset);
		assert_true(offset < span->plain_offset + span->plain_len);
	}
}

static void assert_same_file(int a, int b)
{
	struct stat sa, sb;
	void *ma, *mb;

	assert_int_equal(fstat(a, &sa), 0);
	assert_int_equal(fstat(b, &sb), 0);
	assert_int_equal(sa.st_size, sb.st_size);
	ma = mmap(NULL, (size_t)sa.st_size, PROT_READ, MAP_PRIVATE, a, 0);
	mb = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_PRIVATE, b, 0);
	assert_ptr_not_equal(ma, MAP_FAILED);
	assert_ptr_not_equal(mb, MAP_FAILED);
	assert_memory_equal(ma, mb, (size_t)sa.st_size);
	munmap(ma, (size_t)sa.st_size);
	munmap(mb, (size_t)sb.st_size);
}

/* --- blobs that are good --- */

typedef void make_fn(struct blob *blob, struct blob *plain);

static void gz(struct blob *blob, struct blob *plain, int level, int strategy)
{
	make_tar(plain, 40, 150001);
	add_member(blob, plain->data, plain->len, level, strategy, NULL);
}

static void gz_dynamic(struct blob *blob, struct blob *plain)
{
	gz(blob, plain, 6, Z_DEFAULT_STRATEGY);
}

static void gz_fixed(struct blob *blob, struct blob *plain)
{
	gz(blob, plain, 6, Z_FIXED);
}

static void gz_stored(struct blob *blob, struct blob *plain)
{
	gz(blob, plain, 0, Z_DEFAULT_STRATEGY);
}

static void gz_huffman(struct blob *blob, struct blob *plain)
{
	gz(blob, plain, 9, Z_HUFFMAN_ONLY);
}

/* Members of size plain bytes, with empty ones between. */
static void members(struct blob *blob, struct blob *plain, size_t size, size_t empty)
{
	for (size_t done = 0; done < plain->len; done += size) {
		size_t n = size < plain->len - done ? size : plain->len - done;

		add_member(blob, plain->data + done, n, 6, Z_DEFAULT_STRATEGY, NULL);
		for (size_t i = 0; i < empty; i++)
			add_member(blob, NULL, 0, 6, Z_DEFAULT_STRATEGY, NULL);
	}
}

static void gz_members(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 40, 150001);
	members(blob, plain, 100003, 0);
}

static void gz_long_members(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 40, 150001);
	members(blob, plain, 1500007, 0);
}

static void gz_exact_members(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 40, 150001);
	members(blob, plain, SPAN_SIZE_MIN, 1);
}

static void gz_tiny_members(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 3, 1000);
	members(blob, plain, 1, 1);
}

static void gz_empty_members(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 20, 150001);
	add_member(blob, NULL, 0, 6, Z_DEFAULT_STRATEGY, NULL);
	members(blob, plain, 100003, 3);
}

static void gz_fields(struct blob *blob, struct blob *plain)
{
	uint8_t extra[300] = { 'X', 'Y', 40, 1 };
	gz_header header = { .extra = extra,
		.extra_len = sizeof extra,
		.os = 3,
		.time = 77,
		.name = (Bytef *)"a name",
		.comment = (Bytef *)"a comment\n",
		.hcrc = 1 };

	make_tar(plain, 20, 150001);
	add_member(blob, plain->data, 700000, 6, Z_DEFAULT_STRATEGY, &header);
	header.extra_len = 0;
	add_member(blob, plain->data + 700000, 700000, 6, Z_DEFAULT_STRATEGY, &header);
	header.name = NULL;
	header.hcrc = 0;
	add_member(
		blob, plain->data + 1400000, plain->len - 1400000, 6, Z_DEFAULT_STRATEGY, &header);
}

static void gz_padding(struct blob *blob, struct blob *plain)
{
	gz_dynamic(blob, plain);
	add_zeroes(blob, 3000);
}

static void gz_nothing(struct blob *blob, struct blob *plain)
{
	(void)plain;
	add_member(blob, NULL, 0, 6, Z_DEFAULT_STRATEGY, NULL);
}

/* Full flushes put an empty stored block behind each piece: blocks without a byte. */
static void gz_flushes(struct blob *blob, struct blob *plain)
{
	z_stream z = { 0 };

	make_tar(plain, 20, 150001);
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.avail_out = (uInt)plain->len * 2;
	z.next_out = blob_grow(blob, z.avail_out);
	for (size_t done = 0, n; done < plain->len; done += n) {
		n = plain->len - done < 65536 ? plain->len - done : 65536;
		z.next_in = plain->data + done;
		z.avail_in = (uInt)n;
		assert_int_equal(deflate(&z, Z_FULL_FLUSH), Z_OK);
		assert_int_equal(deflate(&z, Z_PARTIAL_FLUSH) & ~Z_BUF_ERROR, 0);
	}
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	blob->len -= z.avail_out;
	assert_int_equal(deflateEnd(&z), Z_OK);
}

struct bits {
	struct blob *blob;
	uint32_t held;
	unsigned count;
};

static void put_bits(struct bits *bits, uint32_t value, unsigned count)
{
	bits->held |= value << bits->count;
	for (bits->count += count; bits->count >= 8; bits->count -= 8, bits->held >>= 8)
		blob_add(bits->blob, &(uint8_t){ (uint8_t)bits->held }, 1);
}

/* RFC 1951, 3.2.6: one block of fixed codes that gives size zeroes, not none: literal 0 is
 * 00110000; length 258 is 11000101, distance 1 is 00000; the end is 0000000.  Codes come most
 * significant bit first. */
static void add_zero_block(struct bits *bits, size_t size)
{
	put_bits(bits, 0, 1);
	put_bits(bits, 1, 2);
	for (size_t i = 0; i <= (size - 1) % 258; i++)
		put_bits(bits, 0x0c, 8);
	for (size_t i = 0; i < (size - 1) / 258; i++)
		put_bits(bits, 0xa3, 13);
	put_bits(bits, 0, 7);
}

static void add_stored_block(struct bits *bits, const uint8_t *bytes, uint16_t len, bool is_last)
{
	put_bits(bits, is_last, 1);
	put_bits(bits, 0, 2);
	put_bits(bits, 0, (8 - bits->count) % 8);
	put_bits(bits, len, 16);
	put_bits(bits, (uint16_t)~len, 16);
	blob_add(bits->blob, bytes, len);
}

static void add_member_header(struct blob *blob)
{
	static const uint8_t header[10] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255 };

	blob_add(blob, header, sizeof header);
}

static void add_member_trailer(struct blob *blob, const uint8_t *plain, size_t len)
{
	blob_add_le32(blob, (uint32_t)crc32_z(crc32(0, NULL, 0), plain, len));
	blob_add_le32(blob, (uint32_t)len);
}

/* Blocks of so many zeroes each, and empty ones between.  Not every engine sees where these end, so
 * spans may begin with the member alone. */
static void gz_zero_blocks(struct blob *blob, struct blob *plain, size_t size, int count)
{
	struct bits bits = { blob, 0, 0 };

	add_member_header(blob);
	for (int i = 0; i < count; i++) {
		add_zero_block(&bits, size);
		add_stored_block(&bits, NULL, 0, i == count - 1);
		add_zeroes(plain, size);
	}
	add_member_trailer(blob, plain->data, plain->len);
}

static void gz_short_of_span(struct blob *blob, struct blob *plain)
{
	gz_zero_blocks(blob, plain, SPAN_SIZE_MIN - 1, 5);
}

static void gz_exact_span(struct blob *blob, struct blob *plain)
{
	gz_zero_blocks(blob, plain, SPAN_SIZE_MIN, 5);
}

static void gz_over_span(struct blob *blob, struct blob *plain)
{
	gz_zero_blocks(blob, plain, SPAN_SIZE_MIN + 1, 5);
}

/* The buffer is full before the end of the block is seen. */
static void gz_exact_buffer(struct blob *blob, struct blob *plain)
{
	gz_zero_blocks(blob, plain, SPAN_SIZE_MAX, 2);
}

/* Wherever a span starts in one of these, there are fewer bytes before it than a window has. */
static void gz_short_members(struct blob *blob, struct blob *plain)
{
	enum { BLOCK = 4001, BLOCKS = 7, MEMBERS = 150 };

	random_state = 6;
	for (int member = 0; member < MEMBERS; member++) {
		size_t begin = plain->len;
		struct bits bits = { blob, 0, 0 };

		add_member_header(blob);
		for (int block = 0; block < BLOCKS; block++) {
			member || block ? add_random(plain, BLOCK) : add_zeroes(plain, BLOCK);
			add_stored_block(&bits, plain->data + plain->len - BLOCK, BLOCK,
				block == BLOCKS - 1);
		}
		add_member_trailer(blob, plain->data + begin, plain->len - begin);
	}
}

/* A block longer than a span may be, then blocks that are not, and the same again. */
static void gz_long_block(struct blob *blob, struct blob *plain)
{
	enum { ZEROES = 18060001, STORED = 60000 };
	struct bits bits = { blob, 0, 0 };

	random_state = 5;
	add_member_header(blob);
	for (int round = 0; round < 2; round++) {
		add_zero_block(&bits, ZEROES);
		add_zeroes(plain, ZEROES);
		for (int i = 0; i < 40; i++) {
			add_random(plain, STORED);
			add_stored_block(&bits, plain->data + plain->len - STORED, STORED,
				round == 1 && i == 39);
		}
	}
	add_member_trailer(blob, plain->data, plain->len);
}

static void frames(struct blob *blob, struct blob *plain, size_t size, bool has_size)
{
	for (size_t done = 0; done < plain->len; done += size)
		add_frame(blob, plain->data + done,
			size < plain->len - done ? size : plain->len - done, has_size);
}

static void zst_one_frame(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 12, 300000);
	frames(blob, plain, plain->len, true);
}

static void zst_frames(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 40, 150001);
	frames(blob, plain, 400000, true);
}

static void zst_frames_unsized(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 40, 150001);
	frames(blob, plain, 400000, false);
}

static void zst_exact_frames(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 40, 150001);
	frames(blob, plain, SPAN_SIZE_MIN, true);
}

static void zst_limit_frames(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 90, 150001);
	frames(blob, plain, 5 * MIB, true);
}

static void zst_skippable(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 20, 150001);
	add_skippable(blob, 700);
	frames(blob, plain, 1300000, true);
	add_skippable(blob, 0);
	add_skippable(blob, 100000);
}

static void zst_empty_frames(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 20, 150001);
	add_frame(blob, NULL, 0, true);
	add_frame(blob, plain->data, 1400000, true);
	add_frame(blob, NULL, 0, false);
	add_frame(blob, plain->data + 1400000, plain->len - 1400000, true);
	add_frame(blob, NULL, 0, true);
}

/* Hundreds of spans end in one piece of the pass. */
static void zst_dense_frames(struct blob *blob, struct blob *plain)
{
	tar_header(plain, "zeroes", '0', 100 * MIB);
	add_zeroes(plain, 100 * MIB + 1024);
	frames(blob, plain, SPAN_SIZE_MIN, true);
	assert_true(blob->len < 64 * KIB);
}

static void zst_long_frame(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 50, 150001);
	frames(blob, plain, plain->len, true);
}

/* Small, long, small, small. */
static void zst_mixed(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 60, 150001);
	add_frame(blob, plain->data, 300000, true);
	add_frame(blob, plain->data + 300000, 6000000, false);
	add_frame(blob, plain->data + 6300000, 10, true);
	add_frame(blob, plain->data + 6300010, plain->len - 6300010, true);
}

/* RFC 8878, 3.1.1: a frame by hand: descriptor, window, one raw block. */
static void zst_by_hand(struct blob *blob, struct blob *plain, uint8_t window_log)
{
	add_zeroes(plain, 1024);
	blob_add_le32(blob, 0xFD2FB528);
	blob_add(blob, (uint8_t[]){ 0x00, (uint8_t)((window_log - 10) << 3) }, 2);
	blob_add(blob, (uint8_t[]){ 1 | (1024 << 3 & 0xff), 1024 >> 5, 0 }, 3);
	add_zeroes(blob, 1024);
}

static void zst_window_27(struct blob *blob, struct blob *plain)
{
	zst_by_hand(blob, plain, 27);
}

/* --- xz and bzip2 --- */

static void add_xz(struct blob *out, const uint8_t *plain, size_t len, lzma_check check)
{
	size_t room = lzma_stream_buffer_bound(len);
	lzma_stream xz = LZMA_STREAM_INIT;

	assert_int_equal(lzma_easy_encoder(&xz, 1, check), LZMA_OK);
	xz.next_in = plain;
	xz.avail_in = len;
	xz.next_out = blob_grow(out, room);
	xz.avail_out = room;
	assert_int_equal(lzma_code(&xz, LZMA_FINISH), LZMA_STREAM_END);
	out->len -= xz.avail_out;
	lzma_end(&xz);
}

static void add_bzip2(struct blob *out, const uint8_t *plain, size_t len)
{
	unsigned room = (unsigned)(len + len / 100 + 600), done = room;
	char *bytes = (char *)blob_grow(out, room);

	assert_int_equal(BZ2_bzBuffToBuffCompress(
				 bytes, &done, (char *)(uintptr_t)plain, (unsigned)len, 9, 0, 0),
		BZ_OK);
	out->len -= room - done;
}

static void xz_stream(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 25, 150001);
	add_xz(blob, plain->data, plain->len, LZMA_CHECK_CRC64);
}

/* Short, exactly a span, empty; with stream padding between and behind. */
static void xz_streams(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 25, 150001);
	add_xz(blob, plain->data, 1000, LZMA_CHECK_NONE);
	add_xz(blob, plain->data + 1000, SPAN_SIZE_MIN - 1000, LZMA_CHECK_CRC32);
	add_zeroes(blob, 4);
	add_xz(blob, NULL, 0, LZMA_CHECK_SHA256);
	add_xz(blob, plain->data + SPAN_SIZE_MIN, plain->len - SPAN_SIZE_MIN, LZMA_CHECK_SHA256);
	add_zeroes(blob, 40);
}

static void xz_nothing(struct blob *blob, struct blob *plain)
{
	(void)plain;
	add_xz(blob, NULL, 0, LZMA_CHECK_CRC64);
}

static void bzip2_stream(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 25, 150001);
	add_bzip2(blob, plain->data, plain->len);
}

static void bzip2_streams(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 25, 150001);
	add_bzip2(blob, plain->data, 1000);
	add_bzip2(blob, plain->data + 1000, SPAN_SIZE_MIN - 1000);
	add_bzip2(blob, (const uint8_t *)"", 0);
	add_bzip2(blob, plain->data + SPAN_SIZE_MIN, plain->len - SPAN_SIZE_MIN);
}

static void bzip2_nothing(struct blob *blob, struct blob *plain)
{
	(void)plain;
	add_bzip2(blob, (const uint8_t *)"", 0);
}

static void plain_tar(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 25, 150001);
	blob_add(blob, plain->data, plain->len);
}

static void plain_exact(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 1, 2 * SPAN_SIZE_MIN - 512 * 4);
	assert_int_equal(plain->len, 2 * SPAN_SIZE_MIN);
	blob_add(blob, plain->data, plain->len);
}

static void plain_nothing(struct blob *blob, struct blob *plain)
{
	(void)blob;
	(void)plain;
}

/* A header that is no longer what its checksum says, 600,000 bytes in. */
static void gz_bad_tar(struct blob *blob, struct blob *plain)
{
	make_tar(plain, 20, 150000);
	plain->data[4 * 150528 + 512 + 3] ^= 1;
	add_member(blob, plain->data, plain->len, 6, Z_DEFAULT_STRATEGY, NULL);
}

static void gz_text(struct blob *blob, struct blob *plain)
{
	add_text(plain, 3000000);
	add_member(blob, plain->data, plain->len, 6, Z_DEFAULT_STRATEGY, NULL);
}

static const struct good_case {
	const char *name;
	make_fn *make;
	enum media_coding coding;
	enum { BLOB, SPOOL, BOTH } where; /* the spans are */
	int status;
	enum span_start start; /* of some span in the blob */
} good_cases[] = {
	{ "gzip: dynamic blocks", gz_dynamic, CODING_GZIP, BLOB, 0, SPAN_DEFLATE },
	{ "gzip: fixed blocks", gz_fixed, CODING_GZIP, BLOB, 0, SPAN_DEFLATE },
	{ "gzip: stored blocks", gz_stored, CODING_GZIP, BLOB, 0, SPAN_DEFLATE },
	{ "gzip: no matches", gz_huffman, CODING_GZIP, BLOB, 0, SPAN_DEFLATE },
	{ "gzip: short members", gz_members, CODING_GZIP, BLOB, 0, SPAN_GZIP },
	{ "gzip: long members", gz_long_members, CODING_GZIP, BLOB, 0, SPAN_DEFLATE },
	{ "gzip: members as long as a span", gz_exact_members, CODING_GZIP, BLOB, 0, SPAN_GZIP },
	{ "gzip: members of one byte", gz_tiny_members, CODING_GZIP, BLOB, 0, SPAN_GZIP },
	{ "gzip: empty members", gz_empty_members, CODING_GZIP, BLOB, 0, SPAN_GZIP },
	{ "gzip: FEXTRA, FNAME, FCOMMENT, FHCRC", gz_fields, CODING_GZIP, BLOB, 0, SPAN_GZIP },
	{ "gzip: zeroes after the last member", gz_padding, CODING_GZIP, BLOB, 0, SPAN_DEFLATE },
	{ "gzip: empty blocks", gz_flushes, CODING_GZIP, BLOB, 0, SPAN_DEFLATE },
	{ "gzip: blocks longer than a span", gz_long_block, CODING_GZIP, BOTH, 0, SPAN_DEFLATE },
	{ "gzip: blocks a byte shorter than a span", gz_short_of_span, CODING_GZIP, BLOB, 0,
		SPAN_GZIP },
	{ "gzip: blocks as long as a span", gz_exact_span, CODING_GZIP, BLOB, 0, SPAN_GZIP },
	{ "gzip: blocks a byte longer than a span", gz_over_span, CODING_GZIP, BLOB, 0, SPAN_GZIP },
	{ "gzip: blocks as long as the buffer", gz_exact_buffer, CODING_GZIP, SPOOL, 0,
		SPAN_DEFLATE },
	{ "gzip: members shorter than a window", gz_short_members, CODING_GZIP, BLOB, 0,
		SPAN_GZIP },
	{ "gzip: nothing", gz_nothing, CODING_GZIP, BLOB, 0, SPAN_GZIP },
	{ "gzip: malformed tar", gz_bad_tar, CODING_GZIP, BLOB, -EIO, SPAN_DEFLATE },
	{ "gzip: not a tar", gz_text, CODING_GZIP, BLOB, -EIO, SPAN_DEFLATE },
	{ "zstd: one frame", zst_one_frame, CODING_ZSTD, BLOB, 0, SPAN_ZSTD },
	{ "zstd: short frames", zst_frames, CODING_ZSTD, BLOB, 0, SPAN_ZSTD },
	{ "zstd: frames without a size", zst_frames_unsized, CODING_ZSTD, BLOB, 0, SPAN_ZSTD },
	{ "zstd: frames as long as a span", zst_exact_frames, CODING_ZSTD, BLOB, 0, SPAN_ZSTD },
	{ "zstd: frames as long as the buffer", zst_limit_frames, CODING_ZSTD, BOTH, 0, SPAN_ZSTD },
	{ "zstd: skippable frames", zst_skippable, CODING_ZSTD, BLOB, 0, SPAN_ZSTD },
	{ "zstd: empty frames", zst_empty_frames, CODING_ZSTD, BLOB, 0, SPAN_ZSTD },
	{ "zstd: frames that are nearly nothing", zst_dense_frames, CODING_ZSTD, BLOB, 0,
		SPAN_ZSTD },
	{ "zstd: one long frame", zst_long_frame, CODING_ZSTD, SPOOL, 0, SPAN_ZSTD },
	{ "zstd: a long frame among short ones", zst_mixed, CODING_ZSTD, BOTH, 0, SPAN_ZSTD },
	{ "zstd: a window of 128 MiB", zst_window_27, CODING_ZSTD, BLOB, 0, SPAN_ZSTD },
	{ "xz: one stream", xz_stream, CODING_XZ, SPOOL, 0, SPAN_ZSTD },
	{ "xz: streams and padding", xz_streams, CODING_XZ, SPOOL, 0, SPAN_ZSTD },
	{ "bzip2: one stream", bzip2_stream, CODING_BZIP2, SPOOL, 0, SPAN_ZSTD },
	{ "bzip2: streams", bzip2_streams, CODING_BZIP2, SPOOL, 0, SPAN_ZSTD },
	{ "plain: some spans", plain_tar, CODING_PLAIN, BLOB, 0, SPAN_STORED },
	{ "plain: exactly two spans", plain_exact, CODING_PLAIN, BLOB, 0, SPAN_STORED },
	{ "xz: nothing", xz_nothing, CODING_XZ, BLOB, 0, SPAN_ZSTD },
	{ "bzip2: nothing", bzip2_nothing, CODING_BZIP2, BLOB, 0, SPAN_ZSTD },
	{ "plain: nothing", plain_nothing, CODING_PLAIN, BLOB, 0, SPAN_STORED },
};

static void check_good(const struct good_case *row, const struct layer *layer)
{
	uint32_t in_spool = 0, expected_start = 0;

	assert_int_equal(layer->coding, row->coding);
	if (layer->status != row->status)
		fail_msg("status %d, %s", layer->status, layer->message);
	for (uint32_t i = 0; i < layer->span_count; i++) {
		in_spool += layer->spans[i].in_spool;
		expected_start += !layer->spans[i].in_spool && layer->spans[i].start == row->start;
	}
	assert_int_equal(layer->needs_spool, row->where != BLOB);
	assert_int_equal(in_spool > 0, row->where != BLOB);
	assert_int_equal(in_spool < layer->span_count || !layer->span_count, row->where != SPOOL);
	assert_int_equal(expected_start > 0, row->where != SPOOL && layer->span_count > 0);
}

/* A row of a table, and the engine to try it with. */
struct trial {
	const void *row;
	const struct inflate_ops *const *engine;
	char name[128];
};

static int choose(void **state)
{
	const struct trial *trial = *state;

	inflate_choose(trial->engine);
	return 0;
}

static int choose_first(void **state)
{
	(void)state;
	inflate_choose(inflate_engines);
	return 0;
}

static void indexes(void **state)
{
	const struct good_case *row = ((const struct trial *)*state)->row;
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	static const size_t pieces[] = { 0, 1000, 200000 };
	struct pass passes[ARRAY_SIZE(pieces)];
	struct layer *layer;

	row->make(&blob, &plain);
	random_state = 99;
	/* Short blobs are fed in pieces of one byte, and of one or two. */
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++)
		index_blob(&passes[i], &blob, blob.len < 64 * KIB && pieces[i] ? i : pieces[i]);
	layer = open_layer(&passes[0]);
	assert_int_equal(layer->stored_size, blob.len);
	check_good(row, layer);
	for (size_t i = 0; inflate_engines[i]; i++) {
		inflate_choose(&inflate_engines[i]);
		check_plain(layer, &passes[0], &plain);
	}
	layer_free(layer);
	for (size_t i = 1; i < ARRAY_SIZE(pieces); i++)
		assert_same_file(passes[0].index_fd, passes[i].index_fd);
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++)
		pass_release(&passes[i]);
}

/* The first place after the begin at which a span starts, when the member's header has a name so
 * long. */
static uint64_t place_behind_name(const struct blob *plain, size_t name_len)
{
	CLEANUP(freep) char *name = calloc(1, name_len + 1);
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(pass_release) struct pass pass;
	CLEANUP(layerp) struct layer *layer = NULL;
	gz_header header = { .os = 3, .name = (Bytef *)name };

	assert_non_null(name);
	memset(name, 'n', name_len);
	add_member(&blob, plain->data, plain->len, 6, Z_DEFAULT_STRATEGY, &header);
	index_blob(&pass, &blob, 0);
	layer = open_layer(&pass);
	check_plain(layer, &pass, plain);
	assert_true(layer->span_count > 1);
	return layer->spans[1].stored_offset;
}

/* The bytes of the pass come in pieces: a place between blocks is told in the piece in which it
 * lies, or in the next one.  Not every engine tells all of those that are at a piece's end. */
static void finds_places_around_a_pieces_end(void **state)
{
	static const int distances[] = { -100, -8, -1, 0, 1, 2, 7, 8, 9, 40, 80, 100, 200, 340 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	uint64_t place;
	size_t found = 0;

	(void)state;
	make_tar(&plain, 10, 250001);
	place = place_behind_name(&plain, 0);
	for (size_t i = 0; i < ARRAY_SIZE(distances); i++) {
		uint64_t behind = (place + (uint64_t)distances[i]) % STORED_PIECE;
		uint64_t moved = place_behind_name(&plain, STORED_PIECE - behind);

		found += (moved + (uint64_t)distances[i]) % STORED_PIECE == 0;
	}
	assert_in_range(found, ARRAY_SIZE(distances) / 2, ARRAY_SIZE(distances));
}

static void padding_belongs_to_no_span(void **state)
{
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	CLEANUP(pass_release) struct pass pass;
	CLEANUP(layerp) struct layer *layer = NULL;
	const struct span *last;

	(void)state;
	gz_dynamic(&blob, &plain);
	add_zeroes(&blob, 5 * STORED_PIECE);
	index_blob(&pass, &blob, 0);
	layer = open_layer(&pass);
	check_plain(layer, &pass, &plain);
	last = &layer->spans[layer->span_count - 1];
	assert_int_equal(last->stored_offset + last->stored_len, blob.len - 5 * STORED_PIECE);
}

/* The states are of SHA-256, whatever the blob's digest is of. */
static void proves_spans_of_a_sha512_blob(void **state)
{
	static make_fn *const makes[] = { gz_dynamic, plain_tar, zst_mixed };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(makes); i++) {
		CLEANUP(blob_release) struct blob blob = { 0 };
		CLEANUP(blob_release) struct blob plain = { 0 };
		CLEANUP(pass_release)
		struct pass pass = { temporary(), -1, temporary(), { .algorithm = DIGEST_SHA512 } };
		CLEANUP(indexerp) struct indexer *indexer = NULL;
		CLEANUP(layerp) struct layer *layer = NULL;
		struct error err;

		makes[i](&blob, &plain);
		assert_int_equal(write(pass.blob_fd, blob.data, blob.len), blob.len);
		assert_int_equal(EVP_Digest(blob.data, blob.len, pass.digest.bytes, NULL,
					 EVP_sha512(), NULL),
			1);
		assert_int_equal(
			indexer_new(&indexer, &pass.digest, blob.len, open_spool, &pass, &err), 0);
		assert_int_equal(feed(indexer, &blob, 0, &err), 0);
		assert_int_equal(indexer_finish(indexer, pass.index_fd, &err), 0);
		layer = open_layer(&pass);
		check_plain(layer, &pass, &plain);
	}
}

/* --- blobs that are bad --- */

static void gz_bad_crc(struct blob *blob, struct blob *plain)
{
	gz_dynamic(blob, plain);
	blob->data[blob->len - 8] ^= 1;
}

static void gz_bad_size(struct blob *blob, struct blob *plain)
{
	gz_dynamic(blob, plain);
	blob->data[blob->len - 1] ^= 1;
}

static void gz_bad_first_crc(struct blob *blob, struct blob *plain)
{
	size_t first;

	make_tar(plain, 3, 1000);
	add_member(blob, plain->data, 1500, 6, Z_DEFAULT_STRATEGY, NULL);
	first = blob->len;
	add_member(blob, plain->data + 1500, plain->len - 1500, 6, Z_DEFAULT_STRATEGY, NULL);
	blob->data[first - 8] ^= 1;
}

static void gz_bad_header_crc(struct blob *blob, struct blob *plain)
{
	gz_header header = { .hcrc = 1, .os = 255, .name = (Bytef *)"name" };

	make_tar(plain, 3, 1000);
	add_member(blob, plain->data, plain->len, 6, Z_DEFAULT_STRATEGY, &header);
	blob->data[11] ^= 1;
}

static void gz_reserved_flag(struct blob *blob, struct blob *plain)
{
	gz_dynamic(blob, plain);
	blob->data[3] |= 0x20;
}

static void gz_method(struct blob *blob, struct blob *plain)
{
	gz_dynamic(blob, plain);
	blob_add(blob, (uint8_t[]){ 0x1f, 0x8b, 7, 0, 0, 0, 0, 0, 0, 3 }, 10);
}

static void gz_garbage(struct blob *blob, struct blob *plain)
{
	gz_dynamic(blob, plain);
	blob_add(blob, "garbage", 7);
}

static void gz_padding_garbage(struct blob *blob, struct blob *plain)
{
	gz_padding(blob, plain);
	blob_add(blob, "\x1f\x8b", 2);
}

static void gz_no_trailer(struct blob *blob, struct blob *plain)
{
	gz_dynamic(blob, plain);
	blob->len -= 3;
}

static void gz_no_end(struct blob *blob, struct blob *plain)
{
	gz_dynamic(blob, plain);
	blob->len /= 2;
}

static void gz_no_body(struct blob *blob, struct blob *plain)
{
	gz_dynamic(blob, plain);
	blob->len = 10;
}

static void gz_no_header(struct blob *blob, struct blob *plain)
{
	gz_dynamic(blob, plain);
	blob->len = 7;
}

static void gz_half_header(struct blob *blob, struct blob *plain)
{
	gz_dynamic(blob, plain);
	blob_add(blob, "\x1f", 1);
}

static void gz_bad_block(struct blob *blob, struct blob *plain)
{
	gz_dynamic(blob, plain);
	blob->data[10] |= 7; /* RFC 1951, 3.2.3: BTYPE 11 is reserved */
}

static void zst_bad_checksum(struct blob *blob, struct blob *plain)
{
	zst_one_frame(blob, plain);
	blob->data[blob->len - 1] ^= 1;
}

static void zst_no_end(struct blob *blob, struct blob *plain)
{
	zst_frames(blob, plain);
	blob->len -= 2;
}

static void zst_no_frame(struct blob *blob, struct blob *plain)
{
	zst_frames(blob, plain);
	blob->len = 4;
}

static void zst_half_skippable(struct blob *blob, struct blob *plain)
{
	zst_frames(blob, plain);
	add_skippable(blob, 1000);
	blob->len -= 1;
}

static void zst_garbage(struct blob *blob, struct blob *plain)
{
	zst_frames(blob, plain);
	blob_add(blob, "garbage", 7);
}

static void zst_window_28(struct blob *blob, struct blob *plain)
{
	zst_by_hand(blob, plain, 28);
}

/* RFC 8878, 3.1.1.1.1.6: one byte of dictionary id. */
static void zst_dictionary(struct blob *blob, struct blob *plain)
{
	zst_by_hand(blob, plain, 20);
	blob->data[4] |= 1;
	add_zeroes(blob, 1);
	memmove(blob->data + 7, blob->data + 6, blob->len - 7);
	blob->data[6] = 42;
}

static void json_text(struct blob *blob, struct blob *plain)
{
	(void)plain;
	blob_add(blob, "{\"schemaVersion\":2}", 19);
}

static void long_text(struct blob *blob, struct blob *plain)
{
	(void)plain;
	random_state = 3;
	add_text(blob, 100000);
}

static void xz_no_end(struct blob *blob, struct blob *plain)
{
	xz_stream(blob, plain);
	blob->len -= 40;
}

/* The index and the footer were there, and of a second stream a part. */
static void xz_half_stream(struct blob *blob, struct blob *plain)
{
	xz_stream(blob, plain);
	add_xz(blob, plain->data, 1000, LZMA_CHECK_CRC64);
	blob->len -= 50;
}

static void xz_garbage(struct blob *blob, struct blob *plain)
{
	xz_stream(blob, plain);
	blob_add(blob, "this is not a stream", 20);
}

static void xz_odd_padding(struct blob *blob, struct blob *plain)
{
	xz_stream(blob, plain);
	add_zeroes(blob, 3);
}

static void xz_damaged(struct blob *blob, struct blob *plain)
{
	xz_stream(blob, plain);
	blob->data[blob->len / 2] ^= 1;
}

/* xz-file-format.txt, 3.1 and 5.3.1: the block's header is behind the stream's 12 bytes, its
 * fifth byte the size of LZMA2's dictionary, 40 the largest; a CRC32 ends it. */
static void xz_dictionary(struct blob *blob, struct blob *plain)
{
	struct blob sum = { 0 };

	xz_stream(blob, plain);
	assert_int_equal(blob->data[12 + 2], 0x21);
	blob->data[12 + 4] = 40;
	blob_add_le32(&sum, (uint32_t)crc32_z(crc32(0, NULL, 0), blob->data + 12, 8));
	memcpy(blob->data + 20, sum.data, 4);
	blob_release(&sum);
}

static void bzip2_no_end(struct blob *blob, struct blob *plain)
{
	bzip2_stream(blob, plain);
	blob->len -= 5;
}

static void bzip2_no_stream(struct blob *blob, struct blob *plain)
{
	bzip2_stream(blob, plain);
	blob_add(blob, "BZ", 2);
}

static void bzip2_garbage(struct blob *blob, struct blob *plain)
{
	bzip2_stream(blob, plain);
	blob_add(blob, "this is not a stream", 20);
}

static void bzip2_damaged(struct blob *blob, struct blob *plain)
{
	bzip2_stream(blob, plain);
	blob->data[blob->len / 2] ^= 1;
}

static const struct bad_case {
	const char *name;
	make_fn *make;
	enum media_coding coding;
	int status;
	const char *message; /* what it must hold */
} bad_cases[] = {
	{ "gzip: wrong CRC32", gz_bad_crc, CODING_GZIP, -EIO, "checksum" },
	{ "gzip: wrong CRC32 of the first member", gz_bad_first_crc, CODING_GZIP, -EIO,
		"checksum" },
	{ "gzip: wrong ISIZE", gz_bad_size, CODING_GZIP, -EIO, "size" },
	{ "gzip: wrong header CRC", gz_bad_header_crc, CODING_GZIP, -EIO, "header's checksum" },
	{ "gzip: reserved flag", gz_reserved_flag, CODING_GZIP, -EIO, "reserved" },
	{ "gzip: unknown method", gz_method, CODING_GZIP, -EIO, "method 7" },
	{ "gzip: garbage behind", gz_garbage, CODING_GZIP, -EIO, "garbage" },
	{ "gzip: zeroes and garbage behind", gz_padding_garbage, CODING_GZIP, -EIO, "garbage" },
	{ "gzip: ends in the trailer", gz_no_trailer, CODING_GZIP, -EIO, "ends inside" },
	{ "gzip: ends in the data", gz_no_end, CODING_GZIP, -EIO, "ends inside" },
	{ "gzip: ends after the header", gz_no_body, CODING_GZIP, -EIO, "ends inside" },
	{ "gzip: ends in the header", gz_no_header, CODING_GZIP, -EIO, "ends inside" },
	{ "gzip: ends in the second header", gz_half_header, CODING_GZIP, -EIO, "ends inside" },
	{ "gzip: bad block", gz_bad_block, CODING_GZIP, -EIO, "invalid block" },
	{ "zstd: wrong checksum", zst_bad_checksum, CODING_ZSTD, -EIO, "checksum" },
	{ "zstd: ends in a frame", zst_no_end, CODING_ZSTD, -EIO, "ends inside" },
	{ "zstd: ends in the magic", zst_no_frame, CODING_ZSTD, -EIO, "ends inside" },
	{ "zstd: ends in a skippable frame", zst_half_skippable, CODING_ZSTD, -EIO, "ends inside" },
	{ "zstd: garbage behind", zst_garbage, CODING_ZSTD, -EIO, "zstd" },
	{ "zstd: a window of 256 MiB", zst_window_28, CODING_ZSTD, -EFBIG, "memory" },
	{ "zstd: needs a dictionary", zst_dictionary, CODING_ZSTD, -EOPNOTSUPP, "ictionary" },
	{ "JSON", json_text, CODING_UNKNOWN, -EIO, "not a tar archive" },
	{ "text", long_text, CODING_UNKNOWN, -EIO, "not a tar archive" },
	{ "xz: ends in a stream", xz_no_end, CODING_XZ, -EIO, "ends inside" },
	{ "xz: ends in a second stream", xz_half_stream, CODING_XZ, -EIO, "ends inside" },
	{ "xz: garbage behind", xz_garbage, CODING_XZ, -EIO, "damaged" },
	{ "xz: three zeroes behind", xz_odd_padding, CODING_XZ, -EIO, "xz" },
	{ "xz: a bit that flipped", xz_damaged, CODING_XZ, -EIO, "damaged" },
	{ "xz: a dictionary of 4 GiB", xz_dictionary, CODING_XZ, -EFBIG, "memory" },
	{ "bzip2: ends in a stream", bzip2_no_end, CODING_BZIP2, -EIO, "ends inside" },
	{ "bzip2: ends in a magic", bzip2_no_stream, CODING_BZIP2, -EIO, "ends inside" },
	{ "bzip2: garbage behind", bzip2_garbage, CODING_BZIP2, -EIO, "garbage" },
	{ "bzip2: a bit that flipped", bzip2_damaged, CODING_BZIP2, -EIO, "damaged" },
};

static void refuses(void **state)
{
	const struct bad_case *row = ((const struct trial *)*state)->row;
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	static const size_t pieces[] = { 0, 3000 };

	row->make(&blob, &plain);
	random_state = 7;
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		CLEANUP(pass_release) struct pass pass;
		CLEANUP(layerp) struct layer *layer = NULL;

		index_blob(&pass, &blob, blob.len < 64 * KIB && pieces[i] ? 1 : pieces[i]);
		layer = open_layer(&pass);
		if (layer->status != row->status || !strstr(layer->message, row->message))
			fail_msg("status %d, %s", layer->status, layer->message);
		assert_int_equal(layer->coding, row->coding);
		assert_int_equal(layer->stored_size, blob.len);
		assert_int_equal(layer->plain_size, 0);
		assert_int_equal(layer->span_count, 0);
		assert_false(digest_is_set(&layer->diff_id));
	}
}

/* --- the blob's identity --- */

static int run(const struct blob *blob, const struct digest *digest, uint64_t size)
{
	CLEANUP(indexerp) struct indexer *indexer = NULL;
	struct pass pass = { -1, -1, temporary(), { 0 } };
	struct error err = { "" };
	int rc;

	rc = indexer_new(&indexer, digest, size, open_spool, &pass, &err);
	assert_int_equal(rc, 0);
	rc = feed_bytes(indexer, blob->data, blob->len, &err);
	if (!rc)
		rc = indexer_finish(indexer, pass.index_fd, &err);
	if (rc)
		assert_true(*err.text);
	pass_release(&pass);
	return rc;
}

static void verifies(const struct blob *blob)
{
	struct digest good, bad, sha512 = { .algorithm = DIGEST_SHA512 }, bad512;

	sha256(blob->data, blob->len, &good);
	assert_int_equal(
		EVP_Digest(blob->data, blob->len, sha512.bytes, NULL, EVP_sha512(), NULL), 1);
	bad = good;
	bad.bytes[31] ^= 1;
	bad512 = sha512;
	bad512.bytes[63] ^= 1;
	assert_int_equal(run(blob, &good, blob->len), 0);
	assert_int_equal(run(blob, &good, DESCRIPTOR_SIZE_UNKNOWN), 0);
	assert_int_equal(run(blob, &sha512, blob->len), 0);
	assert_int_equal(run(blob, &bad, blob->len), -EBADMSG);
	assert_int_equal(run(blob, &bad, DESCRIPTOR_SIZE_UNKNOWN), -EBADMSG);
	assert_int_equal(run(blob, &bad512, blob->len), -EBADMSG);
	assert_int_equal(run(blob, &good, blob->len - 1), -EBADMSG);
	assert_int_equal(run(blob, &good, blob->len + 1), -EBADMSG);
	assert_int_equal(run(blob, &good, 0), -EBADMSG);
}

static void verifies_the_blob(void **state)
{
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };

	(void)state;
	gz_tiny_members(&blob, &plain);
	verifies(&blob);
}

/* Of a plain blob the diff_id is the digest, unless that is of another algorithm. */
static void verifies_a_plain_blob(void **state)
{
	CLEANUP(blob_release) struct blob tar = { 0 };

	(void)state;
	make_tar(&tar, 4, 500 * KIB);
	verifies(&tar);
}

static int no_spool(void *context, uint64_t size, struct error *err)
{
	(void)context;
	(void)size;
	return error_set(err, ENOSPC, "no place for a spool");
}

static void ends_without_a_spool(void **state)
{
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	CLEANUP(indexerp) struct indexer *indexer = NULL;
	struct error err = { "" };
	struct digest digest;

	(void)state;
	zst_long_frame(&blob, &plain);
	sha256(blob.data, blob.len, &digest);
	assert_int_equal(indexer_new(&indexer, &digest, blob.len, no_spool, NULL, &err), 0);
	assert_int_equal(feed_bytes(indexer, blob.data, blob.len, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "no place for a spool"));
}

static int run_limited(const struct blob *blob, uint64_t plain_max)
{
	CLEANUP(pass_release) struct pass pass = { -1, -1, -1, { .algorithm = DIGEST_SHA256 } };
	CLEANUP(indexerp) struct indexer *indexer = NULL;
	struct error err = { "" };
	int rc;

	pass.index_fd = temporary();
	sha256(blob->data, blob->len, &pass.digest);
	assert_int_equal(
		indexer_new(&indexer, &pass.digest, blob->len, open_spool, &pass, &err), 0);
	indexer_set_limit(indexer, plain_max);
	rc = feed_bytes(indexer, blob->data, blob->len, &err);
	if (!rc)
		rc = indexer_finish(indexer, pass.index_fd, &err);
	if (rc)
		assert_non_null(strstr(err.text, "bytes uncompressed"));
	return rc;
}

/* What need not be decompressed is as long as its blob, which has a limit of its own. */
static void ends_beyond_a_limit(void **state)
{
	static const struct {
		void (*make)(struct blob *blob, struct blob *plain);
		bool is_limited;
	} rows[] = {
		{ gz_dynamic, true },
		{ gz_tiny_members, true },
		{ zst_long_frame, true },
		{ xz_stream, true },
		{ plain_tar, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(blob_release) struct blob blob = { 0 };
		CLEANUP(blob_release) struct blob plain = { 0 };
		int rc = rows[i].is_limited ? -EFBIG : 0;
		size_t len;

		rows[i].make(&blob, &plain);
		len = rows[i].is_limited ? plain.len : blob.len;
		assert_int_equal(run_limited(&blob, len), 0);
		assert_int_equal(run_limited(&blob, len - 1), rc);
		assert_int_equal(run_limited(&blob, 1), rc);
	}
}

/* One span of len bytes ends, and the next one starts, with or without a window. */
static void next_span(struct cutter *cutter, size_t len, bool has_window)
{
	const struct span start = { .start = has_window ? SPAN_DEFLATE : SPAN_GZIP };
	struct error err;
	size_t room;

	memset(cutter_room(cutter, &room), 0, len);
	assert_int_equal(cutter_put(cutter, len, &err), 0);
	cutter->span_min = 1; /* not as much as a gzip codec would wait for */
	assert_int_equal(cutter_boundary(cutter, &start, "window", has_window ? 6 : 0, &err), 0);
}

static int ignore_plain(void *context, const void *bytes, size_t len, struct error *err)
{
	(void)context, (void)bytes, (void)len, (void)err;
	return 0;
}

/* --- windows that leave memory --- */

enum { WINDOW_COUNT = 150, WINDOWS_AT = 12345 };

static void make_window(uint32_t number, uint8_t *window)
{
	uint32_t state = number * 2654435761U + 1; /* of xorshift: nothing compresses it */

	for (size_t i = 0; i < SPAN_WINDOW; i++) {
		state ^= state << 13;
		state ^= state >> 17;
		state ^= state << 5;
		window[i] = (uint8_t)(state >> 24);
	}
}

static void check_windows(const struct index_parts *parts, const uint8_t *bytes)
{
	uint8_t expected[SPAN_WINDOW], found[SPAN_WINDOW];
	uint64_t end = 0;

	assert_int_equal(parts->window_count, WINDOW_COUNT);
	for (uint32_t i = 0; i < WINDOW_COUNT; i++) {
		const struct window *window = &parts->window_table[i];

		assert_int_equal(window->offset, end);
		end += window->len;
		assert_int_equal(
			ZSTD_decompress(found, sizeof found, bytes + window->offset, window->len),
			sizeof found);
		make_window(i, expected);
		assert_memory_equal(found, expected, sizeof found);
	}
	assert_int_equal(parts->windows_len, end);
	assert_int_equal(parts->windows_crc, crc32(0, bytes, (uInt)end));
}

/* max: bytes that a file may have, as of a disk that becomes full. */
static void keep_windows(rlim_t max)
{
	struct windows *windows = windows_new();
	struct index_parts parts = { NULL };
	CLEANUP(closep) int fd = memfd_create("test", MFD_CLOEXEC);
	struct rlimit before, limit;
	uint8_t window[SPAN_WINDOW];
	void *mapping;
	struct error err;

	assert_non_null(windows);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = (struct rlimit){ max, before.rlim_max };
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (uint32_t i = 0; i < WINDOW_COUNT; i++) {
		make_window(i, window);
		assert_int_equal(windows_add(windows, window, sizeof window, &err), 0);
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	(void)signal(SIGXFSZ, SIG_DFL);
	windows_describe(windows, &parts);
	assert_int_equal(windows_write(windows, fd, WINDOWS_AT, &err), 0);
	mapping = mmap(NULL, WINDOWS_AT + parts.windows_len, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_true(mapping != MAP_FAILED);
	check_windows(&parts, (const uint8_t *)mapping + WINDOWS_AT);
	(void)munmap(mapping, WINDOWS_AT + parts.windows_len);
	windows_free(windows);
}

static void windows_leave_memory(void **state)
{
	(void)state;
	keep_windows(RLIM_INFINITY);
}

static void windows_stay_where_nothing_has_room(void **state)
{
	(void)state;
	keep_windows(0);
	keep_windows(3 * MIB);
}

/* Behind WINDOWS_MAX windows no span needs one: what follows goes to the spool, up to a member. */
static void runs_out_of_windows(void **state)
{
	CLEANUP(pass_release) struct pass pass = { -1, -1, -1, { .algorithm = DIGEST_SHA256 } };
	struct hashing *hashing = NULL;
	struct cutter cutter;
	struct error err;

	(void)state;
	assert_int_equal(hashing_new(&hashing, DIGEST_SHA256, ignore_plain, NULL, &err), 0);
	cutter_init(&cutter, hashing, open_spool, &pass);
	assert_int_equal(cutter_keep(&cutter, SPAN_SIZE_MIN, &err), 0);
	for (uint32_t i = 0; i < WINDOWS_MAX; i++)
		next_span(&cutter, 1, true);
	assert_int_equal(cutter.span_count, WINDOWS_MAX);
	assert_int_equal(
		cutter.span.window, WINDOWS_MAX - 1); /* the last one, of the span in work */
	assert_int_equal(pass.spool_fd, -1);

	next_span(&cutter, 1, true);
	next_span(&cutter, SPAN_SIZE_MIN - 1, true); /* no place to start: the buffer is full */
	next_span(&cutter, 1000, true);
	assert_int_equal(cutter.window_count, WINDOWS_MAX);
	assert_int_equal(cutter.span_count, WINDOWS_MAX + 1);
	assert_true(cutter.spans[WINDOWS_MAX].in_spool && cutter.span.in_spool);
	assert_true(pass.spool_fd >= 0);

	next_span(&cutter, 1, false); /* a member needs no window */
	assert_int_equal(cutter.span_count, WINDOWS_MAX + 2);
	assert_int_equal(cutter.spans[WINDOWS_MAX + 1].plain_len, 1001);
	assert_true(cutter.spans[WINDOWS_MAX + 1].in_spool);
	assert_false(cutter.span.in_spool);
	hashing_free(hashing);
	cutter_release(&cutter);
}

static void finds_out_the_digest(void **state)
{
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	CLEANUP(indexerp) struct indexer *indexer = NULL;
	CLEANUP(closep) int fd = temporary();
	struct layer *layer = NULL;
	struct error err = { "" };
	struct digest digest;

	(void)state;
	gz_dynamic(&blob, &plain);
	sha256(blob.data, blob.len, &digest);
	assert_int_equal(indexer_new(&indexer, NULL, blob.len, no_spool, NULL, &err), 0);
	assert_int_equal(feed_bytes(indexer, blob.data, blob.len, &err), 0);
	assert_int_equal(indexer_finish(indexer, fd, &err), 0);
	assert_true(digest_equal(indexer_digest(indexer), &digest));
	assert_int_equal(layer_open(&layer, fd, &digest, &err), 0);
	layer_free(layer);
}

static void ends_when_cancelled(void **state)
{
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	CLEANUP(indexerp) struct indexer *indexer = NULL;
	struct error err = { "" };
	struct digest digest;
	struct cancel cancel;

	(void)state;
	gz_dynamic(&blob, &plain);
	sha256(blob.data, blob.len, &digest);
	cancel_init(&cancel);
	assert_int_equal(indexer_new(&indexer, &digest, blob.len, no_spool, NULL, &err), 0);
	indexer_set_cancel(indexer, &cancel);
	assert_int_equal(feed_bytes(indexer, blob.data, 1000, &err), 0);
	cancel_set(&cancel);
	assert_int_equal(feed_bytes(indexer, blob.data + 1000, blob.len - 1000, &err), -EINTR);
	cancel_release(&cancel);
}

/* --- damage after the pass --- */

/* Every span is right, or is refused; returns how many are right. */
static uint32_t decode_all(
	const struct layer *layer, const struct pass *pass, const struct blob *plain)
{
	struct error err = { "" };
	uint32_t right = 0;

	for (uint32_t i = 0; i < layer->span_count; i++) {
		const struct span *span = &layer->spans[i];
		int rc = decode_span(layer, i, pass, &err);

		if (rc) {
			assert_int_equal(rc, -EBADMSG);
			continue;
		}
		assert_true(span->plain_offset + span->plain_len <= plain->len);
		assert_memory_equal(decoded, plain->data + span->plain_offset, span->plain_len);
		right++;
	}
	return right;
}

static void change(int fd, off_t offset, uint8_t bit)
{
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, offset), 1);
	byte ^= bit;
	assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
}

static void flip(int fd, off_t offset)
{
	change(fd, offset, 0x10);
}

static off_t size_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_size;
}

/* All but the windows is under the checksum; a damaged window shows in its span. */
static void notices_a_damaged_index(void **state)
{
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	CLEANUP(pass_release) struct pass pass;
	uint32_t opened = 0;

	(void)state;
	make_tar(&plain, 12, 200000);
	add_member(&blob, plain.data, plain.len, 6, Z_DEFAULT_STRATEGY, NULL);
	index_blob(&pass, &blob, 0);
	for (off_t at = 0, end = size_of(pass.index_fd); at < end; at += at < 4 * KIB ? 1 : 997) {
		CLEANUP(layerp) struct layer *layer = NULL;
		struct error err = { "" };
		int rc;

		flip(pass.index_fd, at);
		rc = layer_open(&layer, pass.index_fd, &pass.digest, &err);
		if (!rc) {
			opened++;
			(void)decode_all(layer, &pass, &plain);
		} else {
			assert_int_equal(rc, -EIO);
		}
		flip(pass.index_fd, at);
	}
	assert_true(opened > 0);
}

static void verifies_all_that_opening_does_not(void **state)
{
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	CLEANUP(pass_release) struct pass pass;
	bool is_spool = true;
	uint32_t opened = 0;

	(void)state;
	make_tar(&plain, 12, 200000);
	add_member(&blob, plain.data, plain.len, 6, Z_DEFAULT_STRATEGY, NULL);
	index_blob(&pass, &blob, 0);
	for (off_t at = size_of(pass.index_fd) - 1; at >= 0; at -= at % 97 + 1) {
		CLEANUP(layerp) struct layer *layer = NULL;

		flip(pass.index_fd, at);
		if (!layer_open(&layer, pass.index_fd, &pass.digest, NULL)) {
			opened++;
			assert_int_equal(layer_verify(layer, -1, &is_spool, NULL), -EBADMSG);
			assert_false(is_spool);
		}
		flip(pass.index_fd, at);
	}
	assert_true(opened > 100);
}

static void verifies_the_spool(void **state)
{
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	CLEANUP(pass_release) struct pass pass;
	CLEANUP(layerp) struct layer *layer = NULL;
	bool is_spool = false;
	off_t size;

	(void)state;
	zst_long_frame(&blob, &plain);
	index_blob(&pass, &blob, 0);
	layer = open_layer(&pass);
	size = size_of(pass.spool_fd);
	assert_int_equal(layer_verify(layer, pass.spool_fd, &is_spool, NULL), 0);
	assert_int_equal(layer_verify(layer, -1, &is_spool, NULL), 0);
	for (off_t at = 11; at < size; at += size / 12) {
		flip(pass.spool_fd, at);
		is_spool = false;
		assert_int_equal(layer_verify(layer, pass.spool_fd, &is_spool, NULL), -EBADMSG);
		assert_true(is_spool);
		flip(pass.spool_fd, at);
	}
}

/* Every length but the right one. */
static void notices_a_cut_index(void **state)
{
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	CLEANUP(pass_release) struct pass pass;
	CLEANUP(closep) int cut = temporary();
	uint8_t bytes[16 * KIB] = { 0 };
	size_t end;

	(void)state;
	plain_tar(&blob, &plain);
	index_blob(&pass, &blob, 0);
	end = (size_t)size_of(pass.index_fd);
	assert_in_range(end, 1, sizeof bytes - 8);
	assert_int_equal(pread(pass.index_fd, bytes, end, 0), end);
	for (size_t size = 0; size <= end + 8; size++) {
		struct layer *layer = NULL;
		struct error err = { "" };

		if (size == end)
			continue;
		assert_int_equal(ftruncate(cut, 0), 0);
		assert_int_equal(pwrite(cut, bytes, size, 0), size);
		assert_int_equal(layer_open(&layer, cut, &pass.digest, &err), -EIO);
	}
}

/* Pages that the file does not have: what the kernel says of ones that the disk does not give, too.
 */
static void an_unreadable_window_is_a_damaged_one(void **state)
{
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	CLEANUP(pass_release) struct pass pass;
	CLEANUP(layerp) struct layer *layer = NULL;
	off_t size;

	(void)state;
	make_tar(&plain, 12, 400000);
	add_member(&blob, plain.data, plain.len, 6, Z_DEFAULT_STRATEGY, NULL);
	index_blob(&pass, &blob, 0);
	layer = open_layer(&pass);
	size = size_of(pass.index_fd);
	assert_true(size > 16 * KIB); /* the windows are not all in the first page */
	assert_int_equal(decode_all(layer, &pass, &plain), layer->span_count);
	assert_int_equal(ftruncate(pass.index_fd, size / 2), 0);
	assert_in_range(decode_all(layer, &pass, &plain), 1, layer->span_count - 1);
}

static void refuses_another_blobs_index(void **state)
{
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	CLEANUP(pass_release) struct pass pass;
	struct layer *layer = NULL;
	struct error err = { "" };

	(void)state;
	gz_tiny_members(&blob, &plain);
	index_blob(&pass, &blob, 0);
	pass.digest.bytes[0] ^= 1;
	assert_int_equal(layer_open(&layer, pass.index_fd, &pass.digest, &err), -EIO);
	assert_null(layer);
}

static const struct damage_case {
	const char *name;
	make_fn *make;
	bool in_spool;
	const struct secret *secret;
} damage_cases[] = {
	{ "damaged gzip blob", gz_members, false, NULL },
	{ "damaged gzip blob, one member", gz_dynamic, false, NULL },
	{ "damaged zstd blob", zst_skippable, false, NULL },
	{ "damaged plain blob", plain_tar, false, NULL },
	{ "damaged spool", zst_long_frame, true, NULL },
	{ "damaged gzip blob, by MACs", gz_members, false, &our_secret },
	{ "damaged gzip blob, one member, by MACs", gz_dynamic, false, &our_secret },
	{ "damaged zstd blob, by MACs", zst_skippable, false, &our_secret },
	{ "damaged plain blob, by MACs", plain_tar, false, &our_secret },
	{ "damaged spool, by MACs", zst_long_frame, true, &our_secret },
};

static void notices_a_damaged_blob(void **state)
{
	const struct damage_case *row = ((const struct trial *)*state)->row;
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	CLEANUP(pass_release) struct pass pass;
	CLEANUP(layerp) struct layer *layer = NULL;
	off_t size;
	int fd;

	row->make(&blob, &plain);
	index_with(&pass, &blob, 0, row->secret);
	layer = open_layer(&pass);
	layer_set_secret(layer, row->secret);
	assert_int_equal(!layer->mac_key, !row->secret);
	fd = row->in_spool ? pass.spool_fd : pass.blob_fd;
	size = size_of(fd);
	for (off_t at = 11; at < size; at += size / 12) {
		flip(fd, at);
		assert_true(decode_all(layer, &pass, &plain) + 1 >= layer->span_count);
		flip(fd, at);
	}
	assert_int_equal(decode_all(layer, &pass, &plain), layer->span_count);
	assert_int_equal(ftruncate(fd, size / 2), 0);
	assert_true(decode_all(layer, &pass, &plain) < layer->span_count);
}

/* The index's header begins with eight bytes and four numbers of four; then comes its checksum, and
 * five lengths of eight bytes, the last one that of the windows at the end of the file. */
enum { CHECKSUM_AT = 24, WINDOWS_LEN_AT = CHECKSUM_AT + 32 + 4 * 8 };

/* Makes the checksum right for what was changed. */
static void seal(int fd)
{
	static const uint8_t zeroes[32];
	off_t size = size_of(fd);
	uint64_t windows_len;
	struct digest digest;
	void *mapping;

	assert_int_equal(pread(fd, &windows_len, 8, WINDOWS_LEN_AT), 8);
	assert_int_equal(pwrite(fd, zeroes, 32, CHECKSUM_AT), 32);
	mapping = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(mapping, MAP_FAILED);
	sha256(mapping, (size_t)size - windows_len, &digest);
	munmap(mapping, (size_t)size);
	assert_int_equal(pwrite(fd, digest.bytes, 32, CHECKSUM_AT), 32);
}

/* What of a span's, and how many bytes of it. */
enum proof_part {
	PART_CRC,
	PART_HEAD,
	PART_FIRST_WORD,
	PART_REST,
	PART_NEXT_WORD,
	PART_WINDOW,
	PART_MAC,
};

static const struct proof_case {
	const char *name;
	enum proof_part part;
	bool is_of_both; /* the span before is proved by it, too, or the one behind */
	const struct secret *secret;
} proof_cases[] = {
	{ "gzip: another CRC-32 in the index", PART_CRC, false, NULL },
	{ "gzip: other bits of the byte before", PART_HEAD, false, NULL },
	{ "gzip: another state where it starts", PART_FIRST_WORD, true, NULL },
	{ "gzip: other bytes of the last block there", PART_REST, true, NULL },
	{ "gzip: another state where it ends", PART_NEXT_WORD, true, NULL },
	{ "gzip: another window", PART_WINDOW, false, NULL },
	{ "gzip: another CRC-32 beside a MAC", PART_CRC, false, &our_secret },
	{ "gzip: other bits beside a MAC", PART_HEAD, false, &our_secret },
	{ "gzip: another window beside a MAC", PART_WINDOW, false, &our_secret },
	{ "gzip: another MAC", PART_MAC, false, &our_secret },
};

/* Where in the index a byte of that is, of a span in the middle. */
static off_t place_of(const struct layer *layer, uint32_t n, enum proof_part part)
{
	const struct span *span = &layer->spans[n];
	const struct span_state *state = &layer->states[span->state];
	const struct window *window;
	const void *at = NULL;

	switch (part) {
	case PART_CRC:
		at = &span->crc;
		break;
	case PART_HEAD:
		at = &span->head;
		break;
	case PART_FIRST_WORD:
		at = &state->words[0];
		break;
	case PART_REST:
		at = &state->rest[0];
		break;
	case PART_NEXT_WORD:
		at = &state[1].words[7];
		break;
	case PART_WINDOW:
		assert_int_equal(index_window(layer, span->window, &window, &at, NULL), 0);
		at = (const uint8_t *)at + window->len -
		     20; /* in its literals, or what says of them */
		break;
	case PART_MAC:
		at = &span->mac[SPAN_MAC - 1];
		break;
	}
	return (const char *)at - (const char *)layer->mapping;
}

/* One with bits before its first whole byte, and with bytes in its state's last block. */
static uint32_t odd_span(const struct layer *layer)
{
	for (uint32_t i = 1; i + 1 < layer->span_count; i++)
		if (layer->spans[i].bits && layer->spans[i].stored_offset % 64)
			return i;
	fail_msg("no such span");
	return 0;
}

/* An index that is whole, but wrong: whoever wrote it has miscounted. */
static void takes_no_span_for_proved(void **state)
{
	const struct proof_case *row = ((const struct trial *)*state)->row;
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	CLEANUP(pass_release) struct pass pass;
	CLEANUP(layerp) struct layer *layer = NULL;
	struct error err = { "" };
	uint32_t n;
	off_t at;

	make_tar(&plain, 60, 150001);
	add_member(&blob, plain.data, plain.len, 6, Z_DEFAULT_STRATEGY, NULL);
	index_with(&pass, &blob, 0, row->secret);
	layer = open_layer(&pass);
	n = odd_span(layer);
	at = place_of(layer, n, row->part);
	assert_int_equal(decode_all(layer, &pass, &plain), layer->span_count);
	layer_free(TAKE(layer));

	change(pass.index_fd, at, 1);
	seal(pass.index_fd);
	layer = open_layer(&pass);
	layer_set_secret(layer, row->secret);
	assert_int_equal(decode_span(layer, n, &pass, &err), -EBADMSG);
	assert_int_equal(decode_all(layer, &pass, &plain), layer->span_count - 1 - row->is_of_both);
}

/* Behind four counts more of four bytes, five numbers and padding. */
enum { MAC_ORIGIN_AT = WINDOWS_LEN_AT + 8 + 10 * 4 };

/* By other calls than ours, as docs/index-format.md has it. */
static void expect_mac(const struct pass *pass, const struct span *span, uint8_t ret[SPAN_MAC])
{
	int fd = span->in_spool ? pass->spool_fd : pass->blob_fd, n;
	uint8_t nonce[12] = { span->in_spool }, salt[16], keys[32];
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	CLEANUP(freep) uint8_t *stored = malloc(span->stored_len + 1);
	unsigned len;

	assert_non_null(stored);
	assert_int_equal(
		pread(fd, stored, span->stored_len, (off_t)span->stored_offset), span->stored_len);
	for (int i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(span->stored_offset >> (56 - 8 * i));
	assert_int_equal(pread(pass->index_fd, salt, sizeof salt, MAC_ORIGIN_AT), sizeof salt);
	assert_non_null(
		HMAC(EVP_sha256(), our_secret.bytes, SECRET_SIZE, salt, sizeof salt, keys, &len));
	assert_int_equal(len, sizeof keys);
	assert_int_equal(EVP_EncryptInit_ex(cipher, EVP_aes_128_gcm(), NULL, keys, nonce), 1);
	assert_int_equal(EVP_EncryptUpdate(cipher, NULL, &n, stored, (int)span->stored_len), 1);
	assert_int_equal(EVP_EncryptFinal_ex(cipher, NULL, &n), 1);
	assert_int_equal(EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, SPAN_MAC, ret), 1);
	EVP_CIPHER_CTX_free(cipher);
}

static void check_macs(const struct layer *layer, const struct pass *pass)
{
	for (uint32_t i = 0; i < layer->span_count; i++) {
		uint8_t expected[SPAN_MAC];

		if (!layer->spans[i].stored_len) /* all of it are bits that the index has */
			continue;
		expect_mac(pass, &layer->spans[i], expected);
		assert_memory_equal(layer->spans[i].mac, expected, SPAN_MAC);
	}
}

static void makes_macs(void **state)
{
	static const struct secret another = { "0123456789abcdef0123456789abcdE" };
	const struct good_case *row = ((const struct trial *)*state)->row;
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	CLEANUP(pass_release) struct pass pass;
	CLEANUP(pass_release) struct pass again;
	CLEANUP(layerp) struct layer *layer = NULL;

	row->make(&blob, &plain);
	index_with(&pass, &blob, 0, &our_secret);
	layer = open_layer(&pass);
	check_good(row, layer);
	check_macs(layer, &pass);
	layer_set_secret(layer, &our_secret);
	assert_non_null(layer->mac_key);
	check_plain(layer, &pass, &plain);
	layer_set_secret(layer, &another);
	assert_null(layer->mac_key);
	check_plain(layer, &pass, &plain);

	layer_free(TAKE(layer));
	index_blob(&again, &blob, 0);
	layer = open_layer(&again);
	layer_set_secret(layer, &our_secret);
	assert_null(layer->mac_key); /* it was made without */
}

/* Places, states and lengths that do not go together. */
static void refuses_an_index_that_does_not_fit(void **state)
{
	static const struct {
		size_t field;
		uint8_t bit;
	} changes[] = {
		{ offsetof(struct span, plain_offset), 0x10 },
		{ offsetof(struct span, stored_offset), 0x10 },
		{ offsetof(struct span, stored_len), 0x10 },
		{ offsetof(struct span, plain_len), 0x10 },
		{ offsetof(struct span, state), 0x01 },
		{ offsetof(struct span, state), 0x80 },
		{ offsetof(struct span, bits), 0x10 },
		{ offsetof(struct span, head), 0x80 },
	};
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	CLEANUP(pass_release) struct pass pass;
	struct error err = { "" };
	off_t spans;

	(void)state;
	gz_dynamic(&blob, &plain);
	index_blob(&pass, &blob, 0);
	{
		CLEANUP(layerp) struct layer *layer = open_layer(&pass);

		spans = (const char *)layer->spans - (const char *)layer->mapping;
	}
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		off_t at = spans + (off_t)(sizeof(struct span) + changes[i].field);
		struct layer *layer = NULL;

		change(pass.index_fd, at, changes[i].bit);
		seal(pass.index_fd);
		assert_int_equal(layer_open(&layer, pass.index_fd, &pass.digest, &err), -EIO);
		assert_non_null(strstr(err.text, "span"));
		change(pass.index_fd, at, changes[i].bit);
	}
	seal(pass.index_fd);
	layer_free(open_layer(&pass));
}

/* --- every engine against zlib's own gzip --- */

enum { PAGE = 4 * KIB, SMALL_MAX = 64 * KIB, ROOM = 2 * PAGE };

/* The end of room bytes, where what may be touched ends, too. */
static uint8_t *fence_new(size_t room)
{
	uint8_t *start =
		mmap(NULL, room + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(start, MAP_FAILED);
	assert_int_equal(mprotect(start + room, PAGE, PROT_NONE), 0);
	return start + room;
}

/* What inflate() makes of it, without our framing; false: it is refused. */
static bool reference(const struct blob *blob, struct blob *plain)
{
	z_stream z = { .next_in = blob->data, .avail_in = (uInt)blob->len };
	int rc;

	plain->len = 0;
	z.next_out = blob_grow(plain, SMALL_MAX);
	z.avail_out = SMALL_MAX;
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	do {
		rc = inflate(&z, Z_NO_FLUSH);
		if (rc == Z_STREAM_END && z.avail_in && *z.next_in == 0x1f)
			rc = inflateReset(&z);
	} while (rc == Z_OK && z.avail_in);
	plain->len -= z.avail_out;
	for (; z.avail_in && !*z.next_in; z.avail_in--)
		z.next_in++;
	if (z.avail_in || !z.avail_out)
		rc = Z_DATA_ERROR;
	assert_int_equal(inflateEnd(&z), Z_OK);
	return rc == Z_STREAM_END;
}

/* The same by our framing and an engine, in pieces of up to so many bytes, each of which
 * and each bit of room end at a fence. */
static bool engine_gunzip(
	const struct blob *blob, struct blob *plain, size_t piece_max, bool stop_at_blocks)
{
	static uint8_t *in_end, *out_end;
	struct gunzip gunzip;
	struct error err = { "" };
	int event = 0;

	if (!in_end) {
		in_end = fence_new(SMALL_MAX);
		out_end = fence_new(ROOM);
	}
	plain->len = 0;
	assert_int_equal(gunzip_init(&gunzip, 0, true, &err), 0);
	for (size_t done = 0, n; event >= 0 && done < blob->len; done += n) {
		size_t len, room;
		struct bytes in;

		n = 1 + random_next() % piece_max;
		n = n < blob->len - done ? n : blob->len - done;
		in = (struct bytes){ memcpy(in_end - n, blob->data + done, n), n };
		do {
			room = 1 + random_next() % ROOM;
			event = gunzip_step(
				&gunzip, &in, out_end - room, room, stop_at_blocks, &len, &err);
			if (event >= 0)
				blob_add(plain, out_end - room, len);
			assert_true(plain->len <= SMALL_MAX);
		} while (event >= 0 && (in.left || len == room || event == GUNZIP_BLOCK));
	}
	if (event >= 0)
		event = gunzip_finish(&gunzip, &err);
	assert_true(event >= 0 || event == -EIO);
	assert_int_equal(event < 0, *err.text != 0);
	gunzip_release(&gunzip);
	return event >= 0;
}

static void small_dynamic(struct blob *blob, struct blob *plain)
{
	add_text(plain, 2000);
	add_member(blob, plain->data, plain->len, 9, Z_DEFAULT_STRATEGY, NULL);
}

static void small_fixed(struct blob *blob, struct blob *plain)
{
	add_text(plain, 900);
	add_zeroes(plain, 900);
	add_member(blob, plain->data, plain->len, 6, Z_FIXED, NULL);
}

static void small_stored(struct blob *blob, struct blob *plain)
{
	add_random(plain, 700);
	add_member(blob, plain->data, plain->len, 0, Z_DEFAULT_STRATEGY, NULL);
}

static void small_zeroes(struct blob *blob, struct blob *plain)
{
	add_zeroes(plain, 60000);
	add_member(blob, plain->data, plain->len, 9, Z_DEFAULT_STRATEGY, NULL);
}

/* Members of every kind, with all header fields, empty ones, and padding. */
static void small_members(struct blob *blob, struct blob *plain)
{
	uint8_t extra[] = { 'X', 'Y', 2, 0, 1, 2 };
	gz_header header = { .extra = extra,
		.extra_len = sizeof extra,
		.name = (Bytef *)"name",
		.comment = (Bytef *)"comment",
		.hcrc = 1 };

	small_fixed(blob, plain);
	add_member(blob, NULL, 0, 6, Z_DEFAULT_STRATEGY, &header);
	add_text(plain, 300);
	add_member(blob, plain->data + plain->len - 300, 300, 6, Z_DEFAULT_STRATEGY, &header);
	add_random(plain, 100);
	add_member(blob, plain->data + plain->len - 100, 100, 0, Z_DEFAULT_STRATEGY, NULL);
	add_member(blob, NULL, 0, 0, Z_DEFAULT_STRATEGY, NULL);
	add_zeroes(blob, 20);
}

/* Blocks short enough that the ends of several lie in one piece. */
static void small_blocks(struct blob *blob, struct blob *plain)
{
	z_stream z = { 0 };

	add_text(plain, 3000);
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.avail_out = 2 * 3000;
	z.next_out = blob_grow(blob, z.avail_out);
	for (size_t done = 0; done < plain->len; done += 100) {
		z.next_in = plain->data + done;
		z.avail_in = 100;
		assert_int_equal(deflate(&z, done % 300 ? Z_BLOCK : Z_SYNC_FLUSH), Z_OK);
	}
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	blob->len -= z.avail_out;
	assert_int_equal(deflateEnd(&z), Z_OK);
}

static const struct small_case {
	const char *name;
	make_fn *make;
} small_cases[] = {
	{ "gzip agrees with zlib: dynamic blocks", small_dynamic },
	{ "gzip agrees with zlib: fixed blocks", small_fixed },
	{ "gzip agrees with zlib: stored blocks", small_stored },
	{ "gzip agrees with zlib: far more plain bytes", small_zeroes },
	{ "gzip agrees with zlib: members", small_members },
	{ "gzip agrees with zlib: short blocks", small_blocks },
};

/* Nothing is taken that zlib refuses but what has the right checksums all the same. */
static void compare(const struct blob *blob, const struct blob *original, size_t piece_max)
{
	CLEANUP(blob_release) struct blob expected = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	bool is_good = reference(blob, &expected);
	bool is_taken = engine_gunzip(blob, &plain, piece_max, random_next() & 1);

	if (is_good) {
		assert_true(is_taken);
		assert_int_equal(plain.len, expected.len);
		assert_memory_equal(plain.data, expected.data, plain.len);
	} else if (is_taken) {
		assert_int_equal(plain.len, original->len);
		assert_memory_equal(plain.data, original->data, plain.len);
	}
}

/* Whole in pieces of all sizes, cut everywhere, and with a bit of each byte turned at least. */
static void agrees_with_zlib(void **state)
{
	const struct small_case *row = ((const struct trial *)*state)->row;
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	size_t len;

	random_state = 11;
	row->make(&blob, &plain);
	len = blob.len;
	assert_in_range(len, 1, SMALL_MAX);
	for (size_t piece_max = 1; piece_max <= len; piece_max += 1 + piece_max / 8)
		compare(&blob, &plain, piece_max);
	for (blob.len = 1; blob.len < len; blob.len++)
		compare(&blob, &plain, blob.len % 7 ? 1000 : 1);
	for (size_t bit = 0; bit < 8 * len; bit += 5) {
		blob.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		compare(&blob, &plain, bit % 7 ? 1000 : 1);
		blob.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

/* The first bytes of a stream as a block of fixed codes, the others behind it. */
static void add_fixed_blocks(struct blob *blob, const struct blob *plain, size_t first)
{
	z_stream z = { 0 };

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 9, Z_FIXED), Z_OK);
	z.avail_out = 2 * SMALL_MAX;
	z.next_out = blob_grow(blob, z.avail_out);
	z.next_in = plain->data;
	z.avail_in = (uInt)first;
	assert_int_equal(deflate(&z, Z_BLOCK), Z_OK);
	z.avail_in = (uInt)(plain->len - first);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	blob->len -= z.avail_out;
	assert_int_equal(deflateEnd(&z), Z_OK);
}

/* Whoever asks inside a block stops at its end, whatever its codes, and has the window there. */
static void stops_behind_a_block(size_t first)
{
	static uint8_t out[SMALL_MAX], window[SPAN_WINDOW];
	size_t window_len = first < SPAN_WINDOW ? first : SPAN_WINDOW, half, len, left;
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	struct gunzip gunzip;
	struct bytes in;
	struct error err;

	random_state = 17;
	add_text(&plain, 2000);
	add_zeroes(&plain, first - 2000);
	add_text(&plain, 2000);
	add_fixed_blocks(&blob, &plain, first);
	in = (struct bytes){ blob.data, 1 };
	assert_int_equal(gunzip_init(&gunzip, 0, true, &err), 0);
	assert_int_equal(gunzip_step(&gunzip, &in, out, 0, false, &len, &err), GUNZIP_MEMBER);
	in.left = 30;
	assert_int_equal(gunzip_step(&gunzip, &in, out, 0, false, &len, &err), GUNZIP_MORE);
	assert_int_equal(gunzip_step(&gunzip, &in, out, SMALL_MAX, false, &len, &err), GUNZIP_MORE);
	assert_int_equal(in.left, 0);
	half = len;
	in.left = blob.len - 31;
	assert_int_equal(gunzip_step(&gunzip, &in, out + half, SMALL_MAX - half, true, &len, &err),
		GUNZIP_BLOCK);
	assert_int_equal(half + len, first);
	assert_int_equal(gunzip.inflate->ops->window(gunzip.inflate, window), window_len);
	assert_memory_equal(window, plain.data + first - window_len, window_len);
	for (left = plain.len - first; left; left -= len) {
		assert_true(gunzip_step(&gunzip, &in, out + plain.len - left, left, true, &len,
				    &err) >= 0);
		assert_true(len);
	}
	assert_memory_equal(out, plain.data, plain.len);
	gunzip_release(&gunzip);
}

static void stops_behind_the_block(void **state)
{
	(void)state;
	for (size_t i = 0; inflate_engines[i]; i++) {
		inflate_choose(&inflate_engines[i]);
		stops_behind_a_block(2500);  /* less than a window, */
		stops_behind_a_block(42000); /* and more */
	}
	inflate_choose(inflate_engines);
}

/* Bytes that are no gzip but for the header: in bounds, and to an end. */
static void survives_noise(void **state)
{
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	CLEANUP(blob_release) struct blob noise = { 0 };

	(void)state;
	small_dynamic(&blob, &plain);
	random_state = 13;
	for (int round = 0; round < 2000; round++) {
		noise.len = 0;
		blob_add(&noise, blob.data, 10 + random_next() % 100);
		add_random(&noise, random_next() % 2000);
		for (size_t i = 0; inflate_engines[i]; i++) {
			inflate_choose(&inflate_engines[i]);
			compare(&noise, &plain, round % 7 ? 1000 : 1);
		}
	}
	inflate_choose(inflate_engines);
}

/* --- the tree --- */

static void holds_the_tree(void **state)
{
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(blob_release) struct blob plain = { 0 };
	CLEANUP(pass_release) struct pass pass;
	CLEANUP(layerp) struct layer *layer = NULL;
	uint32_t file;

	(void)state;
	gz_dynamic(&blob, &plain);
	index_blob(&pass, &blob, 0);
	layer = open_layer(&pass);
	assert_int_equal(layer->status, 0);
	assert_int_equal(layer->dropped, 0);
	assert_int_equal(layer->tree.entry_count, 1 + 1 + 40);
	file = tree_walk(&layer->tree, "d/file7");
	assert_int_not_equal(file, TREE_NONE);
	assert_int_equal(tree_entry(&layer->tree, file)->size, 150001);
	/* d/, then seven files of a header and 293 blocks each, then its header */
	assert_int_equal(
		tree_entry(&layer->tree, file)->u.data_offset, 512 + 7 * (512 + 293 * 512) + 512);
}

static void holds_an_empty_tree(void **state)
{
	static make_fn *const makes[] = { plain_nothing, gz_nothing };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(makes); i++) {
		CLEANUP(blob_release) struct blob blob = { 0 };
		CLEANUP(blob_release) struct blob plain = { 0 };
		CLEANUP(pass_release) struct pass pass;
		CLEANUP(layerp) struct layer *layer = NULL;

		makes[i](&blob, &plain);
		index_blob(&pass, &blob, 0);
		layer = open_layer(&pass);
		assert_int_equal(layer->status, 0);
		assert_int_equal(layer->tree.entry_count, 1);
	}
}

/* --- collected archives --- */

static struct json_object *member(struct json_object *object, const char *name)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(object, name, &value))
		fail_msg("fixture index: no '%s'", name);
	return value;
}

static const char *text(struct json_object *object, const char *name)
{
	return json_object_get_string(member(object, name));
}

static void read_file(struct blob *blob, const char *directory, const char *name)
{
	char path[4096];
	FILE *file;
	size_t n;

	(void)snprintf(path, sizeof path, "%s/archives/%s", directory, name);
	file = fopen(path, "rb");
	assert_non_null(file);
	do {
		uint8_t piece[4096];

		n = fread(piece, 1, sizeof piece, file);
		blob_add(blob, piece, n);
	} while (n);
	(void)fclose(file);
}

/* The names that another reader lists are in the tree. */
static void check_names(const struct layer *layer, struct json_object *list)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);
		uint32_t found = tree_walk(&layer->tree, text(entry, "name"));

		assert_int_not_equal(found, TREE_NONE);
		if (strcmp(text(entry, "type"), "file") == 0)
			assert_int_equal(tree_entry(&layer->tree, found)->size,
				json_object_get_int64(member(entry, "size")));
	}
}

static void check_fixture(const char *directory, const char *name, struct json_object *expect)
{
	CLEANUP(blob_release) struct blob blob = { 0 };
	CLEANUP(pass_release) struct pass pass;
	CLEANUP(layerp) struct layer *layer = NULL;
	struct json_object *stream = member(expect, "stream");
	char hex[DIGEST_HEX_MAX];

	read_file(&blob, directory, name);
	index_blob(&pass, &blob, 5);
	layer = open_layer(&pass);
	if (strcmp(text(expect, "verdict"), "invalid") == 0) {
		assert_true(layer->status < 0);
		assert_false(digest_is_set(&layer->diff_id));
		return;
	}
	assert_true(digest_is_set(&layer->diff_id));
	assert_string_equal(digest_hex(&layer->diff_id, hex), text(stream, "sha256"));
	assert_int_equal(layer->plain_size, json_object_get_int64(member(stream, "length")));
	if (strcmp(text(expect, "kind"), "tar") != 0)
		return;
	assert_int_equal(layer->status, 0);
	check_names(layer, member(member(expect, "python"), "list"));
}

static bool ends_in(const char *name, const char *suffix)
{
	size_t len = strlen(name), suffix_len = strlen(suffix);

	return len >= suffix_len && strcmp(name + len - suffix_len, suffix) == 0;
}

static void agrees_with_other_readers(void **state)
{
	const char *directory = getenv("IMGFS_FIXTURES");
	struct json_object *root;
	char path[4096];
	int checked = 0;

	(void)state;
	if (!directory) {
		print_message("IMGFS_FIXTURES is not set\n");
		skip();
		return;
	}
	(void)snprintf(path, sizeof path, "%s/archives/EXPECT/INDEX.json", directory);
	root = json_object_from_file(path);
	assert_non_null(root);
	json_object_object_foreach(member(root, "archives"), name, expect)
	{
		if (ends_in(name, "gz") || ends_in(name, ".zst")) {
			check_fixture(directory, name, expect);
			checked++;
		}
	}
	json_object_put(root);
	assert_true(checked > 0);
}

static const struct CMUnitTest single_tests[] = {
	cmocka_unit_test(padding_belongs_to_no_span),
	cmocka_unit_test(proves_spans_of_a_sha512_blob),
	cmocka_unit_test(refuses_an_index_that_does_not_fit),
	cmocka_unit_test(verifies_the_blob),
	cmocka_unit_test(verifies_a_plain_blob),
	cmocka_unit_test(ends_without_a_spool),
	cmocka_unit_test(ends_beyond_a_limit),
	cmocka_unit_test(windows_leave_memory),
	cmocka_unit_test(windows_stay_where_nothing_has_room),
	cmocka_unit_test(runs_out_of_windows),
	cmocka_unit_test(finds_out_the_digest),
	cmocka_unit_test(ends_when_cancelled),
	cmocka_unit_test(notices_a_damaged_index),
	cmocka_unit_test(an_unreadable_window_is_a_damaged_one),
	cmocka_unit_test(verifies_all_that_opening_does_not),
	cmocka_unit_test(verifies_the_spool),
	cmocka_unit_test(notices_a_cut_index),
	cmocka_unit_test(refuses_another_blobs_index),
	cmocka_unit_test(stops_behind_the_block),
	cmocka_unit_test(survives_noise),
	cmocka_unit_test(holds_the_tree),
	cmocka_unit_test(holds_an_empty_tree),
	cmocka_unit_test(agrees_with_other_readers),
};

enum { ENGINES_MAX = 2 };

static struct trial
	trials[ENGINES_MAX *
		(2 * ARRAY_SIZE(good_cases) + ARRAY_SIZE(bad_cases) + ARRAY_SIZE(damage_cases) +
			ARRAY_SIZE(small_cases) + ARRAY_SIZE(proof_cases) + 1)];
static struct CMUnitTest tests[ARRAY_SIZE(trials) + ARRAY_SIZE(single_tests)];
static size_t trial_count;

/* One test for each engine, if that matters to the row: the names begin with the codec. */
static void add_trials(const char *name, const char *how, CMUnitTestFunction test, const void *row)
{
	for (size_t i = 0; inflate_engines[i]; i++) {
		struct trial *trial = &trials[trial_count];

		if (i && !strstr(name, "gzip"))
			return;
		*trial = (struct trial){ .row = row, .engine = &inflate_engines[i] };
		(void)snprintf(trial->name, sizeof trial->name, "%s%s (%s)", name, how,
			inflate_engines[i]->name);
		tests[trial_count++] = (struct CMUnitTest){ .name = trial->name,
			.test_func = test,
			.setup_func = choose,
			.teardown_func = choose_first,
			.initial_state = trial };
	}
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(good_cases); i++)
		add_trials(good_cases[i].name, "", indexes, &good_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(good_cases); i++)
		add_trials(good_cases[i].name, ", with MACs", makes_macs, &good_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad_cases); i++)
		add_trials(bad_cases[i].name, "", refuses, &bad_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(damage_cases); i++)
		add_trials(damage_cases[i].name, "", notices_a_damaged_blob, &damage_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(small_cases); i++)
		add_trials(small_cases[i].name, "", agrees_with_zlib, &small_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(proof_cases); i++)
		add_trials(proof_cases[i].name, "", takes_no_span_for_proved, &proof_cases[i]);
	add_trials("gzip: places around a piece's end", "", finds_places_around_a_pieces_end, NULL);
	memcpy(tests + trial_count, single_tests, sizeof single_tests);
	return _cmocka_run_group_tests(
		"layer", tests, trial_count + ARRAY_SIZE(single_tests), NULL, NULL);
}
