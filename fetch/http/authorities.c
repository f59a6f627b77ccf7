/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl takes one bundle of authorities.  What is trusted besides the usual ones is put behind a
 * copy of those, so that it adds to them, as it does for Docker and podman.
 */
#include "fetch/http/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "model/cleanup.h"

static int append_file(struct buf *ret, const char *path, struct error *err)
{
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char piece[4096];
	ssize_t n = -1;

	while (fd >= 0 && (n = read(fd, piece, sizeof piece)) > 0)
		(void)buf_append(ret, piece, (size_t)n); /* checked by the caller */
	return n < 0 ? error_set(err, errno, "'%s': %s", path, strerror(errno)) : 0;
}

/* The system's bundle may be missing, where it has a directory instead. */
static int append_system(struct buf *ret, struct error *err)
{
	CURL *easy = curl_easy_init();
	const char *path = NULL;
	int rc = 0;

	if (!easy)
		return error_set(err, ENOMEM, "out of memory");
	(void)curl_easy_getinfo(easy, CURLINFO_CAINFO, &path); /* NULL: there is none */
	if (path)
		rc = append_file(ret, path, err);
	curl_easy_cleanup(easy);
	return rc == -ENOENT ? 0 : rc;
}

int authorities_join(struct buf *ret, const char *file, const char *extra, struct error *err)
{
	int rc;

	buf_init(ret, HTTP_AUTHORITIES_MAX);
	rc = file ? append_file(ret, file, err) : append_system(ret, err);
	(void)buf_append_text(ret, "\n");
	(void)buf_append_text(ret, extra);
	if (!rc && buf_status(ret))
		rc = error_set(err, -buf_status(ret), "more than %d bytes of authorities",
			HTTP_AUTHORITIES_MAX);
	return rc;
}
