/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fixture -- reads recorded documents, which live outside the repository:
 * $IMGFS_FIXTURES/manifests/NAME.
 */
#ifndef TESTS_UNIT_FIXTURE_H
#define TESTS_UNIT_FIXTURE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/buf.h"
#include "model/cleanup.h"
#include "model/image.h"

/* Owned by the caller; skips the test when there are no fixtures. */
static inline char *fixture(const char *name, size_t *ret_len)
{
	const char *root = getenv("IMGFS_FIXTURES");
	CLEANUP(buf_release) struct buf text = { .max = DOCUMENT_MAX };
	CLEANUP(closep) int fd = -1;
	char path[4096], chunk[4096];
	ssize_t n;

	if (!root) {
		print_message("IMGFS_FIXTURES is not set\n");
		skip();
	}
	(void)snprintf(path, sizeof path, "%s/manifests/%s", root, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail_msg("no fixture %s", path);
	while ((n = read(fd, chunk, sizeof chunk)) > 0)
		assert_int_equal(buf_append(&text, chunk, (size_t)n), 0);
	return buf_take(&text, ret_len);
}

#endif
