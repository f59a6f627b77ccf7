/* SPDX-License-Identifier: Apache-2.0 */
/* Life of a store, and small things its files share. */
#include "fetch/store/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fetch/urls/urls.h"
#include "model/cleanup.h"

CLEANUP_POINTER(storep, struct store, store_free)

int store_new(struct store **ret, struct source *source, struct cache *cache,
	const struct store_config *config, struct observer *observer, struct error *err)
{
	static const char names[] = "names";
	CLEANUP(storep) struct store *store = calloc(1, sizeof *store);
	int rc;

	if (!store) {
		source_free(source);
		return error_set(err, ENOMEM, "out of memory");
	}
	(void)pthread_mutex_init(&store->lock, NULL); /* cannot fail with default attributes */
	store->source = source;
	store->cache = cache;
	store->observer = observer;
	store->offline = config->offline && !source->is_local;
	store->fetch_limit = config->fetch_limit;
	store->host = strdup(config->host);
	uncached_init(store);
	if (!store->host)
		return error_set(err, ENOMEM, "out of memory");
	if (config->follow_urls && !config->offline) {
		rc = urls_new(&store->urls, config->http,
			*config->host && http_host_is_internal(config->host), observer, err);
		if (rc)
			return rc;
	}
	rc = digest_of(&store->names, DIGEST_SHA256, names, sizeof names - 1, err);
	if (rc)
		return rc;
	*ret = TAKE(store);
	return 0;
}

void store_free(struct store *store)
{
	if (!store)
		return;
	uncached_release(store);
	source_free(store->source);
	urls_free(store->urls);
	(void)pthread_mutex_destroy(&store->lock);
	free(store->host);
	free(store);
}

struct source *store_source(struct store *store)
{
	return store->source;
}

void store_distrust(struct store *store, const struct digest *digest)
{
	if (store->source->ops->distrust)
		store->source->ops->distrust(store->source, digest);
}

void files_close(struct files *files)
{
	reader_unref(files->blob);
	closep(&files->index_fd);
	closep(&files->spool_fd);
	*files = FILES_NONE;
}

bool files_has(const struct files *files, enum cache_kind kind)
{
	switch (kind) {
	case CACHE_BLOB:
		return files->blob != NULL;
	case CACHE_INDEX:
		return files->index_fd >= 0;
	case CACHE_SPOOL:
		return files->spool_fd >= 0;
	}
	return false;
}

int files_put(struct files *files, enum cache_kind kind, int fd, struct error *err)
{
	int *at = kind == CACHE_INDEX ? &files->index_fd : &files->spool_fd;

	if (kind == CACHE_BLOB) {
		reader_unref(TAKE(files->blob));
		files->is_local = false;
		return reader_of_copy(&files->blob, fd, err);
	}
	closep(at);
	*at = fd;
	return 0;
}

void stream_free(struct blob_stream *stream)
{
	stream->ops->free(stream);
}

int check_cancel(struct cancel *cancel, struct error *err)
{
	return cancel_is_set(cancel) ? error_set(err, EINTR, "interrupted") : 0;
}

int wrong_size(struct store *store, struct error *err, const char *fmt, ...)
{
	char text[sizeof err->text];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	observer_count(store->observer, verify_failures_size, 1);
	return error_set(err, EBADMSG, "%s", text);
}

void tell_mismatch(struct store *store, const struct error *why)
{
	observer_count(store->observer, verify_failures, 1);
	observer_log(store->observer, LOG_LEVEL_WARNING, "%s", why->text);
}
