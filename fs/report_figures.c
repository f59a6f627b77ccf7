/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"

static void add(uint64_t *sum, uint64_t size)
{
	*sum = size_sum(*sum, size);
}

static bool is_wasted(const struct path_file *file)
{
	return !file->is_uncounted && file->end != LAYER_NONE;
}

static void add_size(uint64_t *sum, uint64_t size)
{
	if (size == REPORT_UNKNOWN || *sum == REPORT_UNKNOWN)
		*sum = REPORT_UNKNOWN;
	else
		add(sum, size);
}

static void count_layers(struct report *report)
{
	for (size_t i = 0; i < report->layer_count; i++) {
		add_size(&report->stored_size, report->layers[i].stored_size);
		add_size(&report->plain_size, report->layers[i].plain_size);
	}
}

static void count_files(struct report *report)
{
	for (uint32_t i = 0; i < report->paths.file_count; i++) {
		const struct path_file *file = &report->paths.files[i];
		struct report_layer *layer = &report->layers[file->layer];

		if (file->is_uncounted)
			continue;
		layer->files++;
		add(&layer->file_bytes, file->size);
		add(&report->file_bytes, file->size);
		if (is_wasted(file)) {
			add(&layer->wasted_bytes, file->size);
			add(&report->wasted_bytes, file->size);
			report->wasted_files++;
		} else {
			add(&report->rootfs_bytes, file->size);
			report->rootfs_files++;
		}
	}
}

static void count_paths(struct report *report)
{
	const struct paths *paths = &report->paths;

	for (uint32_t i = 0; i < paths->node_count; i++) {
		uint64_t smallest = UINT64_MAX;

		for (uint32_t f = paths->nodes[i].file; f != PATH_NONE;
			f = paths->files[f].before) {
			const struct path_file *file = &paths->files[f];
			uint64_t least = file->is_deleted ? 0 : file->size;

			if (file->is_uncounted)
				continue;
			smallest = least < smallest ? least : smallest;
		}
		if (smallest != UINT64_MAX)
			add(&report->smallest_bytes, smallest);
	}
}

double report_efficiency(const struct report *report)
{
	return report->file_bytes ? (double)report->smallest_bytes / (double)report->file_bytes : 1;
}

/* --- the largest --- */

/* Files come by layer and path: what is as large keeps that order. */
static int compare_files(const void *a, const void *b, void *context)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	const struct path_file *files = context;

	if (files[x].size != files[y].size)
		return files[x].size > files[y].size ? -1 : 1;
	return x < y ? -1 : 1;
}

static int name_waste(struct report_waste *waste, const struct paths *paths, uint32_t number)
{
	const struct path_file *file = &paths->files[number];
	struct buf path;

	buf_init(&path, PATH_NAMES_MAX);
	paths_format(paths, file->path, &path);
	*waste = (struct report_waste){
		.path = buf_take(&path, NULL),
		.size = file->size,
		.layer = file->layer,
		.end = file->end,
		.is_deleted = file->is_deleted,
	};
	return waste->path ? 0 : -ENOMEM;
}

static int list_waste(struct report *report)
{
	const struct paths *paths = &report->paths;
	CLEANUP(freep) uint32_t *wasted = calloc(report->wasted_files + 1, sizeof *wasted);
	size_t count = 0;
	int rc = 0;

	report->waste = calloc(REPORT_WASTE_MAX, sizeof *report->waste);
	if (!wasted || !report->waste)
		return -ENOMEM;
	for (uint32_t i = 0; i < paths->file_count; i++)
		if (is_wasted(&paths->files[i]) && paths->files[i].size)
			wasted[count++] = i;
	qsort_r(wasted, count, sizeof *wasted, compare_files, paths->files);
	for (size_t i = 0; !rc && i < count && i < REPORT_WASTE_MAX; i++)
		rc = name_waste(&report->waste[report->waste_count++], paths, wasted[i]);
	return rc;
}

int report_count(struct report *report, struct error *err)
{
	int rc;

	count_layers(report);
	count_files(report);
	count_paths(report);
	rc = list_waste(report);
	return rc ? error_set(err, -rc, "%s", strerror(-rc)) : 0;
}
