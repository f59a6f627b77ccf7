/* SPDX-License-Identifier: Apache-2.0 */
#include "model/base64.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/error.h"

static int digit(char c, const char *last_two)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == last_two[0] || c == last_two[1])
		return c == last_two[0] ? 62 : 63;
	return -1;
}

bool base64_decode_to(char *to, size_t *ret_len, const char *text, size_t len, const char *last_two)
{
	size_t used = 0;
	uint32_t bits = 0;

	if (len && len % 4 == 0)
		for (int pads = 0; pads < 2 && text[len - 1] == '='; pads++)
			len--;
	if (len % 4 == 1)
		return false;
	for (size_t i = 0; i < len; i++) {
		int value = digit(text[i], last_two);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		if (i % 4) /* the first of four completes no byte */
			to[used++] = (char)(bits >> (6 - 2 * (i % 4)));
	}
	*ret_len = used;
	return true;
}

int base64_decode(char **ret, size_t *ret_len, const char *text, struct error *err)
{
	size_t len = strlen(text);
	char *bytes;

	if (len > BASE64_MAX || len % 4)
		return error_set(err, EIO, "malformed base64");
	bytes = malloc(len / 4 * 3 + 2);
	if (!bytes)
		return error_set(err, ENOMEM, "out of memory");
	if (!base64_decode_to(bytes, ret_len, text, len, BASE64_STANDARD)) {
		explicit_bzero(bytes, len / 4 * 3); /* it may be half a password */
		free(bytes);
		return error_set(err, EIO, "malformed base64");
	}
	bytes[*ret_len] = '\0';
	*ret = bytes;
	return 0;
}
