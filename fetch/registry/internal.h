/* SPDX-License-Identifier: Apache-2.0 */
/* registry, inside. */
#ifndef FETCH_REGISTRY_INTERNAL_H
#define FETCH_REGISTRY_INTERNAL_H

#include <pthread.h>

#include "fetch/auth/auth.h"
#include "fetch/registry/registry.h"
#include "model/reference.h"

enum {
	REGISTRY_MANIFEST_MAX = 4 << 20, /* what registries themselves accept in a push */
	REGISTRY_PAGE_NAMES = 1000,      /* asked for at once; the most that distribution allows */
};

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
	const char *scheme; /* under lock; NULL until an answer has proved it */
};

struct registry *registry_of(struct source *source);

/* request.c */

/* One request of the API. */
struct call {
	enum http_method method;
	const char *repository; /* or NULL */
	const char *path;       /* "/v2/..." */
	const char *accept;     /* or NULL */
	const char *subject;    /* for messages: "tag 'v1'" */
	bool is_catalog;
	uint64_t range_offset, range_len;
	bool may_resume, no_redirects;
};

/* Sends, answers challenges, and hands out whatever status comes then.  The body is
 * read into body, or, when that is NULL, left to be read. */
int registry_call(struct registry *registry, const struct call *call, struct buf *body,
	struct http_transfer **ret, struct cancel *cancel, struct error *err);
/* The errno and the text for a status other than what was hoped for.  body may be
 * NULL: then what is left to read is. */
int registry_refused(struct registry *registry, const struct call *call,
	struct http_transfer *transfer, const struct buf *body, struct error *err);
/* Reads what is left, if it is little, so that the connection can be used again. */
void registry_drain(struct http_transfer *transfer);
/* The absolute URL of a path; the caller's.  NULL: out of memory. */
char *registry_url(struct registry *registry, const char *path);

/* lists.c */
int registry_repositories(
	struct source *source, struct name_list *ret, struct cancel *cancel, struct error *err);
int registry_tags(struct source *source, const char *repository, struct name_list *ret,
	struct cancel *cancel, struct error *err);

/* manifests.c */
int registry_resolve(struct source *source, const char *repository, const char *tag,
	struct descriptor *ret, struct cancel *cancel, struct error *err);
int registry_manifest(struct source *source, const char *repository, const struct digest *digest,
	struct buf *body, char **ret_type, struct cancel *cancel, struct error *err);

/* blobs.c */
int registry_open_blob(struct source *source, const char *repository, const struct descriptor *blob,
	uint64_t offset, struct blob_stream **ret, uint64_t *ret_offset, struct cancel *cancel,
	struct error *err);
int registry_prove(struct source *source, const char *repository, const struct digest *digest,
	struct cancel *cancel, struct error *err);

/* link.c: the target of the first link with relation "next" in a Link header
 * (RFC 8288), as written; the caller's.  0 and *ret NULL: there is none. */
int link_next(char **ret, const char *value);

/* certs.c: what certs.d has for a host; the paths are the caller's, or NULL. */
struct certs {
	char *ca, *cert, *key;
};

int certs_find(struct certs *ret, const char *cert_dir, const char *host, struct error *err);
void certs_release(struct certs *certs);

#endif
