/* SPDX-License-Identifier: Apache-2.0 */
/* Which files are read, in which order. */
#include "fetch/routes/internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch/file.h"
#include "fetch/routes/toml.h"
#include "model/buf.h"
#include "model/cleanup.h"

#define SYSTEM_DIR "/etc/containers"

static int load_file(struct routes *routes, const char *path, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { .max = TOML_BYTES_MAX };
	int rc = file_read(&text, path, err);

	return rc ? rc : routes_parse(routes, path, text.data ? text.data : "", text.len, err);
}

static int is_drop_in(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name), suffix = strlen(".conf");

	return len > suffix && !strcmp(entry->d_name + len - suffix, ".conf");
}

static bool is_directory(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static int load_drop_in(struct routes *routes, const char *dir, const char *name, struct error *err)
{
	char path[4096];

	if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
		return error_set(err, ENAMETOOLONG, "'%s/%s'", dir, name);
	return is_directory(path) ? 0 : load_file(routes, path, err);
}

static int load_dir(struct routes *routes, const char *dir, struct error *err)
{
	struct dirent **entries = NULL;
	int count = scandir(dir, &entries, is_drop_in, alphasort), rc = 0;

	if (count < 0)
		return errno == ENOENT || errno == ENOTDIR
			       ? 0
			       : error_set(err, errno, "'%s': %s", dir, strerror(errno));
	if (count > ROUTES_FILES_MAX)
		rc = error_set(err, EFBIG, "'%s': more than %d files", dir, ROUTES_FILES_MAX);
	for (int i = 0; i < count; i++) {
		if (!rc)
			rc = load_drop_in(routes, dir, entries[i]->d_name, err);
		free(entries[i]);
	}
	free(entries);
	return rc;
}

static int load_usual(struct routes *routes, struct error *err)
{
	const char *home = getenv("HOME");
	char file[4096] = "", drop_ins[4096] = "";
	bool is_own;
	int rc;

	if (home && *home &&
		(snprintf(file, sizeof file, "%s/.config/containers/registries.conf", home) >=
				(int)sizeof file ||
			snprintf(drop_ins, sizeof drop_ins,
				"%s/.config/containers/registries.conf.d",
				home) >= (int)sizeof drop_ins))
		return error_set(err, ENAMETOOLONG, "HOME: too long");
	is_own = *file && !access(file, F_OK);
	rc = load_file(routes, is_own ? file : SYSTEM_DIR "/registries.conf", err);
	if (rc == -ENOENT && !is_own)
		rc = 0;
	if (!rc && !is_own)
		rc = load_dir(routes, SYSTEM_DIR "/registries.conf.d", err);
	if (!rc && *drop_ins)
		rc = load_dir(routes, drop_ins, err);
	return rc;
}

int routes_load(struct routes *ret, const char *path, struct error *err)
{
	CLEANUP(routes_release) struct routes routes = { .tables = NULL };
	int rc;

	if (!path)
		path = getenv("CONTAINERS_REGISTRIES_CONF");
	rc = path && *path ? load_file(&routes, path, err) : load_usual(&routes, err);
	if (rc)
		return rc;
	*ret = routes;
	routes = (struct routes){ .tables = NULL };
	return 0;
}
