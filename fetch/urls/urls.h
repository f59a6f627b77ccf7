/* SPDX-License-Identifier: Apache-2.0 */
/*
 * urls -- blobs from the URLs in their descriptors: foreign layers.
 *
 * Anybody may have written such a URL.  So only https is spoken, also after
 * redirects, by a client that has no identity: no credentials, no cookies, no client
 * certificate, and every server's certificate is verified.  What comes is verified by whoever asked
 * for it, as from any source.
 *
 * Thread-safe.
 */
#ifndef FETCH_URLS_URLS_H
#define FETCH_URLS_URLS_H

#include <stdbool.h>

#include "fetch/http/http.h"
#include "fetch/source.h"

enum { URLS_MAX = 8 }; /* of one blob that are tried */

struct urls;

/* Of the configuration, what tells who we are or whom else to trust is left out.  may_go_inside:
 * URLs may lead to addresses of this machine, the link or a private network. */
int urls_new(struct urls **ret, const struct http_config *http, bool may_go_inside,
	struct observer *observer, struct error *err);
void urls_free(struct urls *urls); /* NULL is fine */

/* The blob from the first URL (of a NULL-terminated list) that works; else as source_ops.open_blob,
 * with the failure of the last one. */
int urls_open(struct urls *urls, char *const *list, uint64_t offset, struct blob_stream **ret,
	uint64_t *ret_offset, struct cancel *cancel, struct error *err);

#endif
