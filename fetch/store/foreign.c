/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Foreign layers: blobs that their source need not have, whose descriptors say where else they are.
 *
 * That a source refuses such a blob takes no permission away: it never gave one.  What was fetched
 * from a URL, through this repository and by this identity, may be read on.
 */
#include "fetch/store/internal.h"

#include "fetch/urls/urls.h"

bool foreign_is_meant(const struct request *request, int rc)
{
	const struct descriptor *blob = request->blob;

	return (rc == -ENOENT || rc == -EACCES) && blob->urls && blob->urls[0];
}

bool foreign_may_follow(const struct request *request, int rc)
{
	return request->store->urls && foreign_is_meant(request, rc);
}

int foreign_refuse(int rc, struct error *err)
{
	struct error why = *err;

	return error_set(err, -rc,
		"%s; a foreign layer: option foreign_layers fetches it "
		"from where its descriptor says",
		why.text);
}

int stream_open(const struct request *request, uint64_t offset, struct blob_stream **ret,
	uint64_t *ret_offset, struct error *err)
{
	struct source *source = request->store->source;
	const struct descriptor *blob = request->blob;
	int rc = source->ops->open_blob(
		source, request->repository, blob, offset, ret, ret_offset, request->cancel, err);

	if (foreign_may_follow(request, rc))
		return urls_open(request->store->urls, blob->urls, offset, ret, ret_offset,
			request->cancel, err);
	return foreign_is_meant(request, rc) ? foreign_refuse(rc, err) : rc;
}
