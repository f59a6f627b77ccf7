/* SPDX-License-Identifier: Apache-2.0 */
/* What the views share. */
#include "fs/views.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int no_such_file(struct need *need, const char *name)
{
	return error_set(&need->err, ENOENT, "'%s': no such file", name);
}

int entry_directory(struct fs *fs, struct node *dir, const char *name, const struct view *view,
	const struct place *place, double timeout, struct fuse_entry_param *ret)
{
	return entry_node(fs, node_make(fs, dir, name, view, place), timeout, ret);
}

int entry_file(struct fs *fs, struct node *dir, const char *name, struct buf *text, double timeout,
	struct fuse_entry_param *ret, struct need *need)
{
	int rc = buf_status(text);
	size_t len;
	char *content = rc ? NULL : buf_take(text, &len);

	buf_release(text);
	if (rc)
		return error_set(&need->err, -rc, "'%s': %s", name, strerror(-rc));
	if (!content || entry_node(fs, node_make_file(fs, dir, name, content, len), timeout, ret))
		return error_set(&need->err, ENOMEM, "out of memory");
	return 0;
}

const struct view view_file = { .name = "file", .type = S_IFREG };
