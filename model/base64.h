/* SPDX-License-Identifier: Apache-2.0 */
/* base64 -- RFC 4648, with nothing between the characters. */
#ifndef MODEL_BASE64_H
#define MODEL_BASE64_H

#include <stdbool.h>
#include <stddef.h>

struct error;

enum { BASE64_MAX = 8 << 20 }; /* characters of one text: more than any document needs */

/* The two characters that make the alphabets differ: 62 and 63. */
#define BASE64_STANDARD "+/"
#define BASE64_URL      "-_"

/* To room for len / 4 * 3 + 2 bytes.  Padding may be left out.  False: not base64. */
bool base64_decode_to(
	char *to, size_t *ret_len, const char *text, size_t len, const char *last_two);
/* The standard alphabet, padded.  -EIO: not base64, or too long.  *ret is the caller's; it ends in
 * a NUL that is not counted. */
int base64_decode(char **ret, size_t *ret_len, const char *text, struct error *err);

#endif
