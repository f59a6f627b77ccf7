/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A realm is an address that the registry chose, we connect to, and perhaps give a password or a
 * refresh token, with which one can do all that their owner can.  So it is asked for a token only
 * where the registry could look for itself, and gets credentials only when it belongs to the
 * registry:
 *
 *	registry             realm                  credentials
 *	docker.io            auth.docker.io         yes: one site
 *	registry.gitlab.com  gitlab.com             yes
 *	quay.io              quay.io                yes: one host
 *	r.example.com        auth.example.net       when option realm= says so
 *	10.0.0.1             10.0.0.2               the same: addresses have no owner
 */
#include "fetch/auth/internal.h"

#include <errno.h>
#include <stdlib.h>

#include "model/cleanup.h"

static int refuse(const char *url, const char *why, struct error *err)
{
	char text[256];

	return error_set(err, EACCES, "refused token realm '%s': %s",
		http_url_for_log(url, text, sizeof text), why);
}

int realm_init(struct realm *ret, const char *text, const struct realm_rules *rules,
	const struct http_response *named_by, struct error *err)
{
	CLEANUP(freep) char *url = NULL;
	bool is_permitted;
	int rc = http_url_join(&url, NULL, text, err);

	if (rc == -ENOMEM)
		return rc;
	if (rc)
		return refuse(text, "not an http(s) URL", err);
	if (rules->is_https && !http_url_is_https(url))
		return refuse(url, "not https", err);
	is_permitted = rules->permitted && http_url_is_at(url, rules->permitted);
	if (!is_permitted && http_url_zone(url) > named_by->zone)
		return refuse(url, "an internal address", err);
	*ret = (struct realm){
		.url = TAKE(url), .is_permitted = is_permitted, .zone = named_by->zone
	};
	ret->is_trusted = is_permitted || http_url_is_of_site(ret->url, rules->host);
	ret->is_registry = http_url_same_origin(ret->url, named_by->final_url);
	return 0;
}

void realm_release(struct realm *realm)
{
	free(realm->url);
	*realm = (struct realm){ .url = NULL };
}
