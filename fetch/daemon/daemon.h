/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon -- a source over the images of the local Docker or Podman engine, asked by its
 * socket.
 *
 * Names come from GET /images/json, anew with each call.  An image is fetched when it is
 * resolved, whole, as the archive that `docker save` writes, into the cache or a file without a
 * name; from then on it is read in place (fetch/archive).  The cache keeps it by image id, so that
 * a later mount does not ask again; only images that the engine lists are served from it.
 *
 * Images without a name are not listed: a manifest's digest is known only when the image has
 * been fetched.
 *
 * Thread-safe.  Errors besides those of source.h: -EHOSTUNREACH (no engine answers), -EACCES
 * (the socket is not for this user), -EOPNOTSUPP ($DOCKER_HOST is no unix socket).
 *
 * Sources: Docker Engine API, ImageList and ImageGet; podman-system-service(1).
 */
#ifndef FETCH_DAEMON_DAEMON_H
#define FETCH_DAEMON_DAEMON_H

#include "fetch/source.h"

struct cache;
struct observer;

enum {
	DAEMON_OPEN_MAX = 64,    /* images whose archives are open */
	DAEMON_KNOWN_MAX = 1024, /* images that can be opened again by what is in them */
};

struct daemon_config {
	/* A path, or NULL: $DOCKER_HOST if it is set; else the first that is a socket of
	 * /var/run/docker.sock, $XDG_RUNTIME_DIR/podman/podman.sock, /run/podman/podman.sock. */
	const char *socket;
	struct cache *cache; /* or NULL */
};

/* Looks for the socket, but does not ask it. */
int daemon_open(struct source **ret, const struct daemon_config *config, struct observer *observer,
	struct error *err);

#endif
