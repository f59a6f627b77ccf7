/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a directory.
 *
 * It is opened once; everything is reached from there by openat(), component by component, no
 * link followed by the kernel.  What is above a directory on the way is known by its fd, not
 * by its "..", so that nobody who moves directories about gets us out.
 */
#include "fetch/bundle/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

enum {
	DEPTH_MAX = 32, /* directories on the way to a file */
	FILE_FLAGS = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
	STEP_FLAGS = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
};

struct directory {
	struct bundle base;
	int fd;
};

static struct directory *directory_of(struct bundle *bundle)
{
	return container_of(bundle, struct directory, base);
}

/* --- on the way --- */

struct walk {
	struct steps steps;
	int top;
	int dirs[DEPTH_MAX]; /* below the top, outermost first */
	size_t depth;
};

static void walk_release(struct walk *walk)
{
	while (walk->depth)
		closep(&walk->dirs[--walk->depth]);
}

static int walk_begin(
	struct walk *walk, const struct directory *directory, const char *path, struct error *err)
{
	walk->top = directory->fd;
	walk->depth = 0;
	return steps_begin(&walk->steps, path, err);
}

static int walk_at(const struct walk *walk)
{
	return walk->depth ? walk->dirs[walk->depth - 1] : walk->top;
}

static int walk_up(struct walk *walk, struct error *err)
{
	if (!walk->depth)
		return steps_leave(err);
	closep(&walk->dirs[--walk->depth]);
	return 0;
}

/* name could not be opened: it may be a link. */
static int walk_link(struct walk *walk, const char *name, int cause, struct error *err)
{
	char target[PATH_MAX];
	ssize_t n;

	if (cause == ENXIO) /* a socket or the like */
		return not_regular(err);
	if (cause != ELOOP && cause != ENOTDIR && cause != ENOENT)
		return error_set(err, cause, "%s", strerror(cause));
	n = readlinkat(walk_at(walk), name, target, sizeof target - 1);
	if (n < 0)
		return steps_missing(&walk->steps, err);
	target[n] = '\0';
	return steps_follow(&walk->steps, target, err);
}

/* Into a directory, or on to where a link leads. */
static int walk_step(struct walk *walk, const char *name, struct error *err)
{
	int fd;

	if (!strcmp(name, ".."))
		return walk_up(walk, err);
	if (walk->depth == DEPTH_MAX)
		return error_set(err, EIO, "more than %d directories deep", DEPTH_MAX);
	fd = openat(walk_at(walk), name, STEP_FLAGS);
	if (fd < 0)
		return walk_link(walk, name, errno, err);
	walk->dirs[walk->depth++] = fd;
	return 0;
}

/* --- bundle_ops --- */

static int take_regular(int fd, struct reader **ret, struct error *err)
{
	CLEANUP(closep) int own = fd;
	struct stat st;

	if (fstat(own, &st))
		return error_set(err, EIO, "%m");
	if (!S_ISREG(st.st_mode))
		return not_regular(err);
	return reader_of_fd(ret, TAKE_FD(own), err);
}

static int directory_file(
	struct bundle *bundle, const char *path, struct reader **ret, struct error *err)
{
	CLEANUP(walk_release) struct walk walk;
	const char *name;
	int rc = walk_begin(&walk, directory_of(bundle), path, err);

	while (!rc && (name = steps_next(&walk.steps))) {
		int fd;

		if (!steps_is_last(&walk.steps) || !strcmp(name, "..")) {
			rc = walk_step(&walk, name, err);
			continue;
		}
		fd = openat(walk_at(&walk), name, FILE_FLAGS);
		if (fd >= 0)
			return take_regular(fd, ret, err);
		rc = walk_link(&walk, name, errno, err);
	}
	return rc ? rc : not_regular(err);
}

static void closedirp(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

static int read_names(int at, struct name_list *ret, struct error *err)
{
	CLEANUP(closedirp) DIR *dir = NULL;
	CLEANUP(closep) int fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *entry;
	int rc = 0;

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return error_set(err, errno, "%m");
	(void)TAKE_FD(fd); /* the stream's */
	errno = 0;
	while (!rc && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			rc = name_list_add(ret, entry->d_name, err);
		errno = 0;
	}
	return rc || !errno ? rc : error_set(err, EIO, "%m");
}

static int directory_list(
	struct bundle *bundle, const char *path, struct name_list *ret, struct error *err)
{
	CLEANUP(walk_release) struct walk walk;
	const char *name;
	int rc = walk_begin(&walk, directory_of(bundle), path, err);

	while (!rc && (name = steps_next(&walk.steps)))
		rc = walk_step(&walk, name, err);
	return rc ? rc : read_names(walk_at(&walk), ret, err);
}

static void directory_free(struct bundle *bundle)
{
	struct directory *directory = directory_of(bundle);

	closep(&directory->fd);
	free(directory);
}

static const struct bundle_ops directory_ops = {
	.file = directory_file,
	.list = directory_list,
	.free = directory_free,
};

int directory_open(struct bundle **ret, int fd, struct error *err)
{
	CLEANUP(closep) int own = fd;
	struct directory *directory = calloc(1, sizeof *directory);

	if (!directory)
		return error_set(err, ENOMEM, "out of memory");
	directory->base.ops = &directory_ops;
	directory->fd = TAKE_FD(own);
	*ret = &directory->base;
	return 0;
}
