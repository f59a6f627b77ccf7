/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request -- what the protocols of a registry have in common: one host with its
 * scheme, certificates and credentials; requests to it; what its answers mean; and
 * bodies that outlive the credentials they were asked for with.
 *
 * Thread-safe but for setting up and tearing down.
 */
#ifndef FETCH_REGISTRY_REQUEST_H
#define FETCH_REGISTRY_REQUEST_H

#include <pthread.h>

#include "fetch/auth/auth.h"
#include "fetch/registry/registry.h"

struct registry {
	struct source base;

	/* Never changed. */
	char *name; /* as in SOURCE */
	char *host; /* who answers for it, with port */
	char *identity;
	struct http *http;
	struct auth *auth;
	struct observer *observer;
	bool may_try_http;

	pthread_mutex_t lock;
	/* Under lock. */
	const char *scheme;   /* NULL until an answer has proved it */
	enum http_zone zone;  /* where it was found */
	uint64_t whole_until; /* now_ms(); so long nobody asks for parts: it gave the whole */
};

/* Fills all but base; host is who answers.  After a failure: tear down, too. */
int registry_set_up(struct registry *registry, const struct registry_config *config,
	const char *host, struct observer *observer, struct error *err);
void registry_tear_down(struct registry *registry);

/* May it become part of a URL, and of a path below certs.d? */
bool registry_host_is_valid(const char *host);

/* One request of the API. */
struct call {
	enum http_method method;
	const char *repository; /* or NULL */
	const char *path;       /* "/v2/..." */
	const char *accept;     /* or NULL */
	const char *subject;    /* for messages: "tag 'v1'" */
	bool is_catalog;
	uint64_t range_offset, range_len;
	bool may_resume, no_redirects, no_retries;

	/* What V1 needs. */
	const char *header;        /* one more, or NULL */
	const char *host;          /* another host, by the same scheme; or NULL */
	const char *authorization; /* header line in place of the credentials, "": none; or NULL */
	bool no_secrets_on_redirects;
};

/* Sends, answers challenges, and hands out whatever status comes then.  The body is
 * read into body, or, when that is NULL, left to be read. */
int registry_call(struct registry *registry, const struct call *call, struct buf *body,
	struct http_transfer **ret, struct cancel *cancel, struct error *err);
/* The errno and the text for a status other than what was hoped for.  body may be
 * NULL: then what is left to read is. */
int registry_refused(struct registry *registry, const struct call *call,
	struct http_transfer *transfer, const struct buf *body, struct error *err);
/* The same for an answer whose status is right, and which is something else than was wanted ("a
 * manifest"): a page of whoever stands in between, most likely.  Says what came, from where if a
 * redirect led there, and why that is not it.  -EIO, as of all that is malformed. */
int registry_mistaken(struct registry *registry, const struct call *call,
	struct http_transfer *transfer, const struct buf *body, const char *wanted,
	const struct error *why, struct error *err);
/* Reads what is left, if it is little, so that the connection can be used again. */
void registry_drain(struct http_transfer *transfer);
/* The absolute URL of a path; the caller's.  NULL: out of memory. */
char *registry_url(struct registry *registry, const char *path);

/* A body that is opened anew, once, when its credentials have run out on the way.  It is the
 * first member of what malloc() gave, so that freeing the stream frees that. */
struct registry_stream {
	struct blob_stream base;
	/* Asks for the body from position on; any answer but 200 and 206 is a failure. */
	int (*open)(struct registry_stream *stream, uint64_t position, struct http_transfer **ret,
		struct error *err);
	struct http_transfer *transfer;
	uint64_t position;    /* offset of the next byte to read */
	uint64_t reopened_at; /* the position at which it was opened last */
};

/* Opens at offset, or at 0, which *ret_offset then says. */
int registry_stream_start(
	struct registry_stream *stream, uint64_t offset, uint64_t *ret_offset, struct error *err);

#endif
