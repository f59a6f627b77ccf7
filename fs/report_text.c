/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/report_text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "model/cleanup.h"

/* The character at the start of text, by RFC 3629; returns its length, or 0 when there is none. */
static size_t decode(const unsigned char *text, uint32_t *ret)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least;
	} forms[] = { { 0x80, 0, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 },
		{ 0xf8, 0xf0, 0x10000 } };
	uint32_t c;

	for (size_t more = 0; more < ARRAY_SIZE(forms); more++) {
		if ((*text & forms[more].mask) != forms[more].lead)
			continue;
		c = *text & ~forms[more].mask & 0xffu;
		for (size_t i = 1; i <= more; i++) {
			if ((text[i] & 0xc0) != 0x80) /* the NUL at the end is one */
				return 0;
			c = c << 6 | (text[i] & 0x3fu);
		}
		if (c < forms[more].least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
			return 0;
		*ret = c;
		return more + 1;
	}
	return 0;
}

/* Unseen, or with a say in how the text around it is shown; U+FFFE and U+FFFF are none for XML. */
static bool is_deceptive(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{ 0x80, 0x9f },       /* C1 controls */
		{ 0xad, 0xad },       /* soft hyphen */
		{ 0x61c, 0x61c },     /* Arabic letter mark */
		{ 0x180e, 0x180e },   /* Mongolian vowel separator */
		{ 0x200b, 0x200f },   /* of no width, marks of direction */
		{ 0x2028, 0x202e },   /* separators, embeddings, overrides */
		{ 0x2060, 0x206f },   /* word joiner, isolates */
		{ 0xfeff, 0xfeff },   /* byte order mark */
		{ 0xfff9, 0xffff },   /* annotations, specials */
		{ 0xe0000, 0xe0fff }, /* tags */
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

/* What stands for the character at the start of text, in *ret; returns how many bytes it is. */
static size_t show(const unsigned char *text, char ret[static 16])
{
	uint32_t c = 0;
	size_t len = decode(text, &c);
	const char *markup = c == '&'    ? "&amp;"
			     : c == '<'  ? "&lt;"
			     : c == '>'  ? "&gt;"
			     : c == '"'  ? "&quot;"
			     : c == '\'' ? "&#39;"
					 : NULL;
	const char *name = c == '\n' ? "\\n" : c == '\t' ? "\\t" : c == '\r' ? "\\r" : NULL;

	if (!len)
		(void)snprintf(ret, 16, "\\x%02x", *text);
	else if (markup || name)
		(void)snprintf(ret, 16, "%s", markup ? markup : name);
	else if (c < 0x20 || c == 0x7f)
		(void)snprintf(ret, 16, "\\x%02x", (unsigned)c);
	else if (is_deceptive(c))
		(void)snprintf(ret, 16, "\\u{%04x}", (unsigned)c);
	else
		(void)snprintf(ret, 16, "%.*s", (int)len, text);
	return len ? len : 1;
}

bool html_put_short(struct buf *ret, const char *text, size_t max)
{
	char shown[16];

	for (size_t len; *text; text += len) {
		len = show((const unsigned char *)text, shown);
		if (len > max) {
			(void)buf_append_text(ret, "\xe2\x80\xa6"); /* failures stick */
			return false;
		}
		max -= len;
		(void)buf_append_text(ret, shown);
	}
	return true;
}

void html_put(struct buf *ret, const char *text)
{
	(void)html_put_short(ret, text, SIZE_MAX);
}
