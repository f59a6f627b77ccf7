/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/urls/urls.h"

#include <errno.h>
#include <stdlib.h>

#include "model/cleanup.h"

struct urls {
	struct http *http;
};

struct url_stream {
	struct blob_stream base;
	struct http_transfer *transfer;
};

int urls_new(struct urls **ret, const struct http_config *http, bool may_go_inside,
	struct observer *observer, struct error *err)
{
	const struct http_config config = { .proxy = http->proxy,
		.user_agent = http->user_agent,
		.verify_tls = true,
		.stays_outside = !may_go_inside,
		.connect_timeout_ms = http->connect_timeout_ms,
		.stall_timeout_ms = http->stall_timeout_ms,
		.retries = http->retries,
		.max_connections = http->max_connections };
	CLEANUP(freep) struct urls *urls = calloc(1, sizeof *urls);
	int rc;

	if (!urls)
		return error_set(err, ENOMEM, "out of memory");
	rc = http_new(&urls->http, &config, observer, err);
	if (rc)
		return rc;
	*ret = TAKE(urls);
	return 0;
}

void urls_free(struct urls *urls)
{
	if (!urls)
		return;
	http_free(urls->http);
	free(urls);
}

static ssize_t stream_read(struct blob_stream *base, void *bytes, size_t len, struct error *err)
{
	return http_read(container_of(base, struct url_stream, base)->transfer, bytes, len, err);
}

static void stream_free(struct blob_stream *base)
{
	struct url_stream *stream = container_of(base, struct url_stream, base);

	http_close(stream->transfer);
	free(stream);
}

static const struct blob_stream_ops stream_ops = { stream_read, stream_free };

static int refused(long status, uint64_t offset, struct error *err)
{
	int code = EIO;

	if (status == 404 || status == 410)
		code = ENOENT;
	else if (status == 401 || status == 403)
		code = EACCES;
	else if (status == 416 && offset)
		code = ERANGE;
	return error_set(err, code, "status %ld", status);
}

static int open_url(struct urls *urls, const char *url, uint64_t offset, struct http_transfer **ret,
	struct cancel *cancel, struct error *err)
{
	const struct http_request request = {
		.url = url, .range_offset = offset, .may_resume = true
	};
	struct http_transfer *transfer;
	long status;
	int rc;

	if (!http_url_is_https(url))
		return error_set(err, EACCES, "not https");
	rc = http_open(&transfer, urls->http, &request, cancel, err);
	if (rc)
		return rc;
	status = http_response(transfer)->status;
	if (status == 200 || status == 206) {
		*ret = transfer;
		return 0;
	}
	http_close(transfer);
	return refused(status, offset, err);
}

int urls_open(struct urls *urls, char *const *list, uint64_t offset, struct blob_stream **ret,
	uint64_t *ret_offset, struct cancel *cancel, struct error *err)
{
	CLEANUP(freep) struct url_stream *stream = calloc(1, sizeof *stream);
	char text[256];
	int rc = -ENOENT;

	if (!stream)
		return error_set(err, ENOMEM, "out of memory");
	stream->base.ops = &stream_ops;
	for (size_t i = 0; rc && rc != -EINTR && list[i] && i < URLS_MAX; i++) {
		rc = open_url(urls, list[i], offset, &stream->transfer, cancel, err);
		if (rc)
			(void)error_prefix(
				err, rc, "'%s'", http_url_for_log(list[i], text, sizeof text));
	}
	if (rc)
		return rc;
	*ret_offset = http_response(stream->transfer)->range_start;
	*ret = &TAKE(stream)->base;
	return 0;
}
