/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/cleanup.h"

int file_read(struct buf *ret, const char *path, struct error *err)
{
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char piece[4096];
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st))
		return error_set(err, errno, "'%s': %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(err, EINVAL, "'%s': not a regular file", path);
	while ((n = read(fd, piece, sizeof piece)) > 0)
		(void)buf_append(ret, piece, (size_t)n); /* checked below */
	explicit_bzero(piece, sizeof piece);             /* it may hold secrets */
	if (n < 0)
		return error_set(err, errno, "'%s': %s", path, strerror(errno));
	if (buf_status(ret))
		return error_set(
			err, -buf_status(ret), "'%s': more than %zu bytes", path, ret->max);
	return 0;
}
