/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certs.d (containers-certs.d(5)): of the usual directories the first that has one for the host is
 * used.  In it each *.crt holds authorities, and X.cert with X.key beside it is a client's
 * certificate; one without the other is a mistake that is told.  Of several pairs the first is
 * used: libcurl presents one.
 */
#include "fetch/registry/internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch/file.h"
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

/* Each file ends in a line of its own. */
static int append_file(struct buf *ret, const char *path, struct error *err)
{
	int rc = file_read(ret, path, err);

	if (!rc && buf_append_text(ret, "\n"))
		rc = error_set(err, -buf_status(ret), "'%s': too many authorities", path);
	return rc;
}

/* The other half of a pair, which must be there. */
static int find_partner(
	char **ret, const char *path, const char *suffix, const char *partner, struct error *err)
{
	CLEANUP(freep) char *other = NULL;
	size_t stem = strlen(path) - strlen(suffix);

	if (asprintf(&other, "%.*s%s", (int)stem, path, partner) < 0) {
		other = NULL;
		return error_set(err, ENOMEM, "out of memory");
	}
	if (access(other, R_OK))
		return error_set(
			err, EINVAL, "'%s': no '%s' with it: %s", path, other, strerror(errno));
	*ret = TAKE(other);
	return 0;
}

static int take(
	struct certs *certs, struct buf *ca, const char *dir, const char *name, struct error *err)
{
	CLEANUP(freep) char *path = join(dir, name);
	CLEANUP(freep) char *other = NULL;
	int rc = 0;

	if (!path)
		return error_set(err, ENOMEM, "out of memory");
	if (has_suffix(name, ".crt"))
		return append_file(ca, path, err);
	if (has_suffix(name, ".key"))
		return find_partner(&other, path, ".key", ".cert", err);
	if (has_suffix(name, ".cert"))
		rc = find_partner(&other, path, ".cert", ".key", err);
	if (rc || !other || certs->cert)
		return rc;
	certs->cert = TAKE(path);
	certs->key = TAKE(other);
	return 0;
}

/* *ret_has false: there is no such directory, or none that may be read. */
static int scan(struct certs *certs, const char *dir, bool *ret_has, struct error *err)
{
	CLEANUP(buf_release) struct buf ca = { .max = CERTS_CA_MAX };
	struct dirent **entries = NULL;
	int count = scandir(dir, &entries, NULL, alphasort), rc = 0;

	*ret_has = count >= 0;
	if (count < 0)
		return errno == ENOMEM ? error_set(err, ENOMEM, "out of memory") : 0;
	for (int i = 0; i < count; i++) {
		if (!rc && i < ENTRIES_MAX)
			rc = take(certs, &ca, dir, entries[i]->d_name, err);
		free(entries[i]);
	}
	free(entries);
	if (!rc && ca.len) {
		certs->ca = buf_take(&ca, NULL);
		if (!certs->ca)
			rc = error_set(err, ENOMEM, "out of memory");
	}
	return rc;
}

static int scan_usual(struct certs *certs, const char *host, struct error *err)
{
	static const char *const roots[] = { "/etc/containers/certs.d", "/etc/docker/certs.d" };
	const char *home = getenv("HOME");
	bool has = false;
	char path[4096];
	int rc = 0;

	if (home && *home &&
		snprintf(path, sizeof path, "%s/.config/containers/certs.d/%s", home, host) <
			(int)sizeof path)
		rc = scan(certs, path, &has, err);
	for (size_t i = 0; i < ARRAY_SIZE(roots) && !rc && !has; i++)
		if (snprintf(path, sizeof path, "%s/%s", roots[i], host) < (int)sizeof path)
			rc = scan(certs, path, &has, err);
	return rc; /* to have none is normal */
}

int certs_find(struct certs *ret, const char *cert_dir, const char *host, struct error *err)
{
	CLEANUP(certs_release) struct certs certs = { .ca = NULL };
	bool has = true;
	int rc = cert_dir ? scan(&certs, cert_dir, &has, err) : scan_usual(&certs, host, err);

	if (!rc && !has)
		rc = error_set(err, ENOENT, "no directory '%s'", cert_dir);
	if (rc)
		return error_prefix(err, rc, "certificates");
	*ret = certs;
	certs = (struct certs){ .ca = NULL };
	return 0;
}

void certs_release(struct certs *certs)
{
	free(certs->ca);
	free(certs->cert);
	free(certs->key);
}
