/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle -- named files that belong together: a directory, or a tar archive read
 * in place.
 *
 * What `docker save`, oci-archive, "dir:" and OCI layouts have in common is a
 * handful of files with fixed names.  A bundle opens them by path, whatever they
 * lie in, so that each format is written once.
 *
 * An archive is indexed once, by its headers alone when it is plain (content is
 * skipped, not read).  A compressed one gets a seek index like a layer, kept in the cache by what
 * the file is (its path, size and times), and a small cache of decoded spans; nothing is ever
 * unpacked. The same member twice: the last one wins.  "./a", "/a" and "a" are one name. Symlinks
 * and hard links between members are followed inside the archive, a few steps. In a directory only
 * regular files inside it are opened; a symlink is followed if it leads to another file inside it
 * (as archives unpacked by hand have them), never out of it.
 *
 * What is kept of a compressed archive in the cache and proves to be damaged when it is read is
 * dropped (-EBADMSG); the next bundle makes it anew.
 *
 * Thread-safe.  Errors: -ENOENT, -EIO (malformed, or no regular file), -EFBIG.
 */
#ifndef FETCH_BUNDLE_BUNDLE_H
#define FETCH_BUNDLE_BUNDLE_H

#include "fetch/reader.h"
#include "fetch/source.h"

struct bundle;
struct cache;
struct observer;

enum {
	BUNDLE_MEMBERS_MAX = 1 << 20, /* members of one archive */
	BUNDLE_LINKS_MAX = 8,         /* links followed for one name */
	BUNDLE_SPANS_MIN = 4,         /* decoded spans kept of a compressed archive: */
	BUNDLE_SPANS_MAX = 16,        /* one for each processor, within these bounds */
};

/* path is a directory or an archive.  The cache is borrowed for as long as anybody reads; it may be
 * NULL: then a compressed archive is indexed anew by each mount.  observer and cancel may be NULL,
 * too. */
int bundle_open(struct bundle **ret, const char *path, struct cache *cache,
	struct observer *observer, struct cancel *cancel, struct error *err);
/* The same for an archive that is open already; the reader is referenced.  name is for
 * messages. */
int bundle_open_reader(struct bundle **ret, struct reader *archive, const char *name,
	struct observer *observer, struct cancel *cancel, struct error *err);
void bundle_free(struct bundle *bundle); /* NULL is fine */
CLEANUP_POINTER(bundlep, struct bundle, bundle_free)

const char *bundle_name(const struct bundle *bundle); /* its path, for messages */
bool bundle_is_archive(const struct bundle *bundle);

/* A regular file; path is relative, of plain components.  What went wrong is told with the path,
 * but not with the bundle's name. */
int bundle_file(struct bundle *bundle, const char *path, struct reader **ret, struct error *err);
/* All of a small one, into an initialised buf, whose ceiling applies (-EFBIG). */
int bundle_read(struct bundle *bundle, const char *path, struct buf *ret, struct error *err);
/* Names in a directory ("" is the top), sorted; directories too. */
int bundle_list(
	struct bundle *bundle, const char *directory, struct name_list *ret, struct error *err);
/* Tells one state of a file from another: of an archive, the archive's. */
int bundle_stat(struct bundle *bundle, const char *path, struct stat *ret, struct error *err);

#endif
