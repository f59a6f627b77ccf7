/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain stream of a compressed archive: spans are decoded as they are asked for, and a few
 * of them kept.
 *
 *	EMPTY --slot_get()--> DECODING --decoded--> READY --another span--> DECODING
 *	  ^                       |
 *	  +--------failed---------+
 *
 * A span is in one slot at most, so nobody decodes what somebody else is at: who wants it waits
 * for its slot.  A slot that is being read, or decoded into, is not given to another span.
 *
 * Layers inside are indexed side by side, a piece of a span at a time, by as many threads as there
 * are processors: with fewer slots than that each would throw out the span of the next.
 */
#include "fetch/bundle/internal.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "fetch/layer/layer.h"
#include "fetch/observer.h"

enum slot_state { SLOT_EMPTY, SLOT_DECODING, SLOT_READY };

struct slot {
	enum slot_state state; /* under lock */
	uint32_t span;         /* under lock */
	unsigned users;        /* under lock; who reads it, or decodes into it */
	uint64_t used;         /* under lock; a number that grows with each use */
	char *plain;           /* its users' */
};

struct spans {
	struct reader base;
	struct reader *stored;
	struct archive_index idx;
	struct cache *cache;       /* may be NULL */
	struct observer *observer; /* may be NULL */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a slot became ready, or free */
	uint64_t uses;          /* under lock */
	size_t slot_count;
	struct slot slots[];
};

static struct spans *spans_of(struct reader *reader)
{
	return container_of(reader, struct spans, base);
}

/* --- slots --- */

/* The slot to use for a span; NULL: there is none now.  Under lock. */
static struct slot *choose(struct spans *spans, uint32_t span)
{
	struct slot *oldest = NULL;

	for (size_t i = 0; i < spans->slot_count; i++) {
		struct slot *slot = &spans->slots[i];

		if (slot->state != SLOT_EMPTY && slot->span == span)
			return slot->state == SLOT_READY ? slot : NULL;
		if (!slot->users && (!oldest || slot->used < oldest->used))
			oldest = slot;
	}
	return oldest;
}

/* Into a slot that is nobody else's.  Not under lock. */
static int decode(struct spans *spans, struct slot *slot, uint32_t span, struct error *err)
{
	const struct layer *layer = spans->idx.layer;
	int rc;

	free(slot->plain);
	slot->plain = malloc(layer->spans[span].plain_len);
	if (!slot->plain)
		return error_set(err, ENOMEM, "out of memory");
	if (spans->observer)
		observer_count(spans->observer, spans_decoded, 1);
	rc = layer_decode_span(layer, span, spans->stored, spans->idx.spool_fd, slot->plain, err);
	if (rc == -EBADMSG && spans->cache)
		compressed_forget(spans->cache, layer);
	return rc;
}

static void slot_put(struct spans *spans, struct slot *slot)
{
	(void)pthread_mutex_lock(&spans->lock);
	if (!--slot->users)
		(void)pthread_cond_broadcast(&spans->changed);
	(void)pthread_mutex_unlock(&spans->lock);
}

/* A slot that holds the span until slot_put(). */
static int slot_get(struct spans *spans, uint32_t span, struct slot **ret, struct error *err)
{
	struct slot *slot;
	bool is_ready;
	int rc = 0;

	(void)pthread_mutex_lock(&spans->lock);
	while (!(slot = choose(spans, span)))
		(void)pthread_cond_wait(&spans->changed, &spans->lock);
	slot->users++;
	slot->used = ++spans->uses;
	is_ready = slot->state == SLOT_READY && slot->span == span;
	if (!is_ready) {
		slot->state = SLOT_DECODING;
		slot->span = span;
		(void)pthread_mutex_unlock(&spans->lock);
		rc = decode(spans, slot, span, err);
		(void)pthread_mutex_lock(&spans->lock);
		slot->state = rc ? SLOT_EMPTY : SLOT_READY;
		slot->users -= !!rc;
		(void)pthread_cond_broadcast(&spans->changed);
	}
	(void)pthread_mutex_unlock(&spans->lock);
	if (!rc)
		*ret = slot;
	return rc;
}

/* --- reader_ops --- */

static int spans_read(
	struct reader *base, void *bytes, size_t len, uint64_t offset, struct error *err)
{
	struct spans *spans = spans_of(base);
	char *to = bytes;

	while (len) {
		uint32_t n = layer_span_at(spans->idx.layer, offset);
		const struct span *span = &spans->idx.layer->spans[n];
		size_t skipped = (size_t)(offset - span->plain_offset);
		size_t part = span->plain_len - skipped < len ? span->plain_len - skipped : len;
		struct slot *slot;
		int rc = slot_get(spans, n, &slot, err);

		if (rc)
			return rc;
		memcpy(to, slot->plain + skipped, part);
		slot_put(spans, slot);
		to += part;
		offset += part;
		len -= part;
	}
	return 0;
}

static int spans_stat(struct reader *base, struct stat *ret, struct error *err)
{
	return reader_stat(spans_of(base)->stored, ret, err);
}

static void spans_free(struct reader *base)
{
	struct spans *spans = spans_of(base);

	for (size_t i = 0; i < spans->slot_count; i++)
		free(spans->slots[i].plain);
	(void)pthread_cond_destroy(&spans->changed);
	(void)pthread_mutex_destroy(&spans->lock);
	archive_index_release(&spans->idx);
	reader_unref(spans->stored);
	free(spans);
}

static const struct reader_ops spans_ops = { spans_read, spans_stat, spans_free };

static size_t count_slots(void)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (processors < BUNDLE_SPANS_MIN)
		return BUNDLE_SPANS_MIN;
	return processors < BUNDLE_SPANS_MAX ? (size_t)processors : BUNDLE_SPANS_MAX;
}

int spans_open(struct reader **ret, const struct archive_job *job, struct archive_index *idx,
	struct error *err)
{
	CLEANUP(archive_index_release) struct archive_index own = *idx;
	size_t count = count_slots();
	struct spans *spans = calloc(1, sizeof *spans + count * sizeof spans->slots[0]);

	*idx = ARCHIVE_INDEX_NONE;
	if (!spans)
		return error_set(err, ENOMEM, "out of memory");
	reader_init(&spans->base, &spans_ops, own.layer->plain_size);
	spans->stored = reader_ref(job->archive);
	spans->idx = own;
	own = ARCHIVE_INDEX_NONE;
	spans->slot_count = count;
	spans->cache = job->cache;
	spans->observer = job->observer;
	(void)pthread_mutex_init(&spans->lock, NULL);   /* cannot fail with */
	(void)pthread_cond_init(&spans->changed, NULL); /* default attributes */
	*ret = &spans->base;
	return 0;
}
