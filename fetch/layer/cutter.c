/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The current span grows in the buffer until there is a place where the next one can
 * start:
 *
 *	              boundary, long enough: the span is stored_offset..stored_end
 *	            +--+
 *	            v  |            the buffer is full
 *	   start: [ in the blob ] -----------------------> [ in the spool ]
 *	            ^                                        |  ^  |
 *	            +----------------------------------------+  +--+
 *	              boundary                                buffer has SPAN_SIZE_MIN
 *
 * While a span is hashed on another thread, the next one grows in a second buffer.
 *
 * A full buffer is written to the spool as spans of SPAN_SIZE_MIN, each a zstd frame; from
 * then on, what comes goes there as well, up to the next boundary.  Where spans end
 * depends on the bytes alone, not on the pieces they came in.
 */
#include "fetch/layer/internal.h"

#include <inttypes.h>
#include <string.h>

#include "fetch/cancel.h"

void cutter_init(struct cutter *cutter, struct hashing *hashing, indexer_spool_fn *spool,
	void *spool_context)
{
	*cutter = (struct cutter){
		.hashing = hashing,
		.span = { .window = UINT32_MAX },
		.limit = SPAN_SIZE_MAX,
		.span_min = SPAN_SIZE_MIN,
		.spool = spool,
		.spool_context = spool_context,
		.plain_max = UINT64_MAX,
	};
}

void cutter_release(struct cutter *cutter)
{
	free(cutter->buffer);
	free(cutter->other);
	free(cutter->spans);
	for (size_t i = 0; i < ARRAY_SIZE(cutter->window_slots); i++)
		free(cutter->window_slots[i].bytes);
	(void)ZSTD_freeCCtx(cutter->compressor);
	free(cutter->scratch);
	EVP_MAC_CTX_free(cutter->mac);
}

/* The pass ends here, through no fault of the blob. */
static int broken(struct cutter *cutter, int rc)
{
	return cutter->broken = rc;
}

static int out_of_memory(struct cutter *cutter, struct error *err)
{
	return broken(cutter, error_set(err, ENOMEM, "index a layer: out of memory"));
}

int cutter_set_key(struct cutter *cutter, const struct mac_key *key, struct error *err)
{
	cutter->mac = mac_new(key);
	return cutter->mac ? 0 : out_of_memory(cutter, err);
}

int cutter_keep(struct cutter *cutter, uint32_t limit, struct error *err)
{
	cutter->limit = limit;
	cutter->buffer = malloc(limit); /* pages that are not needed are not touched */
	cutter->scratch = malloc(ZSTD_compressBound(SPAN_SIZE_MIN));
	cutter->compressor = ZSTD_createCCtx();
	if (!cutter->buffer || !cutter->scratch || !cutter->compressor)
		return out_of_memory(cutter, err);
	return 0;
}

int cutter_spool(struct cutter *cutter, struct error *err)
{
	cutter->span.start = SPAN_ZSTD;
	cutter->span.in_spool = true;
	return cutter_keep(cutter, SPAN_SIZE_MIN, err);
}

void *table_grow(void *array, size_t element, uint32_t count, uint32_t *capacity)
{
	uint32_t wanted = *capacity ? *capacity * 2 : 64;
	void *grown;

	if (count < *capacity)
		return array;
	grown = reallocarray(array, wanted, element);
	if (grown)
		*capacity = wanted;
	return grown;
}

/* The span is complete: into the table with it, and on to the next. */
static int push_span(struct cutter *cutter, struct error *err)
{
	struct span *span = &cutter->span;
	struct span *spans = table_grow(
		cutter->spans, sizeof *spans, cutter->span_count, &cutter->span_capacity);

	if (!spans)
		return out_of_memory(cutter, err);
	cutter->spans = spans;
	spans[cutter->span_count++] = *span;
	*span = (struct span){
		.plain_offset = span->plain_offset + span->plain_len,
		.window = UINT32_MAX,
		.start = span->start,
		.in_spool = span->in_spool,
	};
	return 0;
}

/* The spans in the buffer are complete, and hashed up to number; the next ones begin in a
 * buffer that nobody reads. */
static int change_buffer(struct cutter *cutter, uint64_t number, struct error *err)
{
	uint8_t *next = cutter->other;

	if (!number)
		return 0;
	if (!next)
		next = malloc(cutter->limit);
	if (!next)
		return out_of_memory(cutter, err);
	hashing_wait(cutter->hashing, cutter->other_until);
	cutter->other = cutter->buffer;
	cutter->other_until = number;
	cutter->buffer = next;
	return 0;
}

static int write_spool(struct cutter *cutter, size_t len, struct error *err)
{
	int fd = cutter->spool(cutter->spool_context, cutter->spool_size + len, err), rc;

	if (fd < 0)
		return broken(cutter, fd == -1 ? -EIO : fd);
	rc = index_write_at(fd, cutter->scratch, len, cutter->spool_size, err);
	return rc ? broken(cutter, error_prefix(err, rc, "spool")) : 0;
}

/* Of the scratch, as it goes to the spool. */
static int make_mac(struct cutter *cutter, size_t len, uint8_t ret[static SPAN_MAC])
{
	int rc = 0;

	if (!cutter->mac)
		return 0;
	rc = mac_begin(cutter->mac, true, cutter->spool_size);
	if (!rc)
		rc = mac_update(cutter->mac, cutter->scratch, len);
	return rc ? rc : mac_end(cutter->mac, ret);
}

/* Writes the current span, whose bytes are at plain, to the spool. */
static int spool_span(struct cutter *cutter, const uint8_t *plain, struct error *err)
{
	struct span *span = &cutter->span;
	size_t len;
	int rc;

	len = ZSTD_compressCCtx(cutter->compressor, cutter->scratch,
		ZSTD_compressBound(SPAN_SIZE_MIN), plain, span->plain_len, COMPRESSION_LEVEL);
	if (ZSTD_isError(len))
		return broken(cutter, zstd_error(len, err));
	if (make_mac(cutter, len, span->mac))
		return out_of_memory(cutter, err);
	rc = write_spool(cutter, len, err);
	if (rc)
		return rc;
	span->start = SPAN_ZSTD;
	span->bits = span->head = 0;
	span->crc = 0;
	span->window = UINT32_MAX;
	span->in_spool = true;
	span->stored_offset = cutter->spool_size;
	span->stored_len = len;
	cutter->spool_size += len;
	return push_span(cutter, err);
}

/* A span in the blob may start or end here. */
static int mark(struct cutter *cutter, uint64_t stored, struct error *err)
{
	return hashing_mark(cutter->hashing, stored) ? out_of_memory(cutter, err) : 0;
}

/* The buffer is full and no place to start was met. */
static int spool_buffer(struct cutter *cutter, struct error *err)
{
	uint32_t len = cutter->span.plain_len;
	uint64_t number = 0;
	int rc = 0;

	for (uint32_t done = 0; !rc && done < len; done += SPAN_SIZE_MIN) {
		const uint8_t *plain = cutter->buffer + done;

		number = hashing_post(cutter->hashing, HASH_SPOOLED, plain, SPAN_SIZE_MIN);
		cutter->span.plain_len = SPAN_SIZE_MIN;
		rc = spool_span(cutter, plain, err);
	}
	return rc ? rc : change_buffer(cutter, number, err);
}

/* The current span ends here. */
static int cut(struct cutter *cutter, uint64_t stored_end, struct error *err)
{
	struct span *span = &cutter->span;
	uint64_t number = 0;
	int rc;

	if (cutter->buffer)
		number = hashing_post(cutter->hashing, span->in_spool ? HASH_SPOOLED : HASH_PLAIN,
			cutter->buffer, span->plain_len);
	if (!span->in_spool)
		span->stored_len = stored_end - span->stored_offset;
	rc = span->in_spool ? spool_span(cutter, cutter->buffer, err) : push_span(cutter, err);
	return rc ? rc : change_buffer(cutter, number, err);
}

/* So many more bytes belong to the current span. */
static int account(struct cutter *cutter, size_t len, struct error *err)
{
	if (cancel_is_set(cutter->cancel))
		return broken(cutter, error_set(err, EINTR, "cancelled"));
	if (cutter->span.plain_offset + cutter->span.plain_len + len > INDEXER_PLAIN_MAX)
		return error_set(
			err, EFBIG, "more than %" PRIu64 " bytes uncompressed", INDEXER_PLAIN_MAX);
	cutter->span.plain_len += (uint32_t)len;
	return 0;
}

uint8_t *cutter_room(struct cutter *cutter, size_t *ret_room)
{
	uint32_t limit = cutter->span.in_spool ? SPAN_SIZE_MIN : cutter->limit;

	*ret_room = limit - cutter->span.plain_len;
	return cutter->buffer + cutter->span.plain_len;
}

int cutter_put(struct cutter *cutter, size_t n, struct error *err)
{
	uint64_t before = cutter->span.plain_offset + cutter->span.plain_len;
	size_t room;
	int rc;

	if (!n)
		return 0;
	if (before + n > cutter->plain_max)
		return broken(
			cutter, error_set(err, EFBIG, "more than %" PRIu64 " bytes uncompressed",
					cutter->plain_max));
	(void)cutter_room(cutter, &room);
	rc = account(cutter, n, err);
	return !rc && n == room ? spool_buffer(cutter, err) : rc;
}

int cutter_pass(struct cutter *cutter, const void *bytes, size_t len, struct error *err)
{
	int rc;

	rc = account(cutter, len, err);
	if (rc)
		return broken(cutter, rc);
	(void)hashing_post(cutter->hashing, HASH_PLAIN, bytes, len);
	return 0;
}

static int add_window(struct cutter *cutter, const void *plain, size_t plain_len, struct error *err)
{
	struct window_slot *slot =
		&cutter->window_slots[cutter->window_count % ARRAY_SIZE(cutter->window_slots)];

	if (!slot->bytes)
		slot->bytes = malloc(SPAN_WINDOW);
	if (!slot->bytes)
		return out_of_memory(cutter, err);
	hashing_wait(cutter->hashing, slot->until);
	memcpy(slot->bytes, plain, plain_len);
	slot->until = hashing_post(cutter->hashing, HASH_WINDOW, slot->bytes, plain_len);
	cutter->span.window = cutter->window_count++;
	return 0;
}

/* The longer the layer, the longer its spans: the windows stay in bounds. */
static void adapt_span_min(struct cutter *cutter)
{
	uint32_t doublings = cutter->window_count / WINDOWS_STEP;

	if (doublings > SPAN_SIZE_DOUBLINGS)
		doublings = SPAN_SIZE_DOUBLINGS;
	cutter->span_min = (uint32_t)SPAN_SIZE_MIN << doublings;
}

int cutter_boundary(struct cutter *cutter, const struct span *start, const void *window,
	size_t window_len, struct error *err)
{
	struct span *span = &cutter->span;
	int rc;

	if (!span->in_spool && span->plain_len < cutter->span_min)
		return 0;
	if (window_len && cutter->window_count == WINDOWS_MAX)
		return 0;
	rc = mark(cutter, start->stored_offset, err);
	if (!rc && span->plain_len)
		rc = cut(cutter, start->stored_offset, err);
	if (rc)
		return rc;
	span->stored_offset = start->stored_offset;
	span->start = start->start;
	span->bits = start->bits;
	span->head = start->head;
	span->in_spool = false;
	span->window = UINT32_MAX;
	if (!window_len)
		return 0;
	rc = add_window(cutter, window, window_len, err);
	adapt_span_min(cutter);
	return rc;
}

int cutter_finish(struct cutter *cutter, uint64_t stored_end, struct error *err)
{
	int rc;

	if (!cutter->span.plain_len)
		return 0;
	rc = mark(cutter, stored_end, err);
	return rc ? rc : cut(cutter, stored_end, err);
}
