/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fetch/temporary.h"
#include "model/cleanup.h"

/* Newer than the headers of Linux 6.1. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

enum { ABI_NEEDED = 2, ABI_OF_TRUNCATE = 3 };

static const uint64_t access_files = LANDLOCK_ACCESS_FS_WRITE_FILE |
				     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
				     LANDLOCK_ACCESS_FS_TRUNCATE;
static const uint64_t access_directories =
	LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REFER;
/* What is let in nowhere. */
static const uint64_t access_never = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
				     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
				     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;

/* The C library has no functions for these. */
static int find_abi(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static int create_ruleset(uint64_t handled)
{
	const struct landlock_ruleset_attr attributes = { .handled_access_fs = handled };

	return (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
}

/* What is not there needs no permission. */
static int allow(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = access };
	CLEANUP(closep) int fd = path ? open(path, O_PATH | O_CLOEXEC) : -1;

	if (fd < 0)
		return 0;
	rule.parent_fd = fd;
	return (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

static int enter(const char *cache)
{
	int abi = find_abi();
	uint64_t handled = access_files | access_directories | access_never;
	CLEANUP(closep) int ruleset = -1;
	int rc;

	if (abi < 0)
		return -1;
	if (abi < ABI_NEEDED) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (abi < ABI_OF_TRUNCATE)
		handled &= ~LANDLOCK_ACCESS_FS_TRUNCATE;
	ruleset = create_ruleset(handled);
	if (ruleset < 0)
		return -1;
	rc = allow(ruleset, cache, handled & (access_files | access_directories));
	for (unsigned i = 0; !rc && i < TEMPORARY_PLACES; i++)
		rc = allow(ruleset, temporary_place(i), handled & access_files);
	if (!rc)
		rc = allow(ruleset, "/dev/null", LANDLOCK_ACCESS_FS_WRITE_FILE);
	if (!rc)
		rc = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return rc ? rc : (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
}

void sandbox_enter(const char *cache, struct log *log)
{
	if (enter(cache))
		log_line(log, LOG_LEVEL_INFO, "no sandbox: landlock: %s", strerror(errno));
	else
		log_line(log, LOG_LEVEL_INFO, "in a sandbox: writing to the cache only");
}
