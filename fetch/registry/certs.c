/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certs.d (containers-certs.d(5)): of the usual directories the first that has one for
 * the host is used.  In it the first *.crt is the CA, and the first X.cert with
 * an X.key beside it the client's certificate.
 */
#include "fetch/registry/internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/cleanup.h"

enum { ENTRIES_MAX = 1000 };

static bool has_suffix(const char *name, const char *suffix)
{
	size_t len = strlen(name), suffix_len = strlen(suffix);

	return len > suffix_len && !strcmp(name + len - suffix_len, suffix);
}

static char *join(const char *dir, const char *name)
{
	char *path = NULL;

	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

static int take(struct certs *certs, const char *dir, const char *name)
{
	size_t stem = strlen(name) - strlen(".cert");
	CLEANUP(freep) char *path = join(dir, name);
	char *key = NULL;

	if (!path)
		return -ENOMEM;
	if (has_suffix(name, ".crt")) {
		if (!certs->ca)
			certs->ca = TAKE(path);
		return 0;
	}
	if (!has_suffix(name, ".cert") || certs->cert)
		return 0;
	if (asprintf(&key, "%s/%.*s.key", dir, (int)stem, name) < 0)
		return -ENOMEM;
	if (access(key, R_OK)) {
		free(key);
		return 0;
	}
	certs->cert = TAKE(path);
	certs->key = key;
	return 0;
}

/* -ENOENT: there is no such directory. */
static int scan(struct certs *certs, const char *dir)
{
	struct dirent **entries = NULL;
	int count = scandir(dir, &entries, NULL, alphasort), rc = 0;

	if (count < 0)
		return -errno;
	for (int i = 0; i < count; i++) {
		if (!rc && i < ENTRIES_MAX &&
			(has_suffix(entries[i]->d_name, ".crt") ||
				has_suffix(entries[i]->d_name, ".cert")))
			rc = take(certs, dir, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return rc;
}

static int scan_usual(struct certs *certs, const char *host)
{
	static const char *const roots[] = { "/etc/containers/certs.d", "/etc/docker/certs.d" };
	const char *home = getenv("HOME");
	char path[4096];
	int rc = -ENOENT;

	if (home && *home &&
		snprintf(path, sizeof path, "%s/.config/containers/certs.d/%s", home, host) <
			(int)sizeof path)
		rc = scan(certs, path);
	for (size_t i = 0; i < ARRAY_SIZE(roots) && rc && rc != -ENOMEM; i++)
		if (snprintf(path, sizeof path, "%s/%s", roots[i], host) < (int)sizeof path)
			rc = scan(certs, path);
	return rc == -ENOMEM ? rc : 0; /* to have none is normal */
}

int certs_find(struct certs *ret, const char *cert_dir, const char *host, struct error *err)
{
	struct certs certs = { .ca = NULL };
	int rc = cert_dir ? scan(&certs, cert_dir) : scan_usual(&certs, host);

	if (rc) {
		certs_release(&certs);
		return error_set(err, -rc, "certificates in '%s': %s", cert_dir ? cert_dir : "",
			strerror(-rc));
	}
	*ret = certs;
	return 0;
}

void certs_release(struct certs *certs)
{
	free(certs->ca);
	free(certs->cert);
	free(certs->key);
}
