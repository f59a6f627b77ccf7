/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failing_disk -- one file that the disk does not read (EIO), or does not open, or a disk that
 * became read-only besides.
 *
 * Linked with --wrap for pread, openat and unlinkat (meson.build), for their 64-bit names as well.
 * Set and undone while no other thread runs.
 */
#ifndef TESTS_UNIT_FAILING_DISK_H
#define TESTS_UNIT_FAILING_DISK_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
	int held; /* keeps its inode from being another file's; 0: none fails */
	struct stat st;
	bool opens;         /* it can be opened, and not be read */
	bool is_read_only;  /* nothing is removed */
	_Atomic unsigned n; /* how often something failed */
} failing_disk;

static inline void disk_fails(const char *path, bool opens, bool is_read_only)
{
	failing_disk.held = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(failing_disk.held > 0);
	assert_int_equal(fstat(failing_disk.held, &failing_disk.st), 0);
	failing_disk.opens = opens;
	failing_disk.is_read_only = is_read_only;
	failing_disk.n = 0;
}

/* It was asked at all, or nothing was tested. */
static inline void disk_is_mended(void)
{
	(void)close(failing_disk.held);
	failing_disk.held = 0;
	assert_true(failing_disk.n > 0);
}

static inline bool disk_is_it(const struct stat *st)
{
	return st->st_ino == failing_disk.st.st_ino && st->st_dev == failing_disk.st.st_dev;
}

ssize_t __real_pread64(int fd, void *bytes, size_t len, off_t offset);
ssize_t __wrap_pread64(int fd, void *bytes, size_t len, off_t offset);
int __real_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...);
int __real_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags);

ssize_t __wrap_pread64(int fd, void *bytes, size_t len, off_t offset)
{
	struct stat st;

	if (!failing_disk.held || fstat(fd, &st) || !disk_is_it(&st))
		return __real_pread64(fd, bytes, len, offset);
	failing_disk.n++;
	errno = EIO;
	return -1;
}

int __wrap_openat64(int dir, const char *name, int flags, ...)
{
	struct stat st;
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	if (!failing_disk.held || failing_disk.opens ||
		fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) || !disk_is_it(&st))
		return __real_openat64(dir, name, flags, mode);
	failing_disk.n++;
	errno = EIO;
	return -1;
}

int __wrap_unlinkat(int dir, const char *name, int flags)
{
	if (!failing_disk.held || !failing_disk.is_read_only)
		return __real_unlinkat(dir, name, flags);
	failing_disk.n++;
	errno = EROFS;
	return -1;
}

#endif
