/* SPDX-License-Identifier: Apache-2.0 */
/* places -- a few files made on the spot, opened as a bundle: the directory, or a tar of it. */
#ifndef TESTS_UNIT_PLACES_H
#define TESTS_UNIT_PLACES_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fetch/bundle/bundle.h"

struct place {
	char root[64];
	char files[80]; /* the directory of the files */
	char tar[80];
};

static inline void place_make(struct place *place)
{
	strcpy(place->root, "/tmp/imgfs-place-XXXXXX");
	assert_non_null(mkdtemp(place->root));
	(void)snprintf(place->files, sizeof place->files, "%s/files", place->root);
	(void)snprintf(place->tar, sizeof place->tar, "%s/files.tar", place->root);
	assert_int_equal(mkdir(place->files, 0755), 0);
}

static inline int place_remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st;
	(void)flag;
	(void)f;
	return remove(path);
}

static inline void place_drop(struct place *place)
{
	(void)nftw(place->root, place_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The whole path of name, whose directories are made. */
static inline const char *place_path(const struct place *place, const char *name)
{
	static char path[1024];
	char *end = path + snprintf(path, sizeof path, "%s/%s", place->files, name);

	for (char *p = path + strlen(place->files) + 1; p < end; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		(void)mkdir(path, 0755); /* may be there already */
		*p = '/';
	}
	return path;
}

static inline void place_put(
	const struct place *place, const char *name, const void *bytes, size_t len)
{
	FILE *file = fopen(place_path(place, name), "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static inline void place_put_text(const struct place *place, const char *name, const char *text)
{
	place_put(place, name, text, strlen(text));
}

static inline void place_link(const struct place *place, const char *name, const char *target)
{
	assert_int_equal(symlink(target, place_path(place, name)), 0);
}

static inline struct bundle *place_open(
	const struct place *place, bool as_tar, struct observer *observer)
{
	struct error err = { "" };
	struct bundle *bundle;
	char command[256];

	(void)snprintf(command, sizeof command, "tar -C '%s' -cf '%s' .", place->files, place->tar);
	if (as_tar)
		assert_int_equal(system(command), 0); /* NOLINT: no name from outside */
	if (bundle_open(&bundle, as_tar ? place->tar : place->files, NULL, observer, NULL, &err))
		fail_msg("%s", err.text);
	return bundle;
}

#endif
