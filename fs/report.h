/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report -- what an image is made of, and what of it later layers overwrote or deleted.
 *
 * It is read from the image's directory in a mount, as anybody could read it: the JSON of the
 * image and of its layers, and what is in each diff/.  Files are regular files, by the size that
 * stat tells, counted once however many names they have in their layer.
 *
 * wasted      the bytes of files that a later layer overwrote or deleted
 * efficiency  of each path, the smallest file that any layer has there (nothing, where one was
 *             deleted) and all of them together: the sum of the former by that of the latter
 */
#ifndef FS_REPORT_H
#define FS_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/report_paths.h"
#include "model/buf.h"
#include "model/error.h"

enum {
	REPORT_WASTE_MAX = 50,       /* files that are named */
	REPORT_TEXT_MAX = 256 << 20, /* bytes of a page, or of its JSON */
};

#define REPORT_UNKNOWN UINT64_MAX

struct report_layer {
	char *digest, *diff_id;            /* "" when nobody knows */
	char *created, *created_by;        /* "" when absent */
	uint64_t stored_size;              /* bytes of the blob; REPORT_UNKNOWN */
	uint64_t plain_size;               /* of its tar; REPORT_UNKNOWN */
	uint64_t added, modified, deleted; /* paths, as changes.txt has them; or REPORT_UNKNOWN */
	uint64_t files, file_bytes;
	uint64_t wasted_bytes; /* of file_bytes */
};

/* A file that is not there any more. */
struct report_waste {
	char *path;
	uint64_t size;
	unsigned layer, end; /* 0 is the base */
	bool is_deleted;     /* or overwritten */
};

struct report {
	char *source;                      /* what is mounted, or "" */
	char *image;                       /* its path in the mount, or as given */
	char *digest, *platform, *created; /* "" when absent */
	bool has_rootfs;             /* or else it is an artifact, and nothing is known of files */
	struct report_layer *layers; /* base first */
	size_t layer_count;
	struct paths paths; /* settled */

	uint64_t stored_size, plain_size; /* of all layers; REPORT_UNKNOWN, when one's is */
	uint64_t file_bytes;              /* of all layers: those in the rootfs and those wasted */
	uint64_t rootfs_files, rootfs_bytes, wasted_files, wasted_bytes;
	uint64_t smallest_bytes;    /* of each path, the smallest file; efficiency is its share */
	struct report_waste *waste; /* the largest first */
	size_t waste_count;
};

/* On failure there is nothing to release. */
int report_read(struct report *ret, const char *directory, struct error *err);
void report_release(struct report *report);

/* The sums, and the largest of what is wasted, from layers and paths; a part of report_read(). */
int report_count(struct report *report, struct error *err);
/* From 0 to 1; of no bytes, 1. */
double report_efficiency(const struct report *report);

/* What is too long shows in buf_status(ret). */
void report_write_json(const struct report *report, struct buf *ret);
int report_write_page(const struct report *report, struct buf *ret, struct error *err);

#endif
