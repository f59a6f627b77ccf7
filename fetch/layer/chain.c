/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 over a stream gives its digest, and proves any part of it besides.
 *
 *	stream   | part          | part          | ...
 *	state   s0              s1              s2            the digest
 *
 * A state is what SHA-256 holds at a place: its eight words after the last whole block of 64
 * bytes, and the bytes behind that.  The bytes between two places are right when they lead from the
 * one state to the other.  Other bytes that did would, in their place, give another stream with the
 * same digest: a collision of SHA-256.  With a key, each part gets a MAC besides (mac.c).
 *
 * libcrypto's EVP interface does not let the state be seen or set, so this is the older one.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "fetch/layer/internal.h"

#include <assert.h>
#include <openssl/sha.h>
#include <string.h>

struct chain {
	SHA256_CTX sha256;
	uint64_t place;            /* bytes so far */
	struct span_state *states; /* by their places */
	uint32_t count, capacity;
	EVP_MAC_CTX *mac;          /* of the part since the last state; NULL: no key */
	uint8_t (*macs)[SPAN_MAC]; /* of the parts behind each state but the last */
	uint32_t mac_capacity;
};

_Static_assert(sizeof((struct span_state *)0)->words == sizeof((SHA256_CTX *)0)->h, "eight words");
_Static_assert(sizeof((struct span_state *)0)->rest == SHA256_CBLOCK, "a block");

static struct span_state state_of(const SHA256_CTX *sha256, uint64_t place)
{
	struct span_state state = { .place = place };

	memcpy(state.words, sha256->h, sizeof state.words);
	memcpy(state.rest, sha256->data, sha256->num);
	return state;
}

static void resume(SHA256_CTX *sha256, const struct span_state *state)
{
	(void)SHA256_Init(sha256); /* of these calls none can fail */
	memcpy(sha256->h, state->words, sizeof state->words);
	sha256->num = state->place % SHA256_CBLOCK;
	memcpy(sha256->data, state->rest, sha256->num);
	sha256->Nl = (SHA_LONG)(state->place << 3);
	sha256->Nh = (SHA_LONG)(state->place >> 29);
}

struct chain *chain_new(void)
{
	struct chain *chain = calloc(1, sizeof *chain);

	if (chain)
		(void)SHA256_Init(&chain->sha256);
	return chain;
}

void chain_free(struct chain *chain)
{
	if (!chain)
		return;
	EVP_MAC_CTX_free(chain->mac);
	free(chain->macs);
	free(chain->states);
	free(chain);
}

int chain_set_key(struct chain *chain, const struct mac_key *key)
{
	chain->mac = mac_new(key);
	return chain->mac ? 0 : -ENOMEM;
}

int chain_update(struct chain *chain, const void *bytes, size_t len)
{
	(void)SHA256_Update(&chain->sha256, bytes, len);
	chain->place += len;
	return chain->mac && chain->count ? mac_update(chain->mac, bytes, len) : 0;
}

/* A part ends here, unless this is before the first one, and another one begins. */
static int next_mac(struct chain *chain)
{
	uint8_t(*macs)[SPAN_MAC] =
		table_grow(chain->macs, sizeof *macs, chain->count, &chain->mac_capacity);

	if (!macs)
		return -ENOMEM;
	chain->macs = macs;
	memset(macs[chain->count], 0, sizeof *macs); /* behind the last state is no part */
	if (chain->count && mac_end(chain->mac, macs[chain->count - 1]))
		return -ENOMEM;
	return mac_begin(chain->mac, false, chain->place);
}

int chain_mark(struct chain *chain)
{
	struct span_state *states;

	if (chain->count && chain->states[chain->count - 1].place == chain->place)
		return 0;
	if (chain->mac && next_mac(chain))
		return -ENOMEM;
	states = table_grow(chain->states, sizeof *states, chain->count, &chain->capacity);
	if (!states)
		return -ENOMEM;
	chain->states = states;
	states[chain->count++] = state_of(&chain->sha256, chain->place);
	return 0;
}

const struct span_state *chain_states(const struct chain *chain, uint32_t *ret_count)
{
	*ret_count = chain->count;
	return chain->states;
}

uint32_t chain_find(const struct chain *chain, uint64_t place)
{
	uint32_t low = 0, high = chain->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (chain->states[middle].place < place)
			low = middle + 1;
		else
			high = middle;
	}
	assert(low < chain->count && chain->states[low].place == place);
	return low;
}

const uint8_t *chain_mac(const struct chain *chain, uint32_t state)
{
	return chain->mac ? chain->macs[state] : NULL;
}

struct digest chain_digest(const struct chain *chain)
{
	struct digest digest = { .algorithm = DIGEST_SHA256 };
	SHA256_CTX sha256 = chain->sha256;

	(void)SHA256_Final(digest.bytes, &sha256);
	return digest;
}

void span_state_advance(struct span_state *state, const void *bytes, size_t len)
{
	SHA256_CTX sha256;

	resume(&sha256, state);
	(void)SHA256_Update(&sha256, bytes, len);
	*state = state_of(&sha256, state->place + len);
}
