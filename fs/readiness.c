/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/readiness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fetch/outside.h"
#include "fs/notify.h"
#include "model/cleanup.h"

int readiness_open(
	struct readiness *ret, const struct options *options, int parent_fd, struct error *err)
{
	int ready_fd = options->has_ready_fd ? (int)options->ready_fd : -1;

	*ret = (struct readiness){
		.options = options, .parent_fd = parent_fd, .ready_fd = -1, .notify_fd = -1
	};
	/* Programs that we start would hold it open. */
	if (ready_fd >= 0 && fcntl(ready_fd, F_SETFD, FD_CLOEXEC) < 0)
		return error_set(
			err, errno, "option 'ready_fd': %d: %s", ready_fd, strerror(errno));
	ret->ready_fd = ready_fd;
	ret->notify_fd = notify_open();
	return 0;
}

/* --- the pid file; for outside_call(): who is in the sandbox writes to the cache only --- */

struct pidfile {
	const char *path;
	struct error *err;
};

static int write_pidfile(void *context)
{
	struct pidfile *pidfile = context;
	CLEANUP(closep)
	int fd = open(pidfile->path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0644);

	if (fd < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		return error_set(
			pidfile->err, errno, "pid file '%s': %s", pidfile->path, strerror(errno));
	return 0;
}

static int remove_pidfile(void *context)
{
	return unlink(context);
}

/* --- */

static int tell_ready_fd(struct readiness *readiness, struct error *err)
{
	CLEANUP(closep) int fd = TAKE_FD(readiness->ready_fd);

	if (fd >= 0 && write(fd, "\n", 1) != 1)
		return error_set(err, errno, "option 'ready_fd': %d: %s", fd, strerror(errno));
	return 0;
}

int readiness_announce(struct readiness *readiness, struct error *err)
{
	struct pidfile pidfile = { readiness->options->pidfile, err };
	int rc = pidfile.path ? outside_call(write_pidfile, &pidfile) : 0;

	readiness->has_pidfile = pidfile.path && !rc;
	if (!rc)
		rc = tell_ready_fd(readiness, err);
	if (rc)
		return rc;
	notify_send(readiness->notify_fd, "READY=1\nMAINPID=%d\n", (int)getpid());
	notify_idle(readiness->notify_fd, readiness->options);
	return 0;
}

bool readiness_tell_parent(struct readiness *readiness, enum exit_status status)
{
	CLEANUP(closep) int fd = TAKE_FD(readiness->parent_fd);
	unsigned char byte = (unsigned char)status;

	return fd < 0 || write(fd, &byte, 1) == 1;
}

void readiness_close(struct readiness *readiness)
{
	if (readiness->has_pidfile) /* unless somebody else has removed it */
		(void)outside_call(remove_pidfile, readiness->options->pidfile);
	closep(&readiness->ready_fd);
	closep(&readiness->notify_fd);
}
