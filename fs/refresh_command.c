/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that serves a mount is told by a signal, and which one it is by .imgfs/pid.  That
 * file is the word of whoever serves it: another user's file system could call itself imgfs and
 * name any process, for root to signal.  So the process has to be of the user who mounted, by the
 * kernel's word, and be called as we are.
 */
#include "fs/refresh_command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

#include "fetch/file.h"
#include "fs/control.h"
#include "fs/mount_table.h"
#include "model/buf.h"
#include "model/cleanup.h"

static const char usage[] =
	"usage: imgfs refresh DIR\n\n"
	"Has the mount at DIR ask for tags and lists of names again, however old they\n"
	"may get by its ttl.  Who is in an image stays in it.\n\n"
	"  --help\n\n"
	"See imgfs(1).\n";

/* What we are called, as far as the kernel keeps it. */
static bool is_our_name(const char *comm)
{
	static const char *const names[] = { "imgfs\n", "mount.imgfs\n", "mount.fuse.imgf\n" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(comm, names[i]))
			return true;
	return false;
}

static bool serves(pid_t pid, const struct mount_entry *entry)
{
	CLEANUP(buf_release) struct buf comm = { .max = 64 };
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
	if (file_read(&comm, path, NULL) || !comm.data || !is_our_name(comm.data))
		return false;
	(void)snprintf(path, sizeof path, "/proc/%d", (int)pid);
	return !stat(path, &st) && st.st_uid == entry->owner;
}

/* A process keeps its descriptor: whatever is checked is what gets the signal. */
static int signal_server(const struct mount_entry *entry, pid_t pid, struct error *err)
{
	CLEANUP(closep) int fd = pid > 0 ? pidfd_open(pid, 0) : -1;
	siginfo_t info = { .si_signo = SIGHUP, .si_code = SI_QUEUE };

	info.si_pid = getpid();
	info.si_uid = getuid();
	if (fd < 0 || !serves(pid, entry))
		return error_set(err, ESRCH, "process %d does not serve it", (int)pid);
	if (pidfd_send_signal(fd, SIGHUP, &info, 0))
		return error_set(err, errno, "process %d: %s", (int)pid, strerror(errno));
	return 0;
}

static int refresh(const char *given, struct error *err)
{
	CLEANUP(mount_table_release) struct mount_table table = { NULL, 0 };
	CLEANUP(buf_release) struct buf text = { .max = 64 };
	const struct mount_entry *entry;
	int rc = mount_table_read(&table, err);

	if (!rc)
		rc = mount_table_find(&table, &entry, given, err);
	if (!rc)
		rc = control_read(&text, entry->directory, "pid", err);
	if (rc)
		return rc;
	rc = signal_server(entry, text.data ? (pid_t)strtol(text.data, NULL, 10) : 0, err);
	return rc ? error_prefix(err, rc, "%s", given) : 0;
}

enum exit_status refresh_command(int argc, char **argv)
{
	struct error err = { "" };

	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
		return fputs(usage, stdout) < 0 ? STATUS_SYSTEM : STATUS_OK;
	if (argc != 2 || *argv[1] == '-') {
		(void)fprintf(stderr, "imgfs: refresh: one directory is needed\n"
				      "hint: imgfs refresh --help\n");
		return STATUS_USAGE;
	}
	if (!refresh(argv[1], &err))
		return STATUS_OK;
	(void)fprintf(stderr, "imgfs: refresh: %s\n", err.text);
	return STATUS_SYSTEM;
}
