/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readiness -- who hears that the mount is live, or what became of it.
 *
 *	the parent	of the background form: one byte, the exit status, through a pipe
 *	ready_fd=N	a newline; then the descriptor is closed
 *	pidfile=FILE	our process id; the file goes when the mount does
 *	$NOTIFY_SOCKET	READY=1 (notify.h)
 *
 * The parent is the last: when the program has returned, everything else is there.
 */
#ifndef FS_READINESS_H
#define FS_READINESS_H

#include <stdbool.h>

#include "fs/options.h"
#include "model/error.h"

struct readiness {
	const struct options *options;
	int parent_fd; /* -1: in the foreground, or told already */
	int ready_fd;  /* -1: none, or told already */
	int notify_fd; /* -1: nobody listens */
	bool has_pidfile;
};

/* Checks ready_fd (-EBADF), which like the other descriptors becomes its own.  May change the
 * environment: before there are threads. */
int readiness_open(
	struct readiness *ret, const struct options *options, int parent_fd, struct error *err);
/* The mount is live: all but the parent hear it.  Not 0: one who has to could not be told. */
int readiness_announce(struct readiness *readiness, struct error *err);
/* The parent's turn, at last or instead.  False when he is not there to hear it: interrupted. */
bool readiness_tell_parent(struct readiness *readiness, enum exit_status status);
/* The mount is not live any more, or never was. */
void readiness_close(struct readiness *readiness);

#endif
