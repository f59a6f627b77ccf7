/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cookies (RFC 6265) as far as registries use them: to find the session again.
 *
 * Stricter than browsers in where they go: to the origin that set them, with its
 * scheme and port, whatever Domain says.  Within it Path is not looked at, and
 * they last until this process ends or the server takes them back.
 */
#include "fetch/http/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "model/cleanup.h"

enum { ATTRIBUTE_MAX = 128 }; /* bytes of one whose value counts: a date */

struct attributes {
	bool is_over; /* taken back */
	bool is_secure;
};

/* One "name[=value]" behind the first ';'. */
static void take_attribute(struct attributes *ret, const char *text, size_t len)
{
	char attribute[ATTRIBUTE_MAX];

	if (len >= sizeof attribute)
		return;
	memcpy(attribute, text, len);
	attribute[len] = '\0';
	if (!strcasecmp(attribute, "Secure")) {
		ret->is_secure = true;
	} else if (!strncasecmp(attribute, "Max-Age=", 8)) {
		ret->is_over = strtol(attribute + 8, NULL, 10) <= 0;
	} else if (!strncasecmp(attribute, "Expires=", 8)) {
		time_t then = curl_getdate(attribute + 8, NULL);

		ret->is_over = then != -1 && then <= time(NULL);
	}
}

static struct attributes read_attributes(const char *text)
{
	struct attributes attributes = { .is_over = false };

	while (*text) {
		size_t len;

		text += strspn(text, "; \t");
		len = strcspn(text, ";");
		take_attribute(&attributes, text, len);
		text += len;
	}
	return attributes;
}

/* The name with its '='; 0: there is none. */
static size_t name_len(const char *pair)
{
	const char *equals = strchr(pair, '=');

	return equals ? (size_t)(equals - pair) + 1 : 0;
}

static void cookie_free(struct cookie *cookie)
{
	free(cookie->origin);
	free(cookie->pair);
	free(cookie);
}

static void drop(struct cookie **jar, const char *origin, const char *pair)
{
	for (struct cookie **at = jar; *at; at = &(*at)->next) {
		struct cookie *cookie = *at;

		if (strcmp(cookie->origin, origin) ||
			strncmp(cookie->pair, pair, name_len(pair)) != 0)
			continue;
		*at = cookie->next;
		cookie_free(cookie);
		return;
	}
}

static size_t count(const struct cookie *jar)
{
	size_t n = 0;

	for (; jar; jar = jar->next)
		n++;
	return n;
}

static int add(struct cookie **jar, const char *origin, const char *pair)
{
	struct cookie *cookie = calloc(1, sizeof *cookie);

	if (!cookie)
		return -ENOMEM;
	cookie->origin = strdup(origin);
	cookie->pair = strdup(pair);
	if (!cookie->origin || !cookie->pair) {
		cookie_free(cookie);
		return -ENOMEM;
	}
	cookie->next = *jar;
	*jar = cookie;
	return 0;
}

int cookies_take(struct cookie **jar, const char *origin, const char *value)
{
	size_t len = strcspn(value, ";");
	struct attributes attributes = read_attributes(value + len);
	CLEANUP(freep) char *pair = NULL;

	while (len && strchr(" \t", value[len - 1]))
		len--;
	if (len > HTTP_COOKIE_MAX)
		return 0;
	pair = strndup(value, len);
	if (!pair)
		return -ENOMEM;
	if (name_len(pair) < 2)
		return 0;
	drop(jar, origin, pair);
	if (attributes.is_over || (attributes.is_secure && !http_url_is_https(origin)) ||
		count(*jar) >= HTTP_COOKIES_MAX)
		return 0;
	return add(jar, origin, pair);
}

void cookies_write(const struct cookie *jar, const char *origin, struct buf *ret)
{
	for (; jar; jar = jar->next)
		if (!strcmp(jar->origin, origin))
			(void)buf_printf(ret, "%s%s", ret->len ? "; " : "", jar->pair);
}

void cookies_free(struct cookie *jar)
{
	for (struct cookie *next; jar; jar = next) {
		next = jar->next;
		cookie_free(jar);
	}
}
