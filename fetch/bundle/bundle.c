/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/bundle/bundle.h"

#include <fcntl.h>
#include <string.h>

#include "fetch/bundle/internal.h"

static int take_name(
	struct bundle **ret, struct bundle *opened, const char *name, struct error *err)
{
	CLEANUP(bundlep) struct bundle *bundle = opened;

	bundle->name = strdup(name);
	if (!bundle->name)
		return error_set(err, ENOMEM, "out of memory");
	*ret = TAKE(bundle);
	return 0;
}

int bundle_open(struct bundle **ret, const char *path, struct cache *cache,
	struct observer *observer, struct cancel *cancel, struct error *err)
{
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	CLEANUP(readerp) struct reader *archive = NULL;
	struct archive_job job = {
		.name = path, .cache = cache, .observer = observer, .cancel = cancel
	};
	struct bundle *bundle = NULL;
	struct stat st;
	int rc;

	if (fd < 0 || fstat(fd, &st))
		return error_set(err, errno, "'%s': %m", path);
	if (S_ISDIR(st.st_mode)) {
		rc = directory_open(&bundle, TAKE_FD(fd), err);
	} else if (!S_ISREG(st.st_mode)) {
		rc = not_regular(err);
	} else {
		rc = reader_of_fd(&archive, TAKE_FD(fd), err);
		job.archive = archive;
		if (!rc)
			rc = archive_open(&bundle, &job, err);
	}
	if (!rc)
		rc = take_name(ret, bundle, path, err);
	return rc ? error_prefix(err, rc, "'%s'", path) : 0;
}

int bundle_open_reader(struct bundle **ret, struct reader *archive, const char *name,
	struct observer *observer, struct cancel *cancel, struct error *err)
{
	struct archive_job job = {
		.archive = archive, .name = name, .observer = observer, .cancel = cancel
	};
	struct bundle *bundle;
	int rc = archive_open(&bundle, &job, err);

	if (!rc)
		rc = take_name(ret, bundle, name, err);
	return rc ? error_prefix(err, rc, "'%s'", name) : 0;
}

void bundle_free(struct bundle *bundle)
{
	if (!bundle)
		return;
	free(bundle->name);
	bundle->ops->free(bundle);
}

const char *bundle_name(const struct bundle *bundle)
{
	return bundle->name;
}

bool bundle_is_archive(const struct bundle *bundle)
{
	return bundle->ops->is_archive;
}

int bundle_file(struct bundle *bundle, const char *path, struct reader **ret, struct error *err)
{
	int rc = bundle->ops->file(bundle, path, ret, err);

	return rc ? error_prefix(err, rc, "'%s'", path) : 0;
}

int bundle_read(struct bundle *bundle, const char *path, struct buf *ret, struct error *err)
{
	CLEANUP(readerp) struct reader *reader = NULL;
	int rc = bundle_file(bundle, path, &reader, err);

	if (rc)
		return rc;
	rc = reader_append_to(reader, ret, err);
	return rc ? error_prefix(err, rc, "'%s'", path) : 0;
}

int bundle_list(
	struct bundle *bundle, const char *directory, struct name_list *ret, struct error *err)
{
	struct name_list names = { NULL, 0 };
	int rc = bundle->ops->list(bundle, directory, &names, err);

	if (rc) {
		name_list_release(&names);
		return error_prefix(err, rc, "'%s'", directory);
	}
	name_list_sort(&names);
	*ret = names;
	return 0;
}

int bundle_stat(struct bundle *bundle, const char *path, struct stat *ret, struct error *err)
{
	CLEANUP(readerp) struct reader *reader = NULL;
	int rc = bundle_file(bundle, path, &reader, err);

	if (rc)
		return rc;
	rc = reader_stat(reader, ret, err);
	return rc ? error_prefix(err, rc, "'%s'", path) : 0;
}
