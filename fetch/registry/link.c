/* SPDX-License-Identifier: Apache-2.0 */
/*
 *	Link: <URL>; rel="next"; title="a, b", <URL>; rel=prev
 *
 * Several links in one header, parameters in any order, values quoted or
 * not, several relations in one value.  Where it stops making sense it ends.
 */
#include "fetch/registry/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct span {
	const char *start;
	size_t len;
};

static const char *skip_blanks(const char *at)
{
	return at + strspn(at, " \t");
}

/* Does a blank-separated list of relations name "next"? */
static bool is_next(struct span value)
{
	const char *at = value.start, *end = value.start + value.len;

	while (at < end) {
		const char *word = at;

		while (at < end && *at != ' ' && *at != '\t')
			at++;
		if (at - word == 4 && !strncasecmp(word, "next", 4))
			return true;
		while (at < end && (*at == ' ' || *at == '\t'))
			at++;
	}
	return false;
}

/* "value" or value; NULL, and the link counts for nothing, when a quote is not closed. */
static const char *read_value(const char *at, struct span *ret)
{
	if (*at != '"') {
		*ret = (struct span){ at, strcspn(at, " \t;,") };
		return at + ret->len;
	}
	ret->start = ++at;
	while (*at && *at != '"')
		at += *at == '\\' && at[1] ? 2 : 1;
	ret->len = (size_t)(at - ret->start);
	return *at ? at + 1 : NULL;
}

/* The parameters of one link, from its first ';' to the ',' or end behind it.
 * Only the first rel counts (RFC 8288 3.3). */
static const char *read_parameters(const char *at, bool *ret_is_next)
{
	bool has_rel = false;

	*ret_is_next = false;
	while (at && *(at = skip_blanks(at)) == ';') {
		struct span name, value = { "", 0 };

		name.start = at = skip_blanks(at + 1);
		name.len = strcspn(at, " \t=;,");
		at = skip_blanks(at + name.len);
		if (*at == '=')
			at = read_value(skip_blanks(at + 1), &value);
		if (name.len == 3 && !strncasecmp(name.start, "rel", 3) && !has_rel) {
			has_rel = true;
			*ret_is_next = is_next(value);
		}
	}
	if (!at)
		*ret_is_next = false;
	return at;
}

int link_next(char **ret, const char *value)
{
	const char *at = value;

	*ret = NULL;
	while (at && *(at += strspn(at, " \t,")) == '<') {
		struct span url = { at + 1, strcspn(at + 1, ">") };
		bool is_found;

		if (!url.start[url.len])
			return 0;
		at = read_parameters(url.start + url.len + 1, &is_found);
		if (is_found) {
			*ret = strndup(url.start, url.len);
			return *ret ? 0 : -ENOMEM;
		}
	}
	return 0;
}
