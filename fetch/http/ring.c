/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An empty ring starts over at its first byte, so that a reader who keeps up
 * touches only the first pages of the window.
 */
#include "fetch/http/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

size_t ring_used(const struct ring *ring)
{
	return (size_t)(ring->head - ring->tail);
}

size_t ring_room(const struct ring *ring)
{
	return ring->capacity - ring_used(ring);
}

int ring_allocate(struct ring *ring, size_t capacity)
{
	ring->bytes = malloc(capacity);
	if (!ring->bytes)
		return -ENOMEM;
	ring->capacity = capacity;
	return 0;
}

void ring_put(struct ring *ring, const void *bytes, size_t len)
{
	size_t at, first;

	if (ring->head == ring->tail)
		ring->head = ring->tail = 0;
	at = (size_t)(ring->head % ring->capacity);
	first = len < ring->capacity - at ? len : ring->capacity - at;
	memcpy(ring->bytes + at, bytes, first);
	memcpy(ring->bytes, (const char *)bytes + first, len - first);
	ring->head += len;
}

size_t ring_peek(const struct ring *ring, uint64_t head, void *bytes, size_t len)
{
	size_t used = (size_t)(head - ring->tail);
	size_t at = (size_t)(ring->tail % ring->capacity);
	size_t first;

	if (len > used)
		len = used;
	first = len < ring->capacity - at ? len : ring->capacity - at;
	memcpy(bytes, ring->bytes + at, first);
	memcpy((char *)bytes + first, ring->bytes, len - first);
	return len;
}

void ring_clear(struct ring *ring)
{
	ring->head = ring->tail = 0;
}

void ring_release(struct ring *ring)
{
	free(ring->bytes);
	*ring = (struct ring){ .bytes = NULL };
}
