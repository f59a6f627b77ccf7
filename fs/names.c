/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/names.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"

enum { FILE_NAME_MAX = 255 };

static bool needs_escape(const char *name, size_t i)
{
	unsigned char c = (unsigned char)name[i];

	return c == '/' || c == '%' || c < 0x20 || c == 0x7f || (i == 0 && (c == '_' || c == '.'));
}

char *name_escape(const char *name)
{
	CLEANUP(freep) char *text = malloc(FILE_NAME_MAX + 4);
	size_t used = 0;

	if (!text)
		return NULL;
	for (size_t i = 0; name[i]; i++) {
		if (needs_escape(name, i))
			used += (size_t)sprintf(text + used, "%%%02X", (unsigned char)name[i]);
		else
			text[used++] = name[i];
		if (used > FILE_NAME_MAX) {
			errno = ENAMETOOLONG;
			return NULL;
		}
	}
	text[used] = '\0';
	return TAKE(text);
}

static int hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *name_unescape(const char *file_name)
{
	CLEANUP(freep) char *name = malloc(strlen(file_name) + 1);
	CLEANUP(freep) char *again = NULL;
	size_t used = 0;

	if (!name)
		return NULL;
	for (const char *p = file_name; *p; p++) {
		if (*p != '%') {
			name[used++] = *p;
			continue;
		}
		if (hex_value(p[1]) < 0 || hex_value(p[2]) < 0)
			return NULL;
		name[used++] = (char)(hex_value(p[1]) << 4 | hex_value(p[2]));
		p += 2;
	}
	name[used] = '\0';
	/* Only the one spelling counts, or a name would have two files. */
	again = name_escape(name);
	return again && !strcmp(again, file_name) ? TAKE(name) : NULL;
}
