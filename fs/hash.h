/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash -- uthash, in which a failed insertion is an error as others, not the end of the process.
 *
 * After each HASH_ADD stands the question HASH_HAS(): what is not in the table is still the
 * caller's.
 */
#ifndef FS_HASH_H
#define FS_HASH_H

#include <stddef.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define HASH_HAS(hh, item) ((item)->hh.tbl != NULL)

#endif
