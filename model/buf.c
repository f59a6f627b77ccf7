/* SPDX-License-Identifier: Apache-2.0 */
#include "model/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *buf, size_t max)
{
	*buf = (struct buf){ .max = max };
}

void buf_init_secret(struct buf *buf, size_t max)
{
	*buf = (struct buf){ .max = max, .is_secret = true };
}

static void start_anew(struct buf *buf)
{
	*buf = (struct buf){ .max = buf->max, .is_secret = buf->is_secret };
}

static void wipe(struct buf *buf)
{
	if (buf->is_secret && buf->data)
		explicit_bzero(buf->data, buf->capacity);
}

void buf_release(struct buf *buf)
{
	wipe(buf);
	free(buf->data);
	start_anew(buf);
}

void buf_clear(struct buf *buf)
{
	wipe(buf);
	buf->len = 0;
	buf->status = 0;
	if (buf->data)
		*buf->data = '\0';
}

int buf_status(const struct buf *buf)
{
	return buf->status;
}

/* What realloc() does, without leaving the bytes where they were. */
static char *move(struct buf *buf, size_t capacity)
{
	char *data = malloc(capacity);

	if (!data || !buf->data)
		return data;
	memcpy(data, buf->data, buf->len + 1);
	wipe(buf);
	free(buf->data);
	return data;
}

/* Makes room for len more bytes and a NUL. */
static int reserve(struct buf *buf, size_t len)
{
	size_t want, capacity = buf->capacity ? buf->capacity : 64;
	char *data;

	if (buf->status)
		return buf->status;
	if (len > buf->max || buf->len > buf->max - len || buf->len + len == SIZE_MAX)
		return buf->status = -EFBIG;
	want = buf->len + len + 1;
	if (want <= buf->capacity)
		return 0;
	while (capacity < want)
		capacity = capacity > SIZE_MAX / 2 ? want : capacity * 2;
	data = buf->is_secret ? move(buf, capacity) : realloc(buf->data, capacity);
	if (!data)
		return buf->status = -ENOMEM;
	buf->data = data;
	buf->capacity = capacity;
	return 0;
}

int buf_append(struct buf *buf, const void *bytes, size_t len)
{
	int rc = reserve(buf, len);

	if (rc)
		return rc;
	if (len)
		memcpy(buf->data + buf->len, bytes, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
	return 0;
}

int buf_append_text(struct buf *buf, const char *text)
{
	return buf_append(buf, text, strlen(text));
}

int buf_printf(struct buf *buf, const char *fmt, ...)
{
	va_list ap;
	int len, rc;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0)
		return buf->status = -EINVAL;
	rc = reserve(buf, (size_t)len);
	if (rc)
		return rc;
	va_start(ap, fmt);
	(void)vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, ap);
	va_end(ap);
	buf->len += (size_t)len;
	return 0;
}

char *buf_take(struct buf *buf, size_t *ret_len)
{
	char *data;

	if (!buf->data && buf_append(buf, "", 0))
		return NULL;
	data = buf->data;
	if (ret_len)
		*ret_len = buf->len;
	start_anew(buf);
	return data;
}
