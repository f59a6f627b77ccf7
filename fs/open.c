/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One function per step: what SOURCE names is opened as a source, joined with
 * the cache as the store, and asked for the one thing that the root shows.
 *
 * What lies in local files is opened without a deadline (an archive that is
 * compressed is read once from its start to its end); what answers over a
 * network or a socket has mount_timeout.
 *
 * A registry that is away is no reason to do without what the cache has of it:
 * then that is mounted, with a warning.  There must be something to see, though.
 */
#include "fs/open.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/archive/archive.h"
#include "fetch/bundle/bundle.h"
#include "fetch/daemon/daemon.h"
#include "fetch/dir/dir.h"
#include "fetch/layout/layout.h"
#include "fetch/mirrors/mirrors.h"
#include "fetch/registry/registry.h"
#include "fetch/registry_v1/registry_v1.h"
#include "fs/objects.h"
#include "fs/views.h"
#include "fs/watch.h"
#include "model/cleanup.h"
#include "model/reference.h"
#include "version.h"

/* --- the source --- */

static struct http_config http_config(const struct options *options)
{
	static const char own_user_agent[] = "imgfs/" IMGFS_VERSION;

	return (struct http_config){
		.proxy = options->proxy,
		.user_agent = options->user_agent ? options->user_agent : own_user_agent,
		.verify_tls = options->tls_verify,
		.connect_timeout_ms = (unsigned)options->connect_timeout_ms,
		.stall_timeout_ms = (unsigned)options->stall_timeout_ms,
		.retries = (unsigned)options->retries,
		.max_connections = fs_transfers_max(options),
	};
}

static int open_registry(struct fs *fs, struct source **ret, struct error *err)
{
	const struct options *options = fs->options;
	struct registry_config config = {
		.host = options->reference.host,
		.authfile = options->authfile,
		.realm = options->realm,
		.no_credentials = options->no_creds,
		.cert_dir = options->cert_dir,
		.http = http_config(options),
	};

	struct routes routes = { .tables = NULL };
	int rc;

	if (options->transport == TRANSPORT_REGISTRY_V1)
		return registry_v1_open(ret, &config, fs->observer, err);
	rc = routes_load(&routes, options->registries_conf, err);
	return rc ? rc : mirrors_open(ret, &config, &routes, fs->observer, err);
}

/* What the path holds, by its content.  Docker 25 writes both forms into one archive. */
static int find_transport(struct bundle *bundle, enum source_transport *ret, struct error *err)
{
	if (docker_archive_is(bundle) && !docker_archive_prefers_layout(bundle))
		*ret = TRANSPORT_DOCKER_ARCHIVE;
	else if (layout_is(bundle))
		*ret = TRANSPORT_LAYOUT;
	else if (dir_is(bundle))
		*ret = TRANSPORT_DIR;
	else
		return error_set(err, ENOENT,
			"not an image: neither an OCI layout (oci-layout), nor what docker save or "
			"skopeo copy write (manifest.json, repositories, version)");
	return 0;
}

static int open_local(struct fs *fs, struct source **ret, struct cancel *cancel, struct error *err)
{
	enum source_transport transport = fs->options->transport;
	struct bundle *bundle;
	int rc = bundle_open(&bundle, fs->options->path, fs->cache, fs->observer, cancel, err);

	if (rc)
		return rc;
	if (transport == TRANSPORT_PATH)
		rc = find_transport(bundle, &transport, err);
	if (rc) {
		bundle_free(bundle);
		return rc;
	}
	if (transport == TRANSPORT_DOCKER_ARCHIVE)
		return docker_archive_open(ret, bundle, fs->observer, cancel, err);
	if (transport == TRANSPORT_DIR)
		return dir_open(ret, bundle, fs->observer, err);
	return layout_open(ret, bundle, fs->observer, err);
}

static int open_source(struct fs *fs, struct source **ret, struct cancel *cancel, struct error *err)
{
	const struct daemon_config daemon = { .cache = fs->cache };

	switch (fs->options->transport) {
	case TRANSPORT_REGISTRY:
	case TRANSPORT_REGISTRY_V1:
		return open_registry(fs, ret, err);
	case TRANSPORT_DAEMON:
		return daemon_open(ret, &daemon, fs->observer, err);
	case TRANSPORT_LAYOUT:
	case TRANSPORT_OCI_ARCHIVE:
	case TRANSPORT_DOCKER_ARCHIVE:
	case TRANSPORT_DIR:
	case TRANSPORT_PATH:
		break;
	}
	return open_local(fs, ret, cancel, err);
}

/* Names the source in the cache: what one host calls a tag in two protocols are two things. */
static char *cache_host(const struct options *options)
{
	char *host = NULL;

	if (!options_has_registry(options))
		return strdup("");
	if (asprintf(&host, "%s%s", options->transport == TRANSPORT_REGISTRY_V1 ? "docker-v1+" : "",
		    options->reference.host) < 0)
		return NULL;
	return host;
}

static int open_store(struct fs *fs, struct cancel *cancel, struct error *err)
{
	const struct options *options = fs->options;
	const struct http_config http = http_config(options);
	CLEANUP(freep) char *host = cache_host(options);
	struct store_config config = {
		.host = host,
		.offline = options->offline,
		.fetch_limit = options->fetch_limit,
		.follow_urls = options->foreign_layers,
		.http = &http,
	};
	struct source *source;
	int rc = host ? open_source(fs, &source, cancel, err)
		      : error_set(err, ENOMEM, "out of memory");

	if (rc)
		return rc;
	return store_new(&fs->store, source, fs->cache, &config, fs->observer, err);
}

/* --- the root --- */

static int set_names(struct fs *fs, struct place *place, const char *repository, size_t len,
	const char *tag, struct error *err)
{
	CLEANUP(freep) char *copy = strndup(repository, len);

	place->repository = copy ? intern(fs, copy) : NULL;
	place->tag = tag ? intern(fs, tag) : NULL;
	if (!place->repository || (tag && !place->tag))
		return error_set(err, ENOMEM, "out of memory");
	return 0;
}

/* 0, or -ENOENT. */
static int check_tag(
	struct fs *fs, const struct place *place, struct cancel *cancel, struct error *err)
{
	struct name_list tags = { NULL, 0 };
	int rc = store_tags(fs->store, place->repository, &tags, cancel, err);

	if (!rc && place->tag && !name_list_has(&tags, place->tag))
		rc = error_set(err, ENOENT, "no image is called '%s'", fs->options->ref);
	name_list_release(&tags);
	return rc;
}

/* The other ways to write a repository: short, as Docker does, and in full, as podman and skopeo
 * do.  Owned by the caller; NULL: there is none. */
static char *other_spelling(const char *repository, bool in_full)
{
	struct reference reference;
	char *text = NULL;

	if (reference_parse(&reference, repository, NULL))
		return NULL;
	if (!in_full)
		text = reference_familiar(reference.host, reference.repository);
	else if (asprintf(&text, "%s/%s", reference.host, reference.repository) < 0)
		text = NULL;
	reference_release(&reference);
	return text;
}

/* The image, or without a tag the repository, however it is spelled there.  0, or -ENOENT. */
static int find_name(struct fs *fs, struct place *place, const char *repository, size_t len,
	const char *tag, struct cancel *cancel, struct error *err)
{
	struct error unused;
	int rc = set_names(fs, place, repository, len, tag, err);

	if (!rc)
		rc = check_tag(fs, place, cancel, err);
	for (int in_full = 0; rc == -ENOENT && in_full < 2; in_full++) {
		CLEANUP(freep) char *given = strndup(repository, len);
		CLEANUP(freep) char *other = given ? other_spelling(given, in_full) : NULL;

		if (other && strcmp(other, given) != 0 &&
			!set_names(fs, place, other, strlen(other), tag, &unused) &&
			!check_tag(fs, place, cancel, &unused))
			return 0;
	}
	return rc;
}

/* Of an engine: REPOSITORY, or REPOSITORY:TAG. */
static int find_daemon_ref(struct fs *fs, struct place *place, const struct view **ret_view,
	struct cancel *cancel, struct error *err)
{
	const char *ref = fs->options->ref;
	const char *tag;
	size_t len = name_split(ref, strlen(ref), &tag);

	*ret_view = tag ? image_view(fs) : &view_tags;
	return fs->options->nocheck ? set_names(fs, place, ref, len, tag, err)
				    : find_name(fs, place, ref, len, tag, cancel, err);
}

/* A REF is a tag, or REPOSITORY:TAG, or a repository whose tag is "latest". */
static int find_ref(struct fs *fs, struct place *place, struct cancel *cancel, struct error *err)
{
	const char *ref = fs->options->ref;
	const char *tag;
	size_t len = name_split(ref, strlen(ref), &tag);
	int rc;

	if (tag && !store_source(fs->store)->is_single_repository)
		return find_name(fs, place, ref, len, tag, cancel, err);
	rc = set_names(fs, place, "", 0, ref, err);
	if (!rc)
		rc = check_tag(fs, place, cancel, err);
	if (rc != -ENOENT || tag)
		return rc;
	return find_name(fs, place, ref, len, "latest", cancel, err);
}

/* --- the only image --- */

static int is_not_only(struct fs *fs, struct error *err)
{
	return error_set(err, EINVAL,
		"option 'rootfs' needs one image\nhint: name one of them, as in %s:TAG or ref=",
		fs->options->source);
}

/* One more name of it, or else it is not the only one. */
static int take_only(struct fs *fs, struct place *place, const char *repository, const char *tag,
	const struct digest *digest, struct error *err)
{
	if (digest_is_set(&place->image))
		return digest_equal(&place->image, digest) ? 0 : is_not_only(fs, err);
	place->image = *digest;
	return set_names(fs, place, repository, strlen(repository), tag, err);
}

static int take_tags(struct fs *fs, struct place *place, const char *repository,
	struct cancel *cancel, struct error *err)
{
	struct name_list tags = { NULL, 0 };
	int rc = store_tags(fs->store, repository, &tags, cancel, err);

	for (size_t i = 0; !rc && i < tags.count; i++) {
		struct descriptor found = { 0 };

		rc = store_resolve(fs->store, repository, tags.names[i], &found, cancel, err);
		if (!rc)
			rc = take_only(fs, place, repository, tags.names[i], &found.digest, err);
		descriptor_release(&found);
	}
	name_list_release(&tags);
	return rc;
}

static int take_untagged(struct fs *fs, struct place *place, const char *repository,
	struct cancel *cancel, struct error *err)
{
	struct source *source = store_source(fs->store);
	struct name_list digests = { NULL, 0 };
	int rc = source->ops->untagged
			 ? source->ops->untagged(source, repository, &digests, cancel, err)
			 : 0;

	for (size_t i = 0; !rc && i < digests.count; i++) {
		struct digest digest;

		rc = digest_parse(&digest, digests.names[i], err);
		if (!rc)
			rc = take_only(fs, place, repository, NULL, &digest, err);
	}
	name_list_release(&digests);
	return rc;
}

/* Where the names of a source all lead to one image, that is the one. */
static int find_only_named(
	struct fs *fs, struct place *place, struct cancel *cancel, struct error *err)
{
	struct source *source = store_source(fs->store);
	struct name_list repositories = { NULL, 0 };
	int rc = source->is_single_repository
			 ? name_list_add(&repositories, "", err)
			 : store_repositories(fs->store, &repositories, cancel, err);

	for (size_t i = 0; !rc && i < repositories.count; i++) {
		rc = take_tags(fs, place, repositories.names[i], cancel, err);
		if (!rc)
			rc = take_untagged(fs, place, repositories.names[i], cancel, err);
	}
	name_list_release(&repositories);
	return rc || digest_is_set(&place->image) ? rc : is_not_only(fs, err);
}

/* The one image of a source that can have no other. */
static int find_only_image(
	struct fs *fs, struct place *place, struct cancel *cancel, struct error *err)
{
	struct descriptor descriptor = { 0 };
	int rc = store_resolve(fs->store, "", "", &descriptor, cancel, err);

	place->repository = "";
	place->image = descriptor.digest;
	descriptor_release(&descriptor);
	return rc;
}

static int find_local_root(struct fs *fs, struct place *place, const struct view **ret_view,
	struct cancel *cancel, struct error *err)
{
	struct source *source = store_source(fs->store);

	*ret_view = image_view(fs);
	if (fs->options->ref)
		return source->kind == SOURCE_DAEMON
			       ? find_daemon_ref(fs, place, ret_view, cancel, err)
			       : find_ref(fs, place, cancel, err);
	if (source->is_single_image)
		return find_only_image(fs, place, cancel, err);
	if (fs->options->rootfs)
		return find_only_named(fs, place, cancel, err);
	place->repository = "";
	*ret_view = source->is_single_repository ? &view_tags : &view_repositories;
	return fs->options->nocheck ? 0 : source->ops->probe(source, NULL, cancel, err);
}

/* When there is no such tag, the repository tells what is amiss. */
static int tell_missing(struct fs *fs, const struct place *place, int rc, struct error *why,
	struct cancel *cancel, struct error *err)
{
	int probed = 0;

	if (rc == -ENOENT || rc == -EACCES)
		probed = store_probe(fs->store, place->repository, false, cancel, err);
	return probed ? probed : error_set(err, -rc, "%s", why->text);
}

/* The tag's own answer is probe enough. */
static int resolve_root(
	struct fs *fs, struct place *place, struct cancel *cancel, struct error *err)
{
	struct descriptor descriptor = { 0 };
	struct error why = { "" };
	int rc = store_resolve_to_read(
		fs->store, place->repository, place->tag, &descriptor, cancel, &why);

	if (rc)
		return tell_missing(fs, place, rc, &why, cancel, err);
	place->image = descriptor.digest;
	descriptor_release(&descriptor);
	return 0;
}

/* An image that nobody can be asked for is there if the cache has it. */
static int check_cached(struct fs *fs, const struct place *place, struct error *err)
{
	struct store_away away;

	if (!digest_is_set(&place->image) || !store_is_away(fs->store, &away) ||
		store_has_manifest(fs->store, place->repository, &place->image))
		return 0;
	return error_set(err, -away.rc, "%s", away.why.text);
}

static int find_registry_root(struct fs *fs, struct place *place, const struct view **ret_view,
	struct cancel *cancel, struct error *err)
{
	const struct options *options = fs->options;
	const struct reference *reference = &options->reference;
	int rc;

	place->repository = intern(fs, reference->repository);
	place->tag = reference->tag ? intern(fs, reference->tag) : NULL;
	place->image = reference->digest;
	*ret_view = reference->is_directory                        ? &view_repositories
		    : !place->tag && !digest_is_set(&place->image) ? &view_tags
								   : image_view(fs);
	if (options->nocheck || options->offline)
		return 0;
	rc = place->tag && !digest_is_set(&place->image)
		     ? resolve_root(fs, place, cancel, err)
		     : store_probe(
			       fs->store, place->repository, reference->is_directory, cancel, err);
	return rc ? rc : check_cached(fs, place, err);
}

/* --- the platform --- */

/* What the images of a place run on, as far as that can be told at once. */
struct platforms {
	bool may_fit; /* one does, or some do not say */
	struct buf names;
};

enum { PLATFORM_NAMES_MAX = 200 }; /* bytes: for a message */

static void take_platform(struct fs *fs, struct platforms *found, const struct platform *platform)
{
	char text[PLATFORM_NAME_MAX];

	found->may_fit |= platform_match(&fs->options->wanted, platform) > 0;
	(void)buf_printf(&found->names, "%s%s", found->names.len ? ", " : "",
		platform_format(platform, text)); /* cut short when there are many */
}

static int take_index(struct fs *fs, struct platforms *found, enum document_kind kind,
	const char *bytes, size_t len, struct error *err)
{
	struct image_index idx = { 0 };
	int rc = image_index_parse(&idx, kind, bytes, len, err);

	for (size_t i = 0; i < idx.entry_count; i++) {
		const struct descriptor *entry = &idx.entries[i];

		if (image_index_entry_is_attestation(entry, NULL))
			continue;
		if (entry->has_platform)
			take_platform(fs, found, &entry->platform);
		else
			found->may_fit = true;
	}
	image_index_release(&idx);
	return rc;
}

static int read_config(struct fs *fs, const struct place *place, struct image *image,
	struct cancel *cancel, struct error *err)
{
	CLEANUP(freep) char *bytes = NULL;
	size_t len;
	int rc = store_document(fs->store, STORE_FETCH, place->repository, &image->config, &bytes,
		&len, cancel, err);

	return rc ? rc : image_parse_config(image, bytes, len, err);
}

static int take_manifest(struct fs *fs, const struct place *place, struct platforms *found,
	enum document_kind kind, const char *bytes, size_t len, struct cancel *cancel,
	struct error *err)
{
	struct image image = { 0 };
	int rc = image_parse(&image, kind, bytes, len, err);

	if (!rc && !image.is_artifact && !image.has_config)
		rc = read_config(fs, place, &image, cancel, err);
	if (!rc && image.has_config)
		take_platform(fs, found, &image.parsed.platform);
	else
		found->may_fit = true;
	image_release(&image);
	return rc;
}

static int find_platforms(struct fs *fs, const struct place *place, struct platforms *found,
	struct cancel *cancel, struct error *err)
{
	struct descriptor descriptor = { .digest = place->image };
	CLEANUP(freep) char *bytes = NULL;
	CLEANUP(freep) char *type = NULL;
	enum document_kind kind;
	size_t len;
	int rc = 0;

	if (!digest_is_set(&place->image))
		rc = store_resolve_to_read(
			fs->store, place->repository, place->tag, &descriptor, cancel, err);
	if (!rc)
		rc = store_manifest(fs->store, STORE_FETCH, place->repository, &descriptor.digest,
			&bytes, &len, &type, cancel, err);
	descriptor_release(&descriptor);
	if (!rc)
		rc = document_kind(&kind, type, bytes, len, err);
	if (rc)
		return rc;
	if (kind == DOCUMENT_OCI_INDEX || kind == DOCUMENT_DOCKER_LIST)
		return take_index(fs, found, kind, bytes, len, err);
	return take_manifest(fs, place, found, kind, bytes, len, cancel, err);
}

/* An image that is not there for the platform is no mount.  What cannot be read is one: its root
 * says what is wrong.  An engine would have to save the image first. */
static int check_platform(
	struct fs *fs, const struct place *place, struct cancel *cancel, struct error *err)
{
	struct platforms found = { .names.max = PLATFORM_NAMES_MAX };
	struct error why = { "" };
	int rc;

	if (fs->options->nocheck || fs->options->transport == TRANSPORT_DAEMON)
		return 0;
	rc = find_platforms(fs, place, &found, cancel, &why);
	if (rc == -EINTR)
		*err = why;
	else if (!rc && !found.may_fit)
		rc = error_set(err, ENOENT, "no image for platform %s\nhint: there is %s",
			fs->options->platform, found.names.len ? found.names.data : "none");
	else
		rc = 0;
	buf_release(&found.names);
	return rc;
}

static int find_root(struct fs *fs, struct cancel *cancel, struct error *err)
{
	struct node *root = node_root(fs);
	const struct view *view = NULL;
	int rc = options_has_registry(fs->options)
			 ? find_registry_root(fs, &root->place, &view, cancel, err)
			 : find_local_root(fs, &root->place, &view, cancel, err);

	root->view = fs->options->rootfs ? &view_rootfs : view;
	return rc;
}

static int open_and_find(struct fs *fs, struct cancel *cancel, struct error *err)
{
	struct node *root = node_root(fs);
	int rc = open_store(fs, cancel, err);

	if (!rc)
		rc = find_root(fs, cancel, err);
	if (!rc && (root->view == &view_platform || root->view == &view_rootfs))
		rc = check_platform(fs, &root->place, cancel, err);
	return rc;
}

/* The time was up (rc, err): what the cache has will do.  Nobody is asked, since all that would
 * wait ends at once. */
static int find_cached(struct fs *fs, int rc, struct error *err)
{
	struct cancel spent;
	struct error why;

	store_note_away(fs->store, rc, err);
	cancel_init(&spent);
	cancel_set(&spent);
	if (!find_root(fs, &spent, &why))
		rc = 0;
	cancel_release(&spent);
	return rc;
}

int open_root(struct fs *fs, int herald_fd, struct error *err)
{
	bool has_registry = options_has_registry(fs->options);
	bool is_remote = has_registry || fs->options->transport == TRANSPORT_DAEMON;
	struct watch watch;
	int rc = watch_start(
		&watch, is_remote ? fs->options->mount_timeout_ms : UINT64_MAX, herald_fd, err);

	if (rc)
		return rc;
	rc = watch_stop(&watch, open_and_find(fs, &watch.cancel, err), err);
	if (rc == -ETIMEDOUT && has_registry && fs->store)
		rc = find_cached(fs, rc, err);
	return rc ? error_prefix(err, rc, "%s", fs->options->source) : 0;
}
