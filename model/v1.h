/* SPDX-License-Identifier: Apache-2.0 */
/*
 * v1 -- the JSON of V1 images as Docker prints it.  Private to model/.
 */
#ifndef MODEL_V1_H
#define MODEL_V1_H

#include <stddef.h>

struct buf;
struct error;
struct json_object;

/* The struct's fields, in its order; members it does not have are dropped. */
int v1_json_write(struct buf *ret, struct json_object *object, struct error *err);

#endif
