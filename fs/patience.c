/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/patience.h"

#include <inttypes.h>

#include "fs/control.h"
#include "fs/fs.h"
#include "fs/notify.h"
#include "model/cleanup.h"

enum {
	TICK_MS = 1000,
	STATUS_MS = 2000,
	LONG_MS = 10000,      /* of waiting: told */
	VERY_LONG_MS = 30000, /* of waiting: told again; without a byte: a warning */
	LINE_MAX_BYTES = 512,
};

/* How long the first of those who wait has done so. */
static uint64_t waited(const struct load *load, uint64_t now_ms)
{
	uint64_t since = now_ms;

	for (const struct request *request = load->waiters; request; request = request->next)
		since = request->since_ms < since ? request->since_ms : since;
	return now_ms - since;
}

static void put_progress(struct buf *ret, const struct load *load, uint64_t now_ms)
{
	uint64_t done = atomic_load(&load->progress.done);
	uint64_t total = atomic_load(&load->progress.total);
	uint64_t ms = now_ms - load->started_ms;

	if (total)
		(void)buf_printf(ret, ": %u%% of ", (unsigned)(done * 100 / total));
	else
		(void)buf_append_text(ret, ": ");
	put_bytes(ret, total ? total : done);
	(void)buf_append_text(ret, ", ");
	put_bytes(ret, ms ? done * 1000 / ms : 0);
	(void)buf_append_text(ret, "/s");
}

/* "sha256:5d20c808ce19: 34% of 28.7 MiB, 1.2 MiB/s, for ls(4121)", or who waits alone. */
static void put_load(struct buf *ret, const struct load *load, uint64_t now_ms)
{
	char text[64];

	if (load->type->describe) {
		load->type->describe(load, text, sizeof text);
		(void)buf_append_text(ret, text);
		put_progress(ret, load, now_ms);
		(void)buf_append_text(ret, ", ");
	}
	(void)buf_append_text(ret, "for ");
	control_put_waiters(ret, load);
}

static void tell_that_it_goes_on(struct fs *fs, const struct load *load, uint64_t now_ms)
{
	CLEANUP(buf_release) struct buf text = { .max = LINE_MAX_BYTES };
	const char *what = !load->type->describe      ? "waiting for an answer"
			   : load->step == STORE_WORK ? "indexing"
						      : "fetching";

	put_load(&text, load, now_ms);
	log_notice(
		fs->log, "%s: still %s %s", fs->options->source, what, text.data ? text.data : "");
}

static void tell_silence(struct fs *fs, const struct load *load, uint64_t now_ms)
{
	CLEANUP(buf_release) struct buf text = { .max = LINE_MAX_BYTES };

	put_load(&text, load, now_ms);
	log_line(fs->log, LOG_LEVEL_WARNING, "%s: not responding, still trying: %s",
		fs->options->source, text.data ? text.data : "");
}

/* Is it under way, and of what may take long? */
static bool is_at_work(const struct load *load)
{
	return atomic_load(&load->is_at_work) && load->step != STORE_LOOK;
}

static void note_movement(struct fs *fs, struct load *load, uint64_t now_ms)
{
	uint64_t done = atomic_load(&load->progress.done);

	if (is_at_work(load) && done == load->seen_done)
		return;
	if (load->is_silent)
		log_notice(fs->log, "%s: responding again", fs->options->source);
	load->is_silent = false;
	load->seen_done = done;
	load->moved_ms = now_ms;
}

static void look_at(struct fs *fs, struct load *load, uint64_t now_ms)
{
	uint64_t still_ms;

	note_movement(fs, load, now_ms);
	if (!is_at_work(load) || !load->waiters)
		return;
	still_ms = now_ms - load->moved_ms;
	if (still_ms >= VERY_LONG_MS && load->step != STORE_WORK) {
		if (!load->is_silent)
			tell_silence(fs, load, now_ms);
		load->is_silent = true;
	} else if (load->told == 0 && waited(load, now_ms) >= LONG_MS) {
		load->told = waited(load, now_ms) < VERY_LONG_MS ? 1 : 2;
		tell_that_it_goes_on(fs, load, now_ms);
	} else if (load->told == 1 && waited(load, now_ms) >= VERY_LONG_MS && still_ms < LONG_MS) {
		load->told = 2; /* one that is silent by then is told of otherwise, soon */
		tell_that_it_goes_on(fs, load, now_ms);
	}
}

/* --- for a service manager --- */

static void send_status(struct fs *fs)
{
	CLEANUP(buf_release) struct buf text = { .max = LINE_MAX_BYTES };
	uint64_t done = 0, total = 0;
	unsigned count = 0;

	for (const struct load *load = fs->running; load; load = load->next_running) {
		if (!load->type->describe || !is_at_work(load))
			continue;
		count++;
		done += atomic_load(&load->progress.done);
		total += atomic_load(&load->progress.total);
	}
	if (!count)
		return;
	(void)buf_printf(&text, "%u under way: ", count);
	put_bytes(&text, done);
	(void)buf_append_text(&text, " of ");
	put_bytes(&text, total);
	notify_send(fs->notify_fd, "STATUS=%s\n", text.data ? text.data : "");
	fs->shows_progress = true;
}

/* Nothing is under way any more. */
static void send_idle_status(struct fs *fs)
{
	if (fs->shows_progress)
		notify_idle(fs->notify_fd, fs->options);
	fs->shows_progress = false;
}

int patience_tick(struct fs *fs, uint64_t now_ms)
{
	if (!fs->running) {
		send_idle_status(fs);
		return -1;
	}
	if (now_ms - fs->ticked_ms < TICK_MS)
		return (int)(TICK_MS - (now_ms - fs->ticked_ms));
	fs->ticked_ms = now_ms;
	for (struct load *load = fs->running; load; load = load->next_running)
		look_at(fs, load, now_ms);
	if (fs->notify_fd >= 0 && now_ms - fs->status_ms >= STATUS_MS) {
		fs->status_ms = now_ms;
		send_status(fs);
	}
	return TICK_MS;
}
