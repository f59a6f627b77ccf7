/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/cache_command.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cache_list.h"
#include "fs/cache_verify.h"
#include "fs/control.h"
#include "fs/log.h"
#include "model/cleanup.h"

static const char usage[] =
	"usage: imgfs cache dir\n"
	"       imgfs cache list [--json]\n"
	"       imgfs cache prune [--dry-run] [-o cache_size=SIZE]\n"
	"       imgfs cache verify [--dry-run]\n\n"
	"  dir      print where the cache is\n"
	"  list     what is in it, the last used first, and which names lead there\n"
	"  prune    remove what was used longest ago, down to SIZE; without SIZE,\n"
	"           all that no mount has open\n"
	"  verify   read all of it and drop what is damaged, which is then fetched\n"
	"           again when it is needed\n\n"
	"  -o cache_dir=DIR   the cache's directory, where it is not the usual one\n"
	"  -o cache_size=SIZE what prune leaves, like 500M or 10G\n"
	"  --dry-run          only say what would be removed\n"
	"  --json             for programs\n"
	"  --help\n\n"
	"See imgfs(1).\n";

struct command {
	char *cache_dir, *cache_size;
	int as_json, is_trial, wants_help;
	const char *verb;
	bool is_misused;
};

static void command_release(struct command *command)
{
	free(command->cache_dir);
	free(command->cache_size);
}

/* --- the command line --- */

#define OPTION(text, field, value)                                                                 \
	{                                                                                          \
		text, offsetof(struct command, field), value                                       \
	}

static const struct fuse_opt command_options[] = {
	OPTION("cache_dir=%s", cache_dir, 0),
	OPTION("--cache-dir=%s", cache_dir, 0),
	OPTION("cache_size=%s", cache_size, 0),
	OPTION("--cache-size=%s", cache_size, 0),
	OPTION("--json", as_json, 1),
	OPTION("--dry-run", is_trial, 1),
	OPTION("-h", wants_help, 1),
	OPTION("--help", wants_help, 1),
	FUSE_OPT_END,
};

/* fuse_opt_proc_t, for all that is not in the table: the verb. */
static int take_word(void *data, const char *arg, int key, struct fuse_args *out)
{
	struct command *command = data;

	(void)out;
	if (key == FUSE_OPT_KEY_NONOPT && !command->verb)
		command->verb = strcmp(arg, "dir") == 0      ? "dir"
				: strcmp(arg, "list") == 0   ? "list"
				: strcmp(arg, "prune") == 0  ? "prune"
				: strcmp(arg, "verify") == 0 ? "verify"
							     : NULL;
	else
		command->is_misused = true;
	command->is_misused |= !command->verb;
	return 0;
}

/* What libfuse would print of a misuse is one line too many. */
static void say_nothing(enum fuse_log_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
}

static bool is_verb(const struct command *command, const char *verb)
{
	return !strcmp(command->verb, verb);
}

/* NULL: nothing is wrong. */
static const char *misuse(const struct command *command, uint64_t *ret_size)
{
	if (command->is_misused)
		return "unknown option or word";
	if (!command->verb)
		return "dir, list, prune or verify";
	if (command->cache_dir && !*command->cache_dir)
		return "cache_dir: a directory is needed";
	if (command->as_json && !is_verb(command, "list"))
		return "--json goes with list";
	if (command->is_trial && !is_verb(command, "prune") && !is_verb(command, "verify"))
		return "--dry-run goes with prune and verify";
	if (command->cache_size && !is_verb(command, "prune"))
		return "cache_size goes with prune";
	if (command->cache_size && options_parse_size(command->cache_size, ret_size))
		return "cache_size: a size like 500M or 10G is needed";
	return NULL;
}

/* --- the verbs --- */

static void print_warning(struct observer *observer, enum log_level level, const char *text)
{
	char line[LOG_LINE_MAX];

	(void)observer;
	if (level > LOG_LEVEL_WARNING)
		return;
	log_escape(text, line, sizeof line);
	(void)fprintf(stderr, "imgfs: %s\n", line);
}

static void put_files(struct buf *ret, const char *what, uint64_t bytes, uint64_t files)
{
	(void)buf_printf(ret, "%s ", what);
	put_bytes(ret, bytes);
	(void)buf_printf(ret, " in %" PRIu64 " file%s; ", files, files == 1 ? "" : "s");
}

static int prune(struct cache *cache, uint64_t size, bool is_trial, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { .max = 1024 };
	struct cache_pruned pruned;
	int rc = cache_prune(cache, size, is_trial, &pruned, err);

	if (rc)
		return rc;
	put_files(
		&text, is_trial ? "would remove" : "removed", pruned.removed_bytes, pruned.removed);
	if (pruned.spared)
		put_files(&text, "in use:", pruned.spared_bytes, pruned.spared);
	(void)buf_append_text(&text, "left: ");
	put_bytes(&text, pruned.left_bytes);
	if (buf_status(&text))
		return error_set(err, ENOMEM, "out of memory");
	(void)puts(text.data);
	return 0;
}

static int run(const struct command *command, const char *path, uint64_t size, bool *ret_is_damaged,
	struct error *err)
{
	struct observer observer = { .log = print_warning };
	struct cache *cache;
	int rc = 0;

	if (is_verb(command, "dir"))
		return puts(path) < 0 ? error_set(err, errno, "cannot write: %m") : 0;
	rc = cache_open_existing(&cache, path, &observer, err);
	if (rc)
		return rc;
	if (is_verb(command, "list"))
		rc = list_cache(cache, command->as_json, err);
	else if (is_verb(command, "prune"))
		rc = prune(cache, size, command->is_trial, err);
	else
		rc = verify_cache(cache, command->is_trial, ret_is_damaged, err);
	cache_close(cache);
	if (!rc && (fflush(stdout) || ferror(stdout)))
		rc = error_set(err, EIO, "cannot write: %s", strerror(errno));
	return rc;
}

enum exit_status cache_command(int argc, char **argv)
{
	CLEANUP(command_release) struct command command = { .cache_dir = NULL };
	CLEANUP(fuse_opt_free_args) struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	CLEANUP(freep) char *path = NULL;
	struct error err = { "" };
	bool is_damaged = false;
	const char *what;
	uint64_t size = 0;
	char line[LOG_LINE_MAX];

	fuse_set_log_func(say_nothing);
	if (fuse_opt_parse(&args, &command, command_options, take_word))
		command.is_misused = true;
	if (command.wants_help)
		return fputs(usage, stdout) < 0 ? STATUS_SYSTEM : STATUS_OK;
	what = misuse(&command, &size);
	if (what) {
		(void)fprintf(stderr, "imgfs: cache: %s\nhint: imgfs cache --help\n", what);
		return STATUS_USAGE;
	}
	path = command.cache_dir ? strdup(command.cache_dir) : options_default_cache_dir();
	if (!path)
		(void)error_set(&err, ENOMEM, "out of memory");
	if (path && !run(&command, path, size, &is_damaged, &err))
		return is_damaged ? STATUS_SYSTEM : STATUS_OK;
	log_escape(err.text, line, sizeof line);
	(void)fprintf(stderr, "imgfs: %s\n", line);
	return STATUS_SYSTEM;
}
