/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failing_calls -- the program with calls that fail when tests/torture says so.
 *
 * Linked in with --wrap for each call below (meson.build), by which the program's own calls come
 *here, and those that libcurl makes of the allocator it was given.  Calls are counted by what they
 *are about:
 *
 *	IMGFS_TORTURE=CLASS:N[+COUNT]:HOW	the Nth call of CLASS fails, and the COUNT behind
 *it; HOW is a number, errno's, or "short": a write takes half of the bytes
 *IMGFS_TORTURE_REPORT=FILE gets a line for each call that failed, "failed CLASS N where", and when
 *the process exits one for each class, "made CLASS COUNT"
 *
 * Reading and writing counts for regular files alone: what else there is, pipes to ourselves and
 * /dev/fuse, does not fail.
 */
#include <curl/curl.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "model/cleanup.h"

#define CLASSES(X) X(memory) X(open) X(read) X(write) X(sync) X(rename) X(stat) X(thread) X(network)

enum call_class {
#define X(name) CLASS_##name,
	CLASSES(X)
#undef X
		CLASS_COUNT
};

static const char *const class_names[CLASS_COUNT] = {
#define X(name) #name,
	CLASSES(X)
#undef X
};

static struct {
	_Atomic unsigned long made[CLASS_COUNT];
	enum call_class
		failing; /* CLASS_COUNT: none; set before there are threads, like all below */
	unsigned long first, last;
	int code; /* 0: short */
	int report;
} calls = { .failing = CLASS_COUNT, .report = -1 };

int __real_open64(const char *path, int flags, ...);

__attribute__((constructor)) static void read_environment(void)
{
	const char *what = getenv("IMGFS_TORTURE"), *report = getenv("IMGFS_TORTURE_REPORT");
	char name[16] = "", how[16] = "";
	unsigned long first = 0, count = 0;

	if (report)
		calls.report =
			__real_open64(report, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (!what)
		return;
	if (sscanf(what, "%15[a-z]:%lu+%lu:%15s", name, &first, &count, how) != 4 &&
		sscanf(what, "%15[a-z]:%lu:%15s", name, &first, how) != 3)
		abort();
	calls.first = first;
	calls.last = first + count;
	calls.code = atoi(how);
	for (size_t i = 0; i < CLASS_COUNT; i++)
		if (!strcmp(name, class_names[i]))
			calls.failing = (enum call_class)i;
	if (calls.failing == CLASS_COUNT)
		abort();
}

__attribute__((destructor)) static void report_made(void)
{
	for (size_t i = 0; calls.report >= 0 && i < CLASS_COUNT; i++)
		(void)dprintf(calls.report, "made %s %lu\n", class_names[i], calls.made[i]);
}

/* Where: for addr2line(1), and the name of what a library lets know. */
static void report_failed(enum call_class class, unsigned long n, const void *caller)
{
	Dl_info info;

	if (calls.report < 0 || !dladdr(caller, &info))
		return;
	(void)dprintf(calls.report, "failed %s %lu %s %#tx %s\n", class_names[class], n,
		info.dli_fname, (const char *)caller - 1 - (const char *)info.dli_fbase,
		info.dli_sname ? info.dli_sname : "");
}

/* Counts a call; whether it is to fail, with errno set as it has to be. */
static bool fails(enum call_class class, const void *caller)
{
	unsigned long n = ++calls.made[class];

	if (class != calls.failing || n < calls.first || n > calls.last)
		return false;
	report_failed(class, n, caller);
	errno = calls.code;
	return true;
}

#define FAILS(class) fails(CLASS_##class, __builtin_return_address(0))

#define WRAP(class, failure, type, name, parameters, arguments)                                    \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		return FAILS(class) ? (failure) : __real_##name arguments;                         \
	}

/* --- memory: of the C library, and what libraries make for us --- */

WRAP(memory, NULL, void *, malloc, (size_t len), (len))
WRAP(memory, NULL, void *, calloc, (size_t n, size_t len), (n, len))
WRAP(memory, NULL, void *, realloc, (void *bytes, size_t len), (bytes, len))
WRAP(memory, NULL, void *, reallocarray, (void *bytes, size_t n, size_t len), (bytes, n, len))
WRAP(memory, NULL, char *, strdup, (const char *text), (text))
WRAP(memory, NULL, char *, strndup, (const char *text, size_t len), (text, len))
WRAP(memory, -1, int, vasprintf, (char **ret, const char *fmt, va_list ap), (ret, fmt, ap))
WRAP(memory, MAP_FAILED, void *, mmap64,
	(void *at, size_t len, int access, int flags, int fd, off_t offset),
	(at, len, access, flags, fd, offset))
WRAP(memory, NULL, struct json_tokener *, json_tokener_new, (void), ())
WRAP(memory, NULL, struct json_tokener *, json_tokener_new_ex, (int depth), (depth))
WRAP(memory, NULL, struct json_object *, json_object_new_string, (const char *text), (text))
WRAP(memory, NULL, ZSTD_DCtx *, ZSTD_createDCtx, (void), ())
WRAP(memory, NULL, ZSTD_CCtx *, ZSTD_createCCtx, (void), ())
WRAP(memory, NULL, EVP_MD_CTX *, EVP_MD_CTX_new, (void), ())
WRAP(memory, Z_MEM_ERROR, int, inflateInit2_,
	(z_stream * stream, int bits, const char *version, int len), (stream, bits, version, len))

int __wrap_asprintf(char **ret, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

int __wrap_asprintf(char **ret, const char *fmt, ...)
{
	va_list ap;
	int len;

	if (FAILS(memory))
		return -1;
	va_start(ap, fmt);
	len = __real_vasprintf(ret, fmt, ap);
	va_end(ap);
	return len;
}

/* --- files --- */

int __wrap_open64(const char *path, int flags, ...);
int __real_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...);

int __wrap_open64(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return FAILS(open) ? -1 : __real_open64(path, flags, mode);
}

int __wrap_openat64(int dir, const char *name, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return FAILS(open) ? -1 : __real_openat64(dir, name, flags, mode);
}

WRAP(open, NULL, DIR *, fdopendir, (int fd), (fd))
WRAP(open, -1, int, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(open, -1, int, mkdirat, (int dir, const char *name, mode_t mode), (dir, name, mode))
WRAP(open, -1, int, scandir64,
	(const char *path, struct dirent64 ***ret, int (*filter)(const struct dirent64 *),
		int (*compare)(const struct dirent64 **, const struct dirent64 **)),
	(path, ret, filter, compare))
WRAP(stat, -1, int, stat64, (const char *path, struct stat64 *ret), (path, ret))
WRAP(stat, -1, int, fstatat64, (int dir, const char *name, struct stat64 *ret, int flags),
	(dir, name, ret, flags))
WRAP(stat, -1, int, fstat64, (int fd, struct stat64 *ret), (fd, ret))
WRAP(rename, -1, int, renameat, (int from_dir, const char *from, int to_dir, const char *to),
	(from_dir, from, to_dir, to))
WRAP(rename, -1, int, unlinkat, (int dir, const char *name, int flags), (dir, name, flags))
WRAP(rename, -1, int, unlink, (const char *path), (path))
WRAP(sync, -1, int, fsync, (int fd), (fd))
WRAP(sync, -1, int, sync_file_range, (int fd, off_t offset, off_t len, unsigned flags),
	(fd, offset, len, flags))
WRAP(read, -1, ssize_t, pread64, (int fd, void *bytes, size_t len, off_t offset),
	(fd, bytes, len, offset))
WRAP(read, NULL, struct dirent64 *, readdir64, (DIR * dir), (dir))
WRAP(read, -1, ssize_t, readlinkat, (int dir, const char *name, char *ret, size_t len),
	(dir, name, ret, len))
WRAP(write, -1, int, ftruncate64, (int fd, off_t len), (fd, len))

static bool is_regular(int fd)
{
	struct stat64 st;

	return !__real_fstat64(fd, &st) && S_ISREG(st.st_mode);
}

ssize_t __real_read(int fd, void *bytes, size_t len);
ssize_t __wrap_read(int fd, void *bytes, size_t len);
ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
ssize_t __real_pwrite64(int fd, const void *bytes, size_t len, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t len, off_t offset);

ssize_t __wrap_read(int fd, void *bytes, size_t len)
{
	return is_regular(fd) && FAILS(read) ? -1 : __real_read(fd, bytes, len);
}

static size_t half(size_t len)
{
	return len - len / 2;
}

ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
	if (!is_regular(fd) || !FAILS(write))
		return __real_write(fd, bytes, len);
	return calls.code ? -1 : __real_write(fd, bytes, half(len));
}

ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t len, off_t offset)
{
	if (!FAILS(write))
		return __real_pwrite64(fd, bytes, len, offset);
	return calls.code ? -1 : __real_pwrite64(fd, bytes, half(len), offset);
}

/* --- threads and processes --- */

WRAP(thread, errno, int, pthread_create,
	(pthread_t * ret, const pthread_attr_t *attributes, void *(*run)(void *), void *context),
	(ret, attributes, run, context))
WRAP(thread, -1, int, pipe2, (int ends[2], int flags), (ends, flags))
WRAP(thread, -1, int, eventfd, (unsigned value, int flags), (value, flags))
WRAP(thread, -1, int, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags))
WRAP(thread, -1, pid_t, fork, (void), ())
WRAP(thread, errno, int, posix_spawnp,
	(pid_t * ret, const char *file, const posix_spawn_file_actions_t *actions,
		const posix_spawnattr_t *attributes, char *const argv[], char *const environment[]),
	(ret, file, actions, attributes, argv, environment))

/* --- libcurl: everything it can refuse, for want of memory --- */

WRAP(network, NULL, CURL *, curl_easy_init, (void), ())
WRAP(network, NULL, CURLM *, curl_multi_init, (void), ())
WRAP(network, NULL, CURLU *, curl_url, (void), ())
WRAP(network, CURLUE_OUT_OF_MEMORY, CURLUcode, curl_url_set,
	(CURLU * url, CURLUPart part, const char *text, unsigned flags), (url, part, text, flags))
WRAP(network, CURLUE_OUT_OF_MEMORY, CURLUcode, curl_url_get,
	(const CURLU *url, CURLUPart part, char **ret, unsigned flags), (url, part, ret, flags))
WRAP(network, NULL, struct curl_slist *, curl_slist_append,
	(struct curl_slist * list, const char *text), (list, text))
WRAP(network, CURLM_OUT_OF_MEMORY, CURLMcode, curl_multi_add_handle, (CURLM * multi, CURL *easy),
	(multi, easy))
WRAP(network, CURLM_OUT_OF_MEMORY, CURLMcode, curl_multi_perform, (CURLM * multi, int *running),
	(multi, running))
WRAP(network, CURLM_OUT_OF_MEMORY, CURLMcode, curl_multi_poll,
	(CURLM * multi, struct curl_waitfd *more, unsigned count, int timeout, int *ret),
	(multi, more, count, timeout, ret))
WRAP(network, CURLE_OUT_OF_MEMORY, CURLcode, curl_easy_pause, (CURL * easy, int flags),
	(easy, flags))

CURLcode __real_curl_easy_setopt(CURL *easy, CURLoption option, ...);
CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...);

/* What is copied. */
static bool needs_memory(CURLoption option)
{
	const struct curl_easyoption *known = curl_easy_option_by_id(option);

	return known && (known->type == CURLOT_STRING || known->type == CURLOT_BLOB);
}

/* A long, a curl_off_t or a pointer: where this runs, all of them are passed alike. */
CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
	va_list ap;
	void *value;

	_Static_assert(sizeof(void *) == sizeof(curl_off_t), "one fits for the other");
	va_start(ap, option);
	value = va_arg(ap, void *);
	va_end(ap);
	if (needs_memory(option) && FAILS(network))
		return CURLE_OUT_OF_MEMORY;
	return __real_curl_easy_setopt(easy, option, value);
}
