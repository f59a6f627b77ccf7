/* SPDX-License-Identifier: Apache-2.0 */
/* commands -- the words that may follow "imgfs": run, listed and completed from one table. */
#ifndef FS_COMMANDS_H
#define FS_COMMANDS_H

#include <stddef.h>

#include "fs/options.h"

enum { ARGUMENTS_MAX = 2 };

enum argument {
	ARGUMENT_NONE,
	ARGUMENT_SOURCE,
	ARGUMENT_DIRECTORY,
	ARGUMENT_FILE,
	ARGUMENT_MOUNT, /* a directory where imgfs is mounted */
	ARGUMENT_COMMAND,
};

struct command {
	const char *name;  /* one word, or two for what a command can do */
	const char *words; /* what stands behind it, for people; NULL: not listed by itself */
	const char *help;
	enum argument arguments[ARGUMENTS_MAX];
	const char *options; /* mount options it takes: separated by '|', "" for all, or NULL */
	/* argv[0] is its word.  NULL: mount, which is done without any word as well. */
	enum exit_status (*run)(int argc, char **argv);
};

/* NULL: there are no more.  What a command can do stands behind it. */
const struct command *command_at(size_t i);
/* By its first word alone; NULL: there is none. */
const struct command *command_find(const char *name);
/* The command that a word is nearly, which is no file either; NULL: it may be a source. */
const char *command_meant(const char *word);
/* meant: by command_meant(), or NULL. */
enum exit_status command_unknown(const char *word, const char *meant);

/* Everything, by name, on one screen. */
enum exit_status help_overview(void);
/* All options of a mount, by that program. */
enum exit_status help_mount(const char *program);

#endif
