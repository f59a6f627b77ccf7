/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a source lists, as one text to compare; good until the next call.
 */
#ifndef TESTS_UNIT_NAMES_TEXT_H
#define TESTS_UNIT_NAMES_TEXT_H

#include <stdio.h>
#include <string.h>

#include "fetch/source.h"

/* The names with a '|' behind each, or the error. */
static const char *joined(int rc, struct name_list *list)
{
	static char text[4096];
	size_t used = 0;

	text[0] = '\0';
	if (rc)
		(void)snprintf(text, sizeof text, "%s", strerrorname_np(-rc));
	for (size_t i = 0; !rc && i < list->count; i++)
		used += (size_t)snprintf(text + used, sizeof text - used, "%s|", list->names[i]);
	if (!rc)
		name_list_release(list);
	return text;
}

static const char *repositories(struct source *source)
{
	struct name_list list = { NULL, 0 };

	return joined(source->ops->repositories(source, &list, NULL, NULL), &list);
}

static const char *tags(struct source *source, const char *repository)
{
	struct name_list list = { NULL, 0 };

	return joined(source->ops->tags(source, repository, &list, NULL, NULL), &list);
}

#endif
