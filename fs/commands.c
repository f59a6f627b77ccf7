/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/commands.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/cache_command.h"
#include "fs/index_command.h"
#include "fs/nearest.h"
#include "fs/refresh_command.h"
#include "fs/report_command.h"
#include "fs/status_command.h"
#include "fs/umount_command.h"
#include "model/cleanup.h"

enum { TEXT_MAX = 64 << 10 };

static enum exit_status help_command(int argc, char **argv);

static const struct command commands[] = {
	{ "mount", "SOURCE DIR", "show SOURCE at DIR; may be left out",
		{ ARGUMENT_SOURCE, ARGUMENT_DIRECTORY }, "", NULL },
	{ "umount", "[-z] DIR", "take a mount away", { ARGUMENT_MOUNT }, NULL, umount_command },
	{ "status", "[--watch] [--json] [DIR]", "what mounts are doing", { ARGUMENT_MOUNT }, NULL,
		status_command },
	{ "refresh", "DIR", "ask for tags and lists again", { ARGUMENT_MOUNT }, NULL,
		refresh_command },
	{ "cache", "dir|list|prune|verify", "what is kept on disk", { 0 }, NULL, cache_command },
	{ "cache dir", NULL, "where it is", { 0 }, "cache_dir", cache_command },
	{ "cache list", NULL, "what is there", { 0 }, "cache_dir", cache_command },
	{ "cache prune", NULL, "remove what was used longest ago", { 0 }, "cache_dir|cache_size",
		cache_command },
	{ "cache verify", NULL, "read all of it, drop what is damaged", { 0 }, "cache_dir",
		cache_command },
	{ "report", "IMAGEDIR [-o FILE.html]", "what an image is made of", { ARGUMENT_DIRECTORY },
		NULL, report_command },
	{ "index", "BLOB -o FILE|--show FILE", "a layer's index, without a mount",
		{ ARGUMENT_FILE }, NULL, index_command },
	{ "help", "[COMMAND]", "all there is to say of a command", { ARGUMENT_COMMAND }, NULL,
		help_command },
};

const struct command *command_at(size_t i)
{
	return i < ARRAY_SIZE(commands) ? &commands[i] : NULL;
}

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].words && !strcmp(name, commands[i].name))
			return &commands[i];
	return NULL;
}

const char *command_meant(const char *word)
{
	struct nearest nearest = { .wanted = word, .farthest = 1 + strlen(word) / 5 };

	if (strspn(word, "abcdefghijklmnopqrstuvwxyz") != strlen(word) || !access(word, F_OK))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		nearest_try(&nearest, commands[i].name);
	return nearest.name;
}

enum exit_status command_unknown(const char *word, const char *meant)
{
	if (meant)
		(void)fprintf(
			stderr, "imgfs: unknown command '%s' (did you mean '%s'?)\n", word, meant);
	else
		(void)fprintf(stderr,
			"imgfs: unknown command '%s'\nhint: imgfs --help lists them\n", word);
	return STATUS_USAGE;
}

/* --- help --- */

static enum exit_status print(const struct buf *text)
{
	return fputs(text->data ? text->data : "", stdout) < 0 || fflush(stdout) ? STATUS_SYSTEM
										 : STATUS_OK;
}

enum exit_status help_overview(void)
{
	CLEANUP(buf_release) struct buf text = { .max = TEXT_MAX };

	(void)buf_append_text(&text,
		"usage: imgfs [mount] SOURCE DIR [-o OPTION[=VALUE],...]\n"
		"       imgfs COMMAND ...\n"
		"Shows container images as directories, read-only.\n"
		"SOURCE   docker://HOST/  docker://HOST/NS/  docker://[HOST/]REPO[:TAG|@DIGEST]\n"
		"         docker-v1://HOST/[REPO[:TAG]]  docker-daemon:[REPO[:TAG]] dir:DIR PATH\n"
		"         oci:DIR[:REF]  oci-archive:FILE[:REF]  docker-archive:FILE[:REPO:TAG]\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].words)
			(void)buf_printf(&text, "%-8s %-7s %-24s %s\n", i ? "" : "COMMAND",
				commands[i].name, commands[i].words, commands[i].help);
	options_list(&text, "OPTION   ", "         ", 79);
	(void)buf_append_text(&text,
		"FLAG     -f foreground  -v say more  -d debug, in the foreground  --version\n"
		"`imgfs help mount` explains sources and options; so does the manual, imgfs(1).\n");
	return print(&text);
}

enum exit_status help_mount(const char *program)
{
	CLEANUP(buf_release) struct buf text = { .max = TEXT_MAX };

	options_help(program, &text);
	return print(&text);
}

static enum exit_status help_command(int argc, char **argv)
{
	const struct command *command = argc > 1 ? command_find(argv[1]) : NULL;
	char help[] = "--help";
	char *words[] = { argv[0], help, NULL };

	if (argc < 2 || (command && command->run == help_command))
		return help_overview();
	if (!command)
		return command_unknown(argv[1], command_meant(argv[1]));
	return command->run ? command->run(2, words) : help_mount("imgfs");
}
