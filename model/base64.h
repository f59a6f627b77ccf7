/* SPDX-License-Identifier: Apache-2.0 */
/* base64 -- RFC 4648 section 4: with padding, and nothing between the characters. */
#ifndef MODEL_BASE64_H
#define MODEL_BASE64_H

#include <stddef.h>

struct error;

enum { BASE64_MAX = 8 << 20 }; /* characters of one text: more than any document needs */

/* -EIO: not base64, or too long.  *ret is the caller's; it ends in a NUL that is not counted. */
int base64_decode(char **ret, size_t *ret_len, const char *text, struct error *err);

#endif
