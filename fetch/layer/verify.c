/* SPDX-License-Identifier: Apache-2.0 */
/* A spool has no digest of its own: its spans are proved as they are when they are read. */
#include "fetch/layer/internal.h"

#include <stdlib.h>

int layer_verify(const struct layer *layer, int spool_fd, bool *ret_is_spool, struct error *err)
{
	CLEANUP(freep) void *plain = NULL;
	int rc = index_check_windows(layer, err);

	*ret_is_spool = !rc;
	if (rc || spool_fd < 0)
		return rc;
	plain = malloc(SPAN_SIZE_MAX);
	if (!plain)
		return error_set(err, ENOMEM, "out of memory");
	for (uint32_t n = 0; !rc && n < layer->span_count; n++)
		if (layer->spans[n].in_spool)
			rc = layer_decode_span(layer, n, NULL, spool_fd, plain, err);
	return rc;
}
