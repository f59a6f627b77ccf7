/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A repository: its tags; manifests without a name, and any manifest by its
 * digest.  Listing asks for the tag list alone; no tag is resolved before it
 * is entered.
 */
#include "fs/views.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/names.h"
#include "model/cleanup.h"
#include "model/reference.h"

static const char untagged_name[] = "_untagged";

const struct view *image_view(const struct fs *fs)
{
	return fs->options->has_platform ? &view_platform : &view_image;
}

/* Is there such a tag?  Where tags cannot be listed, the tag itself is asked for. */
static int check_tag(struct fs *fs, const char *repository, const char *tag, struct need *need)
{
	const struct descriptor *descriptor;
	const struct name_list *tags;
	int rc = tags_get(fs, repository, &tags, need);

	if (rc == -EACCES || rc == -EOPNOTSUPP)
		return ref_get(fs, repository, tag, &descriptor, need);
	if (rc)
		return rc;
	return name_list_has(tags, tag) ? 0 : no_such_file(need, tag);
}

static int lookup_tag(struct fs *fs, struct node *dir, const char *name, const char *tag,
	struct fuse_entry_param *ret, struct need *need)
{
	struct node *node = node_child(fs, dir, name);
	const struct descriptor *descriptor;
	struct place place = dir->place;
	int rc = check_tag(fs, dir->place.repository, tag, need);

	if (rc)
		return rc;
	place.tag = intern(fs, tag);
	if (!place.tag)
		return error_set(&need->err, ENOMEM, "out of memory");
	/* A tag that was entered is pinned to what it pointed at; has it moved since? */
	if (node && digest_is_set(&node->place.image)) {
		rc = ref_get(fs, place.repository, place.tag, &descriptor, need);
		if (rc)
			return rc;
		if (digest_equal(&descriptor->digest, &node->place.image))
			return entry_node(fs, node, fs_ttl(fs), ret);
	} else if (node) {
		return entry_node(fs, node, fs_ttl(fs), ret);
	}
	return entry_directory(fs, dir, name, image_view(fs), &place, fs_ttl(fs), ret);
}

/* Only local sources can say which manifests have no name. */
static int has_untagged(struct fs *fs, const char *repository, bool *ret, struct need *need)
{
	const struct name_list *untagged;
	int rc;

	*ret = false;
	if (!store_source(fs->store)->is_local)
		return 0;
	rc = untagged_get(fs, repository, &untagged, need);
	*ret = !rc && untagged->count;
	return rc;
}

static int tags_lookup(struct fs *fs, struct node *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	char tag[ESCAPED_NAME_MAX];

	if (!strcmp(name, untagged_name)) {
		bool has_some;
		int rc = has_untagged(fs, dir->place.repository, &has_some, need);

		if (rc)
			return rc;
		if (!has_some)
			return no_such_file(need, name);
		return entry_directory(fs, dir, name, &view_untagged, &dir->place, fs_ttl(fs), ret);
	}
	if (!store_source(fs->store)->is_local && !tag_is_valid(name))
		return no_such_file(need, name);
	if (!name_unescape(tag, name))
		return no_such_file(need, name);
	return lookup_tag(fs, dir, name, tag, ret, need);
}

static int tags_list(struct fs *fs, struct node *dir, struct listing *ret, struct need *need)
{
	const struct name_list *tags;
	bool has_some = false;
	int rc = tags_get(fs, dir->place.repository, &tags, need);

	if (!rc)
		rc = has_untagged(fs, dir->place.repository, &has_some, need);
	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < tags->count; i++) {
		char name[ESCAPED_NAME_MAX];

		if (name_escape(name, tags->names[i]) && *name)
			rc = listing_add(ret, name, S_IFDIR, 0);
	}
	if (!rc && has_some)
		rc = listing_add(ret, untagged_name, S_IFDIR, 0);
	return rc;
}

const struct view view_tags = { .name = "tags",
	.type = S_IFDIR,
	.lists_names = true,
	.lookup = tags_lookup,
	.list = tags_list };

/* --- sha256/HEX --- */

static const struct {
	const char *name;
	enum digest_algorithm algorithm;
} algorithms[] = { { "sha256", DIGEST_SHA256 }, { "sha512", DIGEST_SHA512 } };

enum digest_algorithm algorithm_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
		if (!strcmp(name, algorithms[i].name))
			return algorithms[i].algorithm;
	return DIGEST_NONE;
}

static int enter_algorithm(struct fs *fs, struct node *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	struct place place = dir->place;

	place.algorithm = algorithm_named(name);
	if (!place.algorithm)
		return no_such_file(need, name);
	return entry_directory(fs, dir, name, dir->view, &place, CONTENT_TIMEOUT_S, ret);
}

static int enter_digest(struct fs *fs, struct node *dir, const char *name,
	const struct digest *digest, struct fuse_entry_param *ret)
{
	struct place place = dir->place;

	place.algorithm = DIGEST_NONE;
	place.image = *digest;
	return entry_directory(fs, dir, name, image_view(fs), &place, CONTENT_TIMEOUT_S, ret);
}

static int digests_lookup(struct fs *fs, struct node *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	enum digest_algorithm algorithm = dir->place.algorithm;
	const struct document *document;
	struct digest digest;
	int rc;

	if (!algorithm)
		return enter_algorithm(fs, dir, name, ret, need);
	if (digest_parse_parts(&digest, digest_algorithm_name(algorithm), name, NULL))
		return no_such_file(need, name);
	rc = manifest_raw_get(fs, dir->place.repository, &digest, &document, need);
	return rc ? rc : enter_digest(fs, dir, name, &digest, ret);
}

/* Reachable, not listed: a registry could not say what there is. */
static int digests_list(struct fs *fs, struct node *dir, struct listing *ret, struct need *need)
{
	int rc = 0;

	(void)fs;
	(void)need;
	for (size_t i = 0; !rc && !dir->place.algorithm && i < ARRAY_SIZE(algorithms); i++)
		rc = listing_add(ret, algorithms[i].name, S_IFDIR, 0);
	return rc;
}

const struct view view_digests = {
	.name = "digests", .type = S_IFDIR, .lookup = digests_lookup, .list = digests_list
};

/* The digest a name of the list stands for, if it is of this algorithm. */
static bool parse_listed(const char *text, enum digest_algorithm algorithm, struct digest *ret)
{
	return !digest_parse(ret, text, NULL) && (!algorithm || ret->algorithm == algorithm);
}

static int untagged_lookup(struct fs *fs, struct node *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	enum digest_algorithm algorithm = dir->place.algorithm;
	const struct name_list *untagged;
	char text[DIGEST_TEXT_MAX];
	struct digest digest;
	int rc;

	if (!algorithm)
		return enter_algorithm(fs, dir, name, ret, need);
	rc = untagged_get(fs, dir->place.repository, &untagged, need);
	if (rc)
		return rc;
	if (digest_parse_parts(&digest, digest_algorithm_name(algorithm), name, NULL) ||
		!name_list_has(untagged, digest_format(&digest, text)))
		return no_such_file(need, name);
	return enter_digest(fs, dir, name, &digest, ret);
}

static int untagged_list(struct fs *fs, struct node *dir, struct listing *ret, struct need *need)
{
	enum digest_algorithm algorithm = dir->place.algorithm;
	bool has[ARRAY_SIZE(algorithms)] = { false };
	const struct name_list *untagged;
	struct digest digest;
	char hex[DIGEST_HEX_MAX];
	int rc = untagged_get(fs, dir->place.repository, &untagged, need);

	for (size_t i = 0; !rc && i < untagged->count; i++) {
		if (!parse_listed(untagged->names[i], algorithm, &digest))
			continue;
		if (algorithm)
			rc = listing_add(ret, digest_hex(&digest, hex), S_IFDIR, 0);
		for (size_t k = 0; k < ARRAY_SIZE(algorithms); k++)
			has[k] |= digest.algorithm == algorithms[k].algorithm;
	}
	for (size_t k = 0; !rc && !algorithm && k < ARRAY_SIZE(algorithms); k++)
		if (has[k])
			rc = listing_add(ret, algorithms[k].name, S_IFDIR, 0);
	return rc;
}

const struct view view_untagged = {
	.name = "untagged", .type = S_IFDIR, .lookup = untagged_lookup, .list = untagged_list
};
