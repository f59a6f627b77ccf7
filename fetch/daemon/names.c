/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /images/json: [{"Id":"sha256:...","RepoTags":["REPOSITORY:TAG",...]},...]
 *
 * Images without a name have no RepoTags, none in it, null, or "<none>:<none>".  What
 * could be no name, and an image with no proper id, does not hide the others.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "fetch/daemon/internal.h"
#include "model/cleanup.h"
#include "model/json.h"
#include "model/reference.h"

void daemon_names_release(struct daemon_names *names)
{
	for (size_t i = 0; i < names->count; i++) {
		free(names->items[i].repository);
		free(names->items[i].tag);
	}
	free(names->items);
	*names = (struct daemon_names){ NULL, 0 };
}

static int add(
	struct daemon_names *names, const char *text, const struct digest *id, struct error *err)
{
	const char *tag;
	size_t repository_len = name_split(text, strlen(text), &tag);
	struct daemon_name *items;

	if (!tag || !*tag || *text == '<' || !name_has_components(text, repository_len))
		return 0;
	if (names->count >= LIST_NAMES_MAX)
		return error_set(err, EFBIG, "more than %d names in one list", LIST_NAMES_MAX);
	items = names->count & (names->count - 1)
			? names->items /* full at powers of two */
			: reallocarray(
				  names->items, names->count ? names->count * 2 : 1, sizeof *items);
	if (!items)
		return error_set(err, ENOMEM, "out of memory");
	names->items = items;
	items += names->count++;
	*items = (struct daemon_name){ strndup(text, repository_len), strdup(tag), *id };
	return items->repository && items->tag ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int take_image(struct daemon_names *names, struct json_object *image, struct error *err)
{
	CLEANUP(freep) char *id_text = NULL;
	char **repo_tags = NULL;
	struct digest id;
	int rc = 0;

	if (!json_object_is_type(image, json_type_object) ||
		json_get_string(image, "Id", &id_text, NULL) || !id_text ||
		digest_parse(&id, id_text, NULL) ||
		json_get_strings(image, "RepoTags", &repo_tags, LIST_NAMES_MAX, NULL))
		return 0;
	for (char **at = repo_tags; !rc && at && *at; at++)
		rc = add(names, *at, &id, err);
	strings_free(repo_tags);
	return rc;
}

int daemon_names_parse(struct daemon_names *ret, const char *text, size_t len, struct error *err)
{
	CLEANUP(json_putp) struct json_object *document = NULL;
	struct daemon_names names = { NULL, 0 };
	int rc = json_parse(&document, text, len, err);

	if (!rc && !json_object_is_type(document, json_type_array))
		rc = error_set(err, EIO, "no list");
	for (size_t i = 0; !rc && i < json_object_array_length(document); i++)
		rc = take_image(&names, json_object_array_get_idx(document, i), err);
	if (rc) {
		daemon_names_release(&names);
		return rc;
	}
	*ret = names;
	return 0;
}

int daemon_names_fetch(
	struct daemon *daemon, struct daemon_names *ret, struct cancel *cancel, struct error *err)
{
	CLEANUP(buf_release) struct buf body = { .max = LIST_BYTES_MAX };
	struct http_transfer *transfer = NULL;
	int rc = engine_get(daemon, "/images/json", "images", &body, &transfer, cancel, err);

	if (rc)
		return rc;
	http_close(transfer);
	rc = daemon_names_parse(ret, body.data ? body.data : "", body.len, err);
	return rc ? error_prefix(err, rc, "'%s': images", daemon->socket) : 0;
}
