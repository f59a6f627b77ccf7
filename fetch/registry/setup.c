/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/registry/internal.h"
#include "model/cleanup.h"

bool registry_host_is_valid(const char *host)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-_:[]";

	return *host && *host != '.' && !host[strspn(host, allowed)];
}

static int open_http(
	struct registry *registry, const struct registry_config *config, struct error *err)
{
	struct http_config http = config->http;
	struct certs certs = { .ca = NULL };
	int rc;

	rc = certs_find(&certs, config->cert_dir, config->host, err);
	if (rc)
		return rc;
	http.extra_ca = certs.ca;
	http.client_cert = certs.cert;
	http.client_key = certs.key;
	rc = http_new(&registry->http, &http, registry->observer, err);
	certs_release(&certs);
	return rc;
}

static int open_auth(
	struct registry *registry, const struct registry_config *config, struct error *err)
{
	const struct auth_config auth = { .host = config->host,
		.is_https = true,
		.authfile = config->authfile,
		.realm = config->realm,
		.no_credentials = config->no_credentials };
	int rc;

	rc = auth_new(&registry->auth, &auth, registry->http, registry->observer, err);
	if (rc)
		return rc;
	if (asprintf(&registry->identity, "%s %s", config->host, auth_identity(registry->auth)) <
		0) {
		registry->identity = NULL;
		return error_set(err, ENOMEM, "out of memory");
	}
	return 0;
}

int registry_set_up(struct registry *registry, const struct registry_config *config,
	const char *host, struct observer *observer, struct error *err)
{
	int rc;

	(void)pthread_mutex_init(&registry->lock, NULL); /* cannot fail with default attributes */
	if (!registry_host_is_valid(config->host))
		return error_set(err, EINVAL, "'%s' is not a registry's host", config->host);
	if (config->realm && !registry_host_is_valid(config->realm))
		return error_set(err, EINVAL, "'%s' is not a token server's host", config->realm);
	registry->observer = observer;
	registry->may_try_http = !config->http.verify_tls || http_host_is_loopback(config->host);
	registry->name = strdup(config->host);
	registry->host = strdup(host);
	if (!registry->name || !registry->host)
		return error_set(err, ENOMEM, "out of memory");
	rc = open_http(registry, config, err);
	return rc ? rc : open_auth(registry, config, err);
}

void registry_tear_down(struct registry *registry)
{
	auth_free(registry->auth);
	http_free(registry->http);
	(void)pthread_mutex_destroy(&registry->lock);
	free(registry->name);
	free(registry->host);
	free(registry->identity);
}
