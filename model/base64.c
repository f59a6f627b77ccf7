/* SPDX-License-Identifier: Apache-2.0 */
#include "model/base64.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "model/error.h"

static bool is_base64(const char *text, size_t len)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				       "0123456789+/";
	size_t plain = strspn(text, alphabet);

	return len % 4 == 0 && len - plain <= 2 && strspn(text + plain, "=") == len - plain;
}

int base64_decode(char **ret, size_t *ret_len, const char *text, struct error *err)
{
	size_t len = strlen(text), padding = 0;
	char *bytes;
	int n;

	if (len > BASE64_MAX || !is_base64(text, len))
		return error_set(err, EIO, "malformed base64");
	bytes = malloc(len / 4 * 3 + 1);
	if (!bytes)
		return error_set(err, ENOMEM, "out of memory");
	n = EVP_DecodeBlock((unsigned char *)bytes, (const unsigned char *)text, (int)len);
	while (padding < len && text[len - 1 - padding] == '=')
		padding++;
	if (n < (int)padding) {
		free(bytes);
		return error_set(err, EIO, "malformed base64");
	}
	/* It counts what the padding stands for as zero bytes. */
	*ret_len = (size_t)n - padding;
	bytes[*ret_len] = '\0';
	*ret = bytes;
	return 0;
}
