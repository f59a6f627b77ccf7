/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schema 1 manifests as a registry may send them.  Beyond not crashing: what
 * can be upgraded can be written in both flavours, and as schema 1 again when its
 * history is readable; that reads as the same layers; and the digest of what is not
 * signed is that of its bytes.
 */
#include "model/image.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool is_true)
{
	if (!is_true)
		abort();
}

/* Facts about layers that nobody has; every coding comes up. */
static struct layer_facts *make_facts(const struct image *image)
{
	struct layer_facts *facts = calloc(image->layer_count + 1, sizeof *facts);

	check(facts);
	for (size_t i = 0; i < image->layer_count; i++) {
		facts[i].digest = image->layers[i].digest;
		facts[i].size = i;
		facts[i].diff_id = (struct digest){ .algorithm = DIGEST_SHA256, .bytes = { 1 } };
		facts[i].coding = (enum media_coding)(i % (CODING_BZIP2 + 1));
	}
	return facts;
}

static void write_flavour(const struct image *image, enum media_family family)
{
	enum document_kind kind = family == FAMILY_OCI ? DOCUMENT_OCI_MANIFEST : DOCUMENT_SCHEMA2;
	CLEANUP(buf_release) struct buf text = { .max = 4 * DOCUMENT_MAX };
	CLEANUP(image_release) struct image again = { 0 };

	check(!image_write(image, family, &text, NULL, NULL));
	check(!image_parse(&again, kind, text.data, text.len, NULL));
	check(again.layer_count == image->layer_count);
}

static void write_schema1(const struct image *image, const struct buf *config)
{
	CLEANUP(buf_release) struct buf text = { .max = 4 * DOCUMENT_MAX };
	CLEANUP(image_release) struct image again = { 0 };

	if (schema1_write(image, config->data, config->len, "a", "b", &text, NULL) ||
		text.len > DOCUMENT_MAX)
		return;
	check(!image_parse(&again, DOCUMENT_SCHEMA1, text.data, text.len, NULL));
	check(again.layer_count == image->layer_count);
	for (size_t i = 0; i < again.layer_count; i++)
		check(digest_equal(&again.layers[i].digest, &image->layers[i].digest));
}

static void upgrade(const struct image *from)
{
	CLEANUP(freep) struct layer_facts *facts = make_facts(from);
	CLEANUP(buf_release) struct buf config = { .max = DOCUMENT_MAX };
	CLEANUP(image_release) struct image image = { 0 };

	if (image_upgrade(&image, from, facts, &config, NULL))
		return;
	check(image.parsed.history_count == from->parsed.history_count);
	check(image.parsed.diff_id_count == from->layer_count);
	write_flavour(&image, FAMILY_OCI);
	write_flavour(&image, FAMILY_DOCKER);
	write_schema1(&image, &config);
}

static void check_digest(const struct image *image, const char *bytes, size_t len)
{
	struct digest digest, plain;

	check(!document_digest(&digest, DIGEST_SHA256, bytes, len, NULL));
	check(!digest_of(&plain, DIGEST_SHA256, bytes, len, NULL));
	if (image->signature != SIGNATURE_VALID && image->signature != SIGNATURE_INVALID)
		check(digest_equal(&digest, &plain));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(image_release) struct image image = { 0 };
	const char *bytes = (const char *)data;
	struct digest digest;

	if (image_parse(&image, DOCUMENT_SCHEMA1, bytes, size, NULL)) {
		(void)document_digest(&digest, DIGEST_SHA256, bytes, size, NULL);
		return 0;
	}
	check(image.layer_count <= image.v1_count);
	check_digest(&image, bytes, size);
	upgrade(&image);
	return 0;
}
