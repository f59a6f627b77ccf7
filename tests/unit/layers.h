/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layers -- trees out of a few lines of text, for tests of trees and merges.
 *
 *	d PATH [MODE]     directory          f PATH [SIZE]     file
 *	l PATH TARGET     symlink            h PATH TARGET     hard link
 *	c PATH            device 1:3         x PATH NAME=VALUE file with an attribute
 *
 * A file's data offset is 1000 times its line number, so tests see which one it is.
 */
#ifndef TESTS_UNIT_LAYERS_H
#define TESTS_UNIT_LAYERS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/error.h"
#include "model/tar/tar.h"
#include "model/tree/tree.h"

struct test_layer {
	struct tree tree;
	void *image;
	size_t len;
	uint32_t dropped;
};

static inline int layer_add_line(struct tree_builder *builder, const char *line, size_t number)
{
	char kind, path[600], word[600] = "";
	struct tar_xattr xattr = { 0 };
	struct tar_entry entry = {
		.path = path, .link = "", .mode = 0644, .mtime = 100, .data_offset = 1000 * number
	};

	if (sscanf(line, "%c %599s %599s", &kind, path, word) < 2)
		return 0;
	entry.path_len = strlen(path);
	switch (kind) {
	case 'd':
		entry.type = TAR_DIRECTORY;
		entry.mode = *word ? (uint32_t)strtoul(word, NULL, 8) : 0755;
		break;
	case 'f':
		entry.type = TAR_REGULAR;
		entry.size = entry.data_size = *word ? strtoull(word, NULL, 10) : 1;
		break;
	case 'l':
	case 'h':
		entry.type = kind == 'l' ? TAR_SYMLINK : TAR_HARDLINK;
		entry.link = word;
		entry.link_len = strlen(word);
		break;
	case 'c':
		entry.type = TAR_CHAR;
		entry.dev_major = 1;
		entry.dev_minor = 3;
		break;
	case 'x':
		entry.type = TAR_REGULAR;
		xattr.name = strtok(word, "=");
		xattr.value = strtok(NULL, "");
		xattr.value_len = strlen(xattr.value);
		entry.xattrs = &xattr;
		entry.xattr_count = 1;
		break;
	default:
		return -1;
	}
	return tree_builder_add(builder, &entry, NULL);
}

/* 0 when it was built and opened. */
static inline int layer_make(struct test_layer *layer, const char *text)
{
	struct tree_builder *builder = NULL;
	size_t number = 1;
	int rc = tree_builder_new(&builder, NULL);

	*layer = (struct test_layer){ .image = NULL };
	for (const char *p = text; !rc && *p; number++) {
		size_t len = strcspn(p, "\n");
		char *line = strndup(p, len);

		rc = layer_add_line(builder, line, number);
		free(line);
		p += len + (p[len] == '\n');
	}
	if (!rc)
		rc = tree_builder_finish(builder, &layer->image, &layer->len, NULL);
	layer->dropped = rc ? 0 : tree_builder_dropped(builder);
	tree_builder_free(builder);
	return rc ? rc : tree_open(&layer->tree, layer->image, layer->len, NULL);
}

#endif
