/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/places.h"

#include <errno.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "model/cleanup.h"

bool places_is_mounted(const struct options *options)
{
	return !strncmp(options->mountpoint, "/dev/fd/", strlen("/dev/fd/"));
}

/* --- the mount point --- */

/* The type of what was mounted last on a directory.  getmntent(3) undoes the escapes. */
static void mounted_type(const char *directory, char *ret, size_t room)
{
	FILE *table = setmntent("/proc/self/mounts", "re");
	struct mntent *entry;

	(void)snprintf(ret, room, "of unknown type");
	while (table && (entry = getmntent(table)))
		if (!strcmp(entry->mnt_dir, directory))
			(void)snprintf(ret, room, "%s", entry->mnt_type);
	if (table)
		(void)endmntent(table);
}

static int dead_mount(const char *mountpoint, struct error *err)
{
	CLEANUP(freep) char *directory = realpath(mountpoint, NULL);
	char type[64];

	mounted_type(directory ? directory : mountpoint, type, sizeof type);
	return error_set(err, ENOTCONN,
		"%s: a dead mount (%s) is in the way, its process has ended\nhint: %s '%s'",
		mountpoint, type, getuid() ? "fusermount3 -u" : "umount", mountpoint);
}

int places_check_mountpoint(const struct options *options, struct error *err)
{
	const char *mountpoint = options->mountpoint;
	struct statfs sizes;
	struct stat st;

	if (places_is_mounted(options))
		return 0;
	/* Attributes may be the kernel's own still; statfs() asks the process. */
	if (stat(mountpoint, &st) || statfs(mountpoint, &sizes))
		return errno == ENOTCONN
			       ? dead_mount(mountpoint, err)
			       : error_set(err, errno, "%s: %s", mountpoint, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ENOTDIR, "%s: not a directory", mountpoint);
	return 0;
}

/* --- what lies in what --- */

/* As much of a path as exists, without links; owned by the caller. */
static char *resolve(const char *path)
{
	CLEANUP(freep) char *part = strdup(path);
	char *resolved = part ? realpath(part, NULL) : NULL;

	while (part && !resolved && errno == ENOENT) {
		char *slash = strrchr(part, '/');

		if (slash == part)
			return strdup("/");
		if (!slash)
			return realpath(".", NULL);
		*slash = '\0';
		resolved = realpath(part, NULL);
	}
	return resolved;
}

/* Is path the directory, or somewhere in it?  What cannot be looked at is for others to complain
 * of. */
static bool is_inside(const char *path, const char *directory)
{
	CLEANUP(freep) char *at = resolve(path);
	struct stat here, st;

	if (!at || stat(directory, &here))
		return false;
	for (;;) {
		char *slash = strrchr(at, '/');

		if (!stat(at, &st) && st.st_dev == here.st_dev && st.st_ino == here.st_ino)
			return true;
		if (!slash || !slash[1])
			return false;
		slash[slash == at] = '\0';
	}
}

static int check_outside(
	const struct options *options, const char *what, const char *path, struct error *err)
{
	if (!path || places_is_mounted(options) || !is_inside(path, options->mountpoint))
		return 0;
	return error_set(err, EINVAL, "%s: %s '%s' would lie behind the mount itself",
		options->mountpoint, what, path);
}

static bool is_directory(const char *path)
{
	struct stat st;

	return path && !stat(path, &st) && S_ISDIR(st.st_mode);
}

int places_check_options(const struct options *options, struct error *err)
{
	bool has_log_file = options->log && strcmp(options->log, "stderr") != 0 &&
			    strcmp(options->log, "syslog") != 0;
	const struct {
		const char *what, *path;
	} places[] = {
		{ "the source", options->path },
		{ "the credentials file", options->authfile },
		{ "the certificates", options->cert_dir },
		{ "registries.conf", options->registries_conf },
		{ "the log", has_log_file ? options->log : NULL },
		{ "the pid file", options->pidfile },
	};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		int rc = check_outside(options, places[i].what, places[i].path, err);

		if (rc)
			return rc;
	}
	if (!is_directory(options->path))
		return 0;
	if (!places_is_mounted(options) && is_inside(options->mountpoint, options->path))
		return error_set(err, EINVAL, "%s: lies in what it would show, '%s'",
			options->mountpoint, options->path);
	if (has_log_file && is_inside(options->log, options->path))
		return error_set(err, EINVAL, "%s: the log lies in what is shown, '%s'",
			options->log, options->path);
	if (options->pidfile && is_inside(options->pidfile, options->path))
		return error_set(err, EINVAL, "%s: the pid file lies in what is shown, '%s'",
			options->pidfile, options->path);
	return 0;
}

int places_check_cache(const struct options *options, const char *path, struct error *err)
{
	int rc = check_outside(options, "the cache", path, err);

	if (!rc && is_directory(options->path) && is_inside(path, options->path))
		rc = error_set(err, EINVAL, "%s: the cache lies in what is shown, '%s'", path,
			options->path);
	return rc;
}
