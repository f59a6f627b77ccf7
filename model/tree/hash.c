/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-1-3 (Aumasson and Bernstein, 2012), under a key that differs from
 * run to run, and tables of names on top of it.
 *
 * Who makes a layer chooses its names; with a hash known beforehand he could
 * let a million of them share one bucket.  The key is the 16 random bytes that the
 * kernel hands to every process (getauxval(3), AT_RANDOM): no I/O, and nothing
 * that leaves this directory depends on it, because all output is sorted.
 */
#include "model/tree/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

enum { BUCKETS_MIN = 64 };

struct hash_key hash_key_make(void)
{
	struct hash_key key = { UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xc2b2ae3d27d4eb4f) };
	unsigned long random = getauxval(AT_RANDOM);

	if (random)
		memcpy(&key, (const void *)random, sizeof key); /* NOLINT: an address by contract */
	return key;
}

static inline uint64_t rotate(uint64_t x, unsigned int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void mix(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32) + v[3];
	v[2] += v[1];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static inline void absorb(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	mix(v);
	v[0] ^= word;
}

uint64_t hash_bytes(const struct hash_key *key, uint64_t first, const void *bytes, size_t len)
{
	uint64_t v[4] = {
		key->k0 ^ UINT64_C(0x736f6d6570736575),
		key->k1 ^ UINT64_C(0x646f72616e646f6d),
		key->k0 ^ UINT64_C(0x6c7967656e657261),
		key->k1 ^ UINT64_C(0x7465646279746573),
	};
	const char *at = bytes;
	uint64_t word = 0;
	size_t left = len;

	absorb(v, first);
	for (; left >= sizeof word; at += sizeof word, left -= sizeof word) {
		memcpy(&word, at, sizeof word);
		absorb(v, word);
	}
	word = 0;
	if (left)
		memcpy(&word, at, left);
	absorb(v, word);
	absorb(v, len);
	v[2] ^= 0xff;
	mix(v);
	mix(v);
	mix(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* --- names: (parent, name) -> number --- */

static uint32_t bucket_of(const struct names *names, uint32_t parent, const char *name, size_t len)
{
	return (uint32_t)hash_bytes(&names->key, parent, name, len) & (names->bucket_count - 1);
}

void names_init(struct names *names)
{
	*names = (struct names){ .key = hash_key_make() };
}

void names_release(struct names *names)
{
	free(names->items);
	free(names->buckets);
	names_init(names);
}

void names_clear(struct names *names)
{
	names->count = 0;
	if (names->buckets)
		memset(names->buckets, 0xff, names->bucket_count * sizeof *names->buckets);
}

static int rehash(struct names *names)
{
	uint32_t count = names->bucket_count ? names->bucket_count * 2 : BUCKETS_MIN;
	uint32_t *buckets = malloc(count * sizeof *buckets);

	if (!buckets)
		return -ENOMEM;
	memset(buckets, 0xff, count * sizeof *buckets);
	free(names->buckets);
	names->buckets = buckets;
	names->bucket_count = count;
	for (uint32_t i = 0; i < names->count; i++) {
		struct names_item *item = &names->items[i];
		uint32_t bucket = bucket_of(names, item->parent, item->name, item->name_len);

		item->next = buckets[bucket];
		buckets[bucket] = i;
	}
	return 0;
}

uint32_t names_find(const struct names *names, uint32_t parent, const char *name, size_t len)
{
	uint32_t at = TREE_NONE;

	if (names->count)
		at = names->buckets[bucket_of(names, parent, name, len)];
	for (; at != TREE_NONE; at = names->items[at].next) {
		const struct names_item *item = &names->items[at];

		if (item->parent == parent && item->name_len == len &&
			!memcmp(item->name, name, len))
			return at;
	}
	return TREE_NONE;
}

int names_add(struct names *names, uint32_t parent, const char *name, uint32_t len, uint32_t *ret)
{
	struct names_item *items;
	uint32_t bucket;
	int rc;

	if (names->count >= NAMES_MAX)
		return -EFBIG;
	items = array_grow(names->items, &names->capacity, names->count, sizeof *items);
	if (!items)
		return -ENOMEM;
	names->items = items;
	if (names->count >= names->bucket_count) {
		rc = rehash(names);
		if (rc)
			return rc;
	}
	bucket = bucket_of(names, parent, name, len);
	items[names->count] = (struct names_item){
		.name = name,
		.name_len = len,
		.parent = parent,
		.next = names->buckets[bucket],
	};
	names->buckets[bucket] = names->count;
	*ret = names->count++;
	return 0;
}

void *array_grow(void *array, uint32_t *capacity, uint32_t count, size_t size)
{
	uint32_t want = *capacity ? *capacity * 2 : BUCKETS_MIN;

	if (count < *capacity)
		return array;
	array = reallocarray(array, want, size);
	if (array)
		*capacity = want;
	return array;
}
