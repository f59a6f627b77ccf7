/* SPDX-License-Identifier: Apache-2.0 */
/* file -- a small file that somebody configured, whole. */
#ifndef FETCH_FILE_H
#define FETCH_FILE_H

#include "model/buf.h"
#include "model/error.h"

/* Appends a regular file to a buf, as far as its ceiling; nothing of it stays elsewhere in memory.
 * A pipe or a device is not waited for: -EINVAL.  Messages name the path; on failure what is in the
 * buf is the caller's still. */
int file_read(struct buf *ret, const char *path, struct error *err);

#endif
