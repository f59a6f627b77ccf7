/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer -- a layer's index: its tree and how to enter its stored bytes anywhere.
 *
 * An index is made in one pass over the blob (fetch/layer/indexer.h), saved
 * in the cache and mapped read-only.  It is a header, the packed tree
 * (model/tree), the span table with its states and the windows, with a checksum over all
 * but the windows (a damaged window shows as a wrong span): docs/index-format.md.
 *
 * A span says where its stored bytes lie, how its decoder starts, and which plain
 * bytes it yields; two states of SHA-256 are what they are proved with: the stored bytes of one in
 * the blob, the plain bytes of one in the spool.  To who has the secret that the index was made
 * with, a MAC of the stored bytes proves them as well.  Codecs differ in nothing else.  Spans cover
 * the plain stream without gaps, in order, and no stored byte is in two of them.  Nothing is served
 * from a span whose bytes are not proved.
 *
 * A blob that is no readable tar has an index too: the blob's digest was
 * right, and layer->status says why there is no tree.  Where only the tar is
 * malformed, diff_id and spans are there nevertheless, so that the plain stream can be
 * read; where the stored bytes cannot be decoded to their end there are none (plain_size 0,
 * diff_id unset).
 *
 * An opened layer is immutable: any thread may use it.
 */
#ifndef FETCH_LAYER_LAYER_H
#define FETCH_LAYER_LAYER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fetch/secret.h"
#include "model/digest.h"
#include "model/error.h"
#include "model/media_type.h"
#include "model/tree/tree.h"

struct reader;
struct mac_key;

enum {
	LAYER_INDEX_VERSION = 5,
	SPAN_SIZE_MIN = 1 << 20,  /* plain bytes: no smaller span but the last one, and the
				   * last in the spool before one in the blob */
	SPAN_SIZE_MAX = 16 << 20, /* plain bytes; where blocks are longer, the spool is used */
	SPAN_WINDOW = 32 << 10,   /* deflate's */
	SPAN_MAC = 16,            /* bytes */
};

enum span_start {
	SPAN_STORED,  /* the stored bytes are the plain bytes */
	SPAN_DEFLATE, /* raw deflate from a bit offset, with a window; may run on into further
		       * gzip members */
	SPAN_GZIP,    /* at a gzip member's header */
	SPAN_ZSTD,    /* at a zstd frame's header; may hold several frames */
};

struct span {
	uint64_t plain_offset;
	uint64_t stored_offset; /* of the first byte that is the span's alone */
	uint64_t stored_len;    /* bytes the decoder may need at most, from stored_offset */
	uint32_t plain_len;
	uint32_t window; /* number of the window, or UINT32_MAX */
	uint32_t state;  /* number of the state where it starts; the next is where it ends */
	uint32_t crc;    /* SPAN_DEFLATE, SPAN_GZIP: CRC-32 of the plain bytes, else 0 */
	uint8_t start;   /* enum span_start */
	uint8_t bits; /* SPAN_DEFLATE: so many (0 to 7) of the byte before are the span's, too, */
	uint8_t head; /* and these they are, the first one lowest */
	uint8_t in_spool; /* the stored bytes are in the spool, not in the blob */
	uint8_t pad[4];
	uint8_t mac[SPAN_MAC]; /* of the stored bytes (mac.c); zeroes where no secret was given */
};

/* What SHA-256 holds (chain.c) where a span starts or ends: of the stored stream, for one in the
 * blob; of the plain stream, for one in the spool. */
struct span_state {
	uint64_t place; /* bytes of the stream so far */
	uint32_t words[8];
	uint8_t rest[64]; /* place % 64 bytes, then zeroes */
};

struct layer {
	struct digest digest;  /* of the stored blob: verified when the index was made */
	struct digest diff_id; /* of the plain stream, as found */
	uint64_t stored_size, plain_size;
	enum media_coding coding; /* what the blob really is */
	bool needs_spool;         /* some span is in the spool */
	int status;               /* 0, or the negative errno every use of the tree gives */
	char message[256];        /* why, for status != 0 */
	uint32_t dropped;         /* entries left out of the tree */
	struct tree tree;         /* status == 0 */
	const struct span *spans;
	const struct span_state *states;
	uint32_t span_count;
	struct mac_key *mac_key; /* owned; NULL: spans are proved by SHA-256 */
	void *mapping;           /* owned */
	size_t mapping_len;
};

/* Maps and checks the index in fd (not kept; the caller closes it) for the blob digest (NULL:
 * for any; layer->digest is what it says).
 * -EIO: damaged, of another version or machine: drop it and make it anew. */
int layer_open(struct layer **ret, int fd, const struct digest *digest, struct error *err);
void layer_free(struct layer *layer);
/* From here on spans are proved by their MACs, if the index was made with this secret; with another
 * one, or none (NULL), by SHA-256.  Before another thread has the layer. */
void layer_set_secret(struct layer *layer, const struct secret *secret);

/* The span that holds a plain offset below plain_size. */
uint32_t layer_span_at(const struct layer *layer, uint64_t plain_offset);

/* Decodes one span into plain (span.plain_len bytes) and checks them.
 * spool_fd (-1 where not needed) is read with pread.  -EBADMSG: the blob changed or is
 * damaged. */
int layer_decode_span(const struct layer *layer, uint32_t span, struct reader *blob, int spool_fd,
	void *plain, struct error *err);

/* Checks what layer_open() leaves to those who read: the windows, and what lies in the spool
 * (spool_fd -1: it is not here).  -EBADMSG: damaged; *ret_is_spool tells whether that is the spool,
 * or the index. */
int layer_verify(const struct layer *layer, int spool_fd, bool *ret_is_spool, struct error *err);

#endif
