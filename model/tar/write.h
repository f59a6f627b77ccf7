/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar/write -- the blocks of an archive between its contents.
 *
 * Deterministic: equal arguments, equal bytes.  Owner and time are 0, the mode
 * is 0644, of directories 0755.  What a ustar header cannot hold, a name of
 * more than 100 bytes or a size from 8 GiB on, stands in a pax header before it.
 *
 * Appends; the result is buf_status().
 *
 * Source: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Header Block".
 */
#ifndef MODEL_TAR_WRITE_H
#define MODEL_TAR_WRITE_H

#include <stdint.h>

#include "model/buf.h"

/* By convention the name of a directory ends in '/'. */
int tar_write_directory(struct buf *ret, const char *path);
/* size bytes of content and their padding are to follow. */
int tar_write_file(struct buf *ret, const char *path, uint64_t size);
/* What fills the last block of a content of size bytes. */
int tar_write_padding(struct buf *ret, uint64_t size);
int tar_write_end(struct buf *ret);

#endif
