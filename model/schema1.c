/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schema 1, and the document that stands for a V1 image, which is the same
 * without fsLayers.  Both list the V1 JSON of each layer as text, newest first:
 *
 *	{ "name", "tag", "architecture", "schemaVersion": 1,
 *	  "fsLayers": [ { "blobSum": digest }, ... ],
 *	  "history": [ { "v1Compatibility": "{\"id\": ..., \"parent\": ...}" }, ... ] }
 *
 * Entries form a chain: the parent of each is the next.  Old clients pushed an image's
 * entry twice in a row, so one that repeats its neighbour is dropped with its
 * layer, the newer of the two; any other repetition is an error to Docker, and
 * here.
 *
 * Sources: distribution manifest-v2-1.md; moby, distribution/pull_v2.go.
 */
#include "model/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <json-c/json.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "model/json.h"
#include "model/jws.h"

enum { COMMAND_WORDS_MAX = 4096, ID_LEN = 64 };

/* One entry of the history and its layer, as they are read. */
struct link {
	struct v1_entry entry;
	char *parent; /* "" for none */
	struct history_entry history;
	struct platform platform;
};

struct chain { /* newest first */
	struct link *links;
	size_t count;
};

static void link_release(struct link *link)
{
	free(link->entry.id);
	free(link->entry.json);
	free(link->parent);
	free(link->history.created);
	free(link->history.created_by);
	free(link->history.author);
	free(link->history.comment);
	platform_release(&link->platform);
}

static void chain_release(struct chain *chain)
{
	for (size_t i = 0; i < chain->count; i++)
		link_release(&chain->links[i]);
	free(chain->links);
}

/* container_config.Cmd, its words joined; a lone string is one word, null is none. */
static int parse_command(char **ret, struct json_object *object, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { .max = DOCUMENT_MAX };
	struct json_object *config = NULL, *command = NULL;
	char **words = NULL;
	int rc;

	rc = json_get_object(object, "container_config", &config, err);
	if (rc)
		return rc;
	(void)json_object_object_get_ex(config, "Cmd", &command);
	if (!command || json_object_is_type(command, json_type_string))
		return parse_text(ret, config, "Cmd", err);
	rc = json_get_strings(config, "Cmd", &words, COMMAND_WORDS_MAX, err);
	if (rc)
		return rc;
	for (char **word = words; *word; word++) {
		if (word > words)
			(void)buf_append_text(&text, " ");
		(void)buf_append_text(&text, *word);
	}
	strings_free(words);
	*ret = buf_status(&text) ? NULL : buf_take(&text, NULL);
	return *ret ? 0 : error_set(err, ENOMEM, "'Cmd': out of memory");
}

static bool is_id(const char *text)
{
	return strlen(text) == ID_LEN && strspn(text, "0123456789abcdef") == ID_LEN;
}

static int parse_entry(
	struct link *link, enum document_kind kind, struct json_object *object, struct error *err)
{
	struct history_entry *history = &link->history;
	int rc;

	rc = parse_text(&link->entry.id, object, "id", err);
	if (!rc && !is_id(link->entry.id))
		rc = error_set(err, EIO, "'id' is not 64 hex digits");
	if (!rc)
		rc = parse_text(&link->parent, object, "parent", err);
	if (!rc)
		rc = parse_text(&history->created, object, "created", err);
	if (!rc)
		rc = parse_text(&history->author, object, "author", err);
	if (!rc)
		rc = parse_text(&history->comment, object, "comment", err);
	if (!rc)
		rc = parse_command(&history->created_by, object, err);
	if (!rc)
		rc = parse_platform(&link->platform, object, err);
	if (!rc && kind == DOCUMENT_SCHEMA1)
		rc = json_check_spelling(object, "throwaway", err);
	if (!rc && kind == DOCUMENT_SCHEMA1)
		rc = json_get_bool(object, "throwaway", &link->entry.is_throwaway, err);
	history->is_empty_layer = link->entry.is_throwaway;
	return rc;
}

static int parse_link(
	struct link *link, enum document_kind kind, struct json_object *item, struct error *err)
{
	CLEANUP(json_putp) struct json_object *object = NULL;
	int rc;

	if (!json_object_is_type(item, json_type_object))
		return error_set(err, EIO, "not an object");
	rc = json_check_spelling(item, "v1Compatibility", err);
	if (!rc)
		rc = json_get_string(item, "v1Compatibility", &link->entry.json, err);
	if (rc)
		return rc;
	if (!link->entry.json)
		return error_set(err, EIO, "'v1Compatibility' is missing");
	link->entry.json_len = strlen(link->entry.json);
	rc = json_parse(&object, link->entry.json, link->entry.json_len, err);
	if (rc)
		return rc;
	if (!json_object_is_type(object, json_type_object))
		return error_set(err, EIO, "not a JSON object");
	return parse_entry(link, kind, object, err);
}

static int parse_history(
	struct chain *chain, enum document_kind kind, struct json_object *object, struct error *err)
{
	struct json_object *array = NULL;
	int rc;

	rc = parse_list(&array, (void **)&chain->links, sizeof *chain->links, object, "history",
		IMAGE_HISTORY_MAX, err);
	if (rc)
		return rc;
	chain->count = array ? json_object_array_length(array) : 0;
	if (!chain->count)
		return error_set(err, EIO, "'history' is empty: an image has a layer");
	for (size_t i = 0; i < chain->count; i++) {
		rc = parse_link(&chain->links[i], kind, json_object_array_get_idx(array, i), err);
		if (rc)
			return error_prefix(
				err, rc, "history entry %zu of %zu", i + 1, chain->count);
	}
	return 0;
}

static int parse_fs_layers(struct chain *chain, struct json_object *object, struct error *err)
{
	struct json_object *array = NULL;
	size_t count;
	int rc;

	rc = json_get_array(object, "fsLayers", &array, err);
	if (rc)
		return rc;
	count = array ? json_object_array_length(array) : 0;
	if (count != chain->count)
		return error_set(
			err, EIO, "%zu fsLayers and %zu history entries", count, chain->count);
	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(array, i);

		rc = json_object_is_type(item, json_type_object)
			     ? json_check_spelling(item, "blobSum", err)
			     : error_set(err, EIO, "not an object");
		if (!rc)
			rc = parse_digest(&chain->links[i].entry.blob, item, "blobSum", err);
		if (rc)
			return error_prefix(err, rc, "'fsLayers', entry %zu of %zu", i + 1, count);
	}
	return 0;
}

/* A layerless document has no fsLayers to drop. */
static int parse_chain(
	struct chain *chain, enum document_kind kind, struct json_object *object, struct error *err)
{
	int rc = parse_history(chain, kind, object, err);

	if (rc)
		return rc;
	if (kind == DOCUMENT_SCHEMA1)
		return parse_fs_layers(chain, object, err);
	if (json_object_object_get_ex(object, "fsLayers", NULL))
		return error_set(err, EIO, "'fsLayers' in what stands for a V1 image");
	return 0;
}

static void drop_neighbours(struct chain *chain)
{
	struct link *links = chain->links;
	size_t kept = 0;

	for (size_t i = 0; i < chain->count; i++) {
		if (i + 1 < chain->count && !strcmp(links[i].entry.id, links[i + 1].entry.id))
			link_release(&links[i]);
		else
			links[kept++] = links[i];
	}
	chain->count = kept;
}

static int by_id(const void *a, const void *b)
{
	const struct link *const *x = a, *const *y = b;

	return strcmp((*x)->entry.id, (*y)->entry.id);
}

static int check_unique(const struct chain *chain, struct error *err)
{
	CLEANUP(freep) const struct link **sorted = NULL;

	if (chain->count < 2)
		return 0;
	sorted = calloc(chain->count, sizeof *sorted);
	if (!sorted)
		return error_set(err, ENOMEM, "'history': out of memory");
	for (size_t i = 0; i < chain->count; i++)
		sorted[i] = &chain->links[i];
	qsort(sorted, chain->count, sizeof *sorted, by_id);
	for (size_t i = 1; i < chain->count; i++)
		if (!by_id(&sorted[i - 1], &sorted[i]))
			return error_set(err, EIO, "layer id '%s' stands in several places",
				sorted[i]->entry.id);
	return 0;
}

/* The text of the newest entry that has one, or NULL. */
#define NEWEST(chain, member)                                                                      \
	({                                                                                         \
		const char *text_ = NULL;                                                          \
		for (size_t i_ = 0; !text_ && i_ < (chain)->count; i_++)                           \
			if (*(chain)->links[i_].platform.member)                                   \
				text_ = (chain)->links[i_].platform.member;                        \
		text_;                                                                             \
	})

static int check_parents(const struct chain *chain, struct error *err)
{
	const struct link *base = &chain->links[chain->count - 1];
	const char *os = NEWEST(chain, os);

	for (const struct link *link = chain->links; link < base; link++)
		if (strcmp(link->parent, link[1].entry.id))
			return error_set(err, EIO, "parent of layer id '%s' is '%.64s', not '%s'",
				link->entry.id, link->parent, link[1].entry.id);
	/* Windows' base layers are not distributed, and yet somebody's parents. */
	if (*base->parent && !(os && !strcasecmp(os, "windows")))
		return error_set(err, EIO, "base layer id '%s' has a parent, '%.64s'",
			base->entry.id, base->parent);
	return 0;
}

static int check_chain(struct chain *chain, enum document_kind kind, struct error *err)
{
	int rc;

	if (kind == DOCUMENT_SCHEMA1)
		drop_neighbours(chain);
	rc = check_unique(chain, err);
	return rc ? rc : check_parents(chain, err);
}

/* Texts that one entry lacks may stand in an older one; what else is said of the platform is the
 * newest's. */
static int find_platform(struct platform *ret, const struct chain *chain,
	struct json_object *object, struct error *err)
{
	const struct platform *newest = &chain->links[0].platform;
	const char *architecture = NEWEST(chain, architecture), *os = NEWEST(chain, os);
	CLEANUP(freep) char *manifest = NULL;
	int rc;

	rc = parse_text(&manifest, object, "architecture", err);
	if (!rc)
		rc = platform_init(ret, os ? os : "linux", architecture ? architecture : manifest,
			newest->variant, newest->os_version, err);
	if (!rc)
		rc = strings_copy(&ret->os_features, newest->os_features, err);
	return rc;
}

static int make_layer(struct descriptor *layer, const struct link *link, struct error *err)
{
	layer->media_type = strdup(media_type_layer(CODING_UNKNOWN, FAMILY_DOCKER));
	layer->layer_id = strdup(link->entry.id);
	layer->digest = link->entry.blob;
	layer->size = DESCRIPTOR_SIZE_UNKNOWN;
	if (!layer->media_type || !layer->layer_id)
		return error_set(err, ENOMEM, "layers: out of memory");
	return 0;
}

static int make_lists(struct image *image, size_t count, struct error *err)
{
	assert(count); /* parse_history() refuses an image without layers */
	image->v1 = calloc(count, sizeof *image->v1);
	image->layers = calloc(count, sizeof *image->layers);
	image->parsed.history = calloc(count, sizeof *image->parsed.history);
	if (!image->v1 || !image->layers || !image->parsed.history)
		return error_set(err, ENOMEM, "image: out of memory");
	return 0;
}

/* Turns the chain round: an image lists its base first.  The image takes over what it can. */
static int fill(struct image *image, struct chain *chain, struct error *err)
{
	struct image_config *config = &image->parsed;
	int rc;

	rc = make_lists(image, chain->count, err);
	for (size_t i = chain->count; i-- > 0 && !rc;) {
		struct link *link = &chain->links[i];

		if (!link->entry.is_throwaway) {
			if (image->layer_count == IMAGE_LAYERS_MAX)
				return error_set(
					err, EFBIG, "more than %d layers", IMAGE_LAYERS_MAX);
			rc = make_layer(&image->layers[image->layer_count++], link, err);
		}
		image->v1[image->v1_count++] = link->entry;
		link->entry = (struct v1_entry){ 0 };
		config->history[config->history_count++] = link->history;
		link->history = (struct history_entry){ 0 };
	}
	return rc;
}

static int parse_top(struct image_config *config, const struct chain *chain,
	struct json_object *object, struct error *err)
{
	const struct history_entry *newest = &chain->links[0].history;

	config->created = strdup(newest->created);
	config->author = strdup(newest->author);
	if (!config->created || !config->author)
		return error_set(err, ENOMEM, "image: out of memory");
	return find_platform(&config->platform, chain, object, err);
}

static int judge_signatures(struct image *image, const char *bytes, size_t len,
	struct json_object *object, struct error *err)
{
	CLEANUP(jws_release) struct jws jws = { 0 };
	struct json_object *signatures = NULL;
	int rc;

	rc = jws_open(&jws, bytes, len, err);
	if (!rc && jws.payload)
		rc = jws_verify(&jws, err);
	if (rc)
		return rc;
	/* Spelt in a way that jws_open() did not look for, and none of our tools writes. */
	if (jws.state == SIGNATURE_UNSIGNED &&
		json_object_object_get_ex(object, "signatures", &signatures) && signatures &&
		!(json_object_is_type(signatures, json_type_array) &&
			!json_object_array_length(signatures)))
		jws.state = SIGNATURE_MALFORMED;
	image->signature = jws.state;
	memcpy(image->signature_key_id, jws.key_id, sizeof jws.key_id);
	return 0;
}

int schema1_parse(struct image *ret, enum document_kind kind, const char *bytes, size_t len,
	struct error *err)
{
	CLEANUP(json_putp) struct json_object *object = NULL;
	CLEANUP(image_release) struct image image = { .kind = kind, .has_config = true };
	CLEANUP(chain_release) struct chain chain = { 0 };
	int rc;

	rc = document_parse_as(&object, kind, bytes, len, err);
	if (!rc)
		rc = parse_chain(&chain, kind, object, err);
	if (!rc)
		rc = check_chain(&chain, kind, err);
	if (!rc)
		rc = parse_top(&image.parsed, &chain, object, err);
	if (!rc)
		rc = fill(&image, &chain, err);
	if (!rc && kind == DOCUMENT_SCHEMA1)
		rc = judge_signatures(&image, bytes, len, object, err);
	if (rc)
		return error_prefix(err, rc, "manifest");
	*ret = image;
	image = (struct image){ 0 };
	return 0;
}
