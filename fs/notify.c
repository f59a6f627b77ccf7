/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "fs/log.h"
#include "fs/options.h"
#include "model/cleanup.h"

enum { LINES_MAX = 2048 };

int notify_open(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	CLEANUP(closep) int fd = -1;
	size_t len = path ? strlen(path) : 0;

	if (len < 2 || len > sizeof address.sun_path || (*path != '/' && *path != '@'))
		return -1;
	memcpy(address.sun_path, path, len);
	if (*path == '@')
		address.sun_path[0] = '\0'; /* in the abstract name space */
	(void)unsetenv("NOTIFY_SOCKET");
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)))
		return -1;
	return TAKE_FD(fd);
}

void notify_send(int fd, const char *fmt, ...)
{
	char lines[LINES_MAX];
	va_list ap;
	int len;

	if (fd < 0)
		return;
	va_start(ap, fmt);
	len = vsnprintf(lines, sizeof lines, fmt, ap);
	va_end(ap);
	if (len > 0) /* who does not listen, or is full, misses it */
		(void)!send(fd, lines, strlen(lines), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void notify_idle(int fd, const struct options *options)
{
	char source[512], mountpoint[512];

	log_escape(options->source, source, sizeof source);
	log_escape(options->mountpoint, mountpoint, sizeof mountpoint);
	notify_send(fd, "STATUS=%s on %s\n", source, mountpoint);
}
