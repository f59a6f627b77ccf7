/* SPDX-License-Identifier: Apache-2.0 */
/*
 * temporary -- files without a name, for what has no place in the cache.
 *
 * A crash leaves nothing.  Places are tried in this order: $TMPDIR, /var/tmp, /tmp; when one
 * turns out to be full, the caller goes on with the next.
 */
#ifndef FETCH_TEMPORARY_H
#define FETCH_TEMPORARY_H

#include <stddef.h>
#include <stdint.h>

#include "model/error.h"

enum { TEMPORARY_PLACES = 3 };

/* The directory, or NULL: there is none ($TMPDIR is not set). */
const char *temporary_place(unsigned place);
/* A file to read and write, in the first place from *place on that can have one; *place
 * becomes that.  -ENOSPC behind the last; -EMFILE, -ENFILE, -ENOMEM. */
int temporary_open(unsigned *place, struct error *err);
/* All of the bytes at that offset of a file in that place, or a negative errno. */
int temporary_write(
	int fd, unsigned place, const char *bytes, size_t len, uint64_t offset, struct error *err);

#endif
