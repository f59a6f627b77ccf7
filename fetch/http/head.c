/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines arrive as libcurl hands them out: each ends in LF, mostly after a CR.
 * Framing is libcurl's business; here only values are taken.  A value with
 * control characters is treated as absent, so that nothing downstream can
 * be made to write one.
 */
#include "fetch/http/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "model/cleanup.h"

static const struct {
	const char *name;
	size_t offset; /* of a char * in struct head */
} single_headers[] = {
	{ "Content-Type", offsetof(struct head, content_type) },
	{ "Docker-Content-Digest", offsetof(struct head, content_digest) },
	{ "Content-Encoding", offsetof(struct head, content_encoding) },
	{ "Content-Length", offsetof(struct head, content_length) },
	{ "Content-Range", offsetof(struct head, content_range) },
	{ "Date", offsetof(struct head, date) },
	{ "Location", offsetof(struct head, location) },
	{ "Retry-After", offsetof(struct head, retry_after) },
	{ "Transfer-Encoding", offsetof(struct head, transfer_encoding) },
	{ "X-Docker-Registry-Standalone", offsetof(struct head, docker_standalone) },
};

static const struct {
	const char *name;
	size_t offset; /* of a struct header_list in struct head */
} listed_headers[] = {
	{ "Link", offsetof(struct head, links) },
	{ "WWW-Authenticate", offsetof(struct head, challenges) },
	{ "Set-Cookie", offsetof(struct head, cookies) },
	{ "X-Docker-Token", offsetof(struct head, docker_tokens) },
	{ "X-Docker-Endpoints", offsetof(struct head, docker_endpoints) },
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_named(const char *line, size_t len, const char *name)
{
	return len == strlen(name) && !strncasecmp(line, name, len);
}

static bool has_control(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
			return true;
	return false;
}

static int list_add(struct header_list *list, const char *value, size_t len)
{
	char **values;

	if (list->count == HTTP_LISTED_HEADERS_MAX)
		return 0;
	values = realloc(list->values, (list->count + 2) * sizeof *values);
	if (!values)
		return -ENOMEM;
	list->values = values;
	values[list->count] = strndup(value, len);
	if (!values[list->count])
		return -ENOMEM;
	values[++list->count] = NULL;
	return 0;
}

static int keep(struct head *head, const char *name, size_t name_len, const char *value, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(single_headers); i++) {
		char **field = (char **)((char *)head + single_headers[i].offset);

		if (!is_named(name, name_len, single_headers[i].name))
			continue;
		if (!*field)
			*field = strndup(value, len);
		return *field ? 0 : -ENOMEM;
	}
	for (size_t i = 0; i < ARRAY_SIZE(listed_headers); i++)
		if (is_named(name, name_len, listed_headers[i].name))
			return list_add(
				(void *)((char *)head + listed_headers[i].offset), value, len);
	return 0;
}

static int take_line(struct head *head, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	const char *value, *end = line + len;

	if (!colon || is_blank(line[0])) /* status, the blank line, obsolete folding */
		return 0;
	for (value = colon + 1; value < end && is_blank(*value); value++)
		;
	while (end > value && is_blank(end[-1]))
		end--;
	if (has_control(value, (size_t)(end - value)))
		return 0;
	return keep(head, line, (size_t)(colon - line), value, (size_t)(end - value));
}

/* "HTTP/1.1 200 OK", "HTTP/2 200". */
static long status_of(const char *line, size_t len)
{
	const char *at = memchr(line, ' ', len);
	long status = 0;

	if (!at || strncmp(line, "HTTP/", 5) || line + len - at < 4)
		return -1;
	for (int i = 1; i <= 3; i++) {
		if (at[i] < '0' || at[i] > '9')
			return -1;
		status = status * 10 + (at[i] - '0');
	}
	return status;
}

int head_parse(struct head *ret, const char *text, size_t len, struct error *err)
{
	struct head head = { 0 };
	const char *end = text + len;
	bool is_first = true;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t line_len = (size_t)((newline ? newline + 1 : end) - text);

		if (is_first) {
			head.status = len >= 5 ? status_of(text, line_len) : -1;
			is_first = false;
		} else if (take_line(&head, text, line_len)) {
			head_release(&head);
			return error_set(err, ENOMEM, "out of memory");
		}
		text += line_len;
	}
	if (head.status < 100) {
		head_release(&head);
		return error_set(err, EPROTO, "an answer without a status");
	}
	*ret = head;
	return 0;
}

static void list_release(struct header_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->values[i]);
	free(list->values);
}

void head_release(struct head *head)
{
	for (size_t i = 0; i < ARRAY_SIZE(single_headers); i++)
		free(*(char **)((char *)head + single_headers[i].offset));
	for (size_t i = 0; i < ARRAY_SIZE(listed_headers); i++)
		list_release((void *)((char *)head + listed_headers[i].offset));
	*head = (struct head){ 0 };
}

/* Digits only, up to INT64_MAX; returns where they end, NULL when there is no number. */
static const char *number(const char *text, uint64_t *ret)
{
	uint64_t value = 0;

	if (*text < '0' || *text > '9')
		return NULL;
	for (; *text >= '0' && *text <= '9'; text++) {
		unsigned digit = (unsigned)(*text - '0');

		if (value > ((uint64_t)INT64_MAX - digit) / 10)
			return NULL;
		value = value * 10 + digit;
	}
	*ret = value;
	return text;
}

bool head_length(const struct head *head, uint64_t *ret)
{
	uint64_t length;
	const char *end;

	if (!head->content_length || head->transfer_encoding)
		return false;
	end = number(head->content_length, &length);
	if (!end || *end)
		return false;
	*ret = length;
	return true;
}

bool content_range_parse(struct content_range *ret, const char *text)
{
	struct content_range range = { 0 };
	uint64_t last;

	if (!text || strncasecmp(text, "bytes", 5) || !is_blank(text[5]))
		return false;
	for (text += 5; is_blank(*text); text++)
		;
	text = number(text, &range.start);
	if (!text || *text != '-')
		return false;
	text = number(text + 1, &last);
	if (!text || *text != '/' || last < range.start)
		return false;
	range.end = last + 1;
	if (strcmp(text + 1, "*")) {
		text = number(text + 1, &range.total);
		if (!text || *text || range.total < range.end)
			return false;
		range.has_total = true;
	}
	*ret = range;
	return true;
}

bool retry_after_parse(uint64_t *ret_ms, const char *text, const char *date)
{
	const time_t limit = HTTP_RETRY_AFTER_MAX_MS / 1000;
	uint64_t seconds;
	const char *end;
	time_t then, base;

	if (!text)
		return false;
	end = number(text, &seconds);
	if (end && !*end) {
		*ret_ms = seconds < (uint64_t)limit ? seconds * 1000 : HTTP_RETRY_AFTER_MAX_MS;
		return true;
	}
	/* The server's own clock is the one its date was made with. */
	then = curl_getdate(text, NULL);
	base = date ? curl_getdate(date, NULL) : -1;
	if (base == -1)
		base = time(NULL);
	if (then == -1 || then <= base)
		return false;
	*ret_ms = then - base < limit ? (uint64_t)(then - base) * 1000 : HTTP_RETRY_AFTER_MAX_MS;
	return true;
}
