/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content that came inside its descriptor (OCI image-spec descriptor.md, "data").  Who has the
 * descriptor has the content: no proof of access is needed, and nothing is kept.
 */
#include "fetch/store/internal.h"

#include "model/base64.h"
#include "model/cleanup.h"
#include "model/image.h"

static int decode(const struct descriptor *blob, char **ret, size_t *ret_len, struct error *err)
{
	CLEANUP(freep) char *bytes = NULL;
	struct digest digest;
	size_t len = 0;
	int rc = base64_decode(&bytes, &len, blob->data, err);

	if (!rc && len > DOCUMENT_MAX)
		rc = error_set(err, EFBIG, "more than %d bytes", DOCUMENT_MAX);
	if (!rc && blob->size != DESCRIPTOR_SIZE_UNKNOWN && len != blob->size)
		rc = error_set(err, EBADMSG, "%zu bytes, not the %llu it should have", len,
			(unsigned long long)blob->size);
	if (!rc)
		rc = digest_of(&digest, blob->digest.algorithm, bytes, len, err);
	if (!rc && !digest_equal(&digest, &blob->digest))
		rc = error_set(err, EBADMSG, "its digest is another one");
	if (rc)
		return rc;
	*ret = TAKE(bytes);
	*ret_len = len;
	return 0;
}

int data_get(const struct request *request, char **ret, size_t *ret_len)
{
	const struct descriptor *blob = request->blob;
	char text[DIGEST_TEXT_MAX];
	struct error why;
	int rc;

	if (!blob->data)
		return -ENOENT;
	rc = decode(blob, ret, ret_len, &why);
	if (!rc || rc == -ENOMEM)
		return rc;
	observer_log(request->store->observer, LOG_LEVEL_WARNING,
		"%s: the data in its descriptor: %s; fetching it",
		digest_format(&blob->digest, text), why.text);
	return -ENOENT;
}

int data_open(const struct request *request, struct reader **ret)
{
	char *bytes;
	size_t len;
	int rc = data_get(request, &bytes, &len);

	return rc ? rc : reader_of_bytes(ret, bytes, len, 0, len, NULL);
}
