/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/umount_command.h"

#include <errno.h>
#include <getopt.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/mount_table.h"
#include "model/cleanup.h"

static const char usage[] =
	"usage: imgfs umount [-z] DIR\n\n"
	"Takes a mount of imgfs away, by umount(8) or, for users, fusermount3(1).\n\n"
	"  -z, --lazy  at once from where it is, and for good when nobody uses it\n"
	"  --help\n\n"
	"See imgfs(1).\n";

static enum exit_status misuse(void)
{
	(void)fprintf(stderr, "imgfs: umount: a directory is needed, and at most -z\n"
			      "hint: imgfs umount --help\n");
	return STATUS_USAGE;
}

static int run(char *const *argv, struct error *err)
{
	int status;
	pid_t pid;
	int rc = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);

	if (rc)
		return error_set(err, rc, "%s: %s", argv[0], strerror(rc));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set(err, errno, "%s: %s", argv[0], strerror(errno));
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	return error_set(err, EBUSY, "'%s' failed", argv[0]); /* it said why */
}

static int unmount(const char *given, bool is_lazy, struct error *err)
{
	CLEANUP(mount_table_release) struct mount_table table = { NULL, 0 };
	const struct mount_entry *entry;
	int rc = mount_table_read(&table, err);

	if (!rc)
		rc = mount_table_find(&table, &entry, given, err);
	if (rc)
		return rc;
	if (getuid()) {
		char *const argv[] = { (char *)"fusermount3", (char *)(is_lazy ? "-uz" : "-u"),
			(char *)"--", entry->directory, NULL };

		rc = run(argv, err);
	} else {
		char *const argv[] = { (char *)"umount", (char *)(is_lazy ? "-l" : "--"),
			entry->directory, NULL };

		rc = run(argv, err);
	}
	if (rc == -EBUSY && !is_lazy)
		return error_set(err, EBUSY,
			"%s: still mounted\nhint: imgfs umount -z %s lets go when nobody uses it",
			given, given);
	return rc;
}

enum exit_status umount_command(int argc, char **argv)
{
	static const struct option options[] = { { "lazy", no_argument, NULL, 'z' },
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	struct error err = { "" };
	bool is_lazy = false;

	optind = 0;
	opterr = 0;
	for (int c; (c = getopt_long(argc, argv, "zh", options, NULL)) != -1;) {
		if (c == 'h')
			return fputs(usage, stdout) < 0 ? STATUS_SYSTEM : STATUS_OK;
		if (c != 'z')
			return misuse();
		is_lazy = true;
	}
	if (argc - optind != 1)
		return misuse();
	if (!unmount(argv[optind], is_lazy, &err))
		return STATUS_OK;
	(void)fprintf(stderr, "imgfs: umount: %s\n", err.text);
	return STATUS_SYSTEM;
}
