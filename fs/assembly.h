/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assembly -- a file put together of parts: bytes in memory, and whole blobs
 * and layers that stay where they are.
 *
 * It is built from its beginning to its end: what goes into memory is
 * appended to bytes, between the calls that add the other parts.  From
 * assembly_finish() on it never changes.
 */
#ifndef FS_ASSEMBLY_H
#define FS_ASSEMBLY_H

#include <stddef.h>
#include <stdint.h>

#include "fs/answer.h"
#include "model/buf.h"
#include "model/descriptor.h"
#include "model/error.h"

struct layer_object;

enum { ASSEMBLY_BYTES_MAX = 32 << 20 }; /* in memory: some documents, and headers of all layers */

enum part_kind { PART_BYTES, PART_BLOB, PART_PLAIN };

struct part {
	uint64_t offset, length; /* in the file; length is never 0 */
	enum part_kind kind;
	size_t at;                  /* PART_BYTES: in the assembly's bytes */
	struct descriptor blob;     /* PART_BLOB: all of it, as it is stored */
	struct layer_object *layer; /* PART_PLAIN: all of its plain stream; borrowed */
};

struct assembly {
	struct part *parts; /* in order, without gaps */
	size_t count;
	struct buf bytes;
	size_t bytes_used; /* of bytes, by parts so far */
	uint64_t size;
};

struct assembly *assembly_new(void); /* NULL: out of memory */
void assembly_free(struct assembly *assembly);

/* -EFBIG when the file would be longer than a file can be. */
int assembly_add_blob(struct assembly *assembly, const struct descriptor *blob, struct error *err);
int assembly_add_plain(
	struct assembly *assembly, struct layer_object *layer, uint64_t length, struct error *err);
int assembly_finish(struct assembly *assembly, struct error *err);

/* Adds len bytes at offset, inside the part; 0 or a negative errno. */
typedef int assembly_part_fn(void *context, const struct assembly *assembly, size_t part,
	uint64_t offset, size_t len, struct answer *answer);
/* The bytes at offset, inside the file.  fn is asked for what is not in memory, in order;
 * what it returns, if not 0, ends the reading. */
int assembly_read(const struct assembly *assembly, uint64_t offset, struct answer *answer,
	assembly_part_fn *fn, void *context, struct error *err);

#endif
