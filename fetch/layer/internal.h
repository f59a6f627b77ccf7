/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of fetch/layer share.
 *
 *	indexer -> codec -> cutter --> hashing -> indexer (tar)
 *	   |                   |          ^
 *	   |                   +--> spans, windows, spool
 *	   +------------------------------+
 *
 * A codec turns stored bytes into plain ones inside the cutter's buffer and tells
 * it where a decoder could start afresh; the cutter makes spans of that.
 *
 * Two kinds of failure: what is wrong with the blob is a negative errno from
 * the codec, and becomes the index's status; what is wrong with the pass (no
 * memory, no disk, cancelled) sets cutter.broken besides, and ends it.
 */
#ifndef FETCH_LAYER_INTERNAL_H
#define FETCH_LAYER_INTERNAL_H

#include <openssl/evp.h>
#include <zlib.h>
#include <zstd.h>

#include "fetch/layer/indexer.h"
#include "fetch/layer/layer.h"
#include "model/buf.h"
#include "model/cleanup.h"

struct cancel;

enum {
	STORED_PIECE = 64 << 10, /* stored bytes per step of the pass: what is hashed is
				  * decoded while the processor's cache still has it */
	READ_PIECE = 256 << 10,  /* stored bytes per pread() of a span's decoder: hashed and decoded
				  * while the processor's cache still has them */
	ZSTD_FRAME_MAX = 4 << 20,  /* plain bytes: longer zstd frames go to the spool */
	ZSTD_WINDOW_LOG_MAX = 27,  /* 128 MiB, as zstd(1) has it */
	XZ_MEMORY_MAX = 128 << 20, /* bytes of liblzma, nearly all for the dictionary */
	COMPRESSION_LEVEL = 1,     /* of windows and spool: more costs time and saves little */
	WINDOWS_MAX = 32 << 10,    /* usually 10 KB each; behind the last one, some 200 GB into
				    * the stream, all goes to the spool */
	WINDOWS_STEP = 6 << 10,    /* each time so many are reached, spans get longer, */
	SPAN_SIZE_DOUBLINGS = 3,   /* until they are SPAN_SIZE_MIN << this */
};

/* Input that a function takes from: it moves the pointer and lowers the count. */
struct bytes {
	const uint8_t *next;
	size_t left;
};

/* --- inflate*.c: raw deflate as a push stream, by one library or another --- */

enum inflate_event {
	INFLATE_MORE,  /* in is used up, or out is full */
	INFLATE_BLOCK, /* between two deflate blocks; only when asked to stop there */
	INFLATE_END,   /* behind the last block, and all of it is out */
};

struct inflate {
	const struct inflate_ops *ops;
	/* At INFLATE_BLOCK: the last so many bits taken are the next block's; head are those before
	 * the next whole byte. */
	unsigned unused_bits;
	uint8_t head;
	/* At INFLATE_END: the last so many bytes taken are not the stream's, these. */
	unsigned excess_len;
	uint8_t excess[8];
};

/* Every engine gives the same bytes, and goes on where another one stopped.  Not all see the
 * same places between blocks. */
struct inflate_ops {
	const char *name;
	struct inflate *(*new)(void); /* NULL: out of memory */
	void (*free)(struct inflate *);
	/* A stream begins. */
	void (*reset)(struct inflate *);
	/* On a new one: a stream goes on behind the window, first with the low count (0 to 7)
	 * bits of value.  -ENOMEM, or -EIO. */
	int (*enter)(struct inflate *, unsigned value, unsigned count, const void *window,
		size_t window_len);
	/* Goes on to the next event; an enum inflate_event, -ENOMEM, or -EIO and why.  room is
	 * at most SPAN_SIZE_MAX.  *ret_len bytes came out. */
	int (*step)(struct inflate *, struct bytes *in, uint8_t *out, size_t room,
		bool stop_at_blocks, size_t *ret_len, const char **ret_why);
	/* At INFLATE_BLOCK: the last bytes that came out, up to SPAN_WINDOW; returns how many. */
	size_t (*window)(struct inflate *, uint8_t window[static SPAN_WINDOW]);
	/* gzip's CRC32, from 0 on. */
	uint32_t (*crc32)(uint32_t crc, const void *bytes, size_t len);
};

extern const struct inflate_ops inflate_isal_ops; /* where HAVE_ISAL */
extern const struct inflate_ops inflate_zlib_ops;
extern const struct inflate_ops *const inflate_engines[]; /* the fastest first; ends in NULL */

const struct inflate_ops *inflate_engine(void);
/* One of inflate_engines, for tests: not while a thread uses one. */
void inflate_choose(const struct inflate_ops *const *engine);

/* --- gunzip.c: gzip members as one push stream --- */

enum gunzip_event {
	GUNZIP_MORE,   /* in is used up, or out is full */
	GUNZIP_BLOCK,  /* between two deflate blocks; only when asked to stop there */
	GUNZIP_MEMBER, /* the next byte is the first of a member */
	GUNZIP_END,    /* the next byte is the first behind the last member */
};

enum gunzip_state {
	GUNZIP_FIXED,
	GUNZIP_EXTRA_LEN,
	GUNZIP_EXTRA,
	GUNZIP_NAME,
	GUNZIP_COMMENT,
	GUNZIP_HEADER_CRC,
	GUNZIP_BODY,
	GUNZIP_TRAILER,
	GUNZIP_NEXT,    /* before a member, or at the end */
	GUNZIP_PADDING, /* zeroes behind the last member */
};

struct gunzip {
	struct inflate *inflate;
	enum gunzip_state state;
	bool is_checked;   /* the members' checksums and sizes are compared */
	uint8_t flags;     /* of the member */
	uint8_t field[10]; /* a header field or the trailer, field_len bytes are here */
	unsigned field_len;
	unsigned extra_left;
	uint32_t crc;       /* of the header so far, then of the plain bytes */
	uint32_t step_crc;  /* of what came out of the last step, where is_checked */
	uint64_t plain_len; /* of the member so far */
	uint64_t offset;    /* stored bytes taken so far */
	uint64_t block_bit; /* at GUNZIP_BLOCK: where the next block starts, in bits */
};

/* offset is where in the blob the first byte comes from. */
int gunzip_init(struct gunzip *gunzip, uint64_t offset, bool is_checked, struct error *err);
void gunzip_release(struct gunzip *gunzip);
/* Starts inside a member, with a window, and so many bits of head before the first byte.  Call
 * before the first step. */
int gunzip_enter(struct gunzip *gunzip, unsigned head, unsigned bits, const void *window,
	size_t window_len, struct error *err);
/* Goes on to the next event; an enum gunzip_event, or -EIO.  *ret_len bytes came out. */
int gunzip_step(struct gunzip *gunzip, struct bytes *in, uint8_t *out, size_t room,
	bool stop_at_blocks, size_t *ret_len, struct error *err);
/* The input is at its end: -EIO unless a member is, too. */
int gunzip_finish(const struct gunzip *gunzip, struct error *err);

/* --- mac.c: what proves a span again --- */

enum { MAC_SALT = 16, MAC_CHECK = 16 };

/* What an index says of the key of its MACs; all zeroes: it has none. */
struct mac_origin {
	uint8_t salt[MAC_SALT];
	uint8_t check[MAC_CHECK]; /* tells whether a secret is the one */
};

/* For an index to be made; NULL: out of memory, or libcrypto cannot. */
struct mac_key *mac_key_new(const struct secret *secret, struct mac_origin *ret_origin);
/* The same of an index that was made; NULL also: with another secret. */
struct mac_key *mac_key_again(const struct secret *secret, const struct mac_origin *origin);
void mac_key_free(struct mac_key *key);
/* For any number of MACs, one after the other; NULL: out of memory. */
EVP_MAC_CTX *mac_new(const struct mac_key *key);
CLEANUP_POINTER(macp, EVP_MAC_CTX, EVP_MAC_CTX_free)
/* Of the bytes that begin at this place, of the blob or of the spool.  These fail with -ENOMEM. */
int mac_begin(EVP_MAC_CTX *mac, bool in_spool, uint64_t place);
int mac_update(EVP_MAC_CTX *mac, const void *bytes, size_t len);
int mac_end(EVP_MAC_CTX *mac, uint8_t ret[static SPAN_MAC]);
bool mac_is(const uint8_t mac[static SPAN_MAC], const uint8_t expected[static SPAN_MAC]);

/* --- chain.c: SHA-256 over a stream, and the states it went through --- */

struct chain;
struct chain *chain_new(void); /* NULL: out of memory */
void chain_free(struct chain *chain);
/* Makes a MAC of what lies between two states, too.  Before the first bytes; -ENOMEM. */
int chain_set_key(struct chain *chain, const struct mac_key *key);
int chain_update(struct chain *chain, const void *bytes, size_t len); /* -ENOMEM */
/* Keeps the state of here, if it is not kept yet.  -ENOMEM. */
int chain_mark(struct chain *chain);
struct digest chain_digest(const struct chain *chain); /* of all so far */
/* Those that were kept, in order; borrowed. */
const struct span_state *chain_states(const struct chain *chain, uint32_t *ret_count);
/* The number of the one that was kept at this place. */
uint32_t chain_find(const struct chain *chain, uint64_t place);
/* The MAC of what lies between this state and the next one; NULL: without a key there is none. */
const uint8_t *chain_mac(const struct chain *chain, uint32_t state);
/* What becomes of a state by the bytes that follow. */
void span_state_advance(struct span_state *state, const void *bytes, size_t len);

/* --- windows.c --- */

/* A compressed window, in the window table. */
struct window {
	uint64_t offset;    /* among the window bytes */
	uint32_t len;       /* compressed */
	uint32_t plain_len; /* 1..SPAN_WINDOW */
};

struct windows;
struct index_parts;
struct windows *windows_new(void); /* NULL: out of memory */
void windows_free(struct windows *windows);
/* One more, of at most SPAN_WINDOW bytes; WINDOWS_MAX at most.  -ENOMEM. */
int windows_add(struct windows *windows, const void *plain, size_t plain_len, struct error *err);
/* Fills in what parts has of windows; borrowed. */
void windows_describe(const struct windows *windows, struct index_parts *parts);
/* Writes all of their bytes, there. */
int windows_write(const struct windows *windows, int fd, uint64_t offset, struct error *err);

/* --- hashing.c: what another thread does of a pass: digests, windows, and then the sink --- */

enum hash_what {
	HASH_STORED,
	HASH_STORED_MARK, /* stored bytes, behind which is a mark */
	HASH_PLAIN,
	HASH_SPOOLED, /* plain bytes of a span in the spool: a mark before and one behind */
	HASH_WINDOW,  /* a window, to be kept */
};

/* Gets all plain bytes, in order.  A failure is one of the pass. */
typedef int hashing_sink_fn(void *context, const void *bytes, size_t len, struct error *err);

struct hashing;
int hashing_new(struct hashing **ret, enum digest_algorithm algorithm, hashing_sink_fn *sink,
	void *context, struct error *err);
/* No job runs any more. */
void hashing_free(struct hashing *hashing);
/* From here on another thread does it, if one can be had, and calls the sink. */
void hashing_start(struct hashing *hashing);
/* MACs of the stored bytes between marks.  Before the first job; -ENOMEM. */
int hashing_set_key(struct hashing *hashing, const struct mac_key *key, struct error *err);
/* What is stored is the plain stream: one digest does for both. */
void hashing_stored_is_plain(struct hashing *hashing);
/* A span starts or ends at this place of the stored stream, as told in order: not before a place
 * that was told, nor before what was posted. -ENOMEM. */
int hashing_mark(struct hashing *hashing, uint64_t place);
/* Posts stored bytes, and keeps the state at the marks among them and at their end. */
uint64_t hashing_post_stored(struct hashing *hashing, const uint8_t *bytes, size_t len);
/* Jobs are done in their order.  The bytes have to stay until hashing_wait() for what this
 * returns is over. */
uint64_t hashing_post(struct hashing *hashing, enum hash_what what, const void *bytes, size_t len);
void hashing_wait(struct hashing *hashing, uint64_t number);
/* All jobs so far are done, and none runs. */
void hashing_drain(struct hashing *hashing);
/* All jobs are done; no more can follow.  A failure of one of them is told here. */
int hashing_finish(struct hashing *hashing, struct digest *ret_stored, struct digest *ret_plain,
	struct error *err);
/* After the finish: fills in states and windows; borrowed.  The spans learn which states are
 * theirs, and those in the blob their MACs. */
void hashing_describe(const struct hashing *hashing, struct span *spans, uint32_t span_count,
	struct index_parts *parts);

/* --- cutter.c --- */

/* A window that waits to be compressed. */
struct window_slot {
	uint8_t *bytes; /* SPAN_WINDOW; NULL until there is a need */
	uint64_t until; /* hashing's number: then it may be filled again */
};

struct cutter {
	struct span span; /* the one that grows; plain_len counts its bytes */
	struct hashing *hashing;
	uint8_t *buffer;      /* the span's bytes; NULL: they are not kept (no spool either) */
	uint8_t *other;       /* the spans before it, when they are being hashed still */
	uint64_t other_until; /* that number */
	uint32_t limit;       /* bytes of the buffer: at so many without a place to start, spool */
	uint32_t span_min;

	struct span *spans;
	uint32_t span_count, span_capacity;
	uint32_t window_count;
	struct window_slot window_slots[2]; /* used in turn */

	ZSTD_CCtx *compressor;
	uint8_t *scratch; /* one compressed frame */
	indexer_spool_fn *spool;
	void *spool_context;
	uint64_t spool_size;
	EVP_MAC_CTX *mac; /* of what goes there; NULL: no key */

	uint64_t plain_max; /* of a stream that has to be decoded */
	struct cancel *cancel;
	int broken; /* why the pass cannot go on */
};

void cutter_init(struct cutter *cutter, struct hashing *hashing, indexer_spool_fn *spool,
	void *spool_context);
/* After hashing_free(). */
void cutter_release(struct cutter *cutter);
/* MACs of what goes to the spool; -ENOMEM. */
int cutter_set_key(struct cutter *cutter, const struct mac_key *key, struct error *err);
/* Keeps the bytes of the span in work: limit at most, a multiple of SPAN_SIZE_MIN. */
int cutter_keep(struct cutter *cutter, uint32_t limit, struct error *err);
/* The same for a stream without any boundary: all of it goes to the spool. */
int cutter_spool(struct cutter *cutter, struct error *err);

/* Where the next plain bytes go, and how many may. Never none. */
uint8_t *cutter_room(struct cutter *cutter, size_t *ret_room);
/* n bytes were put there. */
int cutter_put(struct cutter *cutter, size_t n, struct error *err);
/* The same for bytes that are nowhere kept; they stay as hashing_post() wants it.  What fails is
 * the pass: of what is not taken here nothing would be digested. */
int cutter_pass(struct cutter *cutter, const void *bytes, size_t len, struct error *err);

/* A decoder could start here: start has stored_offset, start, bits and head.  All that came before
 * is in the stored bytes below stored_offset, and in these bits.  The window (len 0: none) is
 * stored when a span does start here. */
int cutter_boundary(struct cutter *cutter, const struct span *start, const void *window,
	size_t window_len, struct error *err);
/* The last span is complete. */
int cutter_finish(struct cutter *cutter, uint64_t stored_end, struct error *err);

/* --- codec_*.c --- */

struct codec {
	const struct codec_ops *ops;
	struct cutter *cutter;
};

struct codec_ops {
	/* Decodes all of the bytes into the cutter. */
	int (*feed)(struct codec *codec, struct bytes in, struct error *err);
	/* The blob is at its end; ends the cutter's last span. */
	int (*finish)(struct codec *codec, struct error *err);
	void (*free)(struct codec *codec);
};

typedef int codec_new_fn(struct codec **ret, struct cutter *cutter, struct error *err);
codec_new_fn codec_plain_new, codec_gzip_new, codec_zstd_new, codec_xz_new, codec_bzip2_new;

/* The errno of a failed libzstd call, and its words behind "zstd: ". */
int zstd_error(size_t code, struct error *err);
CLEANUP_POINTER(zstd_dctxp, ZSTD_DCtx, (void)ZSTD_freeDCtx)

/* --- index_file.c --- */

/* What an index is written from; layer gives digests, sizes, coding, status, dropped. */
struct index_parts {
	const struct layer *layer;
	struct mac_origin mac_origin;
	const void *tree;
	size_t tree_len;
	const struct span *spans;
	uint32_t span_count;
	/* One table in the index, of the stored stream first. */
	const struct span_state *stored_states, *plain_states;
	uint32_t stored_state_count, plain_state_count;
	const struct window *window_table;
	uint32_t window_count;
	const struct windows *windows; /* NULL: none */
	uint64_t windows_len;          /* of their bytes */
	uint32_t windows_crc;
	uint64_t spool_size;
};

int index_write(int fd, const struct index_parts *parts, struct error *err);
/* -EBADMSG: the bytes of the windows are not those that were written. */
int index_check_windows(const struct layer *layer, struct error *err);
/* A window of an opened layer; -EIO: its bytes cannot be read from the disk. */
int index_window(const struct layer *layer, uint32_t n, const struct window **ret,
	const void **ret_bytes, struct error *err);

/* An array of capacity elements with room for one more behind count; NULL: out of memory,
 * the old one stays. */
void *table_grow(void *array, size_t element, uint32_t count, uint32_t *capacity);

/* All of it, in an index or a spool, or a negative errno. */
int index_write_at(int fd, const void *bytes, size_t len, uint64_t offset, struct error *err);

#endif
