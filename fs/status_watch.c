/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/status_watch.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "fs/control.h"
#include "fs/log.h"
#include "fs/mount_table.h"
#include "model/buf.h"
#include "model/cleanup.h"
#include "model/json.h"

enum {
	PERIOD_MS = 500,
	REMIND_MS = 10000, /* without a terminal: how often a transfer that goes on is told */
	TRANSFERS_MAX = 256,
	LINE_MAX_BYTES = 512,
	COLUMNS = 80,
	ROWS = 24,
	BAR_MIN = 5,
	BAR_MAX = 40,
};

struct transfer {
	char digest[32], comm[32]; /* escaped */
	uint64_t done, total, pid, waiters;
	uint64_t ms;      /* since it began */
	uint64_t rate;    /* bytes a second, of late */
	uint64_t told_ms; /* ms when it was last told in a line */
};

struct snapshot {
	char *source;
	uint64_t requests, failures, fetched, known, uptime_ms;
	struct transfer transfers[TRANSFERS_MAX];
	size_t count;
};

struct view {
	const char *directory;
	bool is_terminal;
	unsigned drawn; /* lines of the last picture */
	struct snapshot *now, *before;
};

/* --- what the mount says --- */

static void copy_text(struct json_object *object, const char *name, char *ret, size_t room)
{
	CLEANUP(freep) char *text = NULL;

	if (json_get_string(object, name, &text, NULL))
		text = NULL;
	log_escape(text ? text : "?", ret, room);
}

static int read_transfer(struct json_object *object, struct transfer *ret, struct error *err)
{
	const struct {
		const char *name;
		uint64_t *field;
	} numbers[] = { { "done", &ret->done }, { "total", &ret->total }, { "ms", &ret->ms },
		{ "pid", &ret->pid }, { "waiters", &ret->waiters } };
	int rc = 0;

	copy_text(object, "digest", ret->digest, sizeof ret->digest);
	copy_text(object, "comm", ret->comm, sizeof ret->comm);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(numbers); i++)
		rc = json_get_size(object, numbers[i].name, numbers[i].field, err);
	return rc;
}

static int read_snapshot(struct snapshot *ret, const char *directory, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { .max = CONTROL_FILE_MAX };
	CLEANUP(json_putp) struct json_object *stats = NULL;
	struct json_object *list = NULL;
	const struct {
		const char *name;
		uint64_t *field;
	} numbers[] = { { "http_requests", &ret->requests }, { "http_failures", &ret->failures },
		{ "fetched_bytes", &ret->fetched }, { "known_bytes", &ret->known },
		{ "uptime_ms", &ret->uptime_ms } };
	int rc = control_read(&text, directory, "stats.json", err);

	if (!rc)
		rc = json_parse(&stats, text.data ? text.data : "", text.len, err);
	if (!rc)
		rc = json_get_string(stats, "source", &ret->source, err);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(numbers); i++)
		rc = json_get_size(stats, numbers[i].name, numbers[i].field, err);
	if (!rc)
		rc = json_get_array(stats, "in_flight", &list, err);
	for (size_t i = 0; !rc && list && i < json_object_array_length(list); i++)
		if (ret->count < TRANSFERS_MAX)
			rc = read_transfer(json_object_array_get_idx(list, i),
				&ret->transfers[ret->count++], err);
	return rc;
}

static void snapshot_clear(struct snapshot *snapshot)
{
	free(snapshot->source);
	memset(snapshot, 0, sizeof *snapshot);
}

/* The same transfer at another time; NULL: it is not there. */
static struct transfer *find(struct snapshot *in, const struct transfer *transfer, bool is_later)
{
	for (size_t i = 0; i < in->count; i++) {
		struct transfer *other = &in->transfers[i];

		if (!strcmp(other->digest, transfer->digest) &&
			(is_later ? other->ms >= transfer->ms : other->ms <= transfer->ms))
			return other;
	}
	return NULL;
}

/* Of late, and smoothed: a rate that jumps tells nobody anything. */
static void measure(struct view *view)
{
	for (size_t i = 0; i < view->now->count; i++) {
		struct transfer *transfer = &view->now->transfers[i];
		const struct transfer *before = find(view->before, transfer, false);
		uint64_t ms = transfer->ms - (before ? before->ms : 0);
		uint64_t done = transfer->done -
				(before && before->done <= transfer->done ? before->done : 0);

		transfer->rate = ms ? done * 1000 / ms : 0;
		if (before && before->ms)
			transfer->rate = (3 * before->rate + transfer->rate) / 4;
		transfer->told_ms = before ? before->told_ms : 0;
	}
}

/* --- what is said of it --- */

static unsigned percent(const struct transfer *transfer)
{
	return transfer->total && transfer->done < transfer->total
		       ? (unsigned)(transfer->done * 100 / transfer->total)
		       : 100;
}

/* " 61%  17.5 MiB/28.7 MiB  11.2 MiB/s  1s left  ls(4121) +2" */
static void put_numbers(struct buf *ret, const struct transfer *transfer)
{
	if (transfer->total)
		(void)buf_printf(ret, " %3u%%  ", percent(transfer));
	else
		(void)buf_append_text(ret, "       ");
	put_bytes(ret, transfer->done);
	if (transfer->total) {
		(void)buf_append_text(ret, "/");
		put_bytes(ret, transfer->total);
	}
	(void)buf_append_text(ret, "  ");
	put_bytes(ret, transfer->rate);
	(void)buf_append_text(ret, "/s");
	if (transfer->rate && transfer->total > transfer->done)
		(void)buf_printf(ret, "  %" PRIu64 "s left",
			(transfer->total - transfer->done) / transfer->rate + 1);
	(void)buf_printf(ret, "  %s(%" PRIu64 ")", transfer->comm, transfer->pid);
	if (transfer->waiters > 1)
		(void)buf_printf(ret, " +%" PRIu64, transfer->waiters - 1);
}

static void put_head(struct buf *ret, const struct view *view)
{
	const struct snapshot *now = view->now;
	char source[LINE_MAX_BYTES / 2], directory[LINE_MAX_BYTES / 2];

	log_escape(now->source ? now->source : "", source, sizeof source);
	log_escape(view->directory, directory, sizeof directory);
	(void)buf_printf(ret, "%s on %s", source, directory);
}

static void put_totals(struct buf *ret, const struct snapshot *now)
{
	(void)buf_append_text(ret, "fetched ");
	put_bytes(ret, now->fetched);
	(void)buf_append_text(ret, " of ");
	put_bytes(ret, now->known);
	(void)buf_printf(ret, " known, %" PRIu64 " requests, %" PRIu64 " failed", now->requests,
		now->failures);
}

/* What the numbers leave of the line, so that who waits is seen at 80 columns. */
static void put_bar(struct buf *ret, const struct transfer *transfer, int columns)
{
	static const char algorithm[] = "sha256:";
	const char *name = transfer->digest;
	CLEANUP(buf_release) struct buf numbers = { .max = LINE_MAX_BYTES };
	char bar[BAR_MAX + 1];
	int room;

	if (!strncmp(name, algorithm, strlen(algorithm)))
		name += strlen(algorithm);
	put_numbers(&numbers, transfer);
	room = columns - 1 - (int)(strlen(name) + strlen(" []") + numbers.len);
	room = room < BAR_MAX ? room : BAR_MAX;
	(void)buf_append_text(ret, name);
	if (room >= BAR_MIN && transfer->total) {
		memset(bar, '.', (size_t)room);
		memset(bar, '#', percent(transfer) * (size_t)room / 100);
		(void)buf_printf(ret, " [%.*s]", room, bar);
	}
	(void)buf_append_text(ret, numbers.data ? numbers.data : "");
}

/* --- on a terminal --- */

/* A line in place of the one that was there, cut to the width: one that wraps would count twice. */
static void draw_line(struct view *view, struct buf *picture, const struct buf *line, int columns)
{
	(void)buf_printf(picture, "%.*s\033[K\n", columns - 1, line->data ? line->data : "");
	view->drawn++;
}

static void draw(struct view *view)
{
	CLEANUP(buf_release) struct buf picture = { .max = 64 << 10 };
	CLEANUP(buf_release) struct buf line = { .max = LINE_MAX_BYTES };
	const struct snapshot *now = view->now;
	struct winsize size = { 0 };
	int columns = COLUMNS, rows = ROWS;
	size_t shown;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col > 1 && size.ws_row > 4)
		columns = size.ws_col, rows = size.ws_row;
	/* The head, the totals, perhaps how many more there are, and the line of the cursor. */
	shown = now->count <= (size_t)rows - 4 ? now->count : (size_t)rows - 4;
	if (view->drawn)
		(void)buf_printf(&picture, "\033[%uA", view->drawn);
	view->drawn = 0;
	put_head(&line, view);
	draw_line(view, &picture, &line, columns);
	buf_clear(&line);
	put_totals(&line, now);
	draw_line(view, &picture, &line, columns);
	for (size_t i = 0; i < shown; i++) {
		buf_clear(&line);
		put_bar(&line, &now->transfers[i], columns);
		draw_line(view, &picture, &line, columns);
	}
	if (shown < now->count) {
		buf_clear(&line);
		(void)buf_printf(&line, "and %zu more", now->count - shown);
		draw_line(view, &picture, &line, columns);
	}
	(void)buf_append_text(&picture, "\033[J");
	(void)fputs(picture.data ? picture.data : "", stdout);
}

/* --- elsewhere --- */

static void tell(const struct transfer *transfer, const char *end)
{
	CLEANUP(buf_release) struct buf line = { .max = LINE_MAX_BYTES };

	(void)buf_append_text(&line, transfer->digest);
	put_numbers(&line, transfer);
	(void)printf("%s%s\n", line.data ? line.data : "", end);
}

static void tell_all(struct view *view)
{
	for (size_t i = 0; i < view->before->count; i++)
		if (!find(view->now, &view->before->transfers[i], true))
			tell(&view->before->transfers[i], ": over");
	for (size_t i = 0; i < view->now->count; i++) {
		struct transfer *transfer = &view->now->transfers[i];
		bool is_new = !find(view->before, transfer, false);

		if (!is_new && transfer->ms - transfer->told_ms < REMIND_MS)
			continue;
		tell(transfer, "");
		transfer->told_ms = transfer->ms;
	}
}

static void tell_head(const struct view *view)
{
	CLEANUP(buf_release) struct buf line = { .max = LINE_MAX_BYTES };

	put_head(&line, view);
	(void)puts(line.data ? line.data : "");
}

/* --- */

static void show(struct view *view, bool is_first)
{
	struct snapshot *swap = view->before;

	measure(view);
	if (view->is_terminal) {
		draw(view);
	} else {
		if (is_first)
			tell_head(view);
		tell_all(view);
	}
	(void)fflush(stdout);
	view->before = view->now;
	view->now = swap;
	snapshot_clear(view->now);
}

static int open_signals(struct error *err)
{
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	return fd < 0 ? error_set(err, errno, "signalfd: %s", strerror(errno)) : fd;
}

static bool is_mounted(const char *directory)
{
	CLEANUP(mount_table_release) struct mount_table table = { NULL, 0 };
	const struct mount_entry *entry;

	return !mount_table_read(&table, NULL) &&
	       !mount_table_find(&table, &entry, directory, NULL);
}

static int follow(struct view *view, struct error *err)
{
	CLEANUP(closep) int signals = open_signals(err);
	struct pollfd fd = { .fd = signals, .events = POLLIN };
	bool is_first = true;

	if (signals < 0)
		return signals;
	do {
		int rc = read_snapshot(view->now, view->directory, err);

		if (rc && (is_first || is_mounted(view->directory)))
			return rc;
		if (rc) {
			(void)printf("%s: not mounted any more\n", view->directory);
			return 0;
		}
		show(view, is_first);
		is_first = false;
	} while (!ferror(stdout) && poll(&fd, 1, PERIOD_MS) == 0);
	return 0;
}

int status_watch(const char *directory, struct error *err)
{
	const char *kind = getenv("TERM");
	CLEANUP(freep) struct snapshot *snapshots = calloc(2, sizeof *snapshots);
	struct view view = { .directory = directory,
		.is_terminal = isatty(STDOUT_FILENO) && kind && strcmp(kind, "dumb") != 0 };
	int rc;

	if (!snapshots)
		return error_set(err, ENOMEM, "out of memory");
	view.now = &snapshots[0];
	view.before = &snapshots[1];
	rc = follow(&view, err);
	snapshot_clear(&snapshots[0]);
	snapshot_clear(&snapshots[1]);
	return rc;
}
