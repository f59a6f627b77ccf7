/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depth first.  Of each directory on the way down the names are kept, and no descriptor: ".." leads
 * back, since nothing moves in a mount.
 */
#include "fs/report_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "model/cleanup.h"
#include "model/tree/tree.h"

enum { LEVEL_NAMES_MAX = 1 << 30 }; /* bytes of the names in one directory */

struct entry {
	size_t name; /* offset in the level's names */
	uint64_t size, inode;
	mode_t mode;
	bool has_other_names; /* hard links */
	bool is_whiteout;     /* in the manner of overlayfs */
};

struct level {
	struct buf names;
	struct entry *entries; /* by name */
	size_t count, next;
	uint32_t path, cursor;
};

struct walk {
	struct paths *paths;
	struct level *levels;
	size_t depth;
	int fd; /* the directory of the innermost level */
	struct error *err;
};

CLEANUP_POINTER(dirp, DIR, (void)closedir)

static void level_release(struct level *level)
{
	buf_release(&level->names);
	free(level->entries);
}

static void walk_release(struct walk *walk)
{
	while (walk->depth)
		level_release(&walk->levels[--walk->depth]);
	free(walk->levels);
	closep(&walk->fd);
}

static int fail(const struct walk *walk, uint32_t path, int code)
{
	struct buf text;

	buf_init(&text, 1 << 20);
	paths_format(walk->paths, path, &text);
	if (code == EFBIG)
		(void)error_set(walk->err, code, "more than %d paths", PATHS_MAX);
	else
		(void)error_set(
			walk->err, code, "%s: %s", text.data ? text.data : "", strerror(code));
	buf_release(&text);
	return -code;
}

/* --- one directory --- */

static const char *name_of(const struct level *level, size_t i)
{
	return level->names.data + level->entries[i].name;
}

static int compare_names(const void *a, const void *b, void *context)
{
	const struct entry *x = a, *y = b;
	const struct level *level = context;

	return strcmp(level->names.data + x->name, level->names.data + y->name);
}

static int add_entry(struct level *level, int fd, const char *name)
{
	struct entry *entries = level->entries;
	struct stat st;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (!(level->count & (level->count - 1))) /* full */
		entries =
			reallocarray(entries, level->count ? level->count * 2 : 1, sizeof *entries);
	if (!entries)
		return -ENOMEM;
	level->entries = entries;
	entries[level->count++] = (struct entry){
		.name = level->names.len,
		.size = (uint64_t)st.st_size,
		.inode = st.st_ino,
		.mode = st.st_mode,
		.has_other_names = !S_ISDIR(st.st_mode) && st.st_nlink > 1,
		.is_whiteout = S_ISCHR(st.st_mode) && !st.st_rdev,
	};
	return buf_append(&level->names, name, strlen(name) + 1);
}

static int read_names(struct level *level, int fd)
{
	/* Of its own, as closedir() takes it away. */
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(dirp) DIR *dir = again < 0 ? NULL : fdopendir(again);
	const struct dirent *child;
	int rc = 0;

	if (!dir) {
		rc = -errno;
		closep(&again);
		return rc;
	}
	while (!rc && (errno = 0, child = readdir(dir))) {
		if (strcmp(child->d_name, ".") != 0 && strcmp(child->d_name, "..") != 0)
			rc = add_entry(level, fd, child->d_name);
	}
	if (!rc && errno)
		rc = -errno;
	if (level->count)
		qsort_r(level->entries, level->count, sizeof *level->entries, compare_names, level);
	return rc;
}

static bool is_opaque(const struct level *level, int fd)
{
	static const char marker[] = ".wh..wh..opq";
	char value[2];

	for (size_t i = 0; i < level->count; i++)
		if (!strcmp(name_of(level, i), marker))
			return true;
	return fgetxattr(fd, "trusted.overlay.opaque", value, sizeof value) == 1 && *value == 'y';
}

/* What the layer takes away from those below, before it puts anything there. */
static void delete_names(struct walk *walk, const struct level *level)
{
	uint32_t cursors[2] = { PATH_NONE, PATH_NONE };

	if (is_opaque(level, walk->fd))
		paths_empty(walk->paths, level->path);
	for (size_t i = 0; i < level->count; i++) {
		const char *name = name_of(level, i);
		const char *whiteout = tree_whiteout_of(name);
		uint32_t path;

		if (!whiteout && !level->entries[i].is_whiteout)
			continue;
		path = paths_find(walk->paths, level->path, whiteout ? whiteout : name,
			&cursors[whiteout != NULL]);
		if (path != PATH_NONE)
			paths_delete(walk->paths, path);
	}
}

/* --- down and up --- */

/* walk->fd has become that of the directory. */
static int enter(struct walk *walk, uint32_t path)
{
	struct level *levels = walk->levels;
	struct level *level;
	int rc;

	if (!(walk->depth & (walk->depth - 1))) /* full */
		levels = reallocarray(levels, walk->depth ? walk->depth * 2 : 1, sizeof *levels);
	if (!levels)
		return fail(walk, path, ENOMEM);
	walk->levels = levels;
	level = &levels[walk->depth++];
	*level = (struct level){ .path = path, .cursor = PATH_NONE };
	buf_init(&level->names, LEVEL_NAMES_MAX);
	rc = read_names(level, walk->fd);
	if (rc)
		return fail(walk, path, -rc);
	delete_names(walk, level);
	return 0;
}

static int move(struct walk *walk, const char *name, uint32_t path)
{
	int fd = openat(walk->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return fail(walk, path, errno);
	closep(&walk->fd);
	walk->fd = fd;
	return 0;
}

static int put_entry(struct walk *walk, struct level *level, size_t i)
{
	const struct entry *entry = &level->entries[i];
	uint32_t path;
	int rc;

	if (tree_whiteout_of(name_of(level, i)) || entry->is_whiteout)
		return 0;
	rc = paths_get(walk->paths, level->path, name_of(level, i), &level->cursor, &path);
	if (!rc && S_ISREG(entry->mode))
		rc = paths_put_file(
			walk->paths, path, entry->size, entry->has_other_names ? entry->inode : 0);
	if (rc)
		return fail(walk, level->path, -rc);
	if (!S_ISREG(entry->mode))
		paths_put(walk->paths, path, S_ISDIR(entry->mode) ? PATH_DIRECTORY : PATH_OTHER);
	if (!S_ISDIR(entry->mode))
		return 0;
	rc = move(walk, name_of(level, i), path);
	return rc ? rc : enter(walk, path);
}

static int leave(struct walk *walk)
{
	level_release(&walk->levels[--walk->depth]);
	return walk->depth ? move(walk, "..", walk->levels[walk->depth - 1].path) : 0;
}

int walk_layer(struct paths *paths, const char *directory, struct error *err)
{
	CLEANUP(walk_release) struct walk walk = { .paths = paths, .err = err, .fd = -1 };
	int rc;

	walk.fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (walk.fd < 0)
		return error_set(err, errno, "%s: %s", directory, strerror(errno));
	rc = enter(&walk, PATH_ROOT);
	while (!rc && walk.depth) {
		struct level *level = &walk.levels[walk.depth - 1];

		rc = level->next < level->count ? put_entry(&walk, level, level->next++)
						: leave(&walk);
	}
	return rc ? error_prefix(err, rc, "%s", directory) : rc;
}
