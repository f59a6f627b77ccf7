/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tags: {"TAG":"ID"}, or from very old registries [{"layer":"ID","name":"TAG"}].
 * The two are read into one list of pairs; what could be no tag, or has no id, is left out.
 */
#include "fetch/registry_v1/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "fetch/observer.h"
#include "model/cleanup.h"
#include "model/json.h"

enum {
	TAG_ANSWER_MAX = 4096,
	SUBJECT_SIZE = REPOSITORY_MAX + TAG_MAX + 32,
};

static int visit_pair(
	struct v1_visitor *visitor, const char *tag, const char *id, struct error *err)
{
	if (!tag || !id || !tag_is_valid(tag) || !v1_id_is_valid(id)) {
		visitor->dropped++;
		return 0;
	}
	return visitor->visit(visitor->context, tag, id, err);
}

static int visit_object(struct v1_visitor *visitor, struct json_object *document, struct error *err)
{
	json_object_object_foreach(document, tag, id)
	{
		bool is_text = json_object_is_type(id, json_type_string);
		int rc = visit_pair(visitor, tag, is_text ? json_object_get_string(id) : NULL, err);

		if (rc)
			return rc;
	}
	return 0;
}

static int visit_array(struct v1_visitor *visitor, struct json_object *document, struct error *err)
{
	size_t count = json_object_array_length(document);

	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(document, i);
		CLEANUP(freep) char *tag = NULL;
		CLEANUP(freep) char *id = NULL;
		int rc;

		if (json_object_is_type(item, json_type_object)) {
			(void)json_get_string(item, "name", &tag, NULL); /* or it is none */
			(void)json_get_string(item, "layer", &id, NULL);
		}
		rc = visit_pair(visitor, tag, id, err);
		if (rc)
			return rc;
	}
	return 0;
}

int v1_visit_tags(struct v1_visitor *visitor, const struct buf *body, struct error *err)
{
	CLEANUP(json_putp) struct json_object *document = NULL;
	int rc = json_parse(&document, body->data ? body->data : "", body->len, err);

	if (rc)
		return rc;
	return json_object_is_type(document, json_type_array)
		       ? visit_array(visitor, document, err)
		       : visit_object(visitor, document, err);
}

/* A single name that is not there may be one of "library/". */
static int get_tags(struct registry_v1 *v1, struct v1_call *call, struct buf *body,
	struct cancel *cancel, struct error *err)
{
	struct error why = { "" };
	int rc = v1_get(v1, call, body, cancel, &why);

	if (rc == -ENOENT && !strchr(call->repository, '/')) {
		call->is_in_library = true;
		buf_clear(body);
		rc = v1_get(v1, call, body, cancel, &why);
	}
	if (rc && err)
		*err = why;
	return rc;
}

static int read_tags(struct registry_v1 *v1, const char *repository, struct v1_visitor *visitor,
	struct cancel *cancel, struct error *err)
{
	char subject[SUBJECT_SIZE];
	struct v1_call call = {
		.repository = repository, .of_repository = "/tags", .subject = subject
	};
	CLEANUP(buf_release) struct buf body = { .max = LIST_BYTES_MAX };
	int rc;

	(void)snprintf(subject, sizeof subject, "tags of '%s'", repository);
	rc = get_tags(v1, &call, &body, cancel, err);
	if (rc)
		return rc;
	rc = v1_visit_tags(visitor, &body, err);
	if (rc)
		return error_prefix(err, rc, "%s: %s", v1->registry.name, subject);
	if (visitor->dropped)
		observer_log(v1->registry.observer, LOG_LEVEL_WARNING,
			"%s: %s: %zu impossible ones left out", v1->registry.name, subject,
			visitor->dropped);
	return 0;
}

static int add_name(void *context, const char *tag, const char *id, struct error *err)
{
	(void)id;
	return name_list_add(context, tag, err);
}

int v1_tags(struct source *source, const char *repository, struct name_list *ret,
	struct cancel *cancel, struct error *err)
{
	struct name_list list = { NULL, 0 };
	struct v1_visitor visitor = { .visit = add_name, .context = &list };
	int rc;

	if (!repository_is_valid(repository))
		return error_set(err, ENOENT, "not a repository name");
	rc = read_tags(registry_v1_of(source), repository, &visitor, cancel, err);
	if (rc) {
		name_list_release(&list);
		return rc;
	}
	name_list_sort(&list);
	*ret = list;
	return 0;
}

struct wanted {
	const char *tag;
	char *id; /* "" until found */
};

static int compare_name(void *context, const char *tag, const char *id, struct error *err)
{
	struct wanted *wanted = context;

	(void)err;
	if (!strcmp(tag, wanted->tag) && !*wanted->id)
		memcpy(wanted->id, id, V1_ID_LEN + 1);
	return 0;
}

static int find_in_list(struct registry_v1 *v1, const char *repository, const char *tag,
	char ret[static V1_ID_LEN + 1], struct cancel *cancel, struct error *err)
{
	struct wanted wanted = { .tag = tag, .id = ret };
	struct v1_visitor visitor = { .visit = compare_name, .context = &wanted };
	int rc;

	ret[0] = '\0';
	rc = read_tags(v1, repository, &visitor, cancel, err);
	if (rc || ret[0])
		return rc;
	return error_set(
		err, ENOENT, "%s: '%s' has no tag '%s'", v1->registry.name, repository, tag);
}

/* A JSON string, which is all there is to parse: an id needs no escapes. */
bool v1_parse_id(const struct buf *body, char ret[static V1_ID_LEN + 1])
{
	const char *text = body->data ? body->data : "";
	char id[V1_ID_LEN + 1];
	size_t end;

	text += strspn(text, " \t\r\n");
	end = strlen(text);
	while (end && strchr(" \t\r\n", text[end - 1]))
		end--;
	if (end != V1_ID_LEN + 2 || text[0] != '"' || text[end - 1] != '"')
		return false;
	memcpy(id, text + 1, V1_ID_LEN);
	id[V1_ID_LEN] = '\0';
	if (!v1_id_is_valid(id))
		return false;
	memcpy(ret, id, sizeof id);
	return true;
}

/* Those that leave it to the list to tell. */
static bool is_unanswered(long status)
{
	return status == 400 || status == 404 || status == 405 || status == 501;
}

int v1_tag_id(struct registry_v1 *v1, const char *repository, const char *tag,
	char ret[static V1_ID_LEN + 1], struct cancel *cancel, struct error *err)
{
	char subject[SUBJECT_SIZE], path[TAG_MAX + 8];
	const struct v1_call call = {
		.repository = repository, .of_repository = path, .subject = subject
	};
	CLEANUP(buf_release) struct buf body = { .max = TAG_ANSWER_MAX };
	struct http_transfer *transfer = NULL;
	long status;
	int rc;

	(void)snprintf(path, sizeof path, "/tags/%s", tag);
	(void)snprintf(subject, sizeof subject, "tag '%s' of '%s'", tag, repository);
	rc = v1_call(v1, &call, &body, &transfer, cancel, err);
	if (rc)
		return rc;
	status = http_response(transfer)->status;
	if (status == 200)
		rc = v1_parse_id(&body, ret) ? 0
					     : error_set(err, EIO, "%s: %s: no image id",
						       v1->registry.name, subject);
	else if (!is_unanswered(status))
		rc = v1_refused(v1, &call, transfer, &body, err);
	http_close(transfer);
	if (is_unanswered(status))
		return find_in_list(v1, repository, tag, ret, cancel, err);
	return rc;
}
