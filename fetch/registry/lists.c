/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists come in pages, each naming the next by a Link header.  A list ends where
 * there is no such link; a short or an empty page says nothing.
 *
 * The server is not trusted to come to an end.  At pages 1, 2, 4, 8, ... the
 * names so far are sorted and counted, and the URL is kept.  The kept URL again
 * (every cycle meets it, once its length is reached): the list is complete.
 * Many pages, and nothing new since the last such one: it is refused.
 */
#include "fetch/registry/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "fetch/observer.h"
#include "model/cleanup.h"
#include "model/json.h"

enum {
	PAGE_NAMES_MAX = 1 << 20, /* one page's bytes allow hardly more */
	PATIENT_PAGES = 64,       /* empty pages happen where names are filtered by permission */
};

struct listing {
	struct registry *registry;
	struct call call;
	const char *member; /* of the JSON object */
	bool (*is_valid)(const char *name);
	struct name_list names;
	size_t dropped;
	unsigned pages, checkpoint;
	size_t count_then; /* at the checkpoint: unique names, */
	char *path_then;   /* and where it stood */
	char *path;        /* of the page to come; NULL: there is none */
};

static void listing_release(struct listing *listing)
{
	name_list_release(&listing->names);
	free(listing->path_then);
	free(listing->path);
}

static int take_names(struct listing *listing, char **names, struct error *err)
{
	for (; names && *names; names++) {
		int rc;

		if (!listing->is_valid(*names)) {
			listing->dropped++;
			continue;
		}
		rc = name_list_add(&listing->names, *names, err);
		if (rc)
			return rc;
	}
	return 0;
}

/* An object without the member is no empty list: it is somebody else's answer. */
static int open_page(
	struct json_object **ret, const struct buf *body, const char *member, struct error *err)
{
	CLEANUP(json_putp) struct json_object *document = NULL;
	int rc = json_parse(&document, body->data ? body->data : "", body->len, err);

	if (rc)
		return rc;
	if (!json_object_is_type(document, json_type_object))
		return error_set(err, EIO, "no object");
	if (!json_object_object_get_ex(document, member, NULL))
		return error_set(err, EIO, "no '%s' in it", member);
	*ret = TAKE(document);
	return 0;
}

int registry_check_list(const struct buf *body, const char *member, struct error *err)
{
	CLEANUP(json_putp) struct json_object *document = NULL;

	return open_page(&document, body, member, err);
}

static int parse_page(struct listing *listing, struct json_object *document, struct error *err)
{
	char **names = NULL;
	int rc = json_get_strings(document, listing->member, &names, PAGE_NAMES_MAX, err);

	if (!rc)
		rc = take_names(listing, names, err);
	strings_free(names);
	return rc;
}

/* The path and query behind the origin. */
static const char *path_of(const char *url)
{
	const char *path = strchr(strstr(url, "://") + 3, '/');

	return path ? path : "/";
}

static int join_link(struct registry *registry, const char *path, const char *target, char **ret,
	struct error *err)
{
	CLEANUP(freep) char *base = registry_url(registry, path);
	CLEANUP(freep) char *url = NULL;
	int rc;

	if (!base)
		return error_set(err, ENOMEM, "out of memory");
	rc = http_url_join(&url, base, target, err);
	if (rc)
		return error_prefix(err, rc, "link to the next page");
	if (!http_url_same_origin(base, url))
		return error_set(err, EPROTO, "the next page is said to be on another host");
	*ret = strdup(path_of(url));
	return *ret ? 0 : error_set(err, ENOMEM, "out of memory");
}

int registry_next_page(struct registry *registry, const char *path, char *const *links, char **ret,
	struct error *err)
{
	CLEANUP(freep) char *target = NULL;

	*ret = NULL;
	for (; links && *links && !target; links++)
		if (link_next(&target, *links))
			return error_set(err, ENOMEM, "out of memory");
	return target ? join_link(registry, path, target, ret, err) : 0;
}

/* Moves path on; NULL at the end. */
static int find_next(struct listing *listing, char *const *links, struct error *err)
{
	char *next;
	int rc = registry_next_page(listing->registry, listing->path, links, &next, err);

	if (rc)
		return rc;
	free(listing->path);
	listing->path = next;
	return 0;
}

static int check_progress(struct listing *listing, struct error *err)
{
	struct registry *registry = listing->registry;

	if (!listing->path)
		return 0;
	if (++listing->pages >= LIST_PAGES_MAX)
		return error_set(err, EFBIG, "more than %d pages", LIST_PAGES_MAX);
	if (listing->path_then && !strcmp(listing->path, listing->path_then)) {
		observer_log(registry->observer, LOG_LEVEL_WARNING,
			"%s: %s: pages that go in a circle; taken as complete", registry->name,
			listing->call.subject);
		free(listing->path);
		listing->path = NULL;
		return 0;
	}
	if (listing->pages < listing->checkpoint)
		return 0;
	name_list_sort(&listing->names);
	if (listing->pages >= PATIENT_PAGES && listing->names.count <= listing->count_then)
		return error_set(err, EIO, "more and more pages, but no more names");
	listing->checkpoint = 2 * listing->pages;
	listing->count_then = listing->names.count;
	free(listing->path_then);
	listing->path_then = strdup(listing->path);
	return listing->path_then ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int take_page(struct listing *listing, struct http_transfer *transfer,
	const struct buf *body, struct error *err)
{
	CLEANUP(json_putp) struct json_object *document = NULL;
	struct error why = { "" };
	int rc;

	if (http_response(transfer)->status != 200)
		return registry_refused(listing->registry, &listing->call, transfer, body, err);
	if (open_page(&document, body, listing->member, &why))
		return registry_mistaken(listing->registry, &listing->call, transfer, body,
			"a list of names", &why, err);
	rc = parse_page(listing, document, err);
	if (!rc)
		rc = find_next(listing, http_response(transfer)->links, err);
	if (!rc)
		rc = check_progress(listing, err);
	return rc ? error_prefix(err, rc, "%s: %s", listing->registry->name, listing->call.subject)
		  : 0;
}

static int fetch_page(struct listing *listing, struct cancel *cancel, struct error *err)
{
	struct http_transfer *transfer = NULL;
	struct buf body;
	int rc;

	buf_init(&body, LIST_BYTES_MAX);
	listing->call.path = listing->path;
	rc = registry_call(listing->registry, &listing->call, &body, &transfer, cancel, err);
	if (!rc) {
		rc = take_page(listing, transfer, &body, err);
		http_close(transfer);
	}
	buf_release(&body);
	return rc;
}

static int collect(
	struct listing *listing, struct name_list *ret, struct cancel *cancel, struct error *err)
{
	int rc = listing->path ? 0 : error_set(err, ENOMEM, "out of memory");

	while (!rc && listing->path)
		rc = fetch_page(listing, cancel, err);
	if (!rc && listing->dropped)
		observer_log(listing->registry->observer, LOG_LEVEL_WARNING,
			"%s: %s: %zu impossible names left out", listing->registry->name,
			listing->call.subject, listing->dropped);
	if (!rc) {
		name_list_sort(&listing->names);
		*ret = listing->names;
		listing->names = (struct name_list){ NULL, 0 };
	}
	listing_release(listing);
	return rc;
}

int registry_repositories(
	struct source *source, struct name_list *ret, struct cancel *cancel, struct error *err)
{
	struct listing listing = { .registry = registry_of(source),
		.call = { .subject = "catalog", .is_catalog = true },
		.member = "repositories",
		.is_valid = repository_is_valid,
		.checkpoint = 1 };

	if (asprintf(&listing.path, "/v2/_catalog?n=%d", REGISTRY_PAGE_NAMES) < 0)
		listing.path = NULL;
	return collect(&listing, ret, cancel, err);
}

int registry_tags(struct source *source, const char *repository, struct name_list *ret,
	struct cancel *cancel, struct error *err)
{
	char subject[REPOSITORY_MAX + 32];
	struct listing listing = { .registry = registry_of(source),
		.call = { .repository = repository, .subject = subject },
		.member = "tags",
		.is_valid = tag_is_valid,
		.checkpoint = 1 };

	if (!repository_is_valid(repository))
		return error_set(err, ENOENT, "not a repository name");
	(void)snprintf(subject, sizeof subject, "tags of '%s'", repository);
	if (asprintf(&listing.path, "/v2/%s/tags/list?n=%d", repository, REGISTRY_PAGE_NAMES) < 0)
		listing.path = NULL;
	return collect(&listing, ret, cancel, err);
}
