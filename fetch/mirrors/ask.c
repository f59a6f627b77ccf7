/* SPDX-License-Identifier: Apache-2.0 */
/* One question, to one route after the other. */
#include "fetch/mirrors/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"
#include "model/image.h"

/* What is asked, and where the answers go. */
struct question {
	const char *tag;
	const struct digest *digest;
	const struct descriptor *blob;
	struct cancel *cancel;

	struct name_list *names;
	struct descriptor *found;
	struct descriptor **referrers;
	size_t *referrer_count;
	struct buf *body;
	char **type; /* or NULL */
};

typedef int (*ask_function)(struct walk *walk, struct source *registry,
	const struct question *question, struct error *err);

/* level: how loudly to say who answered. */
static int ask(struct walk *walk, ask_function function, const struct question *question,
	enum log_level level, const char *what, struct error *err)
{
	struct source *registry;

	while ((registry = walk_next(walk))) {
		struct error why = { "" };
		int rc = function(walk, registry, question, &why);

		if (!rc) {
			walk_served(walk, level, what);
			return 0;
		}
		if (!walk_failed(walk, rc, &why))
			break;
	}
	return error_set(err, -walk->rc, "%s", walk->err.text);
}

/* --- lists --- */

/* Of the names below the namespace, what is left of them without it. */
static int strip(struct name_list *ret, const struct name_list *names, const char *name_space,
	struct error *err)
{
	size_t len = strlen(name_space);
	int rc = 0;

	for (size_t i = 0; !rc && i < names->count; i++) {
		const char *name = names->names[i];

		if (!strncmp(name, name_space, len) && name[len] == '/')
			rc = name_list_add(ret, name + len + 1, err);
	}
	name_list_sort(ret);
	return rc;
}

static int ask_repositories(struct walk *walk, struct source *registry,
	const struct question *question, struct error *err)
{
	struct name_list all = { NULL, 0 }, below = { NULL, 0 };
	int rc = registry->ops->repositories(registry, &all, question->cancel, err);

	if (rc)
		return rc;
	if (!*walk->repository) {
		*question->names = all;
		return 0;
	}
	rc = strip(&below, &all, walk->repository, err);
	name_list_release(&all);
	if (rc)
		name_list_release(&below);
	else
		*question->names = below;
	return rc;
}

int mirrors_repositories(
	struct source *source, struct name_list *ret, struct cancel *cancel, struct error *err)
{
	const struct question question = { .names = ret, .cancel = cancel };
	struct walk walk;
	int rc = walk_begin(&walk, mirrors_of(source), FOR_CATALOG, "", "", err);

	return rc ? rc : ask(&walk, ask_repositories, &question, LOG_LEVEL_DEBUG, "catalog", err);
}

static int ask_tags(struct walk *walk, struct source *registry, const struct question *question,
	struct error *err)
{
	return registry->ops->tags(
		registry, walk->repository, question->names, question->cancel, err);
}

int mirrors_tags(struct source *source, const char *repository, struct name_list *ret,
	struct cancel *cancel, struct error *err)
{
	const struct question question = { .names = ret, .cancel = cancel };
	struct walk walk;
	int rc = walk_begin(&walk, mirrors_of(source), FOR_LIST, repository, "", err);

	return rc ? rc : ask(&walk, ask_tags, &question, LOG_LEVEL_DEBUG, "tags", err);
}

static int ask_referrers(struct walk *walk, struct source *registry,
	const struct question *question, struct error *err)
{
	return registry->ops->referrers(registry, walk->repository, question->digest,
		question->referrers, question->referrer_count, question->cancel, err);
}

int mirrors_referrers(struct source *source, const char *repository, const struct digest *subject,
	struct descriptor **ret, size_t *ret_count, struct cancel *cancel, struct error *err)
{
	const struct question question = {
		.digest = subject, .referrers = ret, .referrer_count = ret_count, .cancel = cancel
	};
	struct walk walk;
	int rc = walk_begin(&walk, mirrors_of(source), FOR_LIST, repository, "", err);

	return rc ? rc : ask(&walk, ask_referrers, &question, LOG_LEVEL_DEBUG, "referrers", err);
}

/* --- tags --- */

static int ask_resolve(struct walk *walk, struct source *registry, const struct question *question,
	struct error *err)
{
	return registry->ops->resolve(
		registry, walk->repository, question->tag, question->found, question->cancel, err);
}

static int ask_resolve_to_read(struct walk *walk, struct source *registry,
	const struct question *question, struct error *err)
{
	buf_clear(question->body);
	return registry->ops->resolve_to_read(registry, walk->repository, question->tag,
		question->found, question->body, question->cancel, err);
}

static int ask_of_tag(struct source *source, const char *repository,
	const struct question *question, ask_function function, struct error *err)
{
	const char *tag = question->tag;
	char reference[TAG_MAX + 2], what[TAG_MAX + 16];
	struct walk walk;
	int rc;

	if (!tag_is_valid(tag))
		return error_set(err, ENOENT, "not a tag");
	(void)snprintf(reference, sizeof reference, ":%s", tag);
	(void)snprintf(what, sizeof what, "tag '%s'", tag);
	rc = walk_begin(&walk, mirrors_of(source), FOR_TAG, repository, reference, err);
	return rc ? rc : ask(&walk, function, question, LOG_LEVEL_INFO, what, err);
}

int mirrors_resolve(struct source *source, const char *repository, const char *tag,
	struct descriptor *ret, struct cancel *cancel, struct error *err)
{
	const struct question question = { .tag = tag, .found = ret, .cancel = cancel };

	return ask_of_tag(source, repository, &question, ask_resolve, err);
}

int mirrors_resolve_to_read(struct source *source, const char *repository, const char *tag,
	struct descriptor *ret, struct buf *body, struct cancel *cancel, struct error *err)
{
	const struct question question = {
		.tag = tag, .found = ret, .body = body, .cancel = cancel
	};

	return ask_of_tag(source, repository, &question, ask_resolve_to_read, err);
}

/* --- by digest --- */

static bool is_right(const struct buf *body, const struct digest *wanted)
{
	struct digest digest;

	return !document_digest(
		       &digest, wanted->algorithm, body->data ? body->data : "", body->len, NULL) &&
	       digest_equal(&digest, wanted);
}

/* A mirror's mistake must not be the last word: the origin may have the right bytes. */
static int ask_manifest(struct walk *walk, struct source *registry, const struct question *question,
	struct error *err)
{
	struct buf *body = question->body;
	char text[DIGEST_TEXT_MAX];
	int rc;

	buf_clear(body);
	rc = registry->ops->manifest(registry, walk->repository, question->digest, body,
		question->type, question->cancel, err);
	if (rc || !walk_is_at_mirror(walk) || is_right(body, question->digest))
		return rc;
	if (question->type)
		free(TAKE(*question->type));
	observer_count(walk->mirrors->observer, verify_failures, 1);
	return error_set(
		err, EBADMSG, "manifest %s: other bytes", digest_format(question->digest, text));
}

int mirrors_manifest(struct source *source, const char *repository, const struct digest *digest,
	struct buf *body, char **ret_type, struct cancel *cancel, struct error *err)
{
	const struct question question = {
		.digest = digest, .body = body, .type = ret_type, .cancel = cancel
	};
	char reference[DIGEST_TEXT_MAX + 1], what[DIGEST_TEXT_MAX + 16], text[DIGEST_TEXT_MAX];
	struct walk walk;
	int rc;

	(void)digest_format(digest, text);
	(void)snprintf(reference, sizeof reference, "@%s", text);
	(void)snprintf(what, sizeof what, "manifest '%s'", text);
	rc = walk_begin(&walk, mirrors_of(source), FOR_DIGEST, repository, reference, err);
	return rc ? rc : ask(&walk, ask_manifest, &question, LOG_LEVEL_INFO, what, err);
}

static int ask_prove(struct walk *walk, struct source *registry, const struct question *question,
	struct error *err)
{
	return registry->ops->prove(
		registry, walk->repository, question->blob, question->cancel, err);
}

/* What a mirror gives to everybody who may ask it, this identity may read. */
int mirrors_prove(struct source *source, const char *repository, const struct descriptor *blob,
	struct cancel *cancel, struct error *err)
{
	const struct question question = { .blob = blob, .cancel = cancel };
	struct walk walk;
	int rc = walk_begin(&walk, mirrors_of(source), FOR_DIGEST, repository, "", err);

	return rc ? rc : ask(&walk, ask_prove, &question, LOG_LEVEL_DEBUG, "access", err);
}

/* --- at the start --- */

static int ask_probe(struct walk *walk, struct source *registry, const struct question *question,
	struct error *err)
{
	return registry->ops->probe(
		registry, *walk->asked ? walk->repository : NULL, question->cancel, err);
}

/* Whoever can be asked for tags will do. */
int mirrors_probe(
	struct source *source, const char *repository, struct cancel *cancel, struct error *err)
{
	const struct question question = { .cancel = cancel };
	struct walk walk;
	int rc = walk_begin(&walk, mirrors_of(source), repository ? FOR_TAG : FOR_LIST,
		repository ? repository : "", "", err);

	return rc ? rc : ask(&walk, ask_probe, &question, LOG_LEVEL_DEBUG, "presence", err);
}
