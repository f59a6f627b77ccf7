/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk -- what we leave free of one.
 *
 * What somebody asked for may fill a disk.  What we make for ourselves may not: a seekable copy
 * becomes thousands of times as large as the layer it is made from, if that is meant to hurt.
 */
#ifndef FETCH_DISK_H
#define FETCH_DISK_H

#include <stdbool.h>
#include <stdint.h>

enum {
	DISK_LEFT_SHARE = 20,    /* this part of a disk stays free, */
	DISK_LEFT_MAX = 1 << 30, /* or so many bytes, if that is less */
};

/* Can bytes more be written to the file, and enough be left?  Where nobody can tell, yes. */
bool disk_has_room(int fd, uint64_t bytes);

#endif
