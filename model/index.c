/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OCI index may be empty, and some tools write null for that.  Its
 * entries may be of any type; which are shown, and how, is not decided here.
 */
#include "model/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "model/json.h"

int image_index_parse(struct image_index *ret, enum document_kind kind, const char *bytes,
	size_t len, struct error *err)
{
	CLEANUP(image_index_release) struct image_index idx = { .kind = kind };
	CLEANUP(json_putp) struct json_object *object = NULL;
	int rc;

	if (kind != DOCUMENT_OCI_INDEX && kind != DOCUMENT_DOCKER_LIST)
		return error_set(err, EOPNOTSUPP, "'%s' cannot be read as an index",
			document_media_type(kind));
	rc = document_parse_as(&object, kind, bytes, len, err);
	if (!rc)
		rc = parse_descriptors(&idx.entries, &idx.entry_count, object, "manifests",
			INDEX_ENTRIES_MAX, err);
	if (!rc)
		rc = json_get_string(object, "artifactType", &idx.artifact_type, err);
	if (!rc)
		rc = parse_subject(&idx.subject, &idx.has_subject, object, err);
	if (!rc)
		rc = parse_annotations(&idx.annotations, object, err);
	if (rc)
		return error_prefix(err, rc, "index");
	*ret = idx;
	idx = (struct image_index){ 0 };
	return 0;
}

void image_index_release(struct image_index *index)
{
	descriptors_free(index->entries, index->entry_count);
	free(index->artifact_type);
	descriptor_release(&index->subject);
	annotations_release(&index->annotations);
	*index = (struct image_index){ 0 };
}

/* BuildKit, docs/attestations/attestation-storage.md. */
bool image_index_entry_is_attestation(const struct descriptor *entry, struct digest *ret_subject)
{
	const char *type = annotations_get(&entry->annotations, "vnd.docker.reference.type");
	const char *subject = annotations_get(&entry->annotations, "vnd.docker.reference.digest");
	const struct platform *platform = &entry->platform;
	bool is_attestation = (type && !strcmp(type, "attestation-manifest")) ||
			      media_type_find(entry->artifact_type)->role == ROLE_ATTESTATION ||
			      (entry->has_platform && !strcasecmp(platform->os, "unknown") &&
				      !strcasecmp(platform->architecture, "unknown"));

	/* A subject that is no digest is none: the entry still is no platform. */
	if (is_attestation && subject && ret_subject)
		(void)digest_parse(ret_subject, subject, NULL);
	return is_attestation;
}
