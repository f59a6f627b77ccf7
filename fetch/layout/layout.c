/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory is opened once; everything is reached from there by openat(),
 * component by component and following no link.
 *
 * What index.json says is kept parsed, under the lock, together with the
 * stamp of the file it was read from; each question first compares the stamp.
 * Reading and parsing happen without the lock: two threads may both do it,
 * the later result stays.
 */
#include "fetch/layout/layout.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include <json-c/json.h>

#include "fetch/cancel.h"
#include "fetch/layout/internal.h"
#include "fetch/observer.h"
#include "fetch/reader.h"
#include "model/cleanup.h"
#include "model/image.h"
#include "model/json.h"

enum {
	VERSION_MAX = 64 << 10, /* bytes of oci-layout */
	OPEN_FLAGS = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
};

/* Tells one state of a file from another. */
struct stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

struct layout_source {
	struct source base;
	char *path; /* for messages */
	int dir;
	struct observer *observer;
	pthread_mutex_t lock;
	struct layout_index *idx; /* under lock */
	struct stamp stamp;       /* under lock */
};

static struct layout_source *layout_source(struct source *source)
{
	assert(source->kind == SOURCE_LAYOUT);
	return container_of(source, struct layout_source, base);
}

/* --- files --- */

static struct stamp stamp_of(const struct stat *st)
{
	return (struct stamp){ st->st_dev, st->st_ino, st->st_size, st->st_mtim, st->st_ctim };
}

static bool times_equal(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool stamps_equal(const struct stamp *a, const struct stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       times_equal(&a->mtime, &b->mtime) && times_equal(&a->ctime, &b->ctime);
}

/* A regular file in dir; name is one component. */
static int open_regular(int dir, const char *name, struct stat *st, struct error *err)
{
	CLEANUP(closep) int fd = openat(dir, name, OPEN_FLAGS);

	if (fd < 0 && (errno == ELOOP || errno == ENXIO)) /* a link; a socket or the like */
		return error_set(err, EIO, "'%s' is not a regular file", name);
	if (fd < 0 || fstat(fd, st))
		return error_set(err, errno == ENOTDIR ? ENOENT : errno, "'%s': %m", name);
	if (!S_ISREG(st->st_mode))
		return error_set(err, EIO, "'%s' is not a regular file", name);
	return TAKE_FD(fd);
}

/* Appends what is in the file, up to the buf's ceiling. */
static int read_all(int fd, const struct stat *st, struct buf *body, const char *name,
	struct cancel *cancel, struct error *err)
{
	char piece[16 << 10];
	off_t offset = 0;
	int rc = 0;

	if ((uint64_t)st->st_size > body->max)
		return error_set(err, EFBIG, "'%s': %jd bytes, more than %zu", name,
			(intmax_t)st->st_size, body->max);
	while (!rc) {
		ssize_t n = pread(fd, piece, sizeof piece, offset);

		if (cancel_is_set(cancel))
			return error_set(err, EINTR, "interrupted");
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, EIO, "'%s': %m", name);
		if (!n)
			return 0;
		offset += n;
		rc = buf_append(body, piece, (size_t)n);
	}
	return error_set(err, -rc, "'%s': %s", name, strerror(-rc));
}

static int read_file(
	int dir, const char *name, size_t max, struct buf *ret, struct stat *st, struct error *err)
{
	CLEANUP(closep) int fd = open_regular(dir, name, st, err);

	buf_init(ret, max);
	return fd < 0 ? fd : read_all(fd, st, ret, name, NULL, err);
}

static int open_dir(int from, const char *name)
{
	return openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* blobs/ALG/HEX.  Links on the way are as good as nothing there. */
static int open_blob_file(struct layout_source *layout, const struct digest *digest,
	struct stat *st, struct error *err)
{
	CLEANUP(closep) int blobs = open_dir(layout->dir, "blobs");
	CLEANUP(closep) int dir = -1;
	char text[DIGEST_TEXT_MAX], hex[DIGEST_HEX_MAX];
	int fd;

	if (blobs >= 0)
		dir = open_dir(blobs, digest_algorithm_name(digest->algorithm));
	if (dir < 0)
		fd = error_set(err, errno == ENOTDIR || errno == ELOOP ? ENOENT : errno, "%m");
	else
		fd = open_regular(dir, digest_hex(digest, hex), st, err);
	return fd < 0 ? error_prefix(err, fd, "layout '%s': blob %s", layout->path,
				digest_format(digest, text))
		      : fd;
}

/* --- index.json --- */

static int check_version(struct layout_source *layout, struct error *err)
{
	CLEANUP(json_putp) struct json_object *root = NULL;
	CLEANUP(buf_release) struct buf text = { 0 };
	CLEANUP(freep) char *version = NULL;
	struct stat st;
	int rc = read_file(layout->dir, "oci-layout", VERSION_MAX, &text, &st, err);

	if (!rc)
		rc = json_parse(&root, text.data ? text.data : "", text.len, err);
	if (!rc && !json_object_is_type(root, json_type_object))
		rc = error_set(err, EIO, "not an object");
	if (!rc)
		rc = json_get_string(root, "imageLayoutVersion", &version, err);
	if (!rc && !version)
		rc = error_set(err, EIO, "'oci-layout': no imageLayoutVersion");
	if (!rc && strncmp(version, "1.", 2) != 0)
		rc = error_set(err, EOPNOTSUPP, "'oci-layout': version '%s' is not 1.x", version);
	return rc;
}

static int read_index(struct layout_source *layout, bool plain_only, struct layout_index **ret,
	struct stamp *ret_stamp, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { 0 };
	struct stat st;
	int rc = read_file(layout->dir, "index.json", DOCUMENT_MAX, &text, &st, err);

	if (!rc)
		rc = layout_index_parse(ret, text.data ? text.data : "", text.len, plain_only,
			layout->observer, err);
	if (!rc)
		*ret_stamp = stamp_of(&st);
	if (rc == -ENOENT) /* the layout is there: what it holds cannot be told */
		rc = -EIO;
	return rc ? error_prefix(err, rc, "layout '%s': index.json", layout->path) : 0;
}

/* Reads index.json again if it is another one by now. */
static int refresh(struct layout_source *layout, struct error *err)
{
	struct layout_index *idx, *old;
	struct stamp stamp, now;
	struct stat st;
	bool is_fresh;
	int rc;

	if (!fstatat(layout->dir, "index.json", &st, AT_SYMLINK_NOFOLLOW)) {
		now = stamp_of(&st);
		(void)pthread_mutex_lock(&layout->lock);
		is_fresh = stamps_equal(&now, &layout->stamp);
		(void)pthread_mutex_unlock(&layout->lock);
		if (is_fresh)
			return 0;
	}
	rc = read_index(layout, layout->base.is_single_repository, &idx, &stamp, err);
	if (rc)
		return rc;
	(void)pthread_mutex_lock(&layout->lock);
	old = layout->idx;
	layout->idx = idx;
	layout->stamp = stamp;
	(void)pthread_mutex_unlock(&layout->lock);
	layout_index_free(old);
	return 0;
}

/* Refreshes, and takes the lock. */
static int begin(struct layout_source *layout, struct cancel *cancel, struct error *err)
{
	int rc =
		cancel_is_set(cancel) ? error_set(err, EINTR, "interrupted") : refresh(layout, err);

	if (!rc)
		(void)pthread_mutex_lock(&layout->lock);
	return rc;
}

static void end(struct layout_source *layout)
{
	(void)pthread_mutex_unlock(&layout->lock);
}

static int no_repository(struct layout_source *layout, const char *repository, struct error *err)
{
	return error_set(err, ENOENT, "layout '%s': no repository '%s'", layout->path, repository);
}

/* --- source_ops --- */

static void give_list(struct name_list *list, struct name_list *ret, int rc)
{
	if (rc) {
		name_list_release(list);
		return;
	}
	name_list_sort(list);
	*ret = *list;
}

static int repositories(
	struct source *source, struct name_list *ret, struct cancel *cancel, struct error *err)
{
	struct layout_source *layout = layout_source(source);
	struct name_list list = { NULL, 0 };
	int rc = begin(layout, cancel, err);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < layout->idx->count; i++)
		rc = name_list_add(&list, layout->idx->entries[i].repository, err);
	end(layout);
	give_list(&list, ret, rc);
	return rc;
}

enum which { TAGGED, UNTAGGED };

static int list_entries(struct source *source, const char *repository, enum which which,
	struct name_list *ret, struct cancel *cancel, struct error *err)
{
	struct layout_source *layout = layout_source(source);
	struct name_list list = { NULL, 0 };
	/* The nameless repository is there even when it is empty. */
	bool is_known = !*repository && source->is_single_repository;
	char text[DIGEST_TEXT_MAX];
	int rc = begin(layout, cancel, err);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < layout->idx->count; i++) {
		const struct layout_entry *entry = &layout->idx->entries[i];

		if (strcmp(entry->repository, repository) != 0)
			continue;
		is_known = true;
		if (which == TAGGED && entry->tag)
			rc = name_list_add(&list, entry->tag, err);
		else if (which == UNTAGGED && (!entry->tag || entry->is_lost))
			rc = name_list_add(
				&list, digest_format(&entry->descriptor.digest, text), err);
	}
	end(layout);
	if (!rc && !is_known)
		rc = no_repository(layout, repository, err);
	give_list(&list, ret, rc);
	return rc;
}

static int tags(struct source *source, const char *repository, struct name_list *ret,
	struct cancel *cancel, struct error *err)
{
	return list_entries(source, repository, TAGGED, ret, cancel, err);
}

static int untagged(struct source *source, const char *repository, struct name_list *ret,
	struct cancel *cancel, struct error *err)
{
	return list_entries(source, repository, UNTAGGED, ret, cancel, err);
}

static int resolve(struct source *source, const char *repository, const char *tag,
	struct descriptor *ret, struct cancel *cancel, struct error *err)
{
	struct layout_source *layout = layout_source(source);
	int rc = begin(layout, cancel, err);

	if (rc)
		return rc;
	rc = -ENOENT;
	for (size_t i = 0; rc == -ENOENT && i < layout->idx->count; i++) {
		const struct layout_entry *entry = &layout->idx->entries[i];

		if (entry->tag && !strcmp(entry->tag, tag) &&
			!strcmp(entry->repository, repository))
			rc = descriptor_copy(ret, &entry->descriptor, err);
	}
	end(layout);
	return rc == -ENOENT ? error_set(err, ENOENT, "layout '%s': nothing is called '%s%s%s'",
				       layout->path, repository, *repository ? ":" : "", tag)
			     : rc;
}

/* The type index.json gives, when the digest is one of its entries. */
static int listed_type(struct layout_source *layout, const struct digest *digest, char **ret,
	struct cancel *cancel, struct error *err)
{
	int rc = begin(layout, cancel, err);

	if (rc)
		return rc;
	*ret = NULL;
	for (size_t i = 0; i < layout->idx->count; i++) {
		const struct descriptor *descriptor = &layout->idx->entries[i].descriptor;

		if (!descriptor->media_type || !digest_equal(&descriptor->digest, digest))
			continue;
		*ret = strdup(descriptor->media_type);
		if (!*ret)
			rc = error_set(err, ENOMEM, "out of memory");
		break;
	}
	end(layout);
	return rc;
}

static int manifest(struct source *source, const char *repository, const struct digest *digest,
	struct buf *body, char **ret_type, struct cancel *cancel, struct error *err)
{
	struct layout_source *layout = layout_source(source);
	CLEANUP(freep) char *type = NULL;
	char text[DIGEST_TEXT_MAX];
	struct stat st;
	CLEANUP(closep) int fd = open_blob_file(layout, digest, &st, err);
	int rc;

	(void)repository; /* blobs are common to all */
	if (fd < 0)
		return fd;
	rc = read_all(fd, &st, body, digest_format(digest, text), cancel, err);
	if (!rc && ret_type)
		rc = listed_type(layout, digest, &type, cancel, err);
	if (rc)
		return error_prefix(err, rc, "layout '%s'", layout->path);
	if (ret_type)
		*ret_type = TAKE(type);
	return 0;
}

struct file_stream {
	struct blob_stream base;
	int fd;
	off_t offset;
	struct cancel *cancel;
};

static ssize_t stream_read(struct blob_stream *base, void *bytes, size_t len, struct error *err)
{
	struct file_stream *stream = container_of(base, struct file_stream, base);
	ssize_t n;

	do {
		if (cancel_is_set(stream->cancel))
			return error_set(err, EINTR, "interrupted");
		n = pread(stream->fd, bytes, len, stream->offset);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_set(err, EIO, "read: %m");
	stream->offset += n;
	return n;
}

static void stream_free(struct blob_stream *base)
{
	struct file_stream *stream = container_of(base, struct file_stream, base);

	closep(&stream->fd);
	free(stream);
}

static const struct blob_stream_ops stream_ops = { stream_read, stream_free };

static int open_blob(struct source *source, const char *repository, const struct descriptor *blob,
	uint64_t offset, struct blob_stream **ret, uint64_t *ret_offset, struct cancel *cancel,
	struct error *err)
{
	struct stat st;
	CLEANUP(closep) int fd = open_blob_file(layout_source(source), &blob->digest, &st, err);
	struct file_stream *stream;

	(void)repository;
	if (fd < 0)
		return fd;
	stream = calloc(1, sizeof *stream);
	if (!stream)
		return error_set(err, ENOMEM, "out of memory");
	*stream = (struct file_stream){ { &stream_ops }, TAKE_FD(fd), (off_t)offset, cancel };
	*ret = &stream->base;
	*ret_offset = offset;
	return 0;
}

static int open_reader(
	struct source *source, const struct digest *digest, struct reader **ret, struct error *err)
{
	struct stat st;
	int fd = open_blob_file(layout_source(source), digest, &st, err);

	return fd < 0 ? fd : reader_of_fd(ret, fd, err);
}

static const char *identity(struct source *source)
{
	(void)source;
	return "";
}

static int probe(
	struct source *source, const char *repository, struct cancel *cancel, struct error *err)
{
	struct layout_source *layout = layout_source(source);
	int rc = begin(layout, cancel, err);
	bool is_known = !repository || (!*repository && source->is_single_repository);

	if (rc)
		return rc;
	for (size_t i = 0; !is_known && i < layout->idx->count; i++)
		is_known = !strcmp(layout->idx->entries[i].repository, repository);
	end(layout);
	return is_known ? 0 : no_repository(layout, repository, err);
}

static void layout_free(struct source *source)
{
	struct layout_source *layout = layout_source(source);

	layout_index_free(layout->idx);
	closep(&layout->dir);
	(void)pthread_mutex_destroy(&layout->lock);
	free(layout->path);
	free(layout);
}

static const struct source_ops layout_ops = {
	.repositories = repositories,
	.tags = tags,
	.untagged = untagged,
	.resolve = resolve,
	.manifest = manifest,
	.open_blob = open_blob,
	.open_reader = open_reader,
	.identity = identity,
	.probe = probe,
	.free = layout_free,
};

CLEANUP_POINTER(sourcep, struct source, source_free)

int layout_open(struct source **ret, const char *path, struct observer *observer, struct error *err)
{
	struct layout_source *layout = calloc(1, sizeof *layout);
	CLEANUP(sourcep) struct source *source = NULL;
	int rc;

	if (!layout)
		return error_set(err, ENOMEM, "layout '%s': out of memory", path);
	layout->base = (struct source){ SOURCE_LAYOUT, &layout_ops, .is_local = true };
	source = &layout->base;
	(void)pthread_mutex_init(&layout->lock, NULL); /* cannot fail with default attributes */
	layout->observer = observer;
	layout->path = strdup(path);
	layout->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!layout->path)
		return error_set(err, ENOMEM, "layout '%s': out of memory", path);
	if (layout->dir < 0)
		return error_set(err, errno, "layout '%s': %m", path);
	rc = check_version(layout, err);
	if (rc)
		return error_prefix(err, rc, "layout '%s'", path);
	rc = read_index(layout, false, &layout->idx, &layout->stamp, err);
	if (rc)
		return rc;
	source->is_single_repository = !layout->idx->has_full_names;
	*ret = TAKE(source);
	return 0;
}

bool layout_is(const char *path)
{
	CLEANUP(closep) int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	return dir >= 0 && !fstatat(dir, "oci-layout", &st, AT_SYMLINK_NOFOLLOW) &&
	       S_ISREG(st.st_mode);
}
