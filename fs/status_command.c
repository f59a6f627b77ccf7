/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/status_command.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/control.h"
#include "fs/log.h"
#include "fs/mount_table.h"
#include "fs/status_watch.h"
#include "model/cleanup.h"
#include "model/image.h"
#include "model/json.h"

static const char usage[] =
	"usage: imgfs status [--json] [DIR]\n"
	"       imgfs status --watch [DIR]\n\n"
	"What the mount at DIR is doing; without DIR, all mounts of imgfs.\n\n"
	"  -w, --watch  go on, with a bar for each transfer; Ctrl-C ends it, or the end\n"
	"               of the mount\n"
	"  --json       for programs: stats.json as in imgfs(5); without DIR, an array\n"
	"  --help\n\n"
	"See imgfs(1).\n";

struct command {
	bool is_watch, is_json;
	const char *directory; /* or NULL */
};

/* Who serves a mount may be anybody: nothing he says gets at the terminal. */
static void print_lines(const struct buf *text)
{
	const char *line = text->data;

	while (line && *line) {
		size_t len = strcspn(line, "\n");
		CLEANUP(freep) char *alone = strndup(line, len);
		char escaped[LOG_LINE_MAX];

		log_escape(alone ? alone : "", escaped, sizeof escaped);
		(void)puts(escaped);
		line += len + (line[len] == '\n');
	}
}

static int print_status(const struct mount_entry *entry, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { .max = CONTROL_FILE_MAX };
	int rc = control_read(&text, entry->directory, "status", err);

	if (!rc)
		print_lines(&text);
	return rc;
}

static int read_stats(struct buf *ret, const struct mount_entry *entry, struct error *err)
{
	struct json_object *stats = NULL;
	int rc = control_read(ret, entry->directory, "stats.json", err);

	if (rc)
		return rc;
	rc = json_parse(&stats, ret->data ? ret->data : "", ret->len, err);
	json_putp(&stats);
	return rc ? error_prefix(err, rc, "%s", entry->directory) : 0;
}

/* --- one, or all --- */

static int show(const struct command *command, const struct mount_entry *entry, struct error *err)
{
	CLEANUP(buf_release) struct buf stats = { .max = CONTROL_FILE_MAX };
	int rc;

	if (!command->is_json)
		return print_status(entry, err);
	rc = read_stats(&stats, entry, err);
	if (!rc)
		(void)fputs(stats.data, stdout);
	return rc;
}

static void print_unreadable(const struct mount_entry *entry, const struct error *err)
{
	CLEANUP(buf_release) struct buf head = { .max = CONTROL_FILE_MAX };
	char why[LOG_LINE_MAX];

	(void)buf_printf(&head, "%s on %s\n", entry->source, entry->directory);
	print_lines(&head);
	log_escape(err->text, why, sizeof why);
	(void)printf("error     %s\n", why);
}

/* What cannot be looked at (others' mounts, dead ones) is told, as a part of the answer. */
static void list_as_text(const struct mount_table *table)
{
	struct error err;

	for (size_t i = 0; i < table->count; i++) {
		if (i)
			(void)putchar('\n');
		if (print_status(&table->entries[i], &err))
			print_unreadable(&table->entries[i], &err);
	}
}

static void append_unreadable(
	struct buf *ret, const struct mount_entry *entry, const struct error *err)
{
	const char *const members[][2] = { { "source", entry->source },
		{ "mountpoint", entry->directory }, { "error", err->text } };

	(void)buf_append_text(ret, "{");
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		(void)buf_printf(ret, "%s\"%s\": ", i ? ", " : "", members[i][0]);
		(void)json_write_string(ret, members[i][1], strlen(members[i][1]));
	}
	(void)buf_append_text(ret, "}\n");
}

static void list_as_json(const struct mount_table *table)
{
	(void)puts("[");
	for (size_t i = 0; i < table->count; i++) {
		CLEANUP(buf_release) struct buf stats = { .max = CONTROL_FILE_MAX };
		struct error err;

		if (i)
			(void)puts(",");
		if (read_stats(&stats, &table->entries[i], &err)) {
			buf_clear(&stats);
			append_unreadable(&stats, &table->entries[i], &err);
		}
		(void)fputs(stats.data ? stats.data : "null", stdout);
	}
	(void)puts("]");
}

static int watch(const struct command *command, const struct mount_table *table,
	const struct mount_entry *entry, struct error *err)
{
	if (!command->directory && table->count == 1)
		entry = table->entries;
	if (entry)
		return status_watch(entry->directory, err);
	return table->count ? error_set(err, EINVAL,
				      "there are %zu mounts\nhint: name the directory of one",
				      table->count)
			    : error_set(err, ENOENT, "nothing of imgfs is mounted");
}

static int run(const struct command *command, struct error *err)
{
	CLEANUP(mount_table_release) struct mount_table table = { NULL, 0 };
	const struct mount_entry *entry = NULL;
	int rc = mount_table_read(&table, err);

	if (!rc && command->directory)
		rc = mount_table_find(&table, &entry, command->directory, err);
	if (rc)
		return rc;
	if (command->is_watch)
		rc = watch(command, &table, entry, err);
	else if (entry)
		rc = show(command, entry, err);
	else if (command->is_json)
		list_as_json(&table);
	else
		list_as_text(&table);
	if (!rc && (fflush(stdout) || ferror(stdout)))
		rc = error_set(err, EIO, "cannot write: %s", strerror(errno));
	return rc;
}

static enum exit_status misuse(const char *what)
{
	(void)fprintf(stderr, "imgfs: status: %s\nhint: imgfs status --help\n", what);
	return STATUS_USAGE;
}

enum exit_status status_command(int argc, char **argv)
{
	static const struct option options[] = { { "watch", no_argument, NULL, 'w' },
		{ "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 } };
	struct command command = { .directory = NULL };
	struct error err = { "" };

	optind = 0;
	opterr = 0;
	for (int c; (c = getopt_long(argc, argv, "wjh", options, NULL)) != -1;) {
		if (c == 'h')
			return fputs(usage, stdout) < 0 ? STATUS_SYSTEM : STATUS_OK;
		if (c == '?')
			return misuse("unknown option");
		*(c == 'w' ? &command.is_watch : &command.is_json) = true;
	}
	if (argc - optind > 1)
		return misuse("one directory, or none");
	if (command.is_watch && command.is_json)
		return misuse("--watch is for people, --json for programs");
	command.directory = argv[optind]; /* or the NULL behind them */
	if (!run(&command, &err))
		return STATUS_OK;
	(void)fprintf(stderr, "imgfs: status: %s\n", err.text);
	return STATUS_SYSTEM;
}
