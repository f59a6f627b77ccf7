/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URLs are taken apart by libcurl alone, the same code that later connects,
 * so that no second reading of "host" can be played against the first.
 */
#include "fetch/http/internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "model/cleanup.h"

CLEANUP_POINTER(url_handlep, CURLU, curl_url_cleanup)

static void curl_textp(char **text)
{
	curl_free(*text);
}

void make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

static const char *after_scheme(const char *url)
{
	const char *slashes = strstr(url, "://");

	return slashes ? slashes + 3 : url;
}

char *http_url_for_log(const char *url, char *text, size_t len)
{
	const char *authority = after_scheme(url);
	size_t authority_len = strcspn(authority, "/?#\\");
	const char *at = memrchr(authority, '@', authority_len);
	const char *host = at ? at + 1 : authority;

	(void)snprintf(
		text, len, "%.*s%.*s", (int)(authority - url), url, (int)strcspn(host, "?#"), host);
	make_printable(text);
	return text;
}

/* What libcurl cannot make of a URL is the URL's fault, but for this. */
static int url_failure(CURLUcode code)
{
	return code == CURLUE_OUT_OF_MEMORY ? ENOMEM : EPROTO;
}

/* Parses, relative to base if there is one, and lets http and https pass only. */
static int parse(CURLU *handle, const char *base, const char *url, struct error *err)
{
	CLEANUP(curl_textp) char *scheme = NULL;
	char text[256];
	CURLUcode rc = CURLUE_OK;

	if (base)
		rc = curl_url_set(handle, CURLUPART_URL, base, 0);
	if (!rc)
		rc = curl_url_set(handle, CURLUPART_URL, url, CURLU_URLENCODE);
	if (!rc)
		rc = curl_url_get(handle, CURLUPART_SCHEME, &scheme, 0);
	if (rc)
		return error_set(err, url_failure(rc), "URL '%s': %s",
			http_url_for_log(url, text, sizeof text), curl_url_strerror(rc));
	if (strcmp(scheme, "http") && strcmp(scheme, "https"))
		return error_set(err, EPROTO, "URL '%s': neither http nor https",
			http_url_for_log(url, text, sizeof text));
	return 0;
}

static CURLU *new_handle(struct error *err)
{
	CURLU *handle = curl_url();

	if (!handle)
		(void)error_set(err, ENOMEM, "out of memory");
	return handle;
}

static int copy_text(char **ret, const char *text, struct error *err)
{
	*ret = strdup(text);
	return *ret ? 0 : error_set(err, ENOMEM, "out of memory");
}

int http_url_join(char **ret, const char *base, const char *url, struct error *err)
{
	CLEANUP(url_handlep) CURLU *handle = new_handle(err);
	CLEANUP(curl_textp) char *joined = NULL;
	int rc;

	if (!handle)
		return -ENOMEM;
	rc = parse(handle, base, url, err);
	if (rc)
		return rc;
	(void)curl_url_set(handle, CURLUPART_USER, NULL, 0); /* removing cannot fail */
	(void)curl_url_set(handle, CURLUPART_PASSWORD, NULL, 0);
	(void)curl_url_set(handle, CURLUPART_FRAGMENT, NULL, 0);
	if (curl_url_get(handle, CURLUPART_URL, &joined, 0))
		return error_set(err, ENOMEM, "out of memory");
	return copy_text(ret, joined, err);
}

int url_origin(char **ret, const char *url, struct error *err)
{
	CLEANUP(url_handlep) CURLU *handle = new_handle(err);
	CLEANUP(curl_textp) char *scheme = NULL;
	CLEANUP(curl_textp) char *host = NULL;
	CLEANUP(curl_textp) char *port = NULL;
	CURLUcode failure;
	int rc;

	if (!handle)
		return -ENOMEM;
	rc = parse(handle, NULL, url, err);
	if (rc)
		return rc;
	failure = curl_url_get(handle, CURLUPART_SCHEME, &scheme, 0);
	if (!failure)
		failure = curl_url_get(handle, CURLUPART_HOST, &host, 0);
	if (!failure)
		failure = curl_url_get(handle, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
	if (failure)
		return error_set(err, url_failure(failure), "the origin of a URL: %s",
			curl_url_strerror(failure));
	for (char *c = host; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	if (asprintf(ret, "%s://%s:%s", scheme, host, port) < 0) {
		*ret = NULL;
		return error_set(err, ENOMEM, "out of memory");
	}
	return 0;
}

bool http_url_same_origin(const char *a, const char *b)
{
	CLEANUP(freep) char *origin_a = NULL;
	CLEANUP(freep) char *origin_b = NULL;

	return !url_origin(&origin_a, a, NULL) && !url_origin(&origin_b, b, NULL) &&
	       !strcmp(origin_a, origin_b);
}

unsigned proxy_port(const char *url)
{
	CLEANUP(url_handlep) CURLU *handle = curl_url();
	CLEANUP(curl_textp) char *port = NULL;

	if (!url || !*url)
		return 0;
	if (!handle || curl_url_set(handle, CURLUPART_URL, url,
			       CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME))
		return 0;
	if (!curl_url_get(handle, CURLUPART_PORT, &port, 0))
		return (unsigned)strtoul(port, NULL, 10);
	return http_url_is_https(url) ? 443 : 1080; /* CURLOPT_PROXY(3) */
}

bool http_url_is_https(const char *url)
{
	return !strncasecmp(url, "https://", 8);
}

/* RFC 6890: this network, private, shared, loopback, link-local, multicast and above. */
static const struct {
	uint32_t prefix, mask;
	enum http_zone zone;
} internal_networks[] = {
	{ 0x00000000, 0xff000000, HTTP_ZONE_HOST },    /* 0.0.0.0/8 */
	{ 0x0a000000, 0xff000000, HTTP_ZONE_PRIVATE }, /* 10.0.0.0/8 */
	{ 0x64400000, 0xffc00000, HTTP_ZONE_PRIVATE }, /* 100.64.0.0/10 */
	{ 0x7f000000, 0xff000000, HTTP_ZONE_HOST },    /* 127.0.0.0/8 */
	{ 0xa9fe0000, 0xffff0000, HTTP_ZONE_LINK },    /* 169.254.0.0/16 */
	{ 0xac100000, 0xfff00000, HTTP_ZONE_PRIVATE }, /* 172.16.0.0/12 */
	{ 0xc0a80000, 0xffff0000, HTTP_ZONE_PRIVATE }, /* 192.168.0.0/16 */
	{ 0xe0000000, 0xe0000000, HTTP_ZONE_LINK },    /* 224.0.0.0/3 */
};

static enum http_zone ipv4_zone(uint32_t address)
{
	for (size_t i = 0; i < ARRAY_SIZE(internal_networks); i++)
		if ((address & internal_networks[i].mask) == internal_networks[i].prefix)
			return internal_networks[i].zone;
	return HTTP_ZONE_PUBLIC;
}

/* IPv4 inside IPv6: mapped (::ffff:a.b.c.d), compatible (::a.b.c.d), NAT64 (64:ff9b::a.b.c.d). */
static bool embeds_ipv4(const struct in6_addr *address)
{
	static const uint8_t nat64[12] = { 0, 0x64, 0xff, 0x9b };

	return IN6_IS_ADDR_V4MAPPED(address) || IN6_IS_ADDR_V4COMPAT(address) ||
	       !memcmp(address->s6_addr, nat64, sizeof nat64);
}

static uint32_t embedded_ipv4(const struct in6_addr *address)
{
	uint32_t value;

	memcpy(&value, address->s6_addr + 12, sizeof value);
	return ntohl(value);
}

static enum http_zone ipv6_zone(const struct in6_addr *address)
{
	if (IN6_IS_ADDR_UNSPECIFIED(address) || IN6_IS_ADDR_LOOPBACK(address))
		return HTTP_ZONE_HOST;
	if (embeds_ipv4(address))
		return ipv4_zone(embedded_ipv4(address));
	if (IN6_IS_ADDR_LINKLOCAL(address) || IN6_IS_ADDR_MULTICAST(address))
		return HTTP_ZONE_LINK;
	if (IN6_IS_ADDR_SITELOCAL(address) || (address->s6_addr[0] & 0xfe) == 0xfc) /* fc00::/7 */
		return HTTP_ZONE_PRIVATE;
	return HTTP_ZONE_PUBLIC;
}

enum http_zone address_zone(const struct sockaddr *address)
{
	switch (address->sa_family) {
	case AF_INET:
		return ipv4_zone(ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr));
	case AF_INET6:
		return ipv6_zone(&((const struct sockaddr_in6 *)address)->sin6_addr);
	default:
		return HTTP_ZONE_HOST; /* no other family leads to the internet */
	}
}

int url_host(char text[static 256], const char *url)
{
	CLEANUP(url_handlep) CURLU *handle = new_handle(NULL);
	CLEANUP(curl_textp) char *host = NULL;
	size_t len;

	if (!handle || parse(handle, NULL, url, NULL) ||
		curl_url_get(handle, CURLUPART_HOST, &host, 0))
		return -EPROTO;
	len = strlen(host);
	if (host[0] == '[' && len > 2)
		(void)snprintf(text, 256, "%.*s", (int)len - 2, host + 1);
	else
		(void)snprintf(text, 256, "%s", host);
	text[strcspn(text, "%")] = '\0'; /* a zone */
	len = strlen(text);
	if (len && text[len - 1] == '.')
		text[len - 1] = '\0';
	return 0;
}

static bool is_localhost(const char *host)
{
	size_t len = strlen(host);

	return !strcasecmp(host, "localhost") ||
	       (len > 10 && !strcasecmp(host + len - 10, ".localhost")); /* RFC 6761 6.3 */
}

enum http_zone http_url_zone(const char *url)
{
	struct in_addr ipv4;
	struct in6_addr ipv6;
	char host[256];

	if (url_host(host, url))
		return HTTP_ZONE_HOST; /* who cannot be read is not trusted */
	if (is_localhost(host))
		return HTTP_ZONE_HOST;
	if (inet_pton(AF_INET, host, &ipv4) == 1)
		return ipv4_zone(ntohl(ipv4.s_addr));
	return inet_pton(AF_INET6, host, &ipv6) == 1 ? ipv6_zone(&ipv6) : HTTP_ZONE_PUBLIC;
}

static int url_of_host(char text[static 512], const char *host)
{
	return snprintf(text, 512, "http://%s/", host) < 512 ? 0 : -EINVAL;
}

bool http_host_is_internal(const char *host)
{
	char url[512];

	return url_of_host(url, host) || http_url_zone(url) != HTTP_ZONE_PUBLIC;
}

bool http_host_is_loopback(const char *host)
{
	struct in_addr ipv4;
	struct in6_addr ipv6;
	char url[512], name[256];

	if (url_of_host(url, host) || url_host(name, url))
		return false;
	if (is_localhost(name))
		return true;
	if (inet_pton(AF_INET, name, &ipv4) == 1)
		return ntohl(ipv4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, name, &ipv6) == 1 && IN6_IS_ADDR_LOOPBACK(&ipv6);
}
