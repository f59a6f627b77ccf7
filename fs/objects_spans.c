/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoded spans of layers, and reading through them.
 *
 * A read needs the index (load), the files (files.load) and a span (its own
 * load), one after the other.  A span that does not match its digest drops
 * what is in the cache and tries once more, from the source: the reader
 * notices nothing but the time.
 *
 * What stays in memory is chosen as 2Q does (Johnson and Shasha, VLDB 1994):
 * new spans stand in a queue, which takes a quarter of the room at least; those
 * that come back soon after they left it are kept by their last use.  So who
 * reads through a large file does not push out what others return to, and the many
 * small reads of one walk through a span do not count as returning to it.
 *
 * All of this belongs to the loop's thread, as everything in fs/ does; decoding
 * alone does not, and that shares nothing.
 */
#include "fs/objects_internal.h"

#include <utlist.h>

enum {
	NEW_SHARE = 4,    /* the queue of new spans: this part of the room is its own */
	AHEAD_SHARE = 4,  /* and spans decoded ahead of one reader take no more than this part, */
	PASSED_SHARE = 4, /* of a span was given: somebody reads through it */
	AHEAD_CORE = 4,   /* nor more than so many for each core: some take five times as
			   * long as others, and no core shall be without one */
	ROOM_STEP = 128 << 10,   /* bytes: as multiples of it, spans fit into each other's room */
	ROOM_KEPT_MAX = 2 << 20, /* bytes: of larger ones four would be too much */
};

/* --- memory --- */

/* Fresh pages, which the kernel has to find and clear, cost a twentieth of what decoding does. */
static struct span_room room_get(struct objects *objects, size_t len)
{
	struct span_room room = { .len = (len + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP };

	for (unsigned i = 0; i < objects->span_room_count; i++) {
		struct span_room *kept = &objects->span_rooms[i];

		if (kept->len < len || kept->len > room.len + ROOM_STEP)
			continue;
		room = *kept;
		*kept = objects->span_rooms[--objects->span_room_count];
		return room;
	}
	room.bytes = malloc(room.len);
	return room;
}

static void room_put(struct objects *objects, struct span_room *room)
{
	if (room->bytes && room->len <= ROOM_KEPT_MAX && objects->span_room_count < SPAN_ROOMS)
		objects->span_rooms[objects->span_room_count++] = *room;
	else
		free(room->bytes);
	*room = (struct span_room){ 0 };
}

/* --- what is kept --- */

static uint64_t *ghost_of(struct objects *objects, uint64_t key)
{
	/* Numbers of one layer follow each other: they have slots of their own. */
	return &objects->span_ghosts[(key ^ key >> 32) % SPAN_GHOSTS];
}

static struct span_object **queue_of(struct objects *objects, const struct span_object *span)
{
	return span->is_kept ? &objects->spans_kept : &objects->spans_new;
}

static void span_free(struct objects *objects, struct span_object *span)
{
	if (span->load.state == LOAD_READY) {
		DL_DELETE(*queue_of(objects, span), span);
		objects->span_bytes -= span->plain_len;
		objects->span_new_bytes -= span->is_kept ? 0 : span->plain_len;
	}
	HASH_DEL(objects->spans, span);
	load_release(&span->load);
	room_put(objects, &span->room);
	free(span);
}

void spans_forget(struct objects *objects, const struct layer_object *layer)
{
	struct span_object *span, *next;

	HASH_ITER(hh, objects->spans, span, next)
	{
		if (span->layer == layer && span->load.state != LOAD_RUNNING &&
			!atomic_load(&span->pins))
			span_free(objects, span);
	}
}

void spans_free(struct objects *objects)
{
	struct span_object *span, *next;

	HASH_ITER(hh, objects->spans, span, next)
	{
		span_free(objects, span);
	}
	while (objects->span_room_count)
		free(objects->span_rooms[--objects->span_room_count].bytes);
}

/* The first that may go: nobody is being sent anything from it, nor is it that one. */
static struct span_object *first_free(struct span_object *span, const struct span_object *keep)
{
	while (span && (span == keep || atomic_load(&span->pins)))
		span = span->next;
	return span;
}

/* The next one to go, other than that one; NULL: there is none. */
static struct span_object *victim(
	const struct objects *objects, uint64_t room, const struct span_object *keep)
{
	struct span_object *new = first_free(objects->spans_new, keep);
	struct span_object *kept = first_free(objects->spans_kept, keep);

	return new && (!kept || objects->span_new_bytes > room / NEW_SHARE) ? new : kept;
}

static void make_room(struct objects *objects, uint64_t room, const struct span_object *keep)
{
	while (objects->span_bytes > room) {
		struct span_object *span = victim(objects, room, keep);

		if (!span)
			return;
		if (!span->is_kept)
			*ghost_of(objects, span->key) = span->key;
		span_free(objects, span);
	}
}

/* --- decoding --- */

static int span_run(struct load *load)
{
	struct span_object *span = container_of(load, struct span_object, load);
	const struct layer *layer = span->layer->layer;

	if (!span->room.bytes)
		return error_set(&load->err, ENOMEM, "out of memory");
	observer_count(load->fs->observer, spans_decoded, 1);
	return layer_decode_span(layer, span->span, span->stored, span->layer->files.spool_fd,
		span->room.bytes, &load->err);
}

static void span_settle(struct load *load)
{
	struct span_object *span = container_of(load, struct span_object, load);
	struct layer_files *files = &span->layer->files;
	bool is_of_piece = span->stored && span->stored != files->blob;

	reader_unref(TAKE(span->stored));
	files->readers--;
	if (load->rc)
		room_put(load->fs->objects, &span->room);
	if (load->rc == 0)
		files->was_damaged = files->was_refetched = false;
	if (load->rc != -EBADMSG)
		return;
	observer_count(load->fs->observer, verify_failures, 1);
	log_line(load->fs->log, LOG_LEVEL_WARNING, "%s: %s; fetching it afresh", span->layer->key,
		load->err.text);
	if (is_of_piece)
		store_distrust(load->fs->store, &span->layer->descriptor.digest);
	if (is_of_piece && !files->was_refetched) {
		files->was_refetched = true;
		piece_forget(span->layer, span->span);
		load->rc = -EINTR;
		return;
	}
	if (files->was_damaged && !files->is_damaged)
		return;
	files->is_damaged = files->was_damaged = true;
	if (!files->readers)
		layer_files_close(span->layer);
	load->rc = -EINTR;
}

static void span_publish(struct load *load)
{
	struct span_object *span = container_of(load, struct span_object, load);
	struct objects *objects = load->fs->objects;
	uint64_t *ghost = ghost_of(objects, span->key);

	span->is_kept = *ghost == span->key;
	if (span->is_kept)
		*ghost = 0;
	DL_APPEND(*queue_of(objects, span), span);
	objects->span_bytes += span->plain_len;
	objects->span_new_bytes += span->is_kept ? 0 : span->plain_len;
	make_room(objects, load->fs->options->span_cache, span);
}

static const struct load_type span_type = {
	.pool = POOL_DECODE, .run = span_run, .settle = span_settle, .publish = span_publish
};

struct span_object *span_find(struct fs *fs, const struct layer_object *object, uint32_t number)
{
	uint64_t key = (uint64_t)object->space << 32 | number;
	struct span_object *span;

	HASH_FIND(hh, fs->objects->spans, &key, sizeof key, span);
	return span;
}

const struct span_object *span_passed_before(
	struct fs *fs, const struct layer_object *object, uint32_t number)
{
	const struct span_object *before = number ? span_find(fs, object, number - 1) : NULL;

	return before && before->is_passed ? before : NULL;
}

/* NULL: in the spool, or not here. */
static struct reader *find_stored(const struct layer_object *object, uint32_t number)
{
	if (object->layer->spans[number].in_spool)
		return NULL;
	return object->files.blob ? object->files.blob : piece_bytes(object, number);
}

static void decode(struct span_object *span, pid_t asker)
{
	struct layer_object *object = span->layer;
	struct reader *stored = find_stored(object, span->span);

	span->stored = stored ? reader_ref(stored) : NULL;
	span->plain_len = object->layer->spans[span->span].plain_len;
	span->room = room_get(span->load.fs->objects, span->plain_len);
	load_start(&span->load, asker);
	if (span->load.state == LOAD_RUNNING) {
		object->files.readers++;
		piece_decoded(object, span->span);
	} else {
		reader_unref(TAKE(span->stored));
		room_put(span->load.fs->objects, &span->room);
	}
}

/* Starts decoding; the layer's files are open, and the span's stored bytes are here. */
static struct span_object *span_start(
	struct fs *fs, struct layer_object *object, uint32_t number, pid_t asker)
{
	struct span_object *span = span_find(fs, object, number);

	if (!span) {
		span = calloc(1, sizeof *span);
		if (!span)
			return NULL;
		load_init(&span->load, fs, &span_type);
		span->key = (uint64_t)object->space << 32 | number;
		span->layer = object;
		span->span = number;
		HASH_ADD(hh, fs->objects->spans, key, sizeof span->key, span);
		if (!HASH_HAS(hh, span)) {
			load_release(&span->load);
			free(span);
			return NULL;
		}
	}
	if (span->load.state != LOAD_RUNNING && span->load.state != LOAD_READY)
		decode(span, asker);
	return span;
}

/* --- decoding ahead --- */

/* How many spans behind this one are wanted soon: none, until a reader comes from the one
 * before; then more with each, until all cores are busy. */
static uint32_t find_ahead(struct fs *fs, const struct span_object *span)
{
	const struct span_object *before = span_passed_before(fs, span->layer, span->span);
	uint64_t room = fs->options->span_cache / AHEAD_SHARE / span->plain_len;
	uint32_t ahead = before ? 2 * before->ahead + 1 : 0;

	if (ahead > AHEAD_CORE * fs->cores)
		ahead = AHEAD_CORE * fs->cores;
	return ahead < room ? ahead : (uint32_t)room;
}

static bool has_stored(const struct layer_object *object, uint32_t number)
{
	return object->layer->spans[number].in_spool || find_stored(object, number);
}

/* A reader is at this span, and may go on to the last one. */
static void go_ahead(struct fs *fs, struct span_object *span, uint32_t last, pid_t asker)
{
	struct layer_object *object = span->layer;
	uint32_t left = object->layer->span_count - span->span - 1;

	if (span->is_reached)
		return;
	span->is_reached = true;
	span->ahead = find_ahead(fs, span);
	if (object->files.load.state != LOAD_READY || object->files.is_damaged)
		return;
	pieces_ahead(fs, object, span->span, last, asker);
	for (uint32_t i = 1; i <= span->ahead && i <= left; i++)
		if (!span_find(fs, object, span->span + i) && has_stored(object, span->span + i))
			(void)span_start(fs, object, span->span + i, asker);
}

/* --- reading --- */

/* One that still reads the damaged files. */
static struct load *running_span(struct fs *fs, const struct layer_object *object)
{
	struct load *load = fs->running;

	while (load && (load->type != &span_type ||
			       container_of(load, struct span_object, load)->layer != object))
		load = load->next_running;
	return load;
}

/* Files that will not do are closed when their last reader has ended, and opened afresh. */
static int files_renew(struct fs *fs, struct layer_object *object, struct need *need)
{
	need->load = object->files.readers ? running_span(fs, object) : NULL;
	if (need->load)
		return LOAD_PENDING;
	layer_files_close(object);
	return load_want(&object->files.load, need);
}

/* What the decoder reads: the files, and the span's own bytes. */
static int span_prepare(struct fs *fs, struct layer_object *object, uint32_t number, uint32_t last,
	struct need *need)
{
	struct layer_files *files = &object->files;
	int rc = files->is_damaged ? files_renew(fs, object, need) : load_want(&files->load, need);

	if (rc)
		return rc;
	if (!pieces_are_no_use(fs, object, number))
		return piece_want(fs, object, number, last, need);
	files->needs_whole = true;
	return files_renew(fs, object, need);
}

static int span_decode(struct fs *fs, struct layer_object *object, uint32_t number, uint32_t last,
	struct need *need)
{
	struct span_object *span;
	int rc = span_prepare(fs, object, number, last, need);

	if (rc)
		return rc;
	object->files.used_ms = now_ms();
	span = span_start(fs, object, number, need->asker);
	if (!span)
		return no_memory(need);
	if (span->load.state == LOAD_FAILED) {
		need->err = span->load.err;
		return span->load.rc;
	}
	need->load = &span->load;
	return LOAD_PENDING;
}

/* A read up to there, which got so many bytes.  The last byte counts when it is asked for: the
 * kernel asks for what comes next while it waits for this.  But who reads file after file may never
 * do. */
static void note_read(struct span_object *span, uint64_t end, size_t given)
{
	const struct span *stored = &span->layer->layer->spans[span->span];

	span->given += given;
	span->is_passed |= end == stored->plain_offset + stored->plain_len ||
			   span->given >= span->plain_len / PASSED_SHARE;
}

static int span_get(struct fs *fs, struct layer_object *object, uint32_t number, uint32_t last,
	struct span_object **ret, struct need *need)
{
	struct span_object *span = span_find(fs, object, number);

	if (!span || span->load.state != LOAD_READY)
		return span_decode(fs, object, number, last, need);
	if (span->is_kept) {
		DL_DELETE(fs->objects->spans_kept, span);
		DL_APPEND(fs->objects->spans_kept, span);
	}
	go_ahead(fs, span, last, need->asker);
	*ret = span;
	return 0;
}

int layer_plain_size(const struct layer_object *object, uint64_t *ret, struct need *need)
{
	const struct layer *layer = object->layer;

	/* A broken tar in a sound wrapper can still be read; a broken wrapper cannot. */
	if (layer->status && (!layer->span_count || !layer->plain_size))
		return error_set(&need->err, -layer->status, "%s", layer->message);
	*ret = layer->plain_size;
	return 0;
}

int layer_read(struct fs *fs, struct layer_object *object, uint64_t offset, size_t len,
	uint64_t end, struct answer *answer, struct need *need)
{
	const struct layer *layer = object->layer;
	int rc = 0;

	if (offset > end || len > end - offset || end > layer->plain_size)
		return error_set(
			&need->err, EIO, "%s: content beyond the layer's end", object->key);
	while (!rc && len) {
		uint32_t number = layer_span_at(layer, offset);
		const struct span *span = &layer->spans[number];
		size_t skip = (size_t)(offset - span->plain_offset);
		size_t piece = span->plain_len - skip < len ? span->plain_len - skip : len;
		struct span_object *found = NULL, *asked;

		rc = span_get(fs, object, number, layer_span_at(layer, end - 1), &found, need);
		asked = found ? found : span_find(fs, object, number);
		if (asked)
			note_read(asked, offset + piece, rc ? 0 : piece);
		if (!rc)
			rc = answer_add(
				answer, found->room.bytes + skip, piece, &found->pins, &need->err);
		offset += piece;
		len -= piece;
	}
	return rc;
}
