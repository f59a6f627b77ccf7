/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/registry_v1/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"

struct layer_opening {
	struct registry_stream stream;
	struct registry_v1 *v1;
	struct cancel *cancel;
	char repository[REPOSITORY_MAX + 1];
	char id[V1_ID_LEN + 1];
};

/* A server that does not tell of Accept-Ranges ignores the range, and http says so. */
static int open_at(struct registry_stream *base, uint64_t position, struct http_transfer **ret,
	struct error *err)
{
	struct layer_opening *opening = container_of(base, struct layer_opening, stream);
	char path[V1_ID_LEN + 16], subject[V1_ID_LEN + 32];
	const struct v1_call call = { .repository = opening->repository,
		.of_image = path,
		.subject = subject,
		.range_offset = position,
		.may_resume = true };
	struct http_transfer *transfer = NULL;
	long status;
	int rc;

	(void)snprintf(path, sizeof path, "%s/layer", opening->id);
	(void)snprintf(subject, sizeof subject, "layer '%.12s'", opening->id);
	rc = v1_call(opening->v1, &call, NULL, &transfer, opening->cancel, err);
	if (rc)
		return rc;
	status = http_response(transfer)->status;
	if (status != 200 && status != 206) {
		rc = v1_refused(opening->v1, &call, transfer, NULL, err);
		if (status == 416 && position)
			rc = -ERANGE;
		http_close(transfer);
		return rc;
	}
	*ret = transfer;
	return 0;
}

static int open_layer_at(struct source *source, const char *repository, const char *id,
	uint64_t offset, struct blob_stream **ret, uint64_t *ret_offset, struct cancel *cancel,
	struct error *err)
{
	CLEANUP(freep) struct layer_opening *opening = NULL;
	int rc;

	if (!repository_is_valid(repository) || !id || !v1_id_is_valid(id))
		return error_set(err, ENOENT, "not a repository and the id of a layer");
	opening = calloc(1, sizeof *opening);
	if (!opening)
		return error_set(err, ENOMEM, "out of memory");
	opening->stream.open = open_at;
	opening->v1 = registry_v1_of(source);
	opening->cancel = cancel;
	(void)snprintf(opening->repository, sizeof opening->repository, "%s", repository);
	memcpy(opening->id, id, sizeof opening->id);
	rc = registry_stream_start(&opening->stream, offset, ret_offset, err);
	if (rc)
		return rc;
	*ret = &TAKE(opening)->stream.base;
	return 0;
}

int v1_open_layer(struct source *source, const char *repository, const char *layer_id,
	struct blob_stream **ret, struct cancel *cancel, struct error *err)
{
	uint64_t offset = 0;

	return open_layer_at(source, repository, layer_id, 0, ret, &offset, cancel, err);
}

int v1_open_blob(struct source *source, const char *repository, const struct descriptor *blob,
	uint64_t offset, struct blob_stream **ret, uint64_t *ret_offset, struct cancel *cancel,
	struct error *err)
{
	return open_layer_at(
		source, repository, blob->layer_id, offset, ret, ret_offset, cancel, err);
}
