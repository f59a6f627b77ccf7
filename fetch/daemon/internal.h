/* SPDX-License-Identifier: Apache-2.0 */
/* daemon, inside. */
#ifndef FETCH_DAEMON_INTERNAL_H
#define FETCH_DAEMON_INTERNAL_H

#include <pthread.h>

#include "fetch/daemon/daemon.h"
#include "fetch/http/http.h"
#include "fetch/reader.h"
#include "model/digest.h"

/* What an archive was found to hold. */
struct daemon_contents {
	char *media_type;
	struct digest manifest; /* not set: it was not looked at yet */
	uint64_t size;          /* bytes of the manifest */
	struct digest *blobs;   /* config and layers; none in a V1 image, whose layers have ids */
	size_t blob_count;
};

/* An image that was resolved.  Its archive may be closed, and is opened again when needed. */
struct daemon_image {
	struct daemon_image *next; /* under lock; used last comes first */
	unsigned users;            /* under lock: none may close it */
	bool is_opening;           /* under lock: by whoever set it */
	struct digest id;
	/* Under lock to set; users may read. */
	struct source *inner;            /* NULL: closed.  Stays while there are users */
	struct daemon_contents contents; /* set once */
};

struct daemon {
	struct source base;

	/* Never changed. */
	char *socket;
	struct http *http;
	struct cache *cache; /* or NULL */
	struct observer *observer;

	pthread_mutex_t lock;
	pthread_cond_t changed;      /* an image is no longer opening */
	struct daemon_image *images; /* under lock */
};

/* engine.c */
/* GET path; an answer other than 200 is an error.  The body is read into body, or left to be
 * read when that is NULL. */
int engine_get(struct daemon *daemon, const char *path, const char *subject, struct buf *body,
	struct http_transfer **ret, struct cancel *cancel, struct error *err);
/* Finds the socket; the caller's. */
int engine_socket(char **ret, const char *configured, struct error *err);

/* names.c */
struct daemon_name {
	char *repository, *tag;
	struct digest id;
};

struct daemon_names {
	struct daemon_name *items;
	size_t count;
};

int daemon_names_fetch(
	struct daemon *daemon, struct daemon_names *ret, struct cancel *cancel, struct error *err);
void daemon_names_release(struct daemon_names *names);
/* In the order of the engine's list.  For the tests, too. */
int daemon_names_parse(struct daemon_names *ret, const char *text, size_t len, struct error *err);

/* saved.c */
/* The image's archive: from the cache, as it once came, or from the engine.  *ret_digest is set
 * when it lies in the cache. */
int saved_open(struct daemon *daemon, const struct digest *id, struct reader **ret,
	struct digest *ret_digest, struct cancel *cancel, struct error *err);

/* images.c */
/* The image with its archive open, until daemon_image_put(). */
int daemon_image_get(struct daemon *daemon, const struct digest *id, struct daemon_image **ret,
	struct cancel *cancel, struct error *err);
/* The same for the image that has the manifest, or the blob.  -ENOENT: none is known to. */
int daemon_image_get_by_manifest(struct daemon *daemon, const struct digest *manifest,
	struct daemon_image **ret, struct cancel *cancel, struct error *err);
int daemon_image_get_by_blob(struct daemon *daemon, const struct digest *blob,
	struct daemon_image **ret, struct cancel *cancel, struct error *err);
/* V1 images that are open, up to max; how many.  Each is to be put. */
size_t daemon_images_get_v1(struct daemon *daemon, struct daemon_image **ret, size_t max);
void daemon_image_put(struct daemon *daemon, struct daemon_image *image);
void daemon_images_free(struct daemon *daemon);

#endif
