/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret -- what a cache knows and nobody else does.
 *
 * With it we know again what we wrote or proved ourselves (fetch/layer/mac.c).  It is no
 * credential, opens nothing elsewhere, and when it is lost the proofs are made from the digests
 * again.  It is never sent or printed.
 */
#ifndef FETCH_SECRET_H
#define FETCH_SECRET_H

#include <stdint.h>

enum { SECRET_SIZE = 32 };

struct secret {
	uint8_t bytes[SECRET_SIZE];
};

#endif
