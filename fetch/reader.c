/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

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

/* --- files --- */

struct file_reader {
	struct reader base;
	int fd;
};

static int file_read(
	struct reader *base, void *bytes, size_t len, uint64_t offset, struct error *err)
{
	struct file_reader *file = container_of(base, struct file_reader, base);
	char *to = bytes;

	while (len) {
		ssize_t n = pread(file->fd, to, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, EIO, "read at %" PRIu64 ": %m", offset);
		if (!n)
			return error_set(
				err, EIO, "the file became shorter: ends at %" PRIu64, offset);
		to += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int file_stat(struct reader *base, struct stat *ret, struct error *err)
{
	struct file_reader *file = container_of(base, struct file_reader, base);

	return fstat(file->fd, ret) ? error_set(err, EIO, "stat: %m") : 0;
}

static void file_free(struct reader *base)
{
	struct file_reader *file = container_of(base, struct file_reader, base);

	closep(&file->fd);
	free(file);
}

static const struct reader_ops file_ops = { file_read, file_stat, file_free };

int reader_of_fd(struct reader **ret, int fd, struct error *err)
{
	CLEANUP(closep) int own = fd;
	struct file_reader *file;
	struct stat st;

	if (fstat(own, &st))
		return error_set(err, EIO, "stat: %m");
	file = calloc(1, sizeof *file);
	if (!file)
		return error_set(err, ENOMEM, "out of memory");
	reader_init(&file->base, &file_ops, (uint64_t)st.st_size);
	file->fd = TAKE_FD(own);
	*ret = &file->base;
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
