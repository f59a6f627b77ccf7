/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch/at.h"
#include "fetch/cancel.h"
#include "fetch/clock.h"
#include "fetch/source.h"
#include "model/buf.h"

enum {
	APPEND_PIECE = 16 << 10,
	HASH_PIECE = 128 << 10, /* bytes between two looks at the cancel */
};

void reader_init(struct reader *reader, const struct reader_ops *ops, uint64_t size)
{
	*reader = (struct reader){ .ops = ops, .size = size };
	atomic_init(&reader->users, 1);
}

struct reader *reader_ref(struct reader *reader)
{
	(void)atomic_fetch_add_explicit(&reader->users, 1, memory_order_relaxed);
	return reader;
}

void reader_unref(struct reader *reader)
{
	if (reader && atomic_fetch_sub_explicit(&reader->users, 1, memory_order_acq_rel) == 1)
		reader->ops->free(reader);
}

ssize_t reader_read(
	struct reader *reader, void *bytes, size_t len, uint64_t offset, struct error *err)
{
	int rc;

	if (offset >= reader->size)
		return 0;
	if (len > reader->size - offset)
		len = (size_t)(reader->size - offset);
	rc = reader->ops->read(reader, bytes, len, offset, err);
	return rc ? rc : (ssize_t)len;
}

int reader_stat(struct reader *reader, struct stat *ret, struct error *err)
{
	return reader->ops->stat(reader, ret, err);
}

bool stat_is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       times_equal(&a->st_mtim, &b->st_mtim) && times_equal(&a->st_ctim, &b->st_ctim);
}

int reader_append_to(struct reader *reader, struct buf *ret, struct error *err)
{
	char piece[APPEND_PIECE];
	uint64_t offset = 0;
	ssize_t n;
	int rc;

	if (ret->len > ret->max || reader->size > ret->max - ret->len)
		return error_set(err, EFBIG, "%" PRIu64 " bytes, more than %zu", reader->size,
			ret->max - ret->len);
	while ((n = reader_read(reader, piece, sizeof piece, offset, err)) > 0) {
		offset += (uint64_t)n;
		rc = buf_append(ret, piece, (size_t)n);
		if (rc)
			return error_set(err, -rc, "%s", strerror(-rc));
	}
	return (int)n;
}

CLEANUP_POINTER(hasherp, struct hasher, hasher_free)

int reader_digest(struct reader *reader, enum digest_algorithm algorithm, struct digest *ret,
	struct cancel *cancel, struct error *err)
{
	CLEANUP(freep) char *piece = malloc(HASH_PIECE);
	CLEANUP(hasherp) struct hasher *hasher = NULL;
	uint64_t offset = 0;
	ssize_t n = 0;
	int rc;

	if (!piece)
		return error_set(err, ENOMEM, "out of memory");
	rc = hasher_new(&hasher, algorithm, err);
	while (!rc) {
		if (cancel_is_set(cancel))
			return error_set(err, EINTR, "interrupted");
		n = reader_read(reader, piece, HASH_PIECE, offset, err);
		if (n <= 0)
			break;
		offset += (uint64_t)n;
		rc = hasher_update(hasher, piece, (size_t)n, err);
	}
	if (rc || n < 0)
		return rc ? rc : (int)n;
	return hasher_final(hasher, ret, err);
}

/* --- files --- */

struct file_reader {
	struct reader base;
	int fd;
	int unreadable; /* what a failing disk is called: EIO, or EBADMSG */
};

static int file_read(
	struct reader *base, void *bytes, size_t len, uint64_t offset, struct error *err)
{
	struct file_reader *file = container_of(base, struct file_reader, base);
	ssize_t n = read_at(file->fd, bytes, len, offset);

	if (n < 0)
		return error_set(err, file->unreadable, "read at %" PRIu64 ": %s", offset,
			strerror((int)-n));
	if ((size_t)n < len)
		return error_set(err, EBADMSG, "the file became shorter: ends at %" PRIu64,
			offset + (uint64_t)n);
	return 0;
}

static int file_stat(struct reader *base, struct stat *ret, struct error *err)
{
	struct file_reader *file = container_of(base, struct file_reader, base);

	return fstat(file->fd, ret) ? error_set(err, file->unreadable, "stat: %m") : 0;
}

static void file_free(struct reader *base)
{
	struct file_reader *file = container_of(base, struct file_reader, base);

	closep(&file->fd);
	free(file);
}

static const struct reader_ops file_ops = { file_read, file_stat, file_free };

static int file_open(struct reader **ret, int fd, int unreadable, struct error *err)
{
	CLEANUP(closep) int own = fd;
	struct file_reader *file;
	struct stat st;

	if (fstat(own, &st))
		return error_set(err, unreadable, "stat: %m");
	file = calloc(1, sizeof *file);
	if (!file)
		return error_set(err, ENOMEM, "out of memory");
	reader_init(&file->base, &file_ops, (uint64_t)st.st_size);
	file->fd = TAKE_FD(own);
	file->unreadable = unreadable;
	*ret = &file->base;
	return 0;
}

int reader_of_fd(struct reader **ret, int fd, struct error *err)
{
	return file_open(ret, fd, EIO, err);
}

int reader_of_copy(struct reader **ret, int fd, struct error *err)
{
	return file_open(ret, fd, EBADMSG, err);
}

/* --- bytes in memory --- */

struct bytes_reader {
	struct reader base;
	char *bytes;
	size_t len;
	uint64_t offset;
};

static int bytes_read(
	struct reader *base, void *bytes, size_t len, uint64_t offset, struct error *err)
{
	struct bytes_reader *memory = container_of(base, struct bytes_reader, base);
	uint64_t skip = offset - memory->offset;

	if (offset < memory->offset || skip > memory->len || len > memory->len - skip)
		return error_set(
			err, EIO, "%zu bytes at %" PRIu64 " are not in memory", len, offset);
	memcpy(bytes, memory->bytes + skip, len);
	return 0;
}

static int bytes_stat(struct reader *base, struct stat *ret, struct error *err)
{
	(void)base;
	(void)err;
	*ret = (struct stat){ 0 }; /* no file: nobody touches it */
	return 0;
}

static void bytes_free(struct reader *base)
{
	struct bytes_reader *memory = container_of(base, struct bytes_reader, base);

	free(memory->bytes);
	free(memory);
}

static const struct reader_ops bytes_ops = { bytes_read, bytes_stat, bytes_free };

int reader_of_bytes(struct reader **ret, char *bytes, size_t len, uint64_t offset, uint64_t size,
	struct error *err)
{
	CLEANUP(freep) char *own = bytes;
	struct bytes_reader *memory = calloc(1, sizeof *memory);

	if (!memory)
		return error_set(err, ENOMEM, "out of memory");
	reader_init(&memory->base, &bytes_ops, size);
	memory->bytes = TAKE(own);
	memory->len = len;
	memory->offset = offset;
	*ret = &memory->base;
	return 0;
}

/* --- sections --- */

struct section {
	struct reader base;
	struct reader *whole;
	uint64_t offset;
};

static int section_read(
	struct reader *base, void *bytes, size_t len, uint64_t offset, struct error *err)
{
	struct section *section = container_of(base, struct section, base);

	return section->whole->ops->read(section->whole, bytes, len, section->offset + offset, err);
}

static int section_stat(struct reader *base, struct stat *ret, struct error *err)
{
	return reader_stat(container_of(base, struct section, base)->whole, ret, err);
}

static void section_free(struct reader *base)
{
	struct section *section = container_of(base, struct section, base);

	reader_unref(section->whole);
	free(section);
}

static const struct reader_ops section_ops = { section_read, section_stat, section_free };

int reader_section(
	struct reader **ret, struct reader *whole, uint64_t offset, uint64_t len, struct error *err)
{
	struct section *section;

	if (offset > whole->size || len > whole->size - offset)
		return error_set(err, EIO, "%" PRIu64 " bytes at %" PRIu64 " of a file of %" PRIu64,
			len, offset, whole->size);
	section = calloc(1, sizeof *section);
	if (!section)
		return error_set(err, ENOMEM, "out of memory");
	reader_init(&section->base, &section_ops, len);
	section->whole = reader_ref(whole);
	section->offset = offset;
	*ret = &section->base;
	return 0;
}

/* --- streams --- */

struct stream {
	struct blob_stream base;
	struct reader *reader;
	uint64_t offset;
	struct cancel *cancel;
};

static ssize_t stream_read(struct blob_stream *base, void *bytes, size_t len, struct error *err)
{
	struct stream *stream = container_of(base, struct stream, base);
	ssize_t n;

	if (cancel_is_set(stream->cancel))
		return error_set(err, EINTR, "interrupted");
	n = reader_read(stream->reader, bytes, len, stream->offset, err);
	if (n > 0)
		stream->offset += (uint64_t)n;
	return n;
}

static void stream_free(struct blob_stream *base)
{
	struct stream *stream = container_of(base, struct stream, base);

	reader_unref(stream->reader);
	free(stream);
}

static const struct blob_stream_ops stream_ops = { stream_read, stream_free };

int reader_stream(struct blob_stream **ret, struct reader *reader, uint64_t offset,
	struct cancel *cancel, struct error *err)
{
	struct stream *stream = malloc(sizeof *stream);

	if (!stream)
		return error_set(err, ENOMEM, "out of memory");
	*stream = (struct stream){ { &stream_ops }, reader_ref(reader), offset, cancel };
	*ret = &stream->base;
	return 0;
}
