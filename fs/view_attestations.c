/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attestations/: what BuildKit says of how one platform's image was made, and
 * of what.  An attestation is a manifest of the same index that names the
 * platform's in an annotation; each of its layers is one in-toto statement,
 * shown as it is stored.
 *
 * That there are any is known from the index.  Entering fetches the
 * attestation manifests, reading a file fetches that statement.
 *
 * Source: BuildKit, docs/attestations/attestation-storage.md.
 */
#include "fs/views.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/spaces.h"
#include "model/cleanup.h"

enum {
	STATEMENTS_MAX = 256, /* of one platform */
	STATEMENT_NAME_MAX = 16 + DIGEST_HEX_MAX + 8,
};

/* in-toto's own registry of predicates and the projects' pages. */
static const struct {
	const char *predicate; /* its beginning: versions follow */
	const char *stem;
} stems[] = {
	{ "https://slsa.dev/provenance/", "provenance" },
	{ "https://spdx.dev/Document", "sbom.spdx" },
	{ "https://cyclonedx.org/bom", "sbom.cdx" },
};

struct statement {
	char name[STATEMENT_NAME_MAX];
	const struct descriptor *blob; /* the document's */
};

struct statements {
	struct statement items[STATEMENTS_MAX];
	size_t count;
};

static const char *stem_of(const char *predicate)
{
	for (size_t i = 0; predicate && i < ARRAY_SIZE(stems); i++)
		if (!strncmp(predicate, stems[i].predicate, strlen(stems[i].predicate)))
			return stems[i].stem;
	return "";
}

static bool has_name(const struct statements *statements, const char *name)
{
	for (size_t i = 0; i < statements->count; i++)
		if (!strcmp(statements->items[i].name, name))
			return true;
	return false;
}

static bool has_blob(const struct statements *statements, const struct digest *digest)
{
	for (size_t i = 0; i < statements->count; i++)
		if (digest_equal(&statements->items[i].blob->digest, digest))
			return true;
	return false;
}

/* STEM.json for the first; STEM.HEX12.json, or HEX12.json without a stem, for the others. */
static void make_name(const struct statements *statements, const char *stem,
	const struct digest *digest, char name[static STATEMENT_NAME_MAX])
{
	char hex[DIGEST_HEX_MAX];

	(void)digest_hex(digest, hex);
	(void)snprintf(name, STATEMENT_NAME_MAX, "%s.json", stem);
	for (int len = DIGEST_SHORT; !*stem || has_name(statements, name); len += 4) {
		(void)snprintf(name, STATEMENT_NAME_MAX, "%s%s%.*s.json", stem, *stem ? "." : "",
			len, hex);
		if ((size_t)len >= strlen(hex) || !has_name(statements, name))
			return;
	}
}

static int add_statement(
	struct statements *statements, const struct descriptor *layer, struct need *need)
{
	const char *predicate = annotations_get(&layer->annotations, "in-toto.io/predicate-type");
	struct statement *statement = &statements->items[statements->count];

	if (!predicate && media_type_find(layer->media_type)->role != ROLE_ATTESTATION)
		return 0;
	if (has_blob(statements, &layer->digest))
		return 0;
	if (statements->count == STATEMENTS_MAX)
		return error_set(&need->err, EFBIG, "more than %d attestations", STATEMENTS_MAX);
	statement->blob = layer;
	make_name(statements, stem_of(predicate), &layer->digest, statement->name);
	statements->count++;
	return 0;
}

static bool speaks_of(const struct descriptor *entry, const struct digest *manifest)
{
	struct digest subject = { 0 };

	return image_index_entry_is_attestation(entry, &subject) &&
	       digest_equal(&subject, manifest);
}

/* One that cannot be read hides none of the others. */
static int add_attestation(struct fs *fs, const struct node *dir, const struct digest *digest,
	struct statements *statements, struct need *need)
{
	const struct document *document;
	int rc = manifest_get(fs, dir->place.repository, digest, &document, need);

	if (rc == LOAD_PENDING || need_is_transient(need, rc))
		return rc;
	for (size_t i = 0; !rc && i < document->image.layer_count; i++) {
		rc = add_statement(statements, &document->image.layers[i], need);
		if (rc)
			return rc;
	}
	return 0;
}

static int find_statements(
	struct fs *fs, const struct node *dir, struct statements *ret, struct need *need)
{
	const struct document *document;
	unsigned manifests = 0;
	int rc = manifest_get(fs, dir->place.repository, &dir->place.image, &document, need);

	for (size_t i = 0; !rc && i < document->index.entry_count; i++) {
		const struct descriptor *entry = &document->index.entries[i];

		if (!speaks_of(entry, &dir->place.manifest))
			continue;
		if (++manifests > STATEMENTS_MAX)
			return error_set(&need->err, EFBIG, "more than %d attestation manifests",
				STATEMENTS_MAX);
		rc = add_attestation(fs, dir, &entry->digest, ret, need);
	}
	return rc;
}

static int attestations_lookup(struct fs *fs, struct node *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	CLEANUP(freep) struct statements *statements = calloc(1, sizeof *statements);
	int rc = statements ? find_statements(fs, dir, statements, need)
			    : error_set(&need->err, ENOMEM, "out of memory");

	for (size_t i = 0; !rc && i < statements->count; i++)
		if (!strcmp(statements->items[i].name, name))
			return entry_blob(fs, dir->place.repository, statements->items[i].blob,
				false, ret, need);
	return rc ? rc : no_such_file(need, name);
}

static int attestations_list(
	struct fs *fs, struct node *dir, struct listing *ret, struct need *need)
{
	CLEANUP(freep) struct statements *statements = calloc(1, sizeof *statements);
	int rc = statements ? find_statements(fs, dir, statements, need)
			    : error_set(&need->err, ENOMEM, "out of memory");

	for (size_t i = 0; !rc && i < statements->count; i++)
		rc = listing_add(ret, statements->items[i].name, S_IFREG, 0);
	return rc;
}

const struct view view_attestations = { .name = "attestations",
	.type = S_IFDIR,
	.lookup = attestations_lookup,
	.list = attestations_list };

/* --- in the platform's directory --- */

/* A tag straight on a manifest has no index that could hold any. */
static int has_attestations(struct fs *fs, struct node *dir, bool *ret, struct need *need)
{
	const struct digest *image, *manifest;
	const struct document *document;
	int rc = place_manifest(fs, dir, &manifest, need);

	*ret = false;
	if (!rc)
		rc = place_image(fs, dir, &image, need);
	if (!rc)
		rc = manifest_get(fs, dir->place.repository, image, &document, need);
	for (size_t i = 0; !rc && !*ret && i < document->index.entry_count; i++)
		*ret = speaks_of(&document->index.entries[i], manifest);
	return rc;
}

int lookup_attestations(
	struct fs *fs, struct node *dir, struct fuse_entry_param *ret, struct need *need)
{
	bool has_some;
	int rc = has_attestations(fs, dir, &has_some, need);

	if (rc)
		return rc;
	if (!has_some)
		return no_such_file(need, ATTESTATIONS_NAME);
	return entry_directory(fs, dir, ATTESTATIONS_NAME, &view_attestations, &dir->place,
		CONTENT_TIMEOUT_S, ret);
}

int list_attestations(struct fs *fs, struct node *dir, struct listing *ret, struct need *need)
{
	bool has_some;
	int rc = has_attestations(fs, dir, &has_some, need);

	if (rc)
		return rc == LOAD_PENDING ? rc : 0;
	return has_some ? listing_add(ret, ATTESTATIONS_NAME, S_IFDIR, 0) : 0;
}
