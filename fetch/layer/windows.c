/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The windows of a pass: what a deflate decoder has to know to start in the middle, compressed.
 *
 * zstd's lowest level: higher ones cost more time than they save space.
 */
#include "fetch/layer/internal.h"

struct windows {
	ZSTD_CCtx *compressor;
	uint8_t scratch[ZSTD_COMPRESSBOUND(SPAN_WINDOW)];
	struct window *table;
	uint32_t count, capacity;
	struct buf bytes;
};

struct windows *windows_new(void)
{
	struct windows *windows = calloc(1, sizeof *windows);

	if (!windows)
		return NULL;
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
	buf_release(&windows->bytes);
	free(windows->table);
	(void)ZSTD_freeCCtx(windows->compressor);
	free(windows);
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
		.offset = windows->bytes.len,
		.len = (uint32_t)len,
		.plain_len = (uint32_t)plain_len,
	};
	if (buf_append(&windows->bytes, windows->scratch, len))
		return error_set(err, ENOMEM, "index a layer: out of memory");
	return 0;
}

void windows_describe(const struct windows *windows, struct index_parts *parts)
{
	parts->window_table = windows->table;
	parts->window_count = windows->count;
	parts->windows = windows->bytes.data;
	parts->windows_len = windows->bytes.len;
}
