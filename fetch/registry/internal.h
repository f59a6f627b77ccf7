/* SPDX-License-Identifier: Apache-2.0 */
/* registry, inside. */
#ifndef FETCH_REGISTRY_INTERNAL_H
#define FETCH_REGISTRY_INTERNAL_H

#include "fetch/registry/request.h"
#include "model/reference.h"

enum {
	REGISTRY_PAGE_NAMES = 1000, /* asked for at once; the most that distribution allows */
};

struct registry *registry_of(struct source *source);

/* lists.c */
int registry_repositories(
	struct source *source, struct name_list *ret, struct cancel *cancel, struct error *err);
int registry_tags(struct source *source, const char *repository, struct name_list *ret,
	struct cancel *cancel, struct error *err);

/* Is it a page of names, in that member of an object?  null stands for none. */
int registry_check_list(const struct buf *body, const char *member, struct error *err);

/* The path of the page that follows the one at path, by the Link headers of its answer: on the
 * same origin only.  The caller's; 0 and *ret NULL: there is none. */
int registry_next_page(struct registry *registry, const char *path, char *const *links, char **ret,
	struct error *err);

/* manifests.c */
int registry_resolve_to_read(struct source *source, const char *repository, const char *tag,
	struct descriptor *ret, struct buf *body, struct cancel *cancel, struct error *err);
int registry_resolve(struct source *source, const char *repository, const char *tag,
	struct descriptor *ret, struct cancel *cancel, struct error *err);
int registry_manifest(struct source *source, const char *repository, const struct digest *digest,
	struct buf *body, char **ret_type, struct cancel *cancel, struct error *err);

/* Is it a manifest or an index of any kind, of the type that was announced? */
int registry_check_manifest(struct registry *registry, const struct call *call,
	struct http_transfer *transfer, const struct buf *body, struct error *err);

/* referrers.c */
int registry_referrers(struct source *source, const char *repository, const struct digest *subject,
	struct descriptor **ret, size_t *ret_count, struct cancel *cancel, struct error *err);

/* blobs.c */
int registry_open_blob(struct source *source, const char *repository, const struct descriptor *blob,
	uint64_t offset, struct blob_stream **ret, uint64_t *ret_offset, struct cancel *cancel,
	struct error *err);
int registry_open_range(struct source *source, const char *repository,
	const struct descriptor *blob, uint64_t offset, uint64_t len, struct blob_stream **ret,
	struct cancel *cancel, struct error *err);
int registry_prove(struct source *source, const char *repository, const struct descriptor *blob,
	struct cancel *cancel, struct error *err);

/* link.c: the target of the first link with relation "next" in a Link header
 * (RFC 8288), as written; the caller's.  0 and *ret NULL: there is none. */
int link_next(char **ret, const char *value);

enum { CERTS_CA_MAX = 1 << 20 }; /* bytes of authorities: five times what browsers trust */

/* certs.c: what certs.d has for a host; the caller's, or NULL. */
struct certs {
	char *ca;         /* authorities, as PEM */
	char *cert, *key; /* paths */
};

int certs_find(struct certs *ret, const char *cert_dir, const char *host, struct error *err);
void certs_release(struct certs *certs);

#endif
