/* SPDX-License-Identifier: Apache-2.0 */
/*
 * v1 -- the JSON of V1 images as Docker prints it.  Private to model/.
 */
#ifndef MODEL_V1_H
#define MODEL_V1_H

#include <stddef.h>

struct buf;
struct digest;
struct error;
struct json_object;

/* The struct's fields, in its order; members it does not have are dropped. */
int v1_json_write(struct buf *ret, struct json_object *object, struct error *err);

/* The id of a layer by what it is made of: the digest of its JSON, sorted, with "layer_id" and,
 * when parent is not NULL, the parent's id under parent_name in place of the ids it had.  *config
 * (empty at first) gets that text. */
int v1_strong_id(struct digest *ret, struct buf *config, const char *json, size_t len,
	const struct digest *layer_id, const char *parent_name, const struct digest *parent,
	struct error *err);

#endif
