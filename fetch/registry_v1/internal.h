/* SPDX-License-Identifier: Apache-2.0 */
/* registry_v1, inside. */
#ifndef FETCH_REGISTRY_V1_INTERNAL_H
#define FETCH_REGISTRY_V1_INTERNAL_H

#include <stdatomic.h>

#include "fetch/registry/request.h"
#include "fetch/registry_v1/registry_v1.h"
#include "model/image.h"
#include "model/reference.h"

enum {
	V1_ID_LEN = 64,             /* hex digits, lower case */
	V1_SESSIONS_MAX = 256,      /* repositories remembered */
	V1_ENDPOINTS_MAX = 16,      /* hosts tried of those that an index names */
	V1_TOKEN_MAX = 16 << 10,    /* bytes of what an index gives: it becomes a header */
	V1_ANCESTRY_MAX = 1 << 20,  /* bytes of the list of IMAGE_LAYERS_MAX ids */
	V1_DOCUMENTS_MAX = 64 << 20 /* bytes of made-up manifests remembered */
};

/* What an index said of a repository.  Counted; never changed but for the atomics. */
struct session {
	struct session *next; /* under lock */
	unsigned users;       /* under lock */
	char *repository;     /* as in SOURCE */
	char *authorization;  /* header line with the token, secret; or NULL */
	char **endpoints;     /* NULL-terminated; NULL: the host itself */
	atomic_bool is_in_library;
	_Atomic uint64_t proved_at; /* ms: when its names could be read last; 0: never */
};

enum v1_mode { V1_MODE_UNKNOWN, V1_MODE_STANDALONE, V1_MODE_INDEX, V1_MODE_UNSURE };

/* A manifest made up here. */
struct v1_document {
	struct v1_document *next;
	char *repository;
	char id[V1_ID_LEN + 1];
	struct digest digest;
	char *bytes;
	size_t len;
};

struct registry_v1 {
	struct registry registry;

	pthread_mutex_t lock;
	enum v1_mode mode;             /* under lock */
	struct session *sessions;      /* under lock; newest first */
	struct v1_document *documents; /* under lock; newest first */
};

struct registry_v1 *registry_v1_of(struct source *source);
/* Only such an id becomes part of a URL. */
bool v1_id_is_valid(const char *id);

/* session.c */

/* One request on behalf of a repository. */
struct v1_call {
	const char *repository;
	const char *of_repository; /* what follows "/v1/repositories/NAME", */
	const char *of_image;      /* or "/v1/images/" */
	const char *subject;       /* for messages */
	bool is_in_library;        /* ask for library/NAME, and do so from now on if it is there */
	uint64_t range_offset;
	bool may_resume;
};

/* As registry_call(). */
int v1_call(struct registry_v1 *v1, const struct v1_call *call, struct buf *body,
	struct http_transfer **ret, struct cancel *cancel, struct error *err);
/* The same for an answer of 200 alone, read to its end. */
int v1_get(struct registry_v1 *v1, const struct v1_call *call, struct buf *body,
	struct cancel *cancel, struct error *err);
/* The errno and the text for another status. */
int v1_refused(struct registry_v1 *v1, const struct v1_call *call, struct http_transfer *transfer,
	const struct buf *body, struct error *err);
/* Asks for the API itself. */
int v1_ping(struct registry_v1 *v1, enum v1_mode *ret, struct cancel *cancel, struct error *err);
bool v1_was_proven(struct registry_v1 *v1, const char *repository);
void v1_sessions_free(struct registry_v1 *v1);

/* names.c */
/* Told of each tag and what it names; a failure ends it. */
typedef int v1_visit(void *context, const char *tag, const char *id, struct error *err);
struct v1_visitor {
	v1_visit *visit;
	void *context;
	size_t dropped; /* which were neither a tag nor an id */
};
/* An answer with all tags of a repository. */
int v1_visit_tags(struct v1_visitor *visitor, const struct buf *body, struct error *err);
/* One with the id that a tag names. */
bool v1_parse_id(const struct buf *body, char ret[static V1_ID_LEN + 1]);
int v1_tags(struct source *source, const char *repository, struct name_list *ret,
	struct cancel *cancel, struct error *err);
/* What a tag names. */
int v1_tag_id(struct registry_v1 *v1, const char *repository, const char *tag,
	char ret[static V1_ID_LEN + 1], struct cancel *cancel, struct error *err);

/* images.c */
/* An answer with the ids of an image and its ancestors, newest first; *ret has some even on
 * failure. */
int v1_parse_ancestry(
	struct name_list *ret, const struct buf *body, const char *id, struct error *err);
int v1_resolve(struct source *source, const char *repository, const char *tag,
	struct descriptor *ret, struct cancel *cancel, struct error *err);
int v1_manifest(struct source *source, const char *repository, const struct digest *digest,
	struct buf *body, char **ret_type, struct cancel *cancel, struct error *err);
void v1_documents_free(struct registry_v1 *v1);

/* layers.c */
int v1_open_layer(struct source *source, const char *repository, const char *layer_id,
	struct blob_stream **ret, struct cancel *cancel, struct error *err);
int v1_open_blob(struct source *source, const char *repository, const struct descriptor *blob,
	uint64_t offset, struct blob_stream **ret, uint64_t *ret_offset, struct cancel *cancel,
	struct error *err);

#endif
