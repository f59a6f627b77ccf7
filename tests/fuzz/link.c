/* SPDX-License-Identifier: Apache-2.0 */
/* A Link header: what is found is part of it, without its brackets. */
#include "fetch/registry/internal.h"

#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool is_true)
{
	if (!is_true)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char base[] = "https://registry.example.com/v2/_catalog?n=2";
	CLEANUP(freep) char *text = strndup((const char *)data, size);
	CLEANUP(freep) char *next = NULL;
	CLEANUP(freep) char *url = NULL;

	check(text);
	check(!link_next(&next, text));
	if (!next)
		return 0;
	check(strstr(text, next) && !strchr(next, '>'));
	if (!http_url_join(&url, base, next, NULL))
		check(http_url_is_https(url) || !strncmp(url, "http://", 7));
	return 0;
}
