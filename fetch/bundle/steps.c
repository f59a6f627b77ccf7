/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing here looks at files: the same walk goes over a directory and over an archive. */
#include "fetch/bundle/internal.h"

#include <stdio.h>
#include <string.h>

static int too_long(struct error *err)
{
	return error_set(err, EIO, "a path of more than %d bytes", PATH_MAX - 1);
}

int steps_begin(struct steps *steps, const char *path, struct error *err)
{
	size_t len = strlen(path);

	if (len >= sizeof steps->text)
		return too_long(err);
	memcpy(steps->text, path, len + 1);
	steps->rest = steps->text;
	steps->links = 0;
	return 0;
}

const char *steps_next(struct steps *steps)
{
	char *name, *end;

	do {
		name = steps->rest + strspn(steps->rest, "/");
		end = name + strcspn(name, "/");
		if (*end)
			*end++ = '\0';
		steps->rest = end + strspn(end, "/");
	} while (!strcmp(name, "."));
	return *name ? name : NULL;
}

int steps_follow(struct steps *steps, const char *target, struct error *err)
{
	char text[PATH_MAX];
	int n;

	if (*target == '/')
		return steps_leave(err);
	if (++steps->links > BUNDLE_LINKS_MAX)
		return error_set(err, EIO, "more than %d links on the way", BUNDLE_LINKS_MAX);
	n = snprintf(text, sizeof text, "%s/%s", target, steps->rest);
	if (n < 0 || (size_t)n >= sizeof text)
		return too_long(err);
	memcpy(steps->text, text, (size_t)n + 1);
	steps->rest = steps->text;
	return 0;
}

int steps_missing(const struct steps *steps, struct error *err)
{
	return steps->links ? error_set(err, EIO, "a link that leads nowhere")
			    : error_set(err, ENOENT, "no such file");
}

int steps_leave(struct error *err)
{
	return error_set(err, EIO, "leads out of it");
}

int not_regular(struct error *err)
{
	return error_set(err, EIO, "not a regular file");
}
