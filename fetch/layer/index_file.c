/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index file, in the machine's byte order
 *
 *	| struct index_header | tree, padded to 8 | spans | states | window table | window bytes |
 *	 <------------------- the checksum's part ------------------------------->
 *
 * Every part begins where the one before ends, and the last one ends with the file, so the
 * header needs lengths only.  The checksum is taken with its own place zeroed.  The windows have
 * one of their own, which nobody waits for who opens an index. Record sizes are in the header as
 * well: another compiler's structs are another version.
 */
#include "fetch/layer/internal.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fetch/at.h"

enum { BYTE_ORDER_MARK = 0x01020304, ERRNO_MAX = 4095 };

static const char index_magic[8] = "imgfsidx";

struct index_header {
	char magic[8];
	uint32_t version;
	uint32_t byte_order;
	uint32_t span_record, tree_record; /* sizes of struct span, struct tree_entry */
	uint8_t checksum[32];              /* sha256 */
	uint64_t stored_size, plain_size, spool_size;
	uint64_t tree_len;    /* 0 when there is no tree */
	uint64_t windows_len; /* of the window bytes */
	uint32_t span_count, window_count;
	uint32_t coding;
	int32_t status;
	uint32_t dropped;
	uint32_t digest_algorithm, diff_id_algorithm;
	uint32_t windows_crc; /* CRC-32 of the window bytes, as in RFC 1952 */
	uint32_t state_count, pad;
	struct mac_origin mac_origin;
	uint8_t digest[DIGEST_BYTES_MAX], diff_id[DIGEST_BYTES_MAX];
	char message[sizeof((struct layer *)0)->message];
};

_Static_assert(sizeof(struct index_header) % 8 == 0, "the tree image is aligned to 8");
_Static_assert(sizeof(struct span) == 64, "no holes: spans are written as they are");
_Static_assert(sizeof(struct span_state) == 104, "nor in states");

/* Where the parts begin, from the start of the file. */
struct index_places {
	uint64_t tree, spans, states, window_table, windows, end;
};

/* None of the sums can overflow: a tree and windows are shorter than a file can be (the
 * caller has made sure), and the counts have 32 bits. */
static struct index_places places_of(const struct index_header *header)
{
	struct index_places places;

	places.tree = sizeof *header;
	places.spans = places.tree + (header->tree_len + 7) / 8 * 8;
	places.states = places.spans + (uint64_t)header->span_count * sizeof(struct span);
	places.window_table =
		places.states + (uint64_t)header->state_count * sizeof(struct span_state);
	places.windows =
		places.window_table + (uint64_t)header->window_count * sizeof(struct window);
	places.end = places.windows + header->windows_len;
	return places;
}

/* --- writing --- */

int index_write_at(int fd, const void *bytes, size_t len, uint64_t offset, struct error *err)
{
	int code = -write_at(fd, bytes, len, offset);

	/* EFBIG, of RLIMIT_FSIZE, is no limit of a format. */
	return code ? error_set(err, code == EFBIG ? ENOSPC : code, "write: %s", strerror(code))
		    : 0;
}

static struct index_header header_of(const struct index_parts *parts)
{
	const struct layer *layer = parts->layer;
	struct index_header header = {
		.version = LAYER_INDEX_VERSION,
		.byte_order = BYTE_ORDER_MARK,
		.span_record = sizeof(struct span),
		.tree_record = sizeof(struct tree_entry),
		.stored_size = layer->stored_size,
		.plain_size = layer->plain_size,
		.spool_size = parts->spool_size,
		.tree_len = parts->tree_len,
		.windows_len = parts->windows_len,
		.windows_crc = parts->windows_crc,
		.span_count = parts->span_count,
		.window_count = parts->window_count,
		.state_count = parts->stored_state_count + parts->plain_state_count,
		.coding = layer->coding,
		.status = layer->status,
		.dropped = layer->dropped,
		.digest_algorithm = layer->digest.algorithm,
		.diff_id_algorithm = layer->diff_id.algorithm,
		.mac_origin = parts->mac_origin,
	};

	memcpy(header.magic, index_magic, sizeof header.magic);
	memcpy(header.digest, layer->digest.bytes, sizeof header.digest);
	memcpy(header.diff_id, layer->diff_id.bytes, sizeof header.diff_id);
	memcpy(header.message, layer->message, sizeof header.message);
	return header;
}

CLEANUP_POINTER(hasherp, struct hasher, hasher_free)

int index_write(int fd, const struct index_parts *parts, struct error *err)
{
	static const uint8_t zeroes[8];
	struct index_header header = header_of(parts);
	struct index_places places = places_of(&header);
	uint64_t stored_states_len = parts->stored_state_count * sizeof *parts->stored_states;
	const struct {
		const void *bytes;
		uint64_t len, offset;
	} pieces[] = {
		{ &header, sizeof header, 0 },
		{ parts->tree, parts->tree_len, places.tree },
		{ zeroes, places.spans - places.tree - parts->tree_len,
			places.tree + parts->tree_len },
		{ parts->spans, places.states - places.spans, places.spans },
		{ parts->stored_states, stored_states_len, places.states },
		{ parts->plain_states, places.window_table - places.states - stored_states_len,
			places.states + stored_states_len },
		{ parts->window_table, places.windows - places.window_table, places.window_table },
	};
	CLEANUP(hasherp) struct hasher *hasher = NULL;
	struct digest checksum;
	int rc;

	rc = hasher_new(&hasher, DIGEST_SHA256, err);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(pieces); i++)
		rc = hasher_update(hasher, pieces[i].bytes, pieces[i].len, err);
	if (!rc)
		rc = hasher_final(hasher, &checksum, err);
	if (rc)
		return rc;
	memcpy(header.checksum, checksum.bytes, sizeof header.checksum);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(pieces); i++)
		rc = index_write_at(fd, pieces[i].bytes, pieces[i].len, pieces[i].offset, err);
	if (!rc && parts->windows)
		rc = windows_write(parts->windows, fd, places.windows, err);
	return rc ? error_prefix(err, rc, "layer index") : 0;
}

/* --- reading --- */

static int damaged(struct error *err, const char *what)
{
	return error_set(err, EIO, "layer index: %s", what);
}

static int map_file(struct layer *layer, int fd, struct error *err)
{
	struct stat st;
	void *mapping;

	if (fstat(fd, &st) < 0)
		return error_set(err, EIO, "layer index: stat: %m");
	if (st.st_size < (off_t)sizeof(struct index_header))
		return damaged(err, "too short");
	mapping = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (mapping == MAP_FAILED)
		return error_set(err, errno == ENOMEM ? ENOMEM : EIO, "layer index: mmap: %m");
	layer->mapping = mapping;
	layer->mapping_len = (size_t)st.st_size;
	return 0;
}

/* Reads what lies there into memory, as far as that can fail: a page that the disk does not give,
 * or that was cut off, would be a SIGBUS at the first touch.  madvise(2), MADV_POPULATE_READ;
 * kernels before 5.14 do not know it. */
static int fault_in(const struct layer *layer, uint64_t offset, uint64_t len, struct error *err)
{
	uint64_t begin = offset & ~((uint64_t)sysconf(_SC_PAGESIZE) - 1);
	char *page = (char *)layer->mapping + begin;

	if (!madvise(page, (size_t)(offset + len - begin), MADV_POPULATE_READ) || errno != EFAULT)
		return 0;
	return error_set(err, EIO, "layer index: cannot be read at %" PRIu64, offset);
}

static int check_shape(const struct index_header *header, size_t len, struct error *err)
{
	if (memcmp(header->magic, index_magic, sizeof index_magic) != 0 ||
		header->version != LAYER_INDEX_VERSION || header->byte_order != BYTE_ORDER_MARK ||
		header->span_record != sizeof(struct span) ||
		header->tree_record != sizeof(struct tree_entry))
		return damaged(err, "not of this version or machine");
	if (header->tree_len > len || header->windows_len > len || places_of(header).end != len)
		return damaged(err, "its lengths and the file's do not agree");
	return 0;
}

static int check_checksum(const struct index_header *header, struct error *err)
{
	struct index_header zeroed = *header;
	CLEANUP(hasherp) struct hasher *hasher = NULL;
	struct digest checksum;
	int rc;

	memset(zeroed.checksum, 0, sizeof zeroed.checksum);
	rc = hasher_new(&hasher, DIGEST_SHA256, err);
	if (!rc)
		rc = hasher_update(hasher, &zeroed, sizeof zeroed, err);
	if (!rc)
		rc = hasher_update(
			hasher, header + 1, places_of(header).windows - sizeof *header, err);
	if (!rc)
		rc = hasher_final(hasher, &checksum, err);
	if (rc)
		return rc;
	if (memcmp(checksum.bytes, header->checksum, sizeof header->checksum) != 0)
		return damaged(err, "its checksum is wrong");
	return 0;
}

static int check_header(const struct index_header *header, struct error *err)
{
	if (header->status > 0 || header->status < -ERRNO_MAX ||
		(header->status == 0) != (header->tree_len > 0))
		return damaged(err, "bad status");
	if (header->coding > CODING_BZIP2 || header->plain_size > INDEXER_PLAIN_MAX ||
		header->digest_algorithm > DIGEST_SHA512 ||
		(header->diff_id_algorithm != DIGEST_SHA256 &&
			(header->diff_id_algorithm != DIGEST_NONE || header->span_count)))
		return damaged(err, "bad header");
	if (!memchr(header->message, '\0', sizeof header->message))
		return damaged(err, "bad message");
	return 0;
}

/* Its states are those of the places where it starts and ends. */
static bool states_are_valid(
	const struct layer *layer, const struct index_header *header, const struct span *span)
{
	uint64_t offset = span->in_spool ? span->plain_offset : span->stored_offset;
	uint64_t len = span->in_spool ? span->plain_len : span->stored_len;
	const struct span_state *state = layer->states;

	if (span->state >= header->state_count || header->state_count - span->state < 2)
		return false;
	state += span->state;
	return state[0].place == offset && state[1].place == offset + len;
}

static bool span_is_valid(const struct index_header *header, const struct span *span)
{
	uint64_t size = span->in_spool ? header->spool_size : header->stored_size;

	if (!span->plain_len || span->plain_len > SPAN_SIZE_MAX)
		return false;
	if (span->stored_offset > size || span->stored_len > size - span->stored_offset)
		return false;
	if (span->in_spool > 1 || (span->in_spool && span->start != SPAN_ZSTD))
		return false;
	if (span->bits > 7 || span->head >> span->bits)
		return false;
	if (span->window != UINT32_MAX &&
		(span->window >= header->window_count || span->start != SPAN_DEFLATE))
		return false;
	switch ((enum span_start)span->start) {
	case SPAN_STORED:
		return span->stored_len == span->plain_len;
	case SPAN_DEFLATE:
	case SPAN_GZIP:
	case SPAN_ZSTD:
		return true;
	}
	return false;
}

/* Spans cover the plain stream without gaps, in order. */
static int check_spans(struct layer *layer, const struct index_header *header, struct error *err)
{
	uint64_t covered = 0;

	for (uint32_t i = 0; i < layer->span_count; i++) {
		const struct span *span = &layer->spans[i];

		if (span->plain_offset != covered || !span_is_valid(header, span) ||
			!states_are_valid(layer, header, span))
			return damaged(err, "bad span");
		covered += span->plain_len;
		layer->needs_spool |= span->in_spool;
	}
	return covered == header->plain_size ? 0 : damaged(err, "spans do not fit");
}

static int check_windows(const struct index_header *header, const void *base, struct error *err)
{
	const struct window *table =
		(const void *)((const char *)base + places_of(header).window_table);

	for (uint32_t i = 0; i < header->window_count; i++) {
		const struct window *window = &table[i];

		if (window->offset > header->windows_len ||
			window->len > header->windows_len - window->offset || !window->plain_len ||
			window->plain_len > SPAN_WINDOW)
			return damaged(err, "bad window");
	}
	return 0;
}

/* What the tree says of the plain stream lies inside it. */
static int check_tree(const struct layer *layer, struct error *err)
{
	const struct tree *tree = &layer->tree;

	for (uint32_t i = 0; i < tree->entry_count; i++) {
		struct tree_segment single;
		const struct tree_segment *segments;
		uint32_t count;

		if (!S_ISREG(tree_entry(tree, i)->mode))
			continue;
		segments = tree_segments(tree, i, &single, &count);
		for (uint32_t k = 0; k < count; k++)
			if (segments[k].data_offset > layer->plain_size ||
				segments[k].size > layer->plain_size - segments[k].data_offset)
				return damaged(err, "a file lies outside of the layer");
	}
	return 0;
}

static struct digest digest_from(uint32_t algorithm, const uint8_t *bytes)
{
	struct digest digest = { .algorithm = (enum digest_algorithm)algorithm };

	memcpy(digest.bytes, bytes, digest_size(digest.algorithm));
	return digest;
}

static void fill_layer(struct layer *layer, const struct index_header *header)
{
	layer->digest = digest_from(header->digest_algorithm, header->digest);
	if (header->diff_id_algorithm != DIGEST_NONE)
		layer->diff_id = digest_from(header->diff_id_algorithm, header->diff_id);
	layer->stored_size = header->stored_size;
	layer->plain_size = header->plain_size;
	layer->coding = (enum media_coding)header->coding;
	layer->status = header->status;
	memcpy(layer->message, header->message, sizeof layer->message);
	layer->dropped = header->dropped;
	layer->spans = (const void *)((const char *)header + places_of(header).spans);
	layer->states = (const void *)((const char *)header + places_of(header).states);
	layer->span_count = header->span_count;
}

static int load(struct layer *layer, const struct digest *digest, struct error *err)
{
	const struct index_header *header = layer->mapping;
	int rc;

	rc = fault_in(layer, 0, sizeof *header, err);
	if (!rc)
		rc = check_shape(header, layer->mapping_len, err);
	if (!rc)
		rc = fault_in(layer, 0, places_of(header).windows, err);
	if (!rc)
		rc = check_checksum(header, err);
	if (!rc)
		rc = check_header(header, err);
	if (rc)
		return rc;
	fill_layer(layer, header);
	if (digest && !digest_equal(&layer->digest, digest))
		return damaged(err, "of another blob");
	rc = check_spans(layer, header, err);
	if (!rc)
		rc = check_windows(header, layer->mapping, err);
	if (rc || layer->status)
		return rc;
	rc = tree_open(&layer->tree, header + 1, header->tree_len, err);
	return rc ? error_prefix(err, rc, "layer index") : check_tree(layer, err);
}

CLEANUP_POINTER(layerp, struct layer, layer_free)

int layer_open(struct layer **ret, int fd, const struct digest *digest, struct error *err)
{
	CLEANUP(layerp) struct layer *layer = calloc(1, sizeof *layer);
	int rc;

	if (!layer)
		return error_set(err, ENOMEM, "layer index: out of memory");
	rc = map_file(layer, fd, err);
	if (!rc)
		rc = load(layer, digest, err);
	if (rc)
		return rc;
	*ret = TAKE(layer);
	return 0;
}

void layer_set_secret(struct layer *layer, const struct secret *secret)
{
	const struct index_header *header = layer->mapping;

	mac_key_free(layer->mac_key);
	layer->mac_key = !secret ? NULL : mac_key_again(secret, &header->mac_origin);
}

void layer_free(struct layer *layer)
{
	if (!layer)
		return;
	mac_key_free(layer->mac_key);
	if (layer->mapping)
		(void)munmap(layer->mapping, layer->mapping_len);
	free(layer);
}

int index_check_windows(const struct layer *layer, struct error *err)
{
	const struct index_header *header = layer->mapping;
	uint64_t offset = places_of(header).windows;
	const uint8_t *windows = (const uint8_t *)layer->mapping + offset;

	if (fault_in(layer, offset, header->windows_len, err))
		return -EBADMSG;
	if (inflate_engine()->crc32(0, windows, header->windows_len) != header->windows_crc)
		return error_set(err, EBADMSG, "layer index: the windows' checksum is wrong");
	return 0;
}

int index_window(const struct layer *layer, uint32_t n, const struct window **ret,
	const void **ret_bytes, struct error *err)
{
	const struct index_header *header = layer->mapping;
	struct index_places places = places_of(header);
	const char *base = layer->mapping;
	const struct window *window = (const struct window *)(base + places.window_table) + n;
	int rc = fault_in(layer, places.windows + window->offset, window->len, err);

	if (rc)
		return rc;
	*ret = window;
	*ret_bytes = base + places.windows + window->offset;
	return 0;
}

uint32_t layer_span_at(const struct layer *layer, uint64_t plain_offset)
{
	uint32_t low = 0, high = layer->span_count;

	/* spans[low] begins at or before the offset, spans[high] behind it. */
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (layer->spans[middle].plain_offset <= plain_offset)
			low = middle;
		else
			high = middle;
	}
	return low;
}
