/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One SHA-256 over the plain stream gives its diff_id and proves each span, too.
 *
 *	stream   | span 0        | span 1        | ...
 *	state   s0              s1              s2            the diff_id
 *
 * s(n) is what SHA-256 holds where span n starts: its eight words after the last whole block
 * of 64 bytes, and the bytes behind that.  The bytes of span n are right when they lead from
 * s(n) to s(n + 1), the last span's when they lead to the diff_id.  Other bytes that did
 * would, in their place, give another stream with the same diff_id: a collision of SHA-256.
 *
 * libcrypto's EVP interface does not let the state be seen or set, so this is the older one.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "fetch/layer/internal.h"

#include <openssl/sha.h>
#include <string.h>

struct chain {
	SHA256_CTX sha256;
	struct span_state *states;
	uint32_t count, capacity;
};

_Static_assert(sizeof((struct span_state *)0)->words == sizeof((SHA256_CTX *)0)->h, "eight words");
_Static_assert(sizeof((struct span_state *)0)->rest == SHA256_CBLOCK, "a block");

static struct span_state state_of(const SHA256_CTX *sha256)
{
	struct span_state state = { .rest = { 0 } };

	memcpy(state.words, sha256->h, sizeof state.words);
	memcpy(state.rest, sha256->data, sha256->num);
	return state;
}

/* The state after so many bytes. */
static void resume(SHA256_CTX *sha256, const struct span_state *state, uint64_t offset)
{
	(void)SHA256_Init(sha256); /* of these calls none can fail */
	memcpy(sha256->h, state->words, sizeof state->words);
	sha256->num = offset % SHA256_CBLOCK;
	memcpy(sha256->data, state->rest, sha256->num);
	sha256->Nl = (SHA_LONG)(offset << 3);
	sha256->Nh = (SHA_LONG)(offset >> 29);
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
	free(chain->states);
	free(chain);
}

int chain_begin_span(struct chain *chain)
{
	struct span_state *states =
		table_grow(chain->states, sizeof *states, chain->count, &chain->capacity);

	if (!states)
		return -ENOMEM;
	chain->states = states;
	states[chain->count++] = state_of(&chain->sha256);
	return 0;
}

void chain_update(struct chain *chain, const void *bytes, size_t len)
{
	(void)SHA256_Update(&chain->sha256, bytes, len);
}

const struct span_state *chain_states(const struct chain *chain)
{
	return chain->states;
}

static struct digest final(SHA256_CTX *sha256)
{
	struct digest digest = { .algorithm = DIGEST_SHA256 };

	(void)SHA256_Final(digest.bytes, sha256);
	return digest;
}

struct digest chain_digest(const struct chain *chain)
{
	SHA256_CTX sha256 = chain->sha256;

	return final(&sha256);
}

bool chain_proves(const struct layer *layer, uint32_t n, const void *plain)
{
	const struct span *span = &layer->spans[n];
	struct digest digest;
	struct span_state state;
	SHA256_CTX sha256;

	resume(&sha256, &layer->states[n], span->plain_offset);
	(void)SHA256_Update(&sha256, plain, span->plain_len);
	if (n + 1 == layer->span_count) {
		digest = final(&sha256);
		return digest_equal(&digest, &layer->diff_id);
	}
	state = state_of(&sha256);
	return !memcmp(&state, &layer->states[n + 1], sizeof state);
}
