/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints what Go's encoding/json prints of the structs of image-spec 1.1 and
 * of containers/image's schema 2, so that a manifest of which only types are
 * swapped has the digest those tools would push:
 *
 *	                 OCI                                    Docker
 *	manifest    schemaVersion mediaType artifactType   schemaVersion mediaType
 *	            config layers subject annotations      config layers
 *	index       schemaVersion mediaType artifactType   schemaVersion mediaType
 *	            manifests subject annotations          manifests
 *	descriptor  mediaType digest size urls             mediaType size digest urls
 *	            annotations data platform artifactType platform
 *	platform    architecture os os.version os.features variant
 *	                                                   features
 *
 * Struct members come in their declared order, maps sorted by key.  Control
 * characters are \u00XX, but for the three with short forms that every
 * version of Go uses (1.22 added \b and \f).
 */
#include "model/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"
#include "model/error.h"

#define REF_NAME "org.opencontainers.image.ref.name"

/* What a flavour had no word for, as a set. */
enum drop {
	DROP_ARTIFACT_TYPE,
	DROP_SUBJECT,
	DROP_ANNOTATIONS,
	DROP_DESCRIPTOR_ANNOTATIONS,
	DROP_DESCRIPTOR_DATA,
	DROP_DESCRIPTOR_ARTIFACT_TYPE,
	DROP_DESCRIPTOR_PLATFORM,
	DROP_PLATFORM_FEATURES,
};

static const char *const drop_names[] = {
	[DROP_ARTIFACT_TYPE] = "artifactType",
	[DROP_SUBJECT] = "subject",
	[DROP_ANNOTATIONS] = "annotations",
	[DROP_DESCRIPTOR_ANNOTATIONS] = "descriptor.annotations",
	[DROP_DESCRIPTOR_DATA] = "descriptor.data",
	[DROP_DESCRIPTOR_ARTIFACT_TYPE] = "descriptor.artifactType",
	[DROP_DESCRIPTOR_PLATFORM] = "descriptor.platform",
	[DROP_PLATFORM_FEATURES] = "platform.features",
};

struct writer {
	struct buf *out;
	enum media_family family;
	unsigned dropped; /* 1 << enum drop */
	int status;       /* the first failure that is not the buffer's */
};

static void drop(struct writer *w, enum drop what)
{
	w->dropped |= 1u << what;
}

static void text(struct writer *w, const char *bytes)
{
	(void)buf_append_text(w->out, bytes); /* sticks: finish() looks */
}

int json_write_string(struct buf *ret, const char *bytes, size_t len)
{
	const char *from = bytes, *end = bytes + len;
	size_t step;

	(void)buf_append(ret, "\"", 1); /* failures stick */
	for (const char *p = bytes; p < end; p += step) {
		uint8_t c = (uint8_t)*p;
		const char *escape = NULL;
		char hex[7];

		step = utf8_sequence(p, (size_t)(end - p));
		if (!step) {
			step = 1;
			escape = "\\ufffd";
		} else if (c == '"') {
			escape = "\\\"";
		} else if (c == '\\') {
			escape = "\\\\";
		} else if (c == '\n') {
			escape = "\\n";
		} else if (c == '\r') {
			escape = "\\r";
		} else if (c == '\t') {
			escape = "\\t";
		} else if (c < 0x20 || c == '<' || c == '>' || c == '&') {
			(void)snprintf(hex, sizeof hex, "\\u%04x", c);
			escape = hex;
		} else if (step == 3 && !memcmp(p, "\xe2\x80\xa8", 3)) {
			escape = "\\u2028"; /* JavaScript took these for ends of lines */
		} else if (step == 3 && !memcmp(p, "\xe2\x80\xa9", 3)) {
			escape = "\\u2029";
		}
		if (escape) {
			(void)buf_append(ret, from, (size_t)(p - from));
			(void)buf_append_text(ret, escape);
			from = p + step;
		}
	}
	(void)buf_append(ret, from, (size_t)(end - from));
	return buf_append(ret, "\"", 1);
}

static void string(struct writer *w, const char *bytes)
{
	(void)json_write_string(w->out, bytes, strlen(bytes));
}

/* ,"name":"value"; nothing when absent or empty, as Go's omitempty. */
static void optional(struct writer *w, const char *name, const char *value)
{
	if (!value || !*value)
		return;
	text(w, ",\"");
	text(w, name);
	text(w, "\":");
	string(w, value);
}

static void strings(struct writer *w, const char *name, char **values)
{
	if (!values || !*values)
		return;
	text(w, ",\"");
	text(w, name);
	text(w, "\":[");
	for (char **p = values; *p; p++) {
		if (p > values)
			text(w, ",");
		string(w, *p);
	}
	text(w, "]");
}

static int by_key(const void *a, const void *b)
{
	const struct annotation *const *x = a, *const *y = b;

	return strcmp((*x)->key, (*y)->key);
}

static void annotations(struct writer *w, const struct annotations *from)
{
	CLEANUP(freep) const struct annotation **sorted = NULL;

	if (!from->count)
		return;
	sorted = calloc(from->count, sizeof *sorted);
	if (!sorted) {
		w->status = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < from->count; i++)
		sorted[i] = &from->items[i];
	qsort(sorted, from->count, sizeof *sorted, by_key);

	text(w, ",\"annotations\":{");
	for (size_t i = 0; i < from->count; i++) {
		if (i)
			text(w, ",");
		string(w, sorted[i]->key);
		text(w, ":");
		string(w, sorted[i]->value);
	}
	text(w, "}");
}

static void platform(
	struct writer *w, const char *os, const char *architecture, const struct platform *more)
{
	text(w, ",\"platform\":{\"architecture\":");
	string(w, architecture);
	text(w, ",\"os\":");
	string(w, os);
	if (more) {
		optional(w, "os.version", more->os_version);
		strings(w, "os.features", more->os_features);
		optional(w, "variant", more->variant);
		if (w->family == FAMILY_DOCKER)
			strings(w, "features", more->features);
		else if (more->features && *more->features)
			drop(w, DROP_PLATFORM_FEATURES);
	}
	text(w, "}");
}

/* Starts a descriptor; the caller ends it. */
static void oci_descriptor(struct writer *w, const struct descriptor *d, const char *type)
{
	char digest[DIGEST_TEXT_MAX];

	text(w, "{\"mediaType\":");
	string(w, type);
	(void)buf_printf(w->out, ",\"digest\":\"%s\",\"size\":%" PRIu64,
		digest_format(&d->digest, digest), d->size);
	strings(w, "urls", d->urls);
	annotations(w, &d->annotations);
	optional(w, "data", d->data);
	if (d->has_platform)
		platform(w, d->platform.os, d->platform.architecture, &d->platform);
	optional(w, "artifactType", d->artifact_type);
}

static void docker_descriptor(struct writer *w, const struct descriptor *d, const char *type)
{
	char digest[DIGEST_TEXT_MAX];

	text(w, "{\"mediaType\":");
	string(w, type);
	(void)buf_printf(w->out, ",\"size\":%" PRIu64 ",\"digest\":\"%s\"", d->size,
		digest_format(&d->digest, digest));
	strings(w, "urls", d->urls);
	if (d->annotations.count)
		drop(w, DROP_DESCRIPTOR_ANNOTATIONS);
	if (d->data)
		drop(w, DROP_DESCRIPTOR_DATA);
	if (d->artifact_type)
		drop(w, DROP_DESCRIPTOR_ARTIFACT_TYPE);
}

/* The descriptor of a config or layer. */
static void blob(struct writer *w, const struct descriptor *d, const char *type)
{
	if (d->size == DESCRIPTOR_SIZE_UNKNOWN && !w->status)
		w->status = -EINVAL;
	if (w->family == FAMILY_OCI) {
		oci_descriptor(w, d, type);
	} else {
		docker_descriptor(w, d, type);
		if (d->has_platform)
			drop(w, DROP_DESCRIPTOR_PLATFORM);
	}
	text(w, "}");
}

/* The descriptor of a child; a list has no entry without a platform. */
static void child(struct writer *w, const struct descriptor *d)
{
	const char *type = d->media_type ? d->media_type : "";

	if (d->size == DESCRIPTOR_SIZE_UNKNOWN && !w->status)
		w->status = -EINVAL;
	if (w->family == FAMILY_OCI) {
		oci_descriptor(w, d, type);
	} else {
		docker_descriptor(w, d, type);
		if (d->has_platform)
			platform(w, d->platform.os, d->platform.architecture, &d->platform);
		else
			platform(w, "unknown", "unknown", NULL);
	}
	text(w, "}");
}

/* Names what was dropped, in the table's order. */
static void list_dropped(const struct writer *w, struct buf *dropped)
{
	for (size_t i = 0; dropped && i < ARRAY_SIZE(drop_names); i++) {
		if (!(w->dropped & 1u << i))
			continue;
		if (dropped->len)
			(void)buf_append(dropped, ",", 1);
		(void)buf_append_text(dropped, drop_names[i]);
	}
}

static int finish(struct writer *w, struct buf *dropped, struct error *err)
{
	int rc = buf_status(w->out) ? buf_status(w->out) : w->status;

	list_dropped(w, dropped);
	if (!rc && dropped)
		rc = buf_status(dropped);
	if (rc == -EINVAL)
		return error_set(err, EINVAL, "a descriptor without a size cannot be written");
	if (rc)
		return error_set(err, -rc, "write a manifest: %s", strerror(-rc));
	return 0;
}

static void head(struct writer *w, enum media_role role)
{
	text(w, "{\"schemaVersion\":2,\"mediaType\":");
	string(w, media_type_name(role, w->family));
}

/* "subject" and "annotations", which end an OCI document; Docker has neither. */
static void tail(struct writer *w, bool has_subject, const struct descriptor *subject,
	const struct annotations *notes)
{
	if (w->family == FAMILY_OCI) {
		if (has_subject) {
			text(w, ",\"subject\":");
			blob(w, subject, subject->media_type ? subject->media_type : "");
		}
		annotations(w, notes);
	} else {
		if (has_subject)
			drop(w, DROP_SUBJECT);
		if (notes->count)
			drop(w, DROP_ANNOTATIONS);
	}
	text(w, "}");
}

static void artifact_type(struct writer *w, const char *type)
{
	if (w->family == FAMILY_OCI)
		optional(w, "artifactType", type);
	else if (type && *type)
		drop(w, DROP_ARTIFACT_TYPE);
}

static bool is_of_family(const struct image *image, enum media_family family)
{
	return family == (image->kind == DOCUMENT_SCHEMA2 ? FAMILY_DOCKER : FAMILY_OCI);
}

/* The layer's type in the family, or NULL when it has no word for it.  In its
 * own flavour a manifest may hold anything. */
static const char *layer_type(
	const struct image *image, const struct descriptor *layer, enum media_family family)
{
	const struct media_type *type = media_type_find(layer->media_type);

	if (is_of_family(image, family))
		return layer->media_type ? layer->media_type : "";
	return type->role == ROLE_LAYER ? media_type_in(type, family) : NULL;
}

int image_check_expressible(const struct image *image, enum media_family family, struct error *err)
{
	/* Schema 1 and V1 are made into schema 2 first, which can be written in both. */
	if (image->v1_count || is_of_family(image, family))
		return 0;
	if (image->is_artifact)
		return error_set(
			err, EOPNOTSUPP, "an artifact cannot be written in the other flavour");
	for (size_t i = 0; i < image->layer_count; i++)
		if (!layer_type(image, &image->layers[i], family))
			return error_set(err, EOPNOTSUPP,
				"layer %zu of %zu: type '%.200s' does not exist in the other flavour",
				i + 1, image->layer_count,
				image->layers[i].media_type ? image->layers[i].media_type : "");
	return 0;
}

int image_write(const struct image *image, enum media_family family, struct buf *ret,
	struct buf *dropped, struct error *err)
{
	struct writer w = { .out = ret, .family = family };
	const char *config_type;
	int rc;

	if (family == FAMILY_OTHER ||
		(image->kind != DOCUMENT_SCHEMA2 && image->kind != DOCUMENT_OCI_MANIFEST))
		return error_set(err, EOPNOTSUPP, "nobody knows how to write this manifest");
	rc = image_check_expressible(image, family, err);
	if (rc)
		return rc;

	config_type = is_of_family(image, family) ? image->config.media_type
						  : media_type_name(ROLE_CONFIG, family);
	head(&w, ROLE_MANIFEST);
	artifact_type(&w, image->artifact_type);
	text(&w, ",\"config\":");
	blob(&w, &image->config, config_type ? config_type : "");
	text(&w, ",\"layers\":[");
	for (size_t i = 0; i < image->layer_count; i++) {
		if (i)
			text(&w, ",");
		blob(&w, &image->layers[i], layer_type(image, &image->layers[i], family));
	}
	text(&w, "]");
	tail(&w, image->has_subject, &image->subject, &image->annotations);
	return finish(&w, dropped, err);
}

static void children(struct writer *w, const struct descriptor *entries, size_t count)
{
	text(w, ",\"manifests\":[");
	for (size_t i = 0; i < count; i++) {
		if (i)
			text(w, ",");
		child(w, &entries[i]);
	}
	text(w, "]");
}

int image_index_write(const struct image_index *index, enum media_family family,
	const struct descriptor *entries, size_t count, struct buf *ret, struct buf *dropped,
	struct error *err)
{
	struct writer w = { .out = ret, .family = family };

	if (family == FAMILY_OTHER)
		return error_set(err, EOPNOTSUPP, "nobody knows how to write this index");
	head(&w, ROLE_INDEX);
	artifact_type(&w, index->artifact_type);
	children(&w, entries, count);
	tail(&w, index->has_subject, &index->subject, &index->annotations);
	return finish(&w, dropped, err);
}

/* Copies all but the name, then adds ours. */
static int rename_entry(struct descriptor *entry, const char *ref_name, struct error *err)
{
	CLEANUP(annotations_release) struct annotations renamed = { 0 };
	struct annotations old;
	int rc = 0;

	for (size_t i = 0; !rc && i < entry->annotations.count; i++) {
		const struct annotation *item = &entry->annotations.items[i];

		if (strcmp(item->key, REF_NAME))
			rc = annotations_add(&renamed, item->key, item->value, err);
	}
	if (!rc && ref_name)
		rc = annotations_add(&renamed, REF_NAME, ref_name, err);
	if (rc)
		return rc;
	old = entry->annotations;
	entry->annotations = renamed;
	renamed = old;
	return 0;
}

int layout_index_write(
	const struct descriptor *entry, const char *ref_name, struct buf *ret, struct error *err)
{
	CLEANUP(descriptor_release) struct descriptor named = { 0 };
	struct writer w = { .out = ret, .family = FAMILY_OCI };
	int rc;

	rc = descriptor_copy(&named, entry, err);
	if (!rc)
		rc = rename_entry(&named, ref_name, err);
	if (rc)
		return rc;
	head(&w, ROLE_INDEX);
	children(&w, &named, 1);
	text(&w, "}");
	return finish(&w, NULL, err);
}
