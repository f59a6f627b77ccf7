/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line is read as getopt would read it: words that begin with '-', the value of -o, and what is
 * left, by its place.
 */
#include "fs/complete.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/commands.h"
#include "model/cleanup.h"

enum { ANSWER_MAX = 1 << 20 };

#define HELPER "mount.imgfs"

/* A line without a command, and that of a program which has none. */
static const struct command bare = {
	.name = "", .arguments = { ARGUMENT_SOURCE, ARGUMENT_DIRECTORY }, .options = ""
};
static const struct command helper = {
	.name = HELPER, .arguments = { ARGUMENT_SOURCE, ARGUMENT_DIRECTORY }, .options = ""
};

static const struct flag {
	const char *command, *name, *help;
} flags[] = {
	{ "", "--version", "print the version" },
	{ "", "--foreground", "stay in the foreground" },
	{ "", "-V", "print the version" },
	{ "", "-d", "debug, in the foreground" },
	{ "", "-f", "stay in the foreground" },
	{ "", "-h", "list the options" },
	{ "", "-o", "mount options" },
	{ "", "-s", "accepted for FUSE's sake" },
	{ "", "-v", "say more" },
	{ "mount", "--foreground", "stay in the foreground" },
	{ "mount", "-d", "debug, in the foreground" },
	{ "mount", "-f", "stay in the foreground" },
	{ "mount", "-h", "list the options" },
	{ "mount", "-o", "mount options" },
	{ "mount", "-v", "say more" },
	{ HELPER, "-f", "check only" },
	{ HELPER, "-n", "ignored" },
	{ HELPER, "-o", "mount options" },
	{ HELPER, "-s", "warn of unknown options" },
	{ HELPER, "-v", "say more" },
	{ "umount", "--lazy", "at once, though it is in use" },
	{ "umount", "-z", "at once, though it is in use" },
	{ "status", "--json", "for programs" },
	{ "status", "--watch", "until it is interrupted" },
	{ "report", "--json", "for programs" },
	{ "report", "-o", "where the page goes" },
	{ "index", "--show", "print an index" },
	{ "index", "-o", "where the index goes" },
	{ "cache dir", "-o", "where the cache is" },
	{ "cache list", "--json", "for programs" },
	{ "cache list", "-o", "where the cache is" },
	{ "cache prune", "--dry-run", "only say what would be removed" },
	{ "cache prune", "-o", "where the cache is, what to leave" },
	{ "cache verify", "--dry-run", "only say what would be removed" },
	{ "cache verify", "-o", "where the cache is" },
};

struct line {
	struct buf *ret;
	const char *word; /* to be completed */
	const struct command *command;
	const struct mount_table *mounts;
};

/* --- candidates --- */

/* before text after, when the word begins so. */
static void offer(const struct line *line, const char *before, size_t before_len, const char *text,
	const char *after, const char *help)
{
	CLEANUP(freep) char *candidate = NULL;

	if (asprintf(&candidate, "%.*s%s%s", (int)before_len, before, text, after) < 0) {
		candidate = NULL;
		return;
	}
	if (!strncmp(candidate, line->word, strlen(line->word)) && !strpbrk(candidate, "\t\n"))
		(void)buf_printf(line->ret, "%s\t%s\n", candidate, help);
}

static void offer_paths(const struct line *line, bool are_directories, size_t skip)
{
	(void)buf_printf(line->ret, ":%s\t%zu\n", are_directories ? "directories" : "files", skip);
}

/* Is name one of a list that is separated by '|'? */
static bool holds(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *item = list; *item;) {
		size_t item_len = strcspn(item, "|");

		if (item_len == len && !strncmp(item, name, len))
			return true;
		item += item_len + (item[item_len] == '|');
	}
	return false;
}

/* The value of option; the word's first len bytes are in front of it. */
static void offer_values(const struct line *line, const struct options_word *option, size_t len)
{
	const char *choices = option->value == OPTIONS_VALUE_FLAG ? "yes|no"
			      : option->choices                   ? option->choices
								  : "";

	while (*choices) {
		size_t choice_len = strcspn(choices, "|");
		CLEANUP(freep) char *choice = strndup(choices, choice_len);

		if (choice)
			offer(line, line->word, len, choice, "",
				option->fallback && !strcmp(choice, option->fallback) ? "default"
										      : "");
		choices += choice_len + (choices[choice_len] == '|');
	}
	if (option->fallback && !option->choices && option->value == OPTIONS_VALUE_TEXT)
		offer(line, line->word, len, option->fallback, "", "default");
	if (option->value == OPTIONS_VALUE_FILE || option->value == OPTIONS_VALUE_DIRECTORY)
		offer_paths(line, option->value == OPTIONS_VALUE_DIRECTORY, len);
}

/* Does the command take the i-th mount option?  False for i past the last, too. */
static bool takes_option(const struct line *line, size_t i, struct options_word *ret)
{
	const char *names = line->command->options;

	return options_word(i, ret) && names && (!*names || holds(names, ret->name));
}

static bool find_option(const struct line *line, const char *name, struct options_word *ret)
{
	for (size_t i = 0; options_word(i, ret); i++)
		if (!strcmp(name, ret->name))
			return takes_option(line, i, ret);
	return false;
}

/* "name=value": the value, if the word holds one behind begin. */
static bool offer_value_behind(const struct line *line, const char *begin, bool is_long)
{
	size_t len = strcspn(begin, "=");
	CLEANUP(freep) char *name = strndup(begin, len);
	struct options_word option;

	if (!begin[len])
		return false;
	for (char *p = name; p && is_long && *p; p++)
		*p = *p == '-' ? '_' : *p;
	if (name && find_option(line, name, &option) && option.value != OPTIONS_VALUE_NONE)
		offer_values(line, &option, (size_t)(begin + len + 1 - line->word));
	return true;
}

static const char *after_name(const struct options_word *option)
{
	bool has_value = option->value != OPTIONS_VALUE_NONE && option->value != OPTIONS_VALUE_FLAG;

	return has_value ? "=" : "";
}

/* Is name one of those in front of end, in a list for -o? */
static bool is_given(const char *list, const char *end, const char *name)
{
	size_t len = strlen(name);

	for (const char *item = list; item < end; item = strchr(item, ',') + 1)
		if (!strncmp(item, name, len) && strchr(",=", item[len]))
			return true;
	return false;
}

/* "a,b=c,d": as libfuse splits it, at commas without a backslash in front. */
static void offer_list(const struct line *line)
{
	const char *begin = line->word;
	struct options_word option;

	for (const char *p = line->word; *p; p++) {
		if (*p == '\\' && p[1])
			p++;
		else if (*p == ',')
			begin = p + 1;
	}
	(void)buf_append_text(line->ret, ":list\n");
	if (offer_value_behind(line, begin, false))
		return;
	for (size_t i = 0; options_word(i, &option); i++)
		if (takes_option(line, i, &option) && !is_given(line->word, begin, option.name))
			offer(line, line->word, (size_t)(begin - line->word), option.name,
				after_name(&option), option.help);
}

static void offer_flags(const struct line *line)
{
	bool has_long = !!strcmp(line->command->name, HELPER);
	struct options_word option;

	if (!strncmp(line->word, "--", 2) && offer_value_behind(line, line->word + 2, true))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (!strcmp(flags[i].command, line->command->name))
			offer(line, "", 0, flags[i].name, "", flags[i].help);
	offer(line, "", 0, "--help", "", "what it takes");
	for (size_t i = 0; has_long && options_word(i, &option); i++) {
		CLEANUP(freep) char *name = strdup(option.name);

		if (!name || !takes_option(line, i, &option))
			continue;
		for (char *p = name; *p; p++)
			*p = *p == '_' ? '-' : *p;
		offer(line, "--", 2, name, after_name(&option), option.help);
	}
}

/* --- arguments --- */

static const char *transport_help(enum source_transport transport)
{
	switch (transport) {
	case TRANSPORT_REGISTRY:
		return "a registry, a repository or an image";
	case TRANSPORT_REGISTRY_V1:
		return "a registry of the V1 protocol";
	case TRANSPORT_LAYOUT:
		return "an OCI image layout";
	case TRANSPORT_OCI_ARCHIVE:
		return "an OCI image layout in a tar archive";
	case TRANSPORT_DOCKER_ARCHIVE:
		return "what docker save wrote";
	case TRANSPORT_DIR:
		return "what skopeo copy ... dir: wrote";
	case TRANSPORT_DAEMON:
		return "the images of the engine on this machine";
	case TRANSPORT_PATH:
		break;
	}
	return "";
}

static bool is_local(enum source_transport transport)
{
	return transport != TRANSPORT_REGISTRY && transport != TRANSPORT_REGISTRY_V1 &&
	       transport != TRANSPORT_DAEMON;
}

static void offer_sources(const struct line *line)
{
	enum source_transport transport;
	const char *prefix;

	for (size_t i = 0; (prefix = options_transport(i, &transport)); i++) {
		size_t len = strlen(prefix);

		if (!strncmp(line->word, prefix, len)) {
			if (is_local(transport))
				offer_paths(line,
					transport == TRANSPORT_LAYOUT || transport == TRANSPORT_DIR,
					len);
			return;
		}
		offer(line, "", 0, prefix, "", transport_help(transport));
	}
	offer_paths(line, false, 0);
}

/* path as it is called from cwd, or NULL: it is not below. */
static const char *relative(const char *path, const char *cwd)
{
	size_t len = strcmp(cwd, "/") ? strlen(cwd) : 0;

	return !strncmp(path, cwd, len) && path[len] == '/' ? path + len + 1 : NULL;
}

static void offer_mounts(const struct line *line)
{
	bool is_relative = *line->word && *line->word != '/';
	CLEANUP(freep) char *cwd = is_relative ? getcwd(NULL, 0) : NULL;

	for (size_t i = 0; i < line->mounts->count; i++) {
		const struct mount_entry *entry = &line->mounts->entries[i];
		const char *path = cwd ? relative(entry->directory, cwd) : entry->directory;

		if (path)
			offer(line, "", 0, path, "", entry->source);
	}
}

/* How many words name has that text begins with; 0 when it does not begin with all of them. */
static size_t words_of(const char *name, const char *text)
{
	size_t len = strlen(name), count = 1;

	if (!len || strncmp(name, text, len) || (text[len] && text[len] != ' '))
		return 0;
	for (const char *p = name; *p; p++)
		count += *p == ' ';
	return count;
}

/* The word itself may be one of a command's name, behind those in text; false: text begins no name.
 */
static bool offer_commands(const struct line *line, const char *text)
{
	const struct command *command;
	size_t len = strlen(text);
	bool is_begun = false;

	for (size_t i = 0; (command = command_at(i)); i++) {
		const char *rest = len ? command->name + len + 1 : command->name;

		if (len && (strncmp(command->name, text, len) || command->name[len] != ' '))
			continue;
		is_begun = true;
		if (!strchr(rest, ' ')) /* what a command can do comes behind it */
			offer(line, "", 0, rest, "", command->help);
	}
	return is_begun;
}

static void offer_argument(const struct line *line, enum argument argument)
{
	switch (argument) {
	case ARGUMENT_SOURCE:
		offer_sources(line);
		return;
	case ARGUMENT_DIRECTORY:
		offer_paths(line, true, 0);
		return;
	case ARGUMENT_FILE:
		offer_paths(line, false, 0);
		return;
	case ARGUMENT_MOUNT:
		offer_mounts(line);
		return;
	case ARGUMENT_COMMAND:
		(void)offer_commands(line, "");
		return;
	case ARGUMENT_NONE:
		return;
	}
}

/* --- the line --- */

/* What stands in front of the word without options and their values: "cache list". */
struct arguments {
	struct buf text; /* separated by blanks */
	size_t count;
	bool is_value; /* the word is what -o takes */
};

static void read_arguments(struct arguments *arguments, size_t count, char *const *words)
{
	for (size_t i = 1; i + 1 < count; i++) {
		if (arguments->is_value)
			arguments->is_value = false;
		else if (!strcmp(words[i], "-o"))
			arguments->is_value = true;
		else if (*words[i] != '-' || !words[i][1])
			(void)buf_printf(
				&arguments->text, "%s%s", arguments->count++ ? " " : "", words[i]);
	}
}

static bool is_helper(const char *program)
{
	const char *slash = strrchr(program, '/');

	return !strncmp(slash ? slash + 1 : program, "mount.", strlen("mount."));
}

void complete(struct buf *ret, size_t count, char *const *words, const struct mount_table *mounts)
{
	struct arguments arguments = { .count = 0 };
	struct line line = { ret, count > 1 ? words[count - 1] : "", &bare, mounts };
	const struct command *command;
	bool has_commands;
	bool is_begun = false; /* a command of several words */
	size_t taken = 0;
	const char *text;

	if (count < 2)
		return;
	buf_init(&arguments.text, ANSWER_MAX);
	read_arguments(&arguments, count, words);
	text = arguments.count && arguments.text.data ? arguments.text.data : "";
	has_commands = !is_helper(words[0]);
	if (!has_commands)
		line.command = &helper;
	for (size_t i = 0; has_commands && (command = command_at(i)); i++) {
		size_t begins = words_of(command->name, text);

		if (begins > taken) {
			taken = begins;
			line.command = command;
		}
	}
	if (arguments.is_value && line.command->options)
		offer_list(&line);
	else if (arguments.is_value)
		offer_paths(&line, false, 0);
	else if (*line.word == '-')
		offer_flags(&line);
	else {
		if (has_commands && taken == arguments.count)
			is_begun = offer_commands(&line, text) && arguments.count;
		if (!is_begun && arguments.count - taken < ARGUMENTS_MAX)
			offer_argument(&line, line.command->arguments[arguments.count - taken]);
	}
	buf_release(&arguments.text);
}

enum exit_status complete_command(int argc, char **argv)
{
	CLEANUP(mount_table_release) struct mount_table mounts = { .entries = NULL };
	struct error err = { "" };
	struct buf answer;
	enum exit_status status;

	buf_init(&answer, ANSWER_MAX);
	(void)mount_table_read(&mounts, &err); /* without it, all but that can be completed */
	complete(&answer, (size_t)(argc - 1), argv + 1, &mounts);
	status = buf_status(&answer) || fputs(answer.data ? answer.data : "", stdout) < 0
			 ? STATUS_SYSTEM
			 : STATUS_OK;
	buf_release(&answer);
	return status;
}
