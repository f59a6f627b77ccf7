/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal -- what the forms of a bundle share.  Nobody outside fetch/bundle includes this.
 *
 *	bundle.c      the calls of bundle.h; which form a path is
 *	steps.c       a path being walked, with the links in it
 *	directory.c   files of a directory
 *	archive.c     members of a tar archive, plain or compressed
 *	compressed.c  the index of a compressed one, made once
 *	spans.c       its plain stream, read through the index
 */
#ifndef FETCH_BUNDLE_INTERNAL_H
#define FETCH_BUNDLE_INTERNAL_H

#include <limits.h>

#include "fetch/bundle/bundle.h"

struct bundle_ops {
	bool is_archive;
	/* As in bundle.h; the caller names the path in front of the error. */
	int (*file)(
		struct bundle *bundle, const char *path, struct reader **ret, struct error *err);
	/* Any order. */
	int (*list)(struct bundle *bundle, const char *directory, struct name_list *ret,
		struct error *err);
	void (*free)(struct bundle *bundle);
};

struct bundle {
	const struct bundle_ops *ops;
	char *name; /* bundle.c's */
};

/* Takes the fd of a directory, even on failure. */
int directory_open(struct bundle **ret, int fd, struct error *err);

/* How an archive is to be indexed. */
struct archive_job {
	struct reader *archive;    /* borrowed */
	const char *name;          /* for messages; with a cache, the path */
	struct cache *cache;       /* may be NULL */
	struct observer *observer; /* may be NULL */
	struct cancel *cancel;     /* may be NULL */
};
int archive_open(struct bundle **ret, const struct archive_job *job, struct error *err);

/* A compressed archive's index, and where the cache or a temporary file has it, its spool. */
struct layer;
struct archive_index {
	struct layer *layer;
	int spool_fd; /* -1: none is needed */
};
#define ARCHIVE_INDEX_NONE ((struct archive_index){ NULL, -1 })
int compressed_index(struct archive_index *ret, const struct archive_job *job, struct error *err);
void archive_index_release(struct archive_index *idx);
/* A span proved to be damaged: the next one to open the archive makes index and spool anew. */
void compressed_forget(struct cache *cache, const struct layer *layer);

/* The plain stream.  Takes what is in the index, even on failure; references the archive. */
int spans_open(struct reader **ret, const struct archive_job *job, struct archive_index *idx,
	struct error *err);

/* A path being walked: the target of each link takes its place. */
struct steps {
	char text[PATH_MAX];
	char *rest; /* in text: what was not walked yet */
	unsigned links;
};

int steps_begin(struct steps *steps, const char *path, struct error *err);
/* The next component, NULL behind the last; good until the next call.  May be "..". */
const char *steps_next(struct steps *steps);
static inline bool steps_is_last(const struct steps *steps)
{
	return !*steps->rest;
}
/* The component just given is a link, to be walked from where it lies. */
int steps_follow(struct steps *steps, const char *target, struct error *err);
/* Nothing of that name: -ENOENT, behind a link -EIO. */
int steps_missing(const struct steps *steps, struct error *err);
/* ".." at the top, or an absolute link: -EIO. */
int steps_leave(struct error *err);

/* What is there is no regular file: -EIO. */
int not_regular(struct error *err);

#endif
