/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entry, as written:
 *
 *	| header x | records, padded |	only when the next header cannot hold it all
 *	| header   |
 */
#include "model/tar/write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/tar/internal.h"

#define USTAR_SIZE_MAX UINT64_C(077777777777)

static const char zeroes[2 * TAR_BLOCK];

/* Digits up to the last byte of the field, which is a NUL.  No octal number of 64 bits is longer
 * than text. */
static void put_octal(char *field, size_t len, uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof text, "%0*" PRIo64, (int)len - 1, value);
	memcpy(field, text, len);
}

static void put_checksum(struct header *header)
{
	const unsigned char *bytes = (const unsigned char *)header;
	uint64_t sum = 0;

	memset(header->checksum, ' ', sizeof header->checksum);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += bytes[i];
	put_octal(header->checksum, sizeof header->checksum - 1, sum);
}

/* Cuts the name and leaves out the size where they do not fit. */
static int write_header(struct buf *ret, char type, const char *path, unsigned mode, uint64_t size)
{
	size_t len = strlen(path);
	struct header header;

	memset(&header, 0, sizeof header);
	memcpy(header.name, path, len < sizeof header.name ? len : sizeof header.name);
	put_octal(header.mode, sizeof header.mode, mode);
	put_octal(header.uid, sizeof header.uid, 0);
	put_octal(header.gid, sizeof header.gid, 0);
	put_octal(header.size, sizeof header.size, size > USTAR_SIZE_MAX ? 0 : size);
	put_octal(header.mtime, sizeof header.mtime, 0);
	header.type = type;
	memcpy(header.magic, "ustar\0" /* and the version */ "00", sizeof header.magic);
	put_octal(header.dev_major, sizeof header.dev_major, 0);
	put_octal(header.dev_minor, sizeof header.dev_minor, 0);
	put_checksum(&header);
	return buf_append(ret, &header, sizeof header);
}

static size_t digits(size_t number)
{
	size_t count = 1;

	for (; number >= 10; number /= 10)
		count++;
	return count;
}

/* "LENGTH KEY=VALUE\n", where the length counts itself, too. */
static void put_record(struct buf *ret, const char *key, const char *value)
{
	size_t rest = strlen(" =\n") + strlen(key) + strlen(value);
	size_t len = rest + digits(rest);

	if (len != rest + digits(len)) /* its own digits made it one longer */
		len++;
	(void)buf_printf(ret, "%zu %s=%s\n", len, key, value);
}

static void write_records(struct buf *ret, const char *path, const struct buf *records)
{
	const char *slash = strrchr(path, '/');
	char name[sizeof((struct header *)NULL)->name + 1];

	(void)snprintf(name, sizeof name, "PaxHeaders/%s", slash && slash[1] ? slash + 1 : path);
	(void)write_header(ret, 'x', name, 0644, records->len);
	(void)buf_append(ret, records->data, records->len);
	(void)tar_write_padding(ret, records->len);
}

static int write_entry(struct buf *ret, char type, const char *path, unsigned mode, uint64_t size)
{
	char number[24];
	struct buf records;

	buf_init(&records, ret->max);
	if (strlen(path) > sizeof((struct header *)NULL)->name)
		put_record(&records, "path", path);
	if (size > USTAR_SIZE_MAX) {
		(void)snprintf(number, sizeof number, "%" PRIu64, size);
		put_record(&records, "size", number);
	}
	if (records.len)
		write_records(ret, path, &records);
	if (buf_status(&records))
		ret->status = buf_status(&records);
	buf_release(&records);
	return write_header(ret, type, path, mode, size);
}

int tar_write_directory(struct buf *ret, const char *path)
{
	return write_entry(ret, '5', path, 0755, 0);
}

int tar_write_file(struct buf *ret, const char *path, uint64_t size)
{
	return write_entry(ret, '0', path, 0644, size);
}

int tar_write_padding(struct buf *ret, uint64_t size)
{
	size_t part = (size_t)(size % TAR_BLOCK);

	return part ? buf_append(ret, zeroes, TAR_BLOCK - part) : buf_status(ret);
}

int tar_write_end(struct buf *ret)
{
	return buf_append(ret, zeroes, 2 * TAR_BLOCK);
}
