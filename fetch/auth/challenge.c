/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WWW-Authenticate (RFC 9110 11.6.1):
 *
 *	challenge, challenge, ...
 *	challenge = scheme [ SP ( token68 / name=value, name="value", ... ) ]
 *
 * The comma both ends a challenge and divides its parameters; what decides is
 * whether a word is followed by '='.  A header that stops making sense keeps
 * the challenges before that point.
 */
#include "fetch/auth/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "model/cleanup.h"

static const struct {
	const char *name;
	enum auth_scheme scheme;
} schemes[] = {
	{ "Basic", SCHEME_BASIC },
	{ "Bearer", SCHEME_BEARER },
};

static const struct {
	const char *name;
	size_t offset; /* of a char * in struct challenge */
} parameters[] = {
	{ "realm", offsetof(struct challenge, realm) },
	{ "service", offsetof(struct challenge, service) },
	{ "scope", offsetof(struct challenge, scope) },
	{ "error", offsetof(struct challenge, error) },
};

/* RFC 9110 5.6.2 */
static bool is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static const char *skip_blanks(const char *at)
{
	return at + strspn(at, " \t");
}

static const char *skip_token(const char *at)
{
	while (is_token_char(*at))
		at++;
	return at;
}

static enum auth_scheme find_scheme(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (strlen(schemes[i].name) == len && !strncasecmp(schemes[i].name, name, len))
			return schemes[i].scheme;
	return SCHEME_UNKNOWN;
}

/* at is behind the opening quote; NULL when there is no closing one. */
static const char *read_quoted(const char *at, char *value)
{
	for (; *at && *at != '"'; at++) {
		if (*at == '\\' && at[1])
			at++;
		*value++ = *at;
	}
	*value = '\0';
	return *at ? at + 1 : NULL;
}

static const char *read_plain(const char *at, char *value)
{
	size_t len = strcspn(at, " \t,\"");

	memcpy(value, at, len);
	value[len] = '\0';
	return at + len;
}

static bool is_printable(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text == 0x7f)
			return false;
	return true;
}

/* A name may occur once only (RFC 9110 11.2): who says it twice is not believed at all. */
static int keep(struct challenge *challenge, const char *name, size_t len, const char *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
		char **field = (char **)((char *)challenge + parameters[i].offset);

		if (strlen(parameters[i].name) != len || strncasecmp(parameters[i].name, name, len))
			continue;
		if (*field || !is_printable(value)) {
			challenge->is_malformed = true;
			return 0;
		}
		*field = strdup(value);
		return *field ? 0 : -ENOMEM;
	}
	return 0;
}

/* Behind "name", at its '='.  *at becomes NULL when the rest makes no sense. */
static int read_parameter(
	struct challenge *challenge, const char *name, size_t len, const char **at, char *value)
{
	const char *start = skip_blanks(*at + 1);

	*at = *start == '"' ? read_quoted(start + 1, value) : read_plain(start, value);
	if (!*at) {
		challenge->is_malformed = true;
		return 0;
	}
	return keep(challenge, name, len, value);
}

/* "=", "==" and then an end: the padding of a token68, not a parameter. */
static bool is_padding(const char *at)
{
	at += strspn(at, "=");
	at = skip_blanks(at);
	return !*at || *at == ',';
}

static int parse(struct challenge_list *list, const char *at, char *value)
{
	struct challenge *challenge = NULL;
	int rc = 0;

	while (at && !rc) {
		const char *name = at += strspn(at, " \t,");
		const char *end = skip_token(name);
		const char *after = skip_blanks(end);

		if (end == name)
			return 0;
		if (*after == '=' && !is_padding(after)) {
			if (!challenge)
				return 0;
			at = after;
			rc = read_parameter(challenge, name, (size_t)(end - name), &at, value);
		} else if (*after == '=' || *end == '/') { /* token68: nothing of ours */
			at = end + strcspn(end, ",");
		} else {
			if (list->count == CHALLENGES_MAX)
				return 0;
			challenge = &list->items[list->count++];
			*challenge = (struct challenge){ .scheme = find_scheme(
								 name, (size_t)(end - name)) };
			at = end;
		}
	}
	return rc;
}

int challenge_list_parse(struct challenge_list *list, const char *value)
{
	CLEANUP(freep) char *scratch = malloc(strlen(value) + 1);

	return scratch ? parse(list, value, scratch) : -ENOMEM;
}

void challenge_list_release(struct challenge_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].realm);
		free(list->items[i].service);
		free(list->items[i].scope);
		free(list->items[i].error);
	}
	list->count = 0;
}

static bool is_usable(const struct challenge *challenge)
{
	if (challenge->is_malformed)
		return false;
	return challenge->scheme == SCHEME_BASIC ||
	       (challenge->scheme == SCHEME_BEARER && challenge->realm);
}

const struct challenge *challenge_list_best(const struct challenge_list *list)
{
	const struct challenge *best = NULL;

	for (size_t i = 0; i < list->count; i++) {
		const struct challenge *one = &list->items[i];

		if (is_usable(one) && (!best || one->scheme > best->scheme))
			best = one;
	}
	return best;
}
