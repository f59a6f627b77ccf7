/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The secret of a cache: SECRET_SIZE random bytes in a file of their own.
 *
 * It gets its name when it is complete, by link(2), which does not replace: of two processes that
 * make one at the same time both have the first one's.  A file that is of another size, that is not
 * ours or that others may read is no secret, and makes room for one.
 */
#include "fetch/cache/internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/random.h>

#include "fetch/at.h"
#include "model/cleanup.h"

#define SECRET_FILE "secret"

/* -ENOENT; -EINVAL: no secret. */
static int read_secret(const struct cache *cache, struct secret *ret)
{
	CLEANUP(closep)
	int fd = openat(cache->root, SECRET_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? -ENOENT : -EINVAL;
	if (fstat(fd, &st) || !is_own_file(&st) || st.st_mode & (S_IRWXG | S_IRWXO) ||
		st.st_size != SECRET_SIZE)
		return -EINVAL;
	return read_at(fd, ret->bytes, SECRET_SIZE, 0) == SECRET_SIZE ? 0 : -EINVAL;
}

/* False: it cannot be kept here, or there is one. */
static bool write_secret(struct cache *cache, const struct secret *secret)
{
	char name[TMP_NAME_MAX];
	CLEANUP(closep) int fd = tmp_create(cache, name);
	bool is_done;

	if (fd < 0)
		return false;
	is_done = !write_at(fd, secret->bytes, SECRET_SIZE, 0) && !fsync(fd) &&
		  !linkat(cache->dirs[DIR_TMP], name, cache->root, SECRET_FILE, 0);
	(void)unlinkat(cache->dirs[DIR_TMP], name, 0); /* or it is collected as a dead writer's */
	return is_done;
}

void secret_open(struct cache *cache)
{
	struct secret made;
	int rc = read_secret(cache, &cache->secret);

	cache->has_secret = !rc;
	if (!rc || getrandom(made.bytes, SECRET_SIZE, 0) != SECRET_SIZE)
		return;
	cache->has_secret = true;
	if (rc != -ENOENT)
		(void)unlinkat(cache->root, SECRET_FILE, 0);
	if (write_secret(cache, &made) || read_secret(cache, &cache->secret))
		cache->secret = made;
	explicit_bzero(&made, sizeof made);
}
