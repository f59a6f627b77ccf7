/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WWW-Authenticate, one header a line.  Beyond not crashing: no more challenges than are
 * kept, nothing of a malformed one is used, and no value holds a control character.
 */
#include "fetch/auth/internal.h"

#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool is_true)
{
	if (!is_true)
		abort();
}

static void check_text(const char *text)
{
	for (; text && *text; text++)
		check(*text == '\t' || (unsigned char)*text >= ' ');
}

static void check_realm(const char *text)
{
	static const struct realm_rules rules = { "registry.example.com", NULL, true };
	static const struct http_response answer = {
		.final_url = (char *)"https://registry.example.com/v2/"
	};
	struct realm realm = { .url = NULL };

	if (realm_init(&realm, text, &rules, &answer, NULL))
		return;
	check(http_url_is_https(realm.url) && http_url_zone(realm.url) == HTTP_ZONE_PUBLIC);
	check(realm.is_trusted || !realm.is_registry);
	check(!realm.is_trusted || strcasestr(realm.url, "example.com"));
	realm_release(&realm);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct challenge_list list = { .count = 0 };
	const struct challenge *best;
	char *text = strndup((const char *)data, size), *rest = NULL;

	check(text);
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		check(!challenge_list_parse(&list, line));
	free(text);
	check(list.count <= CHALLENGES_MAX);
	best = challenge_list_best(&list);
	if (best) {
		check(!best->is_malformed && best->scheme != SCHEME_UNKNOWN);
		check_text(best->realm);
		check_text(best->service);
		check_text(best->scope);
		if (best->scheme == SCHEME_BEARER)
			check_realm(best->realm);
	}
	challenge_list_release(&list);
	return 0;
}
