/* SPDX-License-Identifier: Apache-2.0 */
/*
 * indexer -- one pass over a blob: verify, decode, parse, find places to enter.
 *
 * The stored bytes are pushed in as they arrive; each is touched once in
 * memory: digest of the stored bytes, decode, sha256 of the plain ones, tar parser, tree
 * builder.  From 1 MiB on a thread of the indexer's own does all of it but the decoding.  The
 * coding is found from the first bytes, whatever the descriptor says. Decoding goes on to the
 * blob's end even if the content proves to be malformed, so that the blob's digest is always known;
 * then the index records why there is no tree.
 *
 * Memory is bounded: the tree, two spans (SPAN_SIZE_MAX), 184 bytes per span, 1 MiB of compressed
 * windows (about 10 KB per span of gzip, most of them in a temporary file; spans get longer as they
 * add up, and when there are 32 Ki, all that follows goes to the spool), zstd's window (128 MiB).
 * An expansion beyond INDEXER_PLAIN_MAX is -EFBIG in the index's status, decoding stops there; of a
 * plain blob that long, the pass fails.
 */
#ifndef FETCH_LAYER_INDEXER_H
#define FETCH_LAYER_INDEXER_H

#include "fetch/layer/layer.h"

struct cancel;
struct indexer;

#define INDEXER_PLAIN_MAX (UINT64_C(1) << 42) /* plain bytes of one layer: 4 TiB */

/* Asked before each piece that is written to the spool: may it have size bytes?  Gives the place to
 * write it to, always the same one: a fd that is written from offset 0 on and stays the caller's. A
 * negative errno (or -1, as -EIO), with err filled, fails the pass. */
typedef int indexer_spool_fn(void *context, uint64_t size, struct error *err);

/* digest and size (may be DESCRIPTOR_SIZE_UNKNOWN) are what the blob must prove to be.  A NULL
 * digest is found out, as sha256: indexer_digest(). */
int indexer_new(struct indexer **ret, const struct digest *digest, uint64_t size,
	indexer_spool_fn *spool, void *context, struct error *err);
void indexer_free(struct indexer *indexer);

/* Gives each span a MAC, for those who have the secret (NULL: nobody).  Before the first bytes;
 * -ENOMEM. */
int indexer_set_secret(struct indexer *indexer, const struct secret *secret, struct error *err);
/* Few stored bytes can become gigabytes: a feed that is cancelled returns -EINTR soon. */
void indexer_set_cancel(struct indexer *indexer, struct cancel *cancel);
/* And one that decompresses to more than so many bytes fails with -EFBIG.  Unlike
 * INDEXER_PLAIN_MAX this says nothing of the blob, so it leaves no index. */
void indexer_set_limit(struct indexer *indexer, uint64_t plain_max);

/* Where the next bytes of the blob are to be put, and how many may: some 64 KiB, never none.  NULL:
 * out of memory.  Valid until the next indexer_put(). */
uint8_t *indexer_room(struct indexer *indexer, size_t *ret_len, struct error *err);
/* n bytes were put there.  -EBADMSG when they are more than size allows.  What is wrong with the
 * content is no failure here. */
int indexer_put(struct indexer *indexer, size_t n, struct error *err);

/* The blob is complete.  -EBADMSG when digest or size are not what they should be.
 * Otherwise the blob is verified, and the index is written to index_fd from
 * offset 0 on (the caller publishes it). */
int indexer_finish(struct indexer *indexer, int index_fd, struct error *err);

/* What the blob proved to be; after indexer_finish(). */
const struct digest *indexer_digest(const struct indexer *indexer);

#endif
