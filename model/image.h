/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image -- the one canonical image: any flavour is parsed into it, any is
 * written out of it, so there are N parsers and M writers and no N x M.
 *
 * The raw bytes stay with whoever fetched them; they are never re-serialised.
 * Everything is owned; a zeroed struct is empty and releasable.  Malformed
 * or ambiguous documents fail with -EIO, too large or too many with -EFBIG,
 * kinds that cannot be read or expressed with -EOPNOTSUPP.
 *
 * Sources: OCI image-spec manifest.md, image-index.md, config.md;
 * distribution manifest-v2-2.md.
 */
#ifndef MODEL_IMAGE_H
#define MODEL_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/buf.h"
#include "model/descriptor.h"
#include "model/media_type.h"

enum {
	DOCUMENT_MAX = 4 << 20,  /* bytes of a manifest, index or config: what registries accept */
	JSON_DEPTH_MAX = 32,     /* nesting of any document */
	IMAGE_LAYERS_MAX = 4096, /* layers of one image */
	IMAGE_HISTORY_MAX = 16384, /* history entries */
	INDEX_ENTRIES_MAX = 10000, /* descriptors of one index */
	INDEX_DEPTH_MAX = 8,       /* indexes inside indexes */
	ANNOTATIONS_MAX = 4096,    /* annotations of one object */
};

/* What a document is, by its own bytes. */
enum document_kind {
	DOCUMENT_UNKNOWN,
	DOCUMENT_OCI_INDEX,
	DOCUMENT_DOCKER_LIST,
	DOCUMENT_OCI_MANIFEST,
	DOCUMENT_SCHEMA2,
	DOCUMENT_SCHEMA1,
	DOCUMENT_V1, /* what v1_document_write() made up for an image that has no manifest */
};

/* Tells formats apart: the announced type (a descriptor's or Content-Type; may be NULL) must not
 * contradict the body; a body that could be two things is refused with
 * -EIO (CVE-2021-41190). */
int document_kind(enum document_kind *ret, const char *announced_type, const char *bytes,
	size_t len, struct error *err);
const char *document_media_type(enum document_kind kind); /* canonical name */

/* What names a document: the digest of its bytes, but that of the payload for a signed schema 1
 * manifest, whatever its signatures are worth (a body whose signatures are malformed is all
 * payload).  distribution manifest-v2-1.md, "Signed Manifests". */
int document_digest(struct digest *ret, enum digest_algorithm algorithm, const char *bytes,
	size_t len, struct error *err);

struct history_entry {
	char *created, *created_by, *author, *comment; /* "" when absent */
	bool is_empty_layer;
};

/* A config, as far as imgfs looks into it. */
struct image_config {
	struct platform platform; /* as written */
	char *created, *author;   /* "" when absent */
	struct digest *diff_ids;  /* base first */
	size_t diff_id_count;
	struct history_entry *history; /* base first */
	size_t history_count;
};

/* What the signatures of a schema 1 manifest are worth.  The keys come with it: a valid one says
 * that nothing changed since somebody signed, not who that was. */
enum signature_state {
	SIGNATURE_NONE, /* no schema 1 */
	SIGNATURE_UNSIGNED,
	SIGNATURE_VALID, /* all of them */
	SIGNATURE_INVALID,
	SIGNATURE_MALFORMED,
};

enum { KEY_ID_MAX = 12 * 5 }; /* twelve groups of four, joined by ':', and a NUL */

enum { SIGNATURE_TEXT_MAX = 16 + KEY_ID_MAX };

/* The JSON of one layer of a V1 image (image/spec/v1.md), which schema 1 carries as text. */
struct v1_entry {
	char *id; /* 64 lower-case hex digits */
	char *json;
	size_t json_len;
	struct digest blob; /* schema 1: the layer it came with; V1: not set */
	bool is_throwaway;  /* schema 1: changed no file; V1 images do not know this */
};

struct image {
	enum document_kind kind;
	struct descriptor config;
	struct descriptor *layers; /* base first */
	size_t layer_count;
	char *artifact_type; /* NULL when absent */
	bool has_subject;
	struct descriptor subject;
	struct annotations annotations;
	bool is_artifact; /* no image config: no platform, no rootfs */
	bool has_config;  /* parsed is filled */
	struct image_config parsed;
	/* Schema 1 and V1.  The config descriptor is empty: none was stored.  parsed is made from
	 * the entries and has no diff_ids.  Layers have the id of their entry, no size, and in V1
	 * no digest.  Every entry has a layer but the throwaway ones. */
	struct v1_entry *v1; /* base first; the last one is the image's own */
	size_t v1_count;
	enum signature_state signature;
	char signature_key_id[KEY_ID_MAX]; /* of the first key, as computed; "" when there is none
					    */
};

struct image_index {
	enum document_kind kind;
	struct descriptor *entries; /* in the order of the document */
	size_t entry_count;
	char *artifact_type;
	bool has_subject;
	struct descriptor subject;
	struct annotations annotations;
};

/* Any manifest.  Of a signed schema 1 manifest only the payload is read. */
int image_parse(struct image *ret, enum document_kind kind, const char *bytes, size_t len,
	struct error *err);
/* Fills image->parsed from the bytes of the config blob. */
int image_parse_config(struct image *image, const char *bytes, size_t len, struct error *err);
void image_release(struct image *image);
/* "unsigned", "valid KID", "invalid", "malformed"; "" when there is nothing to say.  Returns text.
 */
char *signature_format(const struct image *image, char text[static SIGNATURE_TEXT_MAX]);

int image_index_parse(struct image_index *ret, enum document_kind kind, const char *bytes,
	size_t len, struct error *err);
void image_index_release(struct image_index *index);

/* Is the entry a BuildKit attestation (platform unknown/unknown or the reference
 * annotations)?  *ret_subject (may be NULL) is set to the manifest it speaks of, if it says so. */
bool image_index_entry_is_attestation(const struct descriptor *entry, struct digest *ret_subject);

/* The history entry that made layer number layer (0 is the base), or NULL:
 * history may be absent, or shorter than the layers. */
const struct history_entry *image_layer_history(const struct image *image, size_t layer);
/* c(1) = diff_id 1, c(n) = sha256(c(n-1) + " " + diff_id n).  Config needed; -EINVAL
 * when there is no diff_id for the layer. */
int image_chain_id(struct digest *ret, const struct image *image, size_t layer, struct error *err);

/*
 * Writers.  Deterministic, compact, members in the order the Go tools print
 * them, Go's escapes.  Types are swapped, digests and sizes kept; what the
 * other flavour cannot say is dropped and named in *dropped (comma-separated; may be NULL).
 * -EOPNOTSUPP when it cannot be expressed (artifact, unknown or encrypted layer).
 * No check is made that the result differs from the source: callers keep raw
 * bytes where the flavour already fits.  After a failure *ret may hold a part.
 */
int image_write(const struct image *image, enum media_family family, struct buf *ret,
	struct buf *dropped, struct error *err);

/* Can it be written in that flavour at all?  0 or -EOPNOTSUPP; looks at types alone. */
int image_check_expressible(const struct image *image, enum media_family family, struct error *err);

/* entries are the children as they are in that flavour (callers convert bottom up and
 * leave out those that cannot be).  Docker entries get "unknown" for a missing platform. */
int image_index_write(const struct image_index *index, enum media_family family,
	const struct descriptor *entries, size_t count, struct buf *ret, struct buf *dropped,
	struct error *err);

/* What a pass over a layer found. */
struct layer_facts {
	struct digest digest; /* of the stored bytes */
	uint64_t size;        /* of them */
	struct digest diff_id;
	enum media_coding coding;
};

/* Schema 1 and V1 as Docker converts them (distribution manifest-v2-1.md; the rules of
 * moby's image/v1 package): *ret becomes a schema 2 image, with a config, whose bytes go to
 * *config. facts are those of from->layers, in that order.  Layers get the type they really have.
 */
int image_upgrade(struct image *ret, const struct image *from, const struct layer_facts *facts,
	struct buf *config, struct error *err);

/* The other way: an unsigned schema 1 manifest of a schema 2 or OCI image whose config has been
 * parsed; name and tag as it shall call itself ("" for none).  -EOPNOTSUPP without a history that
 * fits the layers, and for artifacts and encrypted layers. */
int schema1_write(const struct image *image, const char *config, size_t config_len,
	const char *name, const char *tag, struct buf *ret, struct error *err);
/* The layer that such a manifest names for what changed no file: an empty tar, gzip. */
const void *schema1_empty_layer(size_t *ret_len, struct digest *ret_digest);

/* What `docker save` writes of a layer for clients before 1.10: an id made from the layers up
 * to it, and the V1 JSON.  *ret (caller frees it by v1_entries_free()) has one for each layer, base
 * first. */
int v1_entries_make(struct v1_entry **ret, const struct image *image, const char *config,
	size_t config_len, struct error *err);
void v1_entries_free(struct v1_entry *entries, size_t count);

/* The document that stands for a V1 image, which has no manifest: schema 1 without fsLayers, under
 * a media type of our own.  entries: base first, ids not read (they are in the JSON). */
int v1_document_write(
	const struct v1_entry *entries, size_t count, struct buf *ret, struct error *err);

/* An index.json of a layout: one entry, with the given ref.name (may be NULL). */
int layout_index_write(
	const struct descriptor *entry, const char *ref_name, struct buf *ret, struct error *err);

/* Appends text as a JSON string, with quotes and Go's escapes; invalid UTF-8 becomes U+FFFD. */
int json_write_string(struct buf *ret, const char *text, size_t len);

#endif
