/* SPDX-License-Identifier: Apache-2.0 */
/* feed -- bytes from memory into an indexer. */
#ifndef TESTS_UNIT_FEED_H
#define TESTS_UNIT_FEED_H

#include <string.h>

#include "fetch/layer/indexer.h"
#include "model/error.h"

static inline int feed_bytes(
	struct indexer *indexer, const uint8_t *bytes, size_t len, struct error *err)
{
	int rc = 0;

	while (!rc && len) {
		size_t n;
		uint8_t *room = indexer_room(indexer, &n, err);

		if (!room)
			return -ENOMEM;
		n = len < n ? len : n;
		memcpy(room, bytes, n);
		rc = indexer_put(indexer, n, err);
		bytes += n;
		len -= n;
	}
	return rc;
}

#endif
