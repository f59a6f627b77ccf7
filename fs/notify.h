/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify -- what a service manager is told, by the protocol of sd_notify(3): lines "NAME=value"
 * in one datagram to the socket that $NOTIFY_SOCKET names.
 *
 * A few lines of our own rather than a library: the protocol is a promise, and a mount is to run
 * where there is no systemd.  Nothing here can fail for the caller: a manager that does not listen
 * is no reason not to serve.
 */
#ifndef FS_NOTIFY_H
#define FS_NOTIFY_H

/* The socket, to be closed by the caller; -1: nobody listens.  The variable is removed, since it
 * does not concern programs that we start. */
int notify_open(void);

/* Lines for the manager; fd may be -1. */
__attribute__((format(printf, 2, 3))) void notify_send(int fd, const char *fmt, ...);

struct options;

/* STATUS= of a mount that has nothing to do. */
void notify_idle(int fd, const struct options *options);

#endif
