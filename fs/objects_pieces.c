/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces: stored bytes of a layer whose blob is not here.
 *
 * A piece is what one range request brings: the stored bytes of some neighbouring spans, kept in
 * memory until the last of them is decoded.  A span that somebody waits for gets a piece of its
 * own, without a byte more than it needs.  Who goes on from span to span gets longer ones, and
 * some ahead, so that the network is never idle; but none behind the end of what is read:
 *
 *	    the run                 ahead
 *	[span][span][span] [span][span][span][span] - - - - - |
 *	 here, one after     ^ the reader         ^ window    end of the file
 *	 the other
 *
 * The window is twice the run, and filled up when half of it is left: then one piece comes while
 * another is waited for.  The run is found anew each time, so that any number of readers go through
 * a layer side by side; and it is made of spans that were read to their ends, so that many who
 * read here and there are not taken for one who reads on.
 *
 * When as many bytes were fetched as the blob has, it is fetched whole after all, into the cache:
 * so reading costs never more than twice of what it would have, had that been known.
 */
#include "fs/objects_internal.h"

#include <utlist.h>

#define PIECE_MAX  (UINT64_C(4) << 20)  /* bytes; a single span may be longer */
#define AHEAD_MAX  (UINT64_C(8) << 20)  /* bytes ahead of one reader */
#define STORED_MAX (UINT64_C(32) << 20) /* bytes of one span; with more, it is mostly padding */
#define PIECES_MAX (UINT64_C(32) << 20) /* bytes in memory */

enum {
	PIECE_COUNT_MAX = 64, /* with more, those that failed are forgotten */
	SPANS_AHEAD_MAX = 64, /* and in a run: spans may be short, stored */
};

struct piece_object {
	struct load load;
	struct layer_object *layer;
	uint32_t first, last; /* spans */
	uint64_t blob_size, offset;
	uint64_t before; /* bytes of the layer that came in pieces, or were on their way, when this
			    one began */
	size_t len;
	struct reader *bytes;             /* when READY */
	struct piece_object *prev, *next; /* oldest first */
};

static const struct span *span_of(const struct layer_object *object, uint32_t number)
{
	return &object->layer->spans[number];
}

static uint64_t stored_end(const struct layer_object *object, uint32_t number)
{
	return span_of(object, number)->stored_offset + span_of(object, number)->stored_len;
}

static struct piece_object *piece_find(const struct layer_object *object, uint32_t number)
{
	struct piece_object *piece;

	DL_FOREACH(object->load.fs->objects->pieces, piece)
	{
		if (piece->layer == object && piece->first <= number && number <= piece->last)
			return piece;
	}
	return NULL;
}

static bool is_coming(const struct load *load)
{
	return load->state == LOAD_RUNNING || load->state == LOAD_READY;
}

/* --- their life --- */

static int piece_run(struct load *load)
{
	struct piece_object *piece = container_of(load, struct piece_object, load);
	struct layer_object *object = piece->layer;

	return store_range(load->fs->store, object->repository, &object->descriptor,
		piece->blob_size, piece->before, piece->offset, piece->len, &piece->bytes,
		&load->progress, &load->cancel, &load->err);
}

static void piece_free(struct objects *objects, struct piece_object *piece)
{
	if (piece->load.state == LOAD_READY)
		objects->piece_bytes -= piece->len;
	objects->piece_count--;
	DL_DELETE(objects->pieces, piece);
	load_release(&piece->load);
	reader_unref(piece->bytes);
	free(piece);
}

static bool is_surplus(const struct objects *objects, const struct piece_object *piece)
{
	switch (piece->load.state) {
	case LOAD_RUNNING:
		return false;
	case LOAD_READY:
		return objects->piece_bytes > PIECES_MAX;
	case LOAD_IDLE:
	case LOAD_FAILED:
		break;
	}
	return objects->piece_count > PIECE_COUNT_MAX;
}

static void free_oldest(struct objects *objects, const struct piece_object *keep)
{
	struct piece_object *piece, *next;

	DL_FOREACH_SAFE(objects->pieces, piece, next)
	{
		if (piece != keep && is_surplus(objects, piece))
			piece_free(objects, piece);
	}
}

static void piece_settle(struct load *load)
{
	struct layer_files *files = &container_of(load, struct piece_object, load)->layer->files;

	if (load->rc != -EOPNOTSUPP)
		return;
	if (!files->needs_whole)
		log_line(
			load->fs->log, LOG_LEVEL_WARNING, "%s; fetching all of it", load->err.text);
	files->needs_whole = true;
	load->rc = -EINTR;
}

static void piece_publish(struct load *load)
{
	struct piece_object *piece = container_of(load, struct piece_object, load);
	struct objects *objects = load->fs->objects;

	piece->layer->files.fetched += piece->len;
	objects->piece_bytes += piece->len;
	free_oldest(objects, piece);
}

static void piece_describe(const struct load *load, char *text, size_t len)
{
	const struct piece_object *piece = container_of(load, struct piece_object, load);

	piece->layer->files.load.type->describe(&piece->layer->files.load, text, len);
}

static const struct load_type piece_type = { .pool = POOL_PIECE,
	.run = piece_run,
	.settle = piece_settle,
	.publish = piece_publish,
	.describe = piece_describe };

void pieces_free(struct layer_object *object)
{
	struct objects *objects = object->load.fs->objects;
	struct piece_object *piece, *next;

	DL_FOREACH_SAFE(objects->pieces, piece, next)
	{
		if (piece->layer == object && piece->load.state != LOAD_RUNNING)
			piece_free(objects, piece);
	}
}

/* --- what is here, and what is needed --- */

static bool is_decoded(struct fs *fs, const struct layer_object *object, uint32_t number)
{
	const struct span_object *span = span_find(fs, object, number);

	return span && is_coming(&span->load);
}

/* Nobody has to ask for it any more. */
static bool is_here(struct fs *fs, const struct layer_object *object, uint32_t number)
{
	const struct piece_object *piece;

	if (is_decoded(fs, object, number))
		return true;
	piece = piece_find(object, number);
	return piece && is_coming(&piece->load);
}

/* Stored bytes of the spans right before this one that a reader went through. */
static uint64_t measure_run(struct fs *fs, const struct layer_object *object, uint32_t number)
{
	uint64_t run = 0;

	for (unsigned i = 0; i < SPANS_AHEAD_MAX && span_passed_before(fs, object, number); i++) {
		number--;
		if (span_of(object, number)->in_spool)
			break;
		run += span_of(object, number)->stored_len;
	}
	return run;
}

/* From *number on, up to the first span before end that is not here; the stored bytes of those
 * passed over. */
static uint64_t skip_what_is_here(
	struct fs *fs, const struct layer_object *object, uint32_t *number, uint32_t end)
{
	uint64_t len = 0;

	while (*number < end && is_here(fs, object, *number))
		len += span_of(object, (*number)++)->stored_len;
	return len;
}

/* One after the last span that could be fetched ahead of this one. */
static uint32_t find_end(const struct layer_object *object, uint32_t number, uint32_t last)
{
	uint32_t end = number;

	while (end <= last && end - number < SPANS_AHEAD_MAX && !span_of(object, end)->in_spool)
		end++;
	return end;
}

bool pieces_are_no_use(struct fs *fs, const struct layer_object *object, uint32_t number)
{
	const struct layer_files *files = &object->files;

	if (files->blob || span_of(object, number)->in_spool || is_here(fs, object, number))
		return false;
	return files->needs_whole || files->fetched >= object->layer->stored_size ||
	       span_of(object, number)->stored_len > STORED_MAX;
}

/* The last span of a piece that starts with this one, which is not here: as far as max bytes go,
 * and no other piece. */
static uint32_t find_last(
	const struct layer_object *object, uint32_t first, uint32_t end, uint64_t max)
{
	struct fs *fs = object->load.fs;
	uint64_t limit = span_of(object, first)->stored_offset + max;

	while (first + 1 < end && stored_end(object, first + 1) <= limit &&
		!span_find(fs, object, first + 1) && !piece_find(object, first + 1))
		first++;
	return first;
}

/* Stored bytes that were fetched in pieces, or are being. */
static uint64_t count_fetched(const struct layer_object *object)
{
	uint64_t fetched = object->files.fetched;
	struct piece_object *piece;

	DL_FOREACH(object->load.fs->objects->pieces, piece)
	{
		if (piece->layer == object && piece->load.state == LOAD_RUNNING)
			fetched += piece->len;
	}
	return fetched;
}

static struct piece_object *piece_new(struct layer_object *object, uint32_t first, uint32_t last)
{
	struct fs *fs = object->load.fs;
	struct piece_object *piece = calloc(1, sizeof *piece);

	if (!piece)
		return NULL;
	load_init(&piece->load, fs, &piece_type);
	piece->layer = object;
	piece->first = first;
	piece->last = last;
	piece->blob_size = object->layer->stored_size;
	piece->offset = span_of(object, first)->stored_offset;
	piece->len = (size_t)(stored_end(object, last) - piece->offset);
	DL_APPEND(fs->objects->pieces, piece);
	fs->objects->piece_count++;
	free_oldest(fs->objects, piece);
	return piece;
}

/* Starts what brings a span that is not here, and maybe some after it; false: it does not come. */
static bool fetch(
	struct layer_object *object, uint32_t number, uint32_t end, uint64_t max, pid_t asker)
{
	struct piece_object *piece = piece_find(object, number); /* one that failed */

	if (!piece)
		piece = piece_new(object, number, find_last(object, number, end, max));
	if (!piece)
		return false;
	if (piece->load.state != LOAD_RUNNING)
		piece->before = count_fetched(object);
	load_start(&piece->load, asker);
	return is_coming(&piece->load);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void pieces_ahead(
	struct fs *fs, struct layer_object *object, uint32_t number, uint32_t last, pid_t asker)
{
	uint32_t end, next = number;
	uint64_t window, ahead;

	if (object->files.blob)
		return;
	end = find_end(object, number, last);
	window = least(2 * measure_run(fs, object, number), AHEAD_MAX);
	ahead = skip_what_is_here(fs, object, &next, end);
	while (next < end && (next == number || ahead <= window / 2) &&
		!pieces_are_no_use(fs, object, next)) {
		uint64_t room = window > ahead ? window - ahead : 0;

		if (!fetch(object, next, end, least(room, PIECE_MAX), asker))
			return;
		ahead += skip_what_is_here(fs, object, &next, end);
	}
}

struct reader *piece_bytes(const struct layer_object *object, uint32_t number)
{
	const struct piece_object *piece = piece_find(object, number);

	return piece && piece->load.state == LOAD_READY ? piece->bytes : NULL;
}

int piece_want(struct fs *fs, struct layer_object *object, uint32_t number, uint32_t last,
	struct need *need)
{
	struct piece_object *piece;

	if (object->files.blob || span_of(object, number)->in_spool ||
		is_decoded(fs, object, number) || piece_bytes(object, number))
		return 0;
	pieces_ahead(fs, object, number, last, need->asker);
	piece = piece_find(object, number);
	return piece ? load_want(&piece->load, need) : no_memory(need);
}

void piece_decoded(struct layer_object *object, uint32_t number)
{
	struct piece_object *piece = piece_find(object, number);

	if (piece && piece->last == number && piece->load.state == LOAD_READY)
		piece_free(object->load.fs->objects, piece);
}

void piece_forget(struct layer_object *object, uint32_t number)
{
	struct piece_object *piece = piece_find(object, number);

	if (piece && piece->load.state == LOAD_READY)
		piece_free(object->load.fs->objects, piece);
}
