/* SPDX-License-Identifier: Apache-2.0 */
/* cache_verify -- whether all in a cache is what it should be; a line on stdout for each that is
 * not. */
#ifndef FS_CACHE_VERIFY_H
#define FS_CACHE_VERIFY_H

#include <stdbool.h>

#include "fetch/cache/cache.h"

/* Drops what is damaged, so that the next use has it anew; is_trial: only says so. */
int verify_cache(struct cache *cache, bool is_trial, bool *ret_is_damaged, struct error *err);

#endif
