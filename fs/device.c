/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/fuse.h>

#include "model/cleanup.h"

int device_check(struct error *err)
{
	CLEANUP(closep) int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return 0;
	return error_set(err, errno, "/dev/fuse: %s%s", strerror(errno),
		errno == EACCES ? "" : "\nhint: modprobe fuse");
}

/* An answer to INIT is a header and the parameters; the first kernels to know of the flag know all
 * that lies before it. */
static void complete_init(struct iovec *iov, int count)
{
	const struct fuse_out_header *head = iov[0].iov_base;
	struct fuse_init_out *init;

	if (count != 2 || head->error ||
		iov[1].iov_len < offsetof(struct fuse_init_out, flags) + sizeof init->flags)
		return;
	init = iov[1].iov_base;
	init->flags |= FUSE_PARALLEL_DIROPS;
}

/* Before the answer to INIT there is nothing else to say, and one thread to say it. */
static ssize_t device_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct fs *fs = userdata;

	if (fs->wants_parallel) {
		fs->wants_parallel = false;
		complete_init(iov, count);
	}
	return writev(fd, iov, count);
}

static ssize_t device_read(int fd, void *bytes, size_t len, void *userdata)
{
	(void)userdata;
	return read(fd, bytes, len);
}

enum {
	FD_ABOVE = 8
}; /* descriptors that libfuse has between the device and its socket, and more */

/* What a process had open ends with it from the highest descriptor down (Linux 4.3 and later). With
 * auto_unmount a fusermount3 waits for the end of a socket, looks once whether the mount is dead,
 * and goes: the device has to end before the socket, so it has to be above it. */
static int raise_fd(int fd)
{
	int above = fcntl(fd, F_DUPFD_CLOEXEC, fd + FD_ABOVE);

	if (above < 0)
		return fd;
	(void)close(fd); /* it lives on as the other one */
	return above;
}

int device_complete(struct fs *fs, struct error *err)
{
	static const struct fuse_custom_io io = { .writev = device_writev, .read = device_read };
	int rc = fuse_session_custom_io(fs->session, &io, raise_fd(fuse_session_fd(fs->session)));

	return rc ? error_set(err, -rc, "fuse: %s", strerror(-rc)) : 0;
}
