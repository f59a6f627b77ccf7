/* SPDX-License-Identifier: Apache-2.0 */
/*
 * referrers/TYPE/HEX: manifests that have this one as their subject.  The
 * source is asked once for all of them, when their parent is listed or they are
 * entered; in neither case for the manifests.
 *
 * cosign's tags "sha256-HEX.sig" and the like are no referrers by the
 * specification, but say the same.  They are known from the list of tags, and
 * looked up when their type is entered.
 */
#include "fs/views.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fetch/referrers.h"
#include "fs/names.h"
#include "model/cleanup.h"
#include "model/reference.h"

enum {
	REFERRERS_DEPTH_MAX = 8, /* of referrers: a registry could let two refer to each other */
	NAME_STEP = 4,           /* hex digits by which names grow until they differ */
};

/* cosign, specs/SIGNATURE_SPEC.md, SBOM_SPEC.md; the types are those it gives real referrers. */
static const struct {
	const char *suffix, *type;
} cosign_tags[] = {
	{ "sig", "application/vnd.dev.cosign.artifact.sig.v1+json" },
	{ "att", "application/vnd.dev.cosign.artifact.att.v1+json" },
	{ "sbom", "application/vnd.dev.cosign.artifact.sbom.v1+json" },
};

/* --- what there is --- */

struct known {
	const struct referrer *referrers; /* sorted by type */
	size_t count;
	const char *tags[ARRAY_SIZE(cosign_tags)]; /* those that exist, interned; else NULL */
};

/* Where one image alone is mounted, all tags of its repository are too much to ask for. */
static bool knows_tags(const struct fs *fs)
{
	const struct reference *reference = &fs->options->reference;

	return store_source(fs->store)->is_local ||
	       !(reference->tag || digest_is_set(&reference->digest));
}

/* Tags that cannot be listed are none. */
static int find_tags(struct fs *fs, const char *repository, const struct digest *subject,
	struct known *known, struct need *need)
{
	const struct name_list *list;
	char fallback[REFERRERS_TAG_MAX], tag[TAG_MAX + 1];
	int rc;

	if (subject->algorithm != DIGEST_SHA256 || !knows_tags(fs))
		return 0;
	rc = tags_get(fs, repository, &list, need);
	if (rc)
		return rc == LOAD_PENDING ? rc : 0;
	(void)referrers_tag(subject, fallback);
	for (size_t i = 0; i < ARRAY_SIZE(cosign_tags); i++) {
		(void)snprintf(tag, sizeof tag, "%s.%s", fallback, cosign_tags[i].suffix);
		if (!name_list_has(list, tag))
			continue;
		known->tags[i] = intern(fs, tag);
		if (!known->tags[i])
			return error_set(&need->err, ENOMEM, "out of memory");
	}
	return 0;
}

static int find_known(struct fs *fs, const char *repository, const struct digest *subject,
	struct known *ret, struct need *need)
{
	int rc;

	*ret = (struct known){ 0 };
	rc = referrers_get(fs, repository, subject, &ret->referrers, &ret->count, need);
	return rc ? rc : find_tags(fs, repository, subject, ret, need);
}

static bool is_cosign_type(size_t kind, const char *name)
{
	char escaped[ESCAPED_NAME_MAX];

	return name_escape(escaped, cosign_tags[kind].type) && !strcmp(escaped, name);
}

static bool has_referrer_of(const struct known *known, const char *type)
{
	for (size_t i = 0; i < known->count; i++)
		if (!strcmp(known->referrers[i].type, type))
			return true;
	return false;
}

static bool has_type(const struct known *known, const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(cosign_tags); i++)
		if (known->tags[i] && is_cosign_type(i, type))
			return true;
	return has_referrer_of(known, type);
}

static bool has_any(const struct known *known)
{
	bool has_tag = false;

	for (size_t i = 0; i < ARRAY_SIZE(cosign_tags); i++)
		has_tag |= known->tags[i] != NULL;
	return has_tag || known->count;
}

static bool is_too_deep(const struct node *node)
{
	unsigned depth = 0;

	for (; node; node = node->parent)
		depth += node->view == &view_referrers;
	return depth >= REFERRERS_DEPTH_MAX;
}

/* --- in the directory of the subject --- */

int lookup_referrers(struct fs *fs, struct node *dir, const struct digest *subject,
	struct fuse_entry_param *ret, struct need *need)
{
	struct place place = dir->place;
	struct known known;
	int rc;

	if (is_too_deep(dir))
		return no_such_file(need, REFERRERS_NAME);
	rc = find_known(fs, place.repository, subject, &known, need);
	if (rc)
		return rc;
	if (!has_any(&known))
		return no_such_file(need, REFERRERS_NAME);
	place.manifest = *subject;
	return entry_directory(fs, dir, REFERRERS_NAME, &view_referrers, &place, fs_ttl(fs), ret);
}

int list_referrers(struct fs *fs, struct node *dir, const struct digest *subject,
	struct listing *ret, struct need *need)
{
	CLEANUP(freep) char *path = NULL;
	struct known known;
	int rc;

	if (is_too_deep(dir))
		return 0;
	rc = find_known(fs, dir->place.repository, subject, &known, need);
	if (rc == LOAD_PENDING && !need->stale_is_fine)
		return rc;
	if (rc == LOAD_PENDING)
		(void)error_set(&need->err, ETIMEDOUT, "no answer yet");
	if (!rc)
		return has_any(&known) ? listing_add(ret, REFERRERS_NAME, S_IFDIR, 0) : 0;
	path = node_path(dir);
	if (!fs->options->offline) /* then it is as was asked for */
		log_line(fs->log, LOG_LEVEL_WARNING, "%s: listed without referrers: %s",
			path ? path : "", need->err.text);
	return 0;
}

/* --- types --- */

static int types_lookup(struct fs *fs, struct node *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	struct known known;
	int rc = find_known(fs, dir->place.repository, &dir->place.manifest, &known, need);

	if (rc)
		return rc;
	if (!has_type(&known, name))
		return no_such_file(need, name);
	return entry_directory(fs, dir, name, &view_referrers_type, &dir->place, fs_ttl(fs), ret);
}

static int types_list(struct fs *fs, struct node *dir, struct listing *ret, struct need *need)
{
	struct known known;
	int rc = find_known(fs, dir->place.repository, &dir->place.manifest, &known, need);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < known.count; i++)
		if (!i || strcmp(known.referrers[i - 1].type, known.referrers[i].type) != 0)
			rc = listing_add(ret, known.referrers[i].type, S_IFDIR, 0);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(cosign_tags); i++) {
		char type[ESCAPED_NAME_MAX];

		if (known.tags[i] && name_escape(type, cosign_tags[i].type) &&
			!has_referrer_of(&known, type))
			rc = listing_add(ret, type, S_IFDIR, 0);
	}
	return rc;
}

const struct view view_referrers = { .name = "referrers",
	.type = S_IFDIR,
	.lists_names = true,
	.lookup = types_lookup,
	.list = types_list };

/* --- those of one type --- */

struct members {
	struct digest *digests; /* sorted by their digits, each once */
	size_t count;
};

static void members_release(struct members *members)
{
	free(members->digests);
}

static int by_digits(const void *a, const void *b)
{
	const struct digest *x = a, *y = b;
	int order = memcmp(x->bytes, y->bytes, sizeof x->bytes);

	return order ? order : (x->algorithm > y->algorithm) - (x->algorithm < y->algorithm);
}

static void sort_members(struct members *members)
{
	size_t kept = 0;

	qsort(members->digests, members->count, sizeof *members->digests, by_digits);
	for (size_t i = 0; i < members->count; i++)
		if (!kept || !digest_equal(&members->digests[kept - 1], &members->digests[i]))
			members->digests[kept++] = members->digests[i];
	members->count = kept;
}

/* What cosign's tag of this type points at, if there is one. */
static int add_tagged(struct fs *fs, const struct node *dir, const struct known *known,
	struct members *members, struct need *need)
{
	const struct descriptor *descriptor;

	for (size_t i = 0; i < ARRAY_SIZE(cosign_tags); i++) {
		int rc;

		if (!known->tags[i] || !is_cosign_type(i, dir->name))
			continue;
		rc = ref_get(fs, dir->place.repository, known->tags[i], &descriptor, need);
		if (!rc)
			members->digests[members->count++] = descriptor->digest;
		else if (rc != -ENOENT) /* gone in the meantime */
			return rc;
	}
	return 0;
}

static int find_members(
	struct fs *fs, const struct node *dir, struct members *ret, struct need *need)
{
	struct known known;
	int rc = find_known(fs, dir->place.repository, &dir->place.manifest, &known, need);

	if (rc)
		return rc;
	ret->digests = calloc(known.count + ARRAY_SIZE(cosign_tags), sizeof *ret->digests);
	if (!ret->digests)
		return error_set(&need->err, ENOMEM, "out of memory");
	for (size_t i = 0; i < known.count; i++)
		if (!strcmp(known.referrers[i].type, dir->name))
			ret->digests[ret->count++] = known.referrers[i].digest;
	rc = add_tagged(fs, dir, &known, ret, need);
	if (!rc)
		sort_members(ret);
	return rc;
}

/* How many digits number i has in common with one of its neighbours. */
static size_t shared_digits(const struct members *members, size_t i, size_t neighbour)
{
	char mine[DIGEST_HEX_MAX], other[DIGEST_HEX_MAX];
	size_t shared = 0;

	if (neighbour >= members->count) /* before the first, too */
		return 0;
	(void)digest_hex(&members->digests[i], mine);
	(void)digest_hex(&members->digests[neighbour], other);
	while (mine[shared] && mine[shared] == other[shared])
		shared++;
	return shared;
}

/* The first digits, as many as it takes to be nobody else's. */
static const char *member_name(
	const struct members *members, size_t i, char name[static DIGEST_HEX_MAX])
{
	size_t before = shared_digits(members, i, i - 1);
	size_t after = shared_digits(members, i, i + 1);
	size_t len = DIGEST_SHORT;

	while (len <= (before > after ? before : after))
		len += NAME_STEP;
	(void)digest_hex(&members->digests[i], name);
	if (len < strlen(name))
		name[len] = '\0';
	return name;
}

static int type_lookup(struct fs *fs, struct node *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	CLEANUP(members_release) struct members members = { NULL, 0 };
	char text[DIGEST_HEX_MAX];
	int rc = find_members(fs, dir, &members, need);

	for (size_t i = 0; !rc && i < members.count; i++) {
		const struct place place = { .repository = dir->place.repository,
			.image = members.digests[i] };

		if (!strcmp(member_name(&members, i, text), name))
			return entry_directory(fs, dir, name, &view_image, &place, fs_ttl(fs), ret);
	}
	return rc ? rc : no_such_file(need, name);
}

static int type_list(struct fs *fs, struct node *dir, struct listing *ret, struct need *need)
{
	CLEANUP(members_release) struct members members = { NULL, 0 };
	char text[DIGEST_HEX_MAX];
	int rc = find_members(fs, dir, &members, need);

	for (size_t i = 0; !rc && i < members.count; i++)
		rc = listing_add(ret, member_name(&members, i, text), S_IFDIR, 0);
	return rc;
}

const struct view view_referrers_type = { .name = "referrers-type",
	.type = S_IFDIR,
	.lists_names = true,
	.lookup = type_lookup,
	.list = type_list };
