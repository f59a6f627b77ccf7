/* SPDX-License-Identifier: Apache-2.0 */
/* objects_internal -- the tables behind objects.h.  Only fs/objects*.c includes it. */
#ifndef FS_OBJECTS_INTERNAL_H
#define FS_OBJECTS_INTERNAL_H

#include <stdlib.h>
#include <string.h>

#include "fs/hash.h"
#include "fs/objects.h"
#include "model/cleanup.h"

enum {
	XATTR_NAMES_MAX = 64, /* security. and system. names kept of one layer */
	SPAN_GHOSTS = 1024,   /* spans that left the queue of new ones, as far as remembered */
	SPAN_ROOMS = 4,       /* kept of spans that went, for the next ones */
};

/* Keys are text: what identifies the thing, joined by characters that cannot be part of it. */
struct interned {
	UT_hash_handle hh;
	char text[];
};

struct list_object {
	struct load load;
	char *key;
	const char *repository; /* NULL: of the source */
	bool is_untagged;
	bool has_list; /* not for the first time */
	struct name_list list;
	struct name_list fresh; /* run()'s result */
	UT_hash_handle hh;
};

struct ref_object {
	struct load load;
	char *key;
	const char *repository, *tag;
	struct descriptor descriptor;
	struct descriptor fresh;
	UT_hash_handle hh;
};

struct document_object {
	struct load load;
	char *key;
	const char *repository;
	struct descriptor descriptor; /* of a plain blob; a manifest's digest alone */
	bool is_manifest;
	char *type; /* announced */
	char *bytes;
	struct document document;
	int parse_rc; /* malformed: the raw bytes are there all the same */
	struct error parse_err;
	int config_rc;
	struct error config_err;
	uint64_t used_ms;
	struct document_object *prev, *next; /* least recently used first; when READY */
	UT_hash_handle hh;
};

/* A layer of a V1 image: what it proved to be. */
struct location_object {
	struct load load;
	char *key;
	const char *repository;
	struct descriptor layer; /* an id, no digest */
	struct descriptor found;
	UT_hash_handle hh;
};

/* Memory that a span is decoded into. */
struct span_room {
	char *bytes;
	size_t len;
};

struct span_object {
	struct load load;
	uint64_t key; /* space of the layer << 32 | span */
	struct layer_object *layer;
	uint32_t span;
	struct span_room room; /* its bytes are here, plain_len of them */
	size_t plain_len;
	_Atomic unsigned pins; /* answers that are being sent from here */
	struct reader *stored; /* while it is decoded: what holds its bytes; NULL: the spool */
	bool is_kept;          /* in spans_kept, else in spans_new; when READY */
	bool is_reached;       /* somebody read here; else it was decoded ahead */
	bool is_passed;        /* its last byte was asked for, or much of it given */
	uint64_t given;        /* bytes, to all who read here */
	uint32_t ahead;        /* so many spans behind it were wanted with it */
	struct span_object *prev, *next;
	UT_hash_handle hh;
};

struct layer_object {
	struct load load; /* the index */
	char *key;
	const char *repository;
	struct descriptor descriptor;
	struct layer *layer;
	uint32_t space, identity;
	const char *created_by; /* interned, or NULL */
	struct layer **retired; /* indexes before a damage: merges still point into them */
	size_t retired_count;
	bool uses_any_xattr; /* more names than are kept */
	char **xattr_names;  /* NULL-terminated; of the layer's security. and system. ones */
	struct layer_files {
		struct load load;
		struct reader *blob; /* NULL: not here, its parts are fetched as pieces */
		int spool_fd;
		struct reader *fresh_blob; /* run()'s result */
		int fresh_spool_fd;        /* the same */
		struct layer *fresh_layer; /* the same, after a damage */
		unsigned readers;          /* span jobs that use the files right now */
		uint64_t used_ms;
		bool is_damaged;    /* a span was wrong: the next run starts from nothing */
		bool was_damaged;   /* and this is the second time: give up */
		uint64_t fetched;   /* stored bytes, in pieces */
		bool needs_whole;   /* pieces are not to be had, or too dear */
		bool was_refetched; /* a span out of a piece was wrong: once more, then is_damaged
				     */
	} files;
	UT_hash_handle hh;
};

struct blob_object {
	struct load load;
	char *key;
	const char *repository;
	struct descriptor descriptor;
	struct stored_blob blob;
	bool is_open;
	bool was_damaged; /* fetched afresh, and not read since */
	uint64_t used_ms;
	UT_hash_handle hh;
};

struct changes_object {
	struct load load;
	char *key;
	const struct tree **trees; /* base first; the last is the one that changed */
	uint32_t count;
	char *text;
	size_t len;
	UT_hash_handle hh;
};

struct objects {
	struct interned *interned;
	struct list_object *lists;
	struct ref_object *refs;
	struct referrers_object *referrers;
	struct document_object *documents;
	struct document_object *document_lru;
	uint64_t document_bytes;
	struct location_object *locations;
	struct layer_object *layers;
	struct span_object *spans;
	struct span_object *spans_new;  /* the oldest first */
	struct span_object *spans_kept; /* least recently used first */
	uint64_t span_bytes, span_new_bytes;
	struct span_room span_rooms[SPAN_ROOMS]; /* span_room_count of them are there */
	unsigned span_room_count;
	uint64_t span_ghosts[SPAN_GHOSTS]; /* keys; 0: none */
	struct piece_object *pieces;
	uint64_t piece_bytes;
	unsigned piece_count;
	struct blob_object *blobs;
	struct changes_object *changes;
	unsigned files_open, blobs_open;
};

void referrers_free(struct fs *fs);
void referrers_forget(struct fs *fs);
void documents_free(struct fs *fs);
void locations_free(struct fs *fs);
void layers_free(struct fs *fs);
void spans_free(struct objects *objects);
/* Those of one layer, but for what is being decoded. */
void spans_forget(struct objects *objects, const struct layer_object *layer);
struct span_object *span_find(struct fs *fs, const struct layer_object *object, uint32_t number);
/* Whoever comes to this span may come from there.  NULL: nobody read through the one before it, or
 * it is not in memory any more. */
const struct span_object *span_passed_before(
	struct fs *fs, const struct layer_object *object, uint32_t number);

/* objects_pieces.c.  The files are open; where they have the blob, there is nothing to do. */
/* Must the blob be fetched whole to have this span? */
bool pieces_are_no_use(struct fs *fs, const struct layer_object *object, uint32_t number);
/* The stored bytes of a span: 0 when they are here, LOAD_PENDING, or the failure. */
int piece_want(struct fs *fs, struct layer_object *object, uint32_t number, uint32_t last,
	struct need *need);
/* A reader is at this span and goes on to the last one: starts what it will want next. */
void pieces_ahead(
	struct fs *fs, struct layer_object *object, uint32_t number, uint32_t last, pid_t asker);
/* Borrowed; NULL: not here. */
struct reader *piece_bytes(const struct layer_object *object, uint32_t number);
/* Somebody decodes this span, and has a reference to its bytes. */
void piece_decoded(struct layer_object *object, uint32_t number);
/* These bytes were wrong. */
void piece_forget(struct layer_object *object, uint32_t number);
void pieces_free(struct layer_object *object); /* those that are not on their way */

/* No span job uses them. */
void layer_files_close(struct layer_object *object);

/* Names a manifest ('m'), its referrers ('r') or another blob ('b') of a repository, as a
 * descriptor has it: one that lies about the size is another thing.  Owned by the caller; NULL when
 * out of memory. */
char *digest_key(char kind, const char *repository, const struct digest *digest, uint64_t size);

static inline int no_memory(struct need *need)
{
	return error_set(&need->err, ENOMEM, "out of memory");
}

#endif
