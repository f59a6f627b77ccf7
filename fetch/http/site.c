/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may have named whom: hosts of one owner.  Below which names strangers register theirs, the
 * Public Suffix List tells (publicsuffix.org): example.com and example.co.uk are somebody's,
 * co.uk is not, nor is what a hoster gives away below its own name.
 */
#include "fetch/http/internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <libpsl.h>

#include "model/cleanup.h"

CLEANUP_POINTER(psl_freep, psl_ctx_t, psl_free)

static bool is_address(const char *host)
{
	struct in6_addr ignored;

	return inet_pton(AF_INET, host, &ignored) == 1 || inet_pton(AF_INET6, host, &ignored) == 1;
}

/* One label is nobody's domain, and what is not ASCII has several spellings. */
static bool is_name(const char *host)
{
	if (is_address(host) || !strchr(host, '.'))
		return false;
	for (; *host; host++)
		if ((unsigned char)*host > '~')
			return false;
	return true;
}

static bool have_one_domain(const char *a, const char *b)
{
	CLEANUP(psl_freep) psl_ctx_t *list = psl_latest(NULL);
	const char *domain_a, *domain_b;

	if (!list || !is_name(a) || !is_name(b))
		return false;
	domain_a = psl_registrable_domain(list, a);
	domain_b = psl_registrable_domain(list, b);
	return domain_a && domain_b && !strcmp(domain_a, domain_b);
}

static void make_lower(char *text)
{
	for (; *text; text++)
		*text = (char)tolower((unsigned char)*text);
}

bool http_url_is_of_site(const char *url, const char *host)
{
	char a[256], b[256], host_url[512];

	if (snprintf(host_url, sizeof host_url, "https://%s/", host) >= (int)sizeof host_url ||
		url_host(a, url) || url_host(b, host_url))
		return false;
	make_lower(a);
	make_lower(b);
	if (!strcmp(a, b) || have_one_domain(a, b))
		return true;
	return http_host_is_loopback(host) && http_url_zone(url) == HTTP_ZONE_HOST;
}

bool http_url_is_at(const char *url, const char *host)
{
	CLEANUP(freep) char *origin = NULL;
	const char *authority, *port;

	if (url_origin(&origin, url, NULL))
		return false;
	authority = strstr(origin, "://") + 3;
	port = strrchr(authority, ':');
	return !strcasecmp(authority, host) || ((size_t)(port - authority) == strlen(host) &&
						       !strncasecmp(authority, host, strlen(host)));
}
