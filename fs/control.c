/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/control.h"

#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch/file.h"
#include "fs/spaces.h"
#include "fs/views.h"
#include "model/cleanup.h"
#include "version.h"

enum { PROCESS_NAME_MAX = 32 };

/* What the counters are called in stats.json and metrics. */
static const struct {
	const char *name, *help;
	size_t offset;
} counters[] = {
#define COUNTER(name, help)                                                                        \
	{                                                                                          \
#name, help, offsetof(struct counters, name)                                       \
	}
	COUNTER(http_requests, "Requests sent, retries and redirects included"),
	COUNTER(http_retries, "Requests sent again after a failure"),
	COUNTER(http_retries_429, "Of these, because the registry is asked too often"),
	COUNTER(http_retries_5xx, "Of these, because a server failed"),
	COUNTER(http_retries_timeout, "Of these, because nothing came in time"),
	COUNTER(http_retries_connect, "Of these, because there was no connection"),
	COUNTER(http_retries_broken, "Of these, because an answer broke off or was none"),
	COUNTER(http_failures, "Requests given up on"),
	COUNTER(http_resumes, "Transfers that broke off and were continued"),
	COUNTER(http_redirects, "Redirects followed"),
	COUNTER(net_dns, "Attempts that failed for a name"),
	COUNTER(net_connect, "Attempts that failed to connect"),
	COUNTER(net_tls, "Attempts that failed in TLS"),
	COUNTER(net_stall, "Attempts that failed because nothing came in time"),
	COUNTER(net_redirect, "Attempts that failed for a redirect that was refused"),
	COUNTER(range_ignored, "Answers with the whole where a part was asked for"),
	COUNTER(range_refused, "Answers with another part than was asked for"),
	COUNTER(auth_tokens, "Tokens fetched"),
	COUNTER(auth_failures, "Requests that were not allowed"),
	COUNTER(fetched_bytes, "Bytes of answers"),
	COUNTER(fetch_coalesced, "Waits for what was under way for somebody else"),
	COUNTER(mirror_requests, "Questions to mirrors"),
	COUNTER(mirror_failures, "Questions that a mirror did not do its work for"),
	COUNTER(verify_failures, "Digests or sizes that were others than asked for"),
	COUNTER(verify_failures_size, "Of these, sizes"),
	COUNTER(tag_moves, "Tags that pointed at something else when asked again"),
	COUNTER(cache_hits, "Times that the cache had what was looked for"),
	COUNTER(cache_misses, "Times that it had not"),
	COUNTER(cache_corrupt, "Entries of the cache dropped because they were damaged"),
	COUNTER(cache_full, "Writes to the cache without room"),
	COUNTER(cache_errors, "Whatever else the disk of the cache refused"),
	COUNTER(cache_waits, "Waits for a blob that another mount was fetching"),
	COUNTER(cache_tmp_removed, "Files of dead writers removed from the cache"),
	COUNTER(layers_indexed, "Layers indexed"),
	COUNTER(spans_decoded, "Spans of layers decoded"),
	COUNTER(oom, "Errors that readers saw for want of memory"),
#undef COUNTER
};

static uint64_t counter(const struct fs *fs, size_t i)
{
	return atomic_load(
		(_Atomic uint64_t *)((char *)&fs->observer->counters + counters[i].offset));
}

void put_bytes(struct buf *ret, uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	size_t unit = 0;

	for (; value >= 1023.95 && unit + 1 < ARRAY_SIZE(units); unit++)
		value /= 1024;
	(void)buf_printf(ret, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

/* The name of a process, for finding out who is behind a fetch. */
static void process_name(pid_t pid, char name[static PROCESS_NAME_MAX])
{
	CLEANUP(closep) int fd = -1;
	char path[32];
	ssize_t n;

	(void)snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, name, PROCESS_NAME_MAX - 1);
	if (n > 0)
		name[n - (name[n - 1] == '\n')] = '\0';
	else
		(void)strcpy(name, "?");
	for (char *p = name; *p; p++)
		*p = (unsigned char)*p < 0x20 ? '?' : *p;
}

static unsigned count_waiters(const struct load *load)
{
	unsigned count = 0;

	for (const struct request *request = load->waiters; request; request = request->next)
		count++;
	return count;
}

/* Who waits for a load, or wanted it first. */
static pid_t waiter(const struct load *load)
{
	return load->waiters ? load->waiters->pid : load->asker;
}

void control_put_waiters(struct buf *ret, const struct load *load)
{
	unsigned waiters = count_waiters(load);
	char name[PROCESS_NAME_MAX];

	process_name(waiter(load), name);
	(void)buf_printf(ret, "%s(%d)", name, (int)waiter(load));
	if (waiters > 1)
		(void)buf_printf(ret, " +%u", waiters - 1);
}

static void put_uptime(struct buf *ret, uint64_t ms)
{
	uint64_t s = ms / 1000;

	if (s >= 3600)
		(void)buf_printf(ret, "%" PRIu64 "h", s / 3600);
	if (s >= 60)
		(void)buf_printf(ret, "%" PRIu64 "m", s / 60 % 60);
	(void)buf_printf(ret, "%" PRIu64 "s", s % 60);
}

static void put_load(struct buf *ret, const struct load *load)
{
	uint64_t done = atomic_load(&load->progress.done);
	uint64_t total = atomic_load(&load->progress.total);
	uint64_t ms = now_ms() - load->started_ms;
	uint64_t rate = ms ? done * 1000 / ms : 0;
	char text[64];

	load->type->describe(load, text, sizeof text);
	(void)buf_printf(ret, "  %s  ", text);
	put_bytes(ret, total);
	if (total)
		(void)buf_printf(ret, "  %u%%", (unsigned)(done * 100 / total));
	(void)buf_append_text(ret, "  ");
	put_bytes(ret, rate);
	(void)buf_append_text(ret, "/s");
	if (rate && total > done)
		(void)buf_printf(ret, "  %" PRIu64 "s left", (total - done) / rate + 1);
	(void)buf_append_text(ret, "  for ");
	control_put_waiters(ret, load);
	(void)buf_append_text(ret, "\n");
}

static void put_away(struct fs *fs, struct buf *ret)
{
	struct store_away away;
	char why[sizeof away.why.text];

	if (!store_is_away(fs->store, &away))
		return;
	(void)buf_append_text(ret, "away      for ");
	put_uptime(ret, now_ms() - away.since_ms);
	log_escape(away.why.text, why, sizeof why);
	(void)buf_printf(ret, ", names are those of before: %s\n", why);
}

static void write_status(struct fs *fs, struct buf *ret)
{
	const struct counters *c = &fs->observer->counters;
	bool has_some = false;

	(void)buf_printf(ret, "%s on %s, up ", fs->options->source, fs->options->mountpoint);
	put_uptime(ret, now_ms() - fs->started_ms);
	(void)buf_printf(ret, "\nrequests  %" PRIu64 ", %" PRIu64 " retried, %" PRIu64 " failed\n",
		atomic_load(&c->http_requests), atomic_load(&c->http_retries),
		atomic_load(&c->http_failures));
	put_away(fs, ret);
	(void)buf_append_text(ret, "fetched   ");
	put_bytes(ret, atomic_load(&c->fetched_bytes));
	(void)buf_append_text(ret, " of ");
	put_bytes(ret, fs->known_bytes);
	(void)buf_append_text(ret, " known\ncache     ");
	if (fs->cache) {
		put_bytes(ret, cache_used(fs->cache));
		(void)buf_append_text(ret, " of ");
		put_bytes(ret, fs->options->cache_size);
		(void)buf_printf(ret, " in %s; %" PRIu64 " hits, %" PRIu64 " misses\n",
			cache_path(fs->cache), atomic_load(&c->cache_hits),
			atomic_load(&c->cache_misses));
	} else {
		(void)buf_append_text(ret, "none\n");
	}
	(void)buf_printf(ret,
		"layers    %" PRIu64 " indexed, %" PRIu64 " spans decoded, %" PRIu64
		" entries left out\n",
		atomic_load(&c->layers_indexed), atomic_load(&c->spans_decoded), fs->dropped);
	for (const struct load *load = fs->running; load; load = load->next_running) {
		if (!load->type->describe)
			continue;
		if (!has_some)
			(void)buf_append_text(ret, "in flight\n");
		has_some = true;
		put_load(ret, load);
	}
}

static void put_json(struct buf *ret, const char *name, const char *value)
{
	(void)buf_printf(ret, "  \"%s\": ", name);
	(void)json_write_string(ret, value, strlen(value));
	(void)buf_append_text(ret, ",\n");
}

static void put_in_flight(struct fs *fs, struct buf *ret)
{
	char text[64], name[PROCESS_NAME_MAX];
	bool is_first = true;

	(void)buf_append_text(ret, "  \"in_flight\": [");
	for (const struct load *load = fs->running; load; load = load->next_running) {
		if (!load->type->describe)
			continue;
		load->type->describe(load, text, sizeof text);
		process_name(waiter(load), name);
		(void)buf_printf(ret,
			"%s\n    {\"digest\": \"%s\", \"done\": %" PRIu64 ", \"total\": %" PRIu64
			", \"ms\": %" PRIu64 ", \"pid\": %d, \"waiters\": %u, \"comm\": ",
			is_first ? "" : ",", text, atomic_load(&load->progress.done),
			atomic_load(&load->progress.total), now_ms() - load->started_ms,
			(int)waiter(load), count_waiters(load));
		(void)json_write_string(ret, name, strlen(name));
		(void)buf_append_text(ret, "}");
		is_first = false;
	}
	(void)buf_append_text(ret, is_first ? "]\n" : "\n  ]\n");
}

/* Requests that wait for something. */
static uint64_t queue_depth(const struct fs *fs)
{
	uint64_t depth = 0;

	for (const struct load *load = fs->running; load; load = load->next_running)
		for (const struct request *waiter = load->waiters; waiter; waiter = waiter->next)
			depth++;
	return depth;
}

static void write_stats(struct fs *fs, struct buf *ret)
{
	struct store_away away;

	(void)buf_append_text(ret, "{\n  \"schema\": 1,\n");
	put_json(ret, "source", fs->options->source);
	put_json(ret, "mountpoint", fs->options->mountpoint);
	put_json(ret, "version", IMGFS_VERSION);
	(void)buf_printf(ret, "  \"pid\": %d,\n", (int)getpid());
	(void)buf_printf(ret, "  \"uptime_ms\": %" PRIu64 ",\n", now_ms() - fs->started_ms);
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
		(void)buf_printf(ret, "  \"%s\": %" PRIu64 ",\n", counters[i].name, counter(fs, i));
	(void)buf_printf(ret, "  \"away_ms\": %" PRIu64 ",\n",
		store_is_away(fs->store, &away) ? now_ms() - away.since_ms : 0);
	(void)buf_printf(ret, "  \"queue_depth\": %" PRIu64 ",\n", queue_depth(fs));
	(void)buf_printf(ret,
		"  \"known_bytes\": %" PRIu64 ",\n  \"dropped_entries\": %" PRIu64
		",\n  \"errors\": %" PRIu64 ",\n",
		fs->known_bytes, fs->dropped, fs->errors);
	(void)buf_printf(ret,
		"  \"cache_bytes\": %" PRIu64 ",\n  \"cache_size\": %" PRIu64 ",\n  \"fuse\": {",
		fs->cache ? cache_used(fs->cache) : 0, fs->cache ? fs->options->cache_size : 0);
	for (size_t i = 0; i < OP_COUNT; i++)
		(void)buf_printf(ret, "%s\"%s\": %" PRIu64, i ? ", " : "", operation_names[i],
			fs->requests[i]);
	(void)buf_append_text(ret, "},\n");
	put_in_flight(fs, ret);
	(void)buf_append_text(ret, "}\n");
}

static void put_metric(
	struct buf *ret, const char *name, const char *type, const char *help, uint64_t value)
{
	(void)buf_printf(ret, "# HELP imgfs_%s %s.\n# TYPE imgfs_%s %s\nimgfs_%s %" PRIu64 "\n",
		name, help, name, type, name, value);
}

static void put_fuse_metrics(struct fs *fs, struct buf *ret)
{
	(void)buf_append_text(ret, "# HELP imgfs_fuse_requests_total Requests of the kernel.\n"
				   "# TYPE imgfs_fuse_requests_total counter\n");
	for (size_t i = 0; i < OP_COUNT; i++)
		(void)buf_printf(ret, "imgfs_fuse_requests_total{op=\"%s\"} %" PRIu64 "\n",
			operation_names[i], fs->requests[i]);
}

static void write_metrics(struct fs *fs, struct buf *ret)
{
	unsigned in_flight = 0;
	char name[64];

	for (const struct load *load = fs->running; load; load = load->next_running)
		in_flight += load->type->describe != NULL;
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		(void)snprintf(name, sizeof name, "%s_total", counters[i].name);
		put_metric(ret, name, "counter", counters[i].help, counter(fs, i));
	}
	put_fuse_metrics(fs, ret);
	put_metric(ret, "errors_total", "counter", "Answers to the kernel with an error but ENOENT",
		fs->errors);
	put_metric(ret, "inflight", "gauge", "Transfers under way", in_flight);
	put_metric(
		ret, "queue_depth", "gauge", "Requests that wait for something", queue_depth(fs));
	put_metric(ret, "source_away", "gauge", "Whether the source cannot be reached",
		store_is_away(fs->store, NULL));
	put_metric(ret, "known_bytes", "gauge", "Bytes of all layers seen in manifests",
		fs->known_bytes);
	put_metric(ret, "cache_bytes", "gauge", "Bytes in the cache",
		fs->cache ? cache_used(fs->cache) : 0);
	put_metric(ret, "cache_size_bytes", "gauge", "What the cache keeps to",
		fs->cache ? fs->options->cache_size : 0);
}

static void write_log(struct fs *fs, struct buf *ret)
{
	log_ring(fs->log, ret);
}

static void write_source(struct fs *fs, struct buf *ret)
{
	(void)buf_printf(ret, "%s\n", fs->options->source);
}

static void write_options(struct fs *fs, struct buf *ret)
{
	(void)buf_append(ret, fs->options->given.data, fs->options->given.len);
}

static void write_version(struct fs *fs, struct buf *ret)
{
	(void)fs;
	(void)buf_append_text(ret, "imgfs " IMGFS_VERSION "\n");
}

static void write_pid(struct fs *fs, struct buf *ret)
{
	(void)fs;
	(void)buf_printf(ret, "%d\n", (int)getpid());
}

static const struct {
	const char *name;
	void (*write)(struct fs *fs, struct buf *ret);
} files[] = {
	{ "log", write_log },
	{ "metrics", write_metrics },
	{ "options", write_options },
	{ "pid", write_pid },
	{ "source", write_source },
	{ "stats.json", write_stats },
	{ "status", write_status },
	{ "version", write_version },
};

void control_log_status(struct fs *fs)
{
	struct buf text;

	buf_init(&text, CONTROL_FILE_MAX);
	write_status(fs, &text);
	for (char *line = text.data, *end; line && *line; line = end + 1) {
		end = strchr(line, '\n');
		if (!end)
			break;
		*end = '\0';
		log_notice(fs->log, "%s", line);
	}
	buf_release(&text);
}

int control_read(struct buf *ret, const char *directory, const char *name, struct error *err)
{
	CLEANUP(freep) char *path = NULL;
	int rc;

	if (asprintf(&path, "%s/" CONTROL_NAME "/%s", directory, name) < 0) {
		path = NULL; /* not set on failure */
		return error_set(err, ENOMEM, "out of memory");
	}
	rc = file_read(ret, path, err);
	if (rc == -ENOTCONN)
		return error_set(err, ENOTCONN,
			"%s: a dead mount, its process has ended\nhint: imgfs umount '%s'",
			directory, directory);
	return rc;
}

/* --- the directories --- */

int control_entry(struct fs *fs, struct fuse_entry_param *ret)
{
	struct place place = { .repository = node_root(fs)->place.repository };

	return entry_node(fs, node_make(fs, node_root(fs), CONTROL_NAME, &view_control, &place),
		CONTENT_TIMEOUT_S, ret);
}

/* A snapshot for each lookup: never the one before, which somebody may be reading. */
static int lookup(struct fs *fs, struct node *dir, const char *name, struct fuse_entry_param *ret,
	struct need *need)
{
	bool has_repository = store_source(fs->store)->is_local || *dir->place.repository;
	struct buf content;
	int rc;

	if (has_repository && !strcmp(name, "blobs"))
		return entry_directory(
			fs, dir, name, &view_control_blobs, &dir->place, CONTENT_TIMEOUT_S, ret);
	if (has_repository && !strcmp(name, "digests"))
		return entry_directory(
			fs, dir, name, &view_digests, &dir->place, CONTENT_TIMEOUT_S, ret);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		if (strcmp(name, files[i].name))
			continue;
		buf_init(&content, CONTROL_FILE_MAX);
		files[i].write(fs, &content);
		rc = entry_file(fs, dir, name, &content, 0, ret, need);
		if (!rc)
			node_fix_ino(fs, ret, (unsigned)i);
		return rc;
	}
	return no_such_file(need, name);
}

static int list(struct fs *fs, struct node *dir, struct listing *ret, struct need *need)
{
	int rc = listing_add(ret, "blobs", S_IFDIR, 0);

	(void)fs;
	(void)dir;
	(void)need;
	if (!rc)
		rc = listing_add(ret, "digests", S_IFDIR, 0);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(files); i++)
		rc = listing_add(ret, files[i].name, S_IFREG, 0);
	return rc;
}

const struct view view_control = {
	.name = "control", .type = S_IFDIR, .lookup = lookup, .list = list
};

/* --- blobs/ALG/HEX: reachable, not listed --- */

static int blobs_lookup(struct fs *fs, struct node *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	struct descriptor blob = { .size = DESCRIPTOR_SIZE_UNKNOWN };
	struct place place = dir->place;

	if (!place.algorithm) {
		place.algorithm = algorithm_named(name);
		return place.algorithm ? entry_directory(fs, dir, name, &view_control_blobs, &place,
						 CONTENT_TIMEOUT_S, ret)
				       : no_such_file(need, name);
	}
	if (digest_parse_parts(&blob.digest, digest_algorithm_name(place.algorithm), name, NULL))
		return no_such_file(need, name);
	return entry_blob(fs, place.repository, &blob, false, ret, need);
}

static int blobs_list(struct fs *fs, struct node *dir, struct listing *ret, struct need *need)
{
	(void)fs;
	(void)need;
	return dir->place.algorithm ? 0 : listing_add(ret, "sha256", S_IFDIR, 0);
}

const struct view view_control_blobs = {
	.name = "control blobs", .type = S_IFDIR, .lookup = blobs_lookup, .list = blobs_list
};
