/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The windows of a pass: what a deflate decoder has to know to start in the middle, compressed.
 *
 * zstd's lowest level: higher ones cost more time than they save space.
 *
 * The index has them behind all else, whose length is known at the end.  Until then they wait in
 * memory, and whenever HELD_MAX bytes of them do, in a file without a name: of a long layer that
 * does not compress they are a gigabyte.  Where no such file is to be had, they stay in memory.
 */
#include "fetch/layer/internal.h"

#include <string.h>

#include "fetch/at.h"
#include "fetch/temporary.h"

enum {
	HELD_MAX = 1 << 20, /* bytes in memory: of 100 MiB of a layer or so */
	COPY_PIECE = 64 << 10,
};

struct windows {
	ZSTD_CCtx *compressor;
	uint8_t scratch[ZSTD_COMPRESSBOUND(SPAN_WINDOW)];
	struct window *table;
	uint32_t count, capacity;
	uint32_t crc;
	int fd;           /* where the first of them are, or -1 */
	unsigned place;   /* of that file */
	uint64_t written; /* bytes there */
	bool is_kept;     /* no file has room for more */
	struct buf bytes; /* those behind */
};

struct windows *windows_new(void)
{
	struct windows *windows = calloc(1, sizeof *windows);

	if (!windows)
		return NULL;
	windows->fd = -1;
	buf_init(&windows->bytes, (size_t)WINDOWS_MAX * sizeof windows->scratch);
	windows->compressor = ZSTD_createCCtx();
	if (windows->compressor)
		return windows;
	windows_free(windows);
	return NULL;
}

void windows_free(struct windows *windows)
{
	if (!windows)
		return;
	closep(&windows->fd);
	buf_release(&windows->bytes);
	free(windows->table);
	(void)ZSTD_freeCCtx(windows->compressor);
	free(windows);
}

static void write_away(struct windows *windows)
{
	if (windows->fd < 0)
		windows->fd = temporary_open(&windows->place, NULL);
	windows->is_kept =
		windows->fd < 0 || temporary_write(windows->fd, windows->place, windows->bytes.data,
					   windows->bytes.len, windows->written, NULL);
	if (windows->is_kept)
		return;
	windows->written += windows->bytes.len;
	buf_clear(&windows->bytes);
}

int windows_add(struct windows *windows, const void *plain, size_t plain_len, struct error *err)
{
	struct window *table =
		table_grow(windows->table, sizeof *table, windows->count, &windows->capacity);
	size_t len;

	if (!table)
		return error_set(err, ENOMEM, "index a layer: out of memory");
	windows->table = table;
	len = ZSTD_compressCCtx(windows->compressor, windows->scratch, sizeof windows->scratch,
		plain, plain_len, COMPRESSION_LEVEL);
	if (ZSTD_isError(len))
		return zstd_error(len, err);
	table[windows->count++] = (struct window){
		.offset = windows->written + windows->bytes.len,
		.len = (uint32_t)len,
		.plain_len = (uint32_t)plain_len,
	};
	windows->crc = inflate_engine()->crc32(windows->crc, windows->scratch, len);
	if (buf_append(&windows->bytes, windows->scratch, len))
		return error_set(err, ENOMEM, "index a layer: out of memory");
	if (windows->bytes.len >= HELD_MAX && !windows->is_kept)
		write_away(windows);
	return 0;
}

void windows_describe(const struct windows *windows, struct index_parts *parts)
{
	parts->window_table = windows->table;
	parts->window_count = windows->count;
	parts->windows = windows;
	parts->windows_len = windows->written + windows->bytes.len;
	parts->windows_crc = windows->crc;
}

int windows_write(const struct windows *windows, int fd, uint64_t offset, struct error *err)
{
	uint8_t piece[COPY_PIECE];
	int rc = 0;

	for (uint64_t at = 0; !rc && at < windows->written;) {
		uint64_t left = windows->written - at;
		size_t len = left < sizeof piece ? (size_t)left : sizeof piece;
		ssize_t n = read_at(windows->fd, piece, len, at);

		if (n <= 0) {
			rc = n ? (int)-n : EIO;
			return error_set(err, rc, "read back: %s", strerror(rc));
		}
		rc = index_write_at(fd, piece, (size_t)n, offset + at, err);
		at += (uint64_t)n;
	}
	if (!rc)
		rc = index_write_at(fd, windows->bytes.data, windows->bytes.len,
			offset + windows->written, err);
	return rc;
}
