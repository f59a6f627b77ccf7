/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal -- what the parsers and writers of documents share.  Nobody
 * outside model/ includes this.
 *
 * Parsers take members as the json.h getters do: absent and null are the
 * same.  On failure they leave *ret as it was.
 */
#ifndef MODEL_INTERNAL_H
#define MODEL_INTERNAL_H

#include "model/descriptor.h"
#include "model/image.h"

struct json_object;

/* More than any tool writes; each bounds what one small member can make us allocate. */
enum {
	PLATFORM_FEATURES_MAX = 256,
};

/* Length of the well-formed UTF-8 sequence (RFC 3629) at the start of bytes, or 0. */
size_t utf8_sequence(const void *bytes, size_t len);

/* A copy of a NULL-terminated list; NULL gives NULL. */
int strings_copy(char ***ret, char **from, struct error *err);

/* parse.c: what manifests, indexes and configs have in common. */
int parse_digest(
	struct digest *ret, struct json_object *object, const char *name, struct error *err);
/* A string; absent is "". */
int parse_text(char **ret, struct json_object *object, const char *name, struct error *err);
/* An array and zeroed room for its entries, of size bytes each, which the caller frees; nothing
 * when the member is absent. */
int parse_list(struct json_object **ret_array, void **ret, size_t size, struct json_object *object,
	const char *name, size_t max, struct error *err);
int parse_platform(struct platform *ret, struct json_object *object, struct error *err);
int parse_annotations(struct annotations *ret, struct json_object *object, struct error *err);
int parse_descriptor(struct descriptor *ret, struct json_object *object, struct error *err);
/* Sets *ret_has only when the member "subject" is there. */
int parse_subject(
	struct descriptor *ret, bool *ret_has, struct json_object *object, struct error *err);
/* An array of descriptors; -EFBIG when there are more than max. */
int parse_descriptors(struct descriptor **ret, size_t *ret_count, struct json_object *object,
	const char *name, size_t max, struct error *err);

/* document.c: parses the text and says what it is. */
int document_parse(struct json_object **ret, enum document_kind *ret_kind,
	const char *announced_type, const char *bytes, size_t len, struct error *err);
/* The same for a caller who has been told the kind: another one is -EIO. */
int document_parse_as(struct json_object **ret, enum document_kind kind, const char *bytes,
	size_t len, struct error *err);
/* -EFBIG when a document of len bytes is not worth reading. */
int document_check_size(size_t len, struct error *err);

/* schema1.c: image_parse() for DOCUMENT_SCHEMA1 and DOCUMENT_V1. */
int schema1_parse(struct image *ret, enum document_kind kind, const char *bytes, size_t len,
	struct error *err);

/* image.c: the chain id of the layers up to one more, from that of those below. */
int chain_id_extend(struct digest *chain, const struct digest *diff_id, struct error *err);

void image_config_release(struct image_config *config);

#endif
