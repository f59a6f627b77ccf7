/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toml -- TOML as JSON, so that one strict reader serves for both.
 *
 * Behind it is toml++, in the one file of C++ there is; no exception leaves it.  Before the library
 * sees a text it is bounded: in bytes, in the bytes of a line, and in the dots of a line, each of
 * which may be one more level of tables.  The library bounds the nesting of arrays and inline
 * tables itself.
 *
 * Source: toml.io, version 1.0.0.
 */
#ifndef FETCH_ROUTES_TOML_H
#define FETCH_ROUTES_TOML_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "model/buf.h"
#include "model/error.h"

enum {
	TOML_BYTES_MAX = 256 << 10, /* of a text: some thousand tables */
	TOML_LINE_MAX = 16 << 10,   /* bytes of one: a long array */
	TOML_DOTS_MAX = 200, /* of one: 60 names of hosts in an array, and few enough levels */
	TOML_JSON_MAX = 8 * TOML_BYTES_MAX, /* each byte may become \u0000 */
};

/* Appends an object.  Dates become strings.  -EINVAL for what is malformed, with the line; -EFBIG
 * for what is over a bound. */
int toml_to_json(struct buf *ret, const char *text, size_t len, struct error *err);

#ifdef __cplusplus
}
#endif

#endif
