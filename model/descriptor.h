/* SPDX-License-Identifier: Apache-2.0 */
/*
 * descriptor -- points at a blob: type, digest, size, and what is said of it.
 * Source: OCI image-spec descriptor.md.
 *
 * Owns everything it points at; a zeroed descriptor is empty and releasable.
 */
#ifndef MODEL_DESCRIPTOR_H
#define MODEL_DESCRIPTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/digest.h"
#include "model/platform.h"

struct annotation {
	char *key, *value;
};

struct annotations { /* in the order of the document */
	struct annotation *items;
	size_t count;
};

const char *annotations_get(const struct annotations *annotations, const char *key); /* or NULL */
int annotations_add(
	struct annotations *annotations, const char *key, const char *value, struct error *err);
int annotations_copy(struct annotations *ret, const struct annotations *from, struct error *err);
void annotations_release(struct annotations *annotations);

enum { DESCRIPTOR_URLS_MAX = 256 }; /* more than any tool writes */

#define DESCRIPTOR_SIZE_UNKNOWN UINT64_MAX /* a digest given without its descriptor */

struct descriptor {
	char *media_type; /* as written; NULL when absent */
	struct digest digest;
	uint64_t size;       /* bytes, or DESCRIPTOR_SIZE_UNKNOWN */
	char *artifact_type; /* NULL when absent */
	bool has_platform;
	struct platform platform;
	struct annotations annotations;
	char **urls; /* NULL-terminated, or NULL */
	char *data;  /* base64 as written, or NULL */
	/* A layer's V1 id, or NULL.  In a V1 image it is all there is to know the layer by, and the
	 * digest is not set, until somebody has read it (fetch/store: store_locate()). */
	char *layer_id;
};

int descriptor_copy(struct descriptor *ret, const struct descriptor *from, struct error *err);
void descriptor_release(struct descriptor *descriptor);
void descriptors_free(struct descriptor *descriptors, size_t count);

#endif
