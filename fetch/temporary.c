/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/temporary.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/at.h"
#include "model/cleanup.h"

enum { TMPDIR_PLACE = 0 };

const char *temporary_place(unsigned place)
{
	static const char *const names[TEMPORARY_PLACES] = { NULL, "/var/tmp", "/tmp" };
	const char *tmpdir = getenv("TMPDIR");

	if (place == TMPDIR_PLACE)
		return tmpdir && *tmpdir == '/' ? tmpdir : NULL;
	return names[place];
}

static int open_in(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	CLEANUP(freep) char *name = NULL;

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	if (asprintf(&name, "%s/imgfs-XXXXXX", dir) < 0) {
		name = NULL;
		errno = ENOMEM;
		return -1;
	}
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		(void)unlink(name);
	return fd;
}

int temporary_open(unsigned *place, struct error *err)
{
	for (unsigned i = *place; i < TEMPORARY_PLACES; i++) {
		const char *dir = temporary_place(i);
		int fd = dir ? open_in(dir) : -1;

		if (fd < 0 && dir && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
			return error_set(err, errno, "temporary file: %m"); /* everywhere */
		if (fd < 0)
			continue;
		*place = i;
		return fd;
	}
	return error_set(err, ENOSPC, "no space left for temporary files");
}

int temporary_write(
	int fd, unsigned place, const char *bytes, size_t len, uint64_t offset, struct error *err)
{
	int code = -write_at(fd, bytes, len, offset);

	return code ? error_set(err, code, "%s: %s", temporary_place(place), strerror(code)) : 0;
}
