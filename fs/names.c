/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/names.h"

#include <stdio.h>
#include <string.h>

static bool needs_escape(const char *name, size_t i)
{
	unsigned char c = (unsigned char)name[i];

	return c == '/' || c == '%' || c < 0x20 || c == 0x7f || (i == 0 && (c == '_' || c == '.'));
}

char *name_escape(char text[static ESCAPED_NAME_MAX], const char *name)
{
	size_t used = 0;

	for (size_t i = 0; name[i]; i++) {
		bool is_escaped = needs_escape(name, i);

		if (used + (is_escaped ? 3 : 1) >= ESCAPED_NAME_MAX)
			return NULL;
		if (is_escaped)
			used += (size_t)sprintf(text + used, "%%%02X", (unsigned char)name[i]);
		else
			text[used++] = name[i];
	}
	text[used] = '\0';
	return text;
}

static int hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *name_unescape(char name[static ESCAPED_NAME_MAX], const char *file_name)
{
	char again[ESCAPED_NAME_MAX];
	size_t used = 0;

	if (strlen(file_name) >= ESCAPED_NAME_MAX)
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
	return name_escape(again, name) && !strcmp(again, file_name) ? name : NULL;
}
