/* SPDX-License-Identifier: Apache-2.0 */
/* cache_list -- what is in a cache, for people or as JSON, on stdout. */
#ifndef FS_CACHE_LIST_H
#define FS_CACHE_LIST_H

#include <stdbool.h>

#include "fetch/cache/cache.h"

int list_cache(struct cache *cache, bool as_json, struct error *err);

#endif
