/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool source_is_away(int rc)
{
	switch (rc) {
	case -EHOSTUNREACH:
	case -ENETUNREACH: /* offline, as was asked for */
	case -ETIMEDOUT:
	case -EPROTO:
	case -EDQUOT:
	case -EIO:
	case -EBADMSG:
		return true;
	default:
		return false;
	}
}

int name_list_add(struct name_list *list, const char *name, struct error *err)
{
	char **names = list->names;
	char *copy;

	if (list->count >= LIST_NAMES_MAX)
		return error_set(err, EFBIG, "more than %d names in one list", LIST_NAMES_MAX);
	if ((list->count & (list->count - 1)) == 0) { /* full at powers of two */
		names = realloc(names, (list->count ? list->count * 2 : 1) * sizeof *names);
		if (!names)
			return error_set(err, ENOMEM, "out of memory");
		list->names = names;
	}
	copy = strdup(name);
	if (!copy)
		return error_set(err, ENOMEM, "out of memory");
	names[list->count++] = copy;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void name_list_sort(struct name_list *list)
{
	size_t kept = 0;

	if (!list->count)
		return;
	qsort(list->names, list->count, sizeof *list->names, compare_names);
	for (size_t i = 1; i < list->count; i++) {
		if (!strcmp(list->names[kept], list->names[i]))
			free(list->names[i]);
		else
			list->names[++kept] = list->names[i];
	}
	list->count = kept + 1;
}

bool name_list_has(const struct name_list *list, const char *name)
{
	return list->count &&
	       bsearch(&name, list->names, list->count, sizeof *list->names, compare_names);
}

void name_list_release(struct name_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->names[i]);
	free(list->names);
	*list = (struct name_list){ NULL, 0 };
}

void source_free(struct source *source)
{
	if (source)
		source->ops->free(source);
}
