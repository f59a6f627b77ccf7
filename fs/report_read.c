/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/report.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fetch/file.h"
#include "fs/report_walk.h"
#include "model/cleanup.h"
#include "model/image.h"
#include "model/json.h"

enum { SMALL_MAX = 64 << 10, INFO_MAX = 8 << 20 };

void report_release(struct report *report)
{
	for (size_t i = 0; i < report->layer_count; i++) {
		free(report->layers[i].digest);
		free(report->layers[i].diff_id);
		free(report->layers[i].created);
		free(report->layers[i].created_by);
	}
	for (size_t i = 0; i < report->waste_count; i++)
		free(report->waste[i].path);
	free(report->layers);
	free(report->waste);
	free(report->source);
	free(report->image);
	free(report->digest);
	free(report->platform);
	free(report->created);
	paths_release(&report->paths);
	*report = (struct report){ .layers = NULL };
}

static int out_of_memory(struct error *err)
{
	return error_set(err, ENOMEM, "out of memory");
}

__attribute__((format(printf, 2, 3))) static int make_path(char **ret, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(ret, fmt, ap);
	va_end(ap);
	if (n < 0)
		*ret = NULL; /* not set on failure */
	return n < 0 ? -ENOMEM : 0;
}

static bool is_there(const char *directory, const char *name)
{
	CLEANUP(freep) char *path = NULL;
	struct stat st;

	return !make_path(&path, "%s/%s", directory, name) && !lstat(path, &st);
}

/* --- where the image is --- */

/* The first line of a file, or "" when it cannot be read. */
static char *first_line(const char *path)
{
	CLEANUP(buf_release) struct buf text = { .max = SMALL_MAX };

	if (file_read(&text, path, NULL) || !text.data)
		return strdup("");
	text.data[strcspn(text.data, "\n")] = '\0';
	return buf_take(&text, NULL);
}

/* How much of an absolute path names the mount that it leads into. */
static size_t mount_len(const char *path)
{
	CLEANUP(freep) char *above = strdup(path);
	struct stat st, st_above;
	size_t len = strlen(path);
	char *slash;

	if (!above || stat(path, &st))
		return len;
	while ((slash = strrchr(above, '/')) != NULL) {
		slash[slash == above] = '\0'; /* "/" stays */
		if (stat(above, &st_above) || st_above.st_dev != st.st_dev)
			break;
		len = strlen(above);
		if (slash == above)
			break;
	}
	return len;
}

/* What is mounted, and the way from there to the image; without a mount, the directory as given. */
static int read_place(struct report *report, const char *directory, struct error *err)
{
	CLEANUP(freep) char *whole = realpath(directory, NULL);
	CLEANUP(freep) char *path = NULL;
	size_t len;

	if (!whole)
		return error_set(err, errno, "%s: %s", directory, strerror(errno));
	len = mount_len(whole);
	if (make_path(&path, "%.*s/.imgfs/source", (int)len, whole))
		return out_of_memory(err);
	report->source = first_line(path);
	report->image = !report->source || !*report->source ? strdup(directory)
			: whole[len] == '/'                 ? strdup(whole + len + 1)
							    : strdup("");
	return report->source && report->image ? 0 : out_of_memory(err);
}

/* --- the image --- */

static int read_config(struct report *report, const char *path, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { .max = DOCUMENT_MAX };
	CLEANUP(image_release) struct image image = { .has_config = false };
	char platform[PLATFORM_NAME_MAX];
	int rc = file_read(&text, path, err);

	if (!rc)
		rc = image_parse_config(&image, text.data ? text.data : "", text.len, err);
	if (rc)
		return rc;
	report->platform = strdup(platform_format(&image.parsed.platform, platform));
	report->created = strdup(image.parsed.created);
	return report->platform && report->created ? 0 : out_of_memory(err);
}

static int read_image(struct report *report, const char *directory, struct error *err)
{
	CLEANUP(freep) char *digest = NULL;
	CLEANUP(freep) char *config = NULL;

	if (make_path(&digest, "%s/digest", directory) ||
		make_path(&config, "%s/config.json", directory))
		return out_of_memory(err);
	report->digest = first_line(digest);
	if (!report->digest)
		return out_of_memory(err);
	report->has_rootfs = is_there(directory, "rootfs");
	if (report->has_rootfs)
		return read_config(report, config, err);
	report->platform = strdup("");
	report->created = strdup("");
	return report->platform && report->created ? 0 : out_of_memory(err);
}

/* --- a layer --- */

static int read_text(char **ret, struct json_object *object, const char *name, struct error *err)
{
	CLEANUP(freep) char *text = NULL;
	int rc = json_get_string(object, name, &text, err);

	if (rc || !text)
		return rc;
	free(*ret);
	*ret = TAKE(text);
	return 0;
}

static int parse_info(struct report_layer *layer, const struct buf *text, struct error *err)
{
	CLEANUP(json_putp) struct json_object *info = NULL;
	struct json_object *descriptor = NULL, *history = NULL;
	int rc = json_parse(&info, text->data ? text->data : "", text->len, err);

	if (!rc)
		rc = json_get_object(info, "descriptor", &descriptor, err);
	if (!rc)
		rc = json_get_object(info, "history", &history, err);
	if (!rc && descriptor)
		rc = json_get_size(descriptor, "size", &layer->stored_size, err);
	if (!rc && descriptor)
		rc = read_text(&layer->digest, descriptor, "digest", err);
	if (!rc && history)
		rc = read_text(&layer->created, history, "created", err);
	if (!rc && history)
		rc = read_text(&layer->created_by, history, "created_by", err);
	if (!rc)
		rc = read_text(&layer->diff_id, info, "diffID", err);
	/* What was found counts more than what was told. */
	if (!rc)
		rc = read_text(&layer->digest, info, "foundDigest", err);
	if (!rc)
		rc = read_text(&layer->diff_id, info, "foundDiffID", err);
	if (!rc)
		rc = json_get_size(info, "storedSize", &layer->stored_size, err);
	if (!rc)
		rc = json_get_size(info, "uncompressedSize", &layer->plain_size, err);
	return rc;
}

static int read_info(struct report_layer *layer, const char *directory, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { .max = INFO_MAX };
	CLEANUP(freep) char *path = NULL;
	int rc;

	if (make_path(&path, "%s/info.json", directory))
		return out_of_memory(err);
	rc = file_read(&text, path, err);
	if (rc)
		return rc;
	rc = parse_info(layer, &text, err);
	return rc ? error_prefix(err, rc, "%s", path) : 0;
}

/* Lines are "A /path"; no name breaks one.  What would be too long for a file is not known. */
static int count_changes(struct report_layer *layer, const char *directory, struct error *err)
{
	CLEANUP(freep) char *path = NULL;
	CLEANUP(freep) char *line = NULL;
	size_t room = 0;
	FILE *file;
	int rc = 0;

	if (make_path(&path, "%s/changes.txt", directory))
		return out_of_memory(err);
	file = fopen(path, "re");
	if (!file && errno == EFBIG) {
		layer->added = layer->modified = layer->deleted = REPORT_UNKNOWN;
		return 0;
	}
	if (!file)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	while (getline(&line, &room, file) > 0) {
		layer->added += *line == 'A';
		layer->modified += *line == 'M';
		layer->deleted += *line == 'D';
	}
	if (ferror(file))
		rc = error_set(err, errno, "%s: %s", path, strerror(errno));
	(void)fclose(file); /* only read */
	return rc;
}

static int read_layer(
	struct report *report, const char *layers, const char *name, struct error *err)
{
	struct report_layer *layer = &report->layers[report->layer_count];
	CLEANUP(freep) char *directory = NULL;
	CLEANUP(freep) char *diff = NULL;
	int rc = 0;

	*layer = (struct report_layer){ .stored_size = REPORT_UNKNOWN,
		.plain_size = REPORT_UNKNOWN,
		.digest = strdup(""),
		.diff_id = strdup(""),
		.created = strdup(""),
		.created_by = strdup("") };
	report->layer_count++; /* what fails from here on is released with the rest */
	if (!layer->digest || !layer->diff_id || !layer->created || !layer->created_by ||
		make_path(&directory, "%s/%s", layers, name) ||
		make_path(&diff, "%s/diff", directory))
		return out_of_memory(err);
	if (report->has_rootfs) {
		rc = walk_layer(&report->paths, diff, err);
		paths_next_layer(&report->paths);
		if (!rc)
			rc = count_changes(layer, directory, err);
	}
	return rc ? rc : read_info(layer, directory, err); /* which tells more by now */
}

/* --- all layers --- */

static int is_layer(const struct dirent *entry)
{
	return *entry->d_name >= '0' && *entry->d_name <= '9';
}

static int read_layers(struct report *report, const char *directory, struct error *err)
{
	CLEANUP(freep) char *layers = NULL;
	struct dirent **names = NULL;
	int count, rc = 0;

	if (make_path(&layers, "%s/layers", directory))
		return out_of_memory(err);
	count = scandir(layers, &names, is_layer, versionsort); /* "02-..." before "100-..." */
	if (count < 0)
		return error_set(err, errno, "%s: %s", layers, strerror(errno));
	report->layers = calloc((size_t)count + 1, sizeof *report->layers);
	if (!report->layers)
		rc = out_of_memory(err);
	else if (count > IMAGE_LAYERS_MAX)
		rc = error_set(err, EFBIG, "%s: more than %d layers", layers, IMAGE_LAYERS_MAX);
	for (int i = 0; !rc && i < count; i++)
		rc = read_layer(report, layers, names[i]->d_name, err);
	for (int i = 0; i < count; i++)
		free(names[i]);
	free(names);
	return rc;
}

static int read_all(struct report *report, const char *directory, struct error *err)
{
	int rc = read_place(report, directory, err);

	if (!rc && !is_there(directory, "layers"))
		rc = error_set(err, ENOENT,
			"%s: no directory of an image\n"
			"hint: it is the one that holds layers/, like mnt/TAG/linux_amd64",
			directory);
	if (!rc && paths_init(&report->paths))
		rc = out_of_memory(err);
	if (!rc)
		rc = read_image(report, directory, err);
	if (!rc)
		rc = read_layers(report, directory, err);
	if (rc)
		return rc;
	paths_settle(&report->paths);
	return report_count(report, err);
}

int report_read(struct report *ret, const char *directory, struct error *err)
{
	CLEANUP(report_release) struct report report = { .layers = NULL };
	int rc = read_all(&report, directory, err);

	if (rc)
		return rc;
	*ret = report;
	report = (struct report){ .layers = NULL };
	return 0;
}
