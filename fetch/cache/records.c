/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small records: refs, lists, proofs.
 *
 *	refs/HOST/REPOSITORY.../_tags/TAG      a ref
 *	refs/HOST/REPOSITORY.../_list-NAME     a list
 *	proof/SHA256-OF-KEY/HEX                empty; its mtime is the time
 *
 * An escaped component never starts with '_', so no repository, whatever it
 * is called, can meet a tag of another one.
 *
 * A record is a line "imgfs 1 TIME SHA256", then its body; the hash is over
 * "TIME\n" and the body.  It stands in for fsync: a record that a power cut
 * tore is a miss, and the next answer of the registry replaces it.
 */
#include "fetch/cache/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fetch/at.h"
#include "model/cleanup.h"

enum {
	COMPONENT_MAX = 200,  /* bytes of a component before it is named by its hash */
	COMPONENTS_MAX = 130, /* of a repository; the longest valid one has 128 */
	HEAD_MAX = 128,       /* bytes of a record's first line */
	REF_MAX = 1024,       /* bytes of a ref */
	MEDIA_TYPE_MAX = 512, /* longer ones are not kept */
	RECORD_MAX = 1 << 28, /* bytes of any record */
	CLOCK_SLACK_S = 60,   /* a time that far ahead is no time */
};

#define HEAD_FORMAT "imgfs 1 %" PRIu64 " "

/* Seconds since then; a time in the future is infinitely long ago, or a wrong clock
 * would make things true for ever. */
static uint64_t age_of(uint64_t then)
{
	uint64_t now = (uint64_t)time(NULL);

	if (then > now)
		return then - now > CLOCK_SLACK_S ? UINT64_MAX : 0;
	return now - then;
}

/* --- paths --- */

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.';
}

/* Appends text as one file name; no two texts give the same.  plain are further bytes that
 * stay as they are, but for a dot or one of them at the start. */
static int put_component(
	struct buf *path, const char *text, size_t len, const char *plain, struct error *err)
{
	CLEANUP(buf_release) struct buf name = { 0 };
	char hex[DIGEST_HEX_MAX];
	struct digest digest;

	buf_init(&name, 3 * len + 1);
	for (size_t i = 0; i < len; i++) {
		bool is_one = text[i] && strchr(plain, text[i]);

		if (i ? is_one || is_plain(text[i]) : is_plain(text[i]) && text[i] != '.')
			(void)buf_append(&name, &text[i], 1);
		else
			(void)buf_printf(&name, "%%%02X", (unsigned char)text[i]);
	}
	if (buf_status(&name))
		return error_set(err, -buf_status(&name), "cache: name too long");
	if (!len)
		(void)buf_append_text(path, "%");
	else if (name.len <= COMPONENT_MAX)
		(void)buf_append(path, name.data, name.len);
	else if (digest_of(&digest, DIGEST_SHA256, text, len, err))
		return -EIO;
	else
		(void)buf_printf(path, "%%-%s", digest_hex(&digest, hex));
	(void)buf_append_text(path, "/");
	return buf_status(path);
}

/* HOST, with a port as "HOST_PORT_", which containerd's directories use as well. */
static int put_host(struct buf *path, const char *host, struct error *err)
{
	const char *colon = strrchr(host, ':');
	int rc;

	if (!*host)
		return buf_append_text(path, "_local/");
	if (!colon || strspn(colon + 1, "0123456789") != strlen(colon + 1) || !colon[1])
		return put_component(path, host, strlen(host), "", err);
	rc = put_component(path, host, (size_t)(colon - host), "", err);
	if (rc)
		return rc;
	path->data[path->len - 1] = '_'; /* in place of the slash; a host's own are escaped */
	return buf_printf(path, "%s_/", colon + 1);
}

/* refs/HOST/REPOSITORY/, without the "refs/". */
static int put_repository(
	struct buf *path, const char *host, const char *repository, struct error *err)
{
	unsigned components = 0;
	int rc = put_host(path, host, err);

	for (const char *at = repository; !rc && *at;) {
		size_t len = strcspn(at, "/");

		if (++components > COMPONENTS_MAX)
			return error_set(err, ENAMETOOLONG, "cache: repository name too long");
		rc = put_component(path, at, len, "_", err);
		at += len;
		at += *at == '/';
	}
	return rc;
}

/* --- records --- */

static int record_hash(
	struct digest *ret, uint64_t then, const char *body, size_t len, struct error *err)
{
	struct hasher *hasher;
	char text[32];
	int n = snprintf(text, sizeof text, "%" PRIu64 "\n", then);
	int rc = hasher_new(&hasher, DIGEST_SHA256, err);

	if (rc)
		return rc;
	rc = hasher_update(hasher, text, (size_t)n, err);
	if (!rc)
		rc = hasher_update(hasher, body, len, err);
	if (!rc)
		rc = hasher_final(hasher, ret, err);
	hasher_free(hasher);
	return rc;
}

/* --- all of them --- */

/* Deeper than put_repository() goes. */
enum { WALK_DEPTH_MAX = COMPONENTS_MAX + 4 };

struct walk {
	struct cache *cache;
	record_fn *fn;
	void *context;
	struct buf path; /* of the directory, with a slash behind it; "" at the top */
	int rc;          /* why something may have been left out, or 0 */
};

static void walk_dir(struct walk *walk, int fd, unsigned depth);

/* Others come and go while we walk. */
static void walk_failed(struct walk *walk, int code)
{
	if (!walk->rc && code != ENOENT)
		walk->rc = -code;
}

static void walk_entry(struct walk *walk, int dir, const char *name, unsigned depth)
{
	struct stat st;
	int fd;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW)) {
		walk_failed(walk, errno);
		return;
	}
	if (buf_append_text(&walk->path, name)) {
		walk_failed(walk, -buf_status(&walk->path)); /* no path of ours is so long */
		return;
	}
	if (is_own_file(&st)) {
		walk->fn(walk->cache, walk->path.data, &st, walk->context);
		return;
	}
	if (!S_ISDIR(st.st_mode) || depth >= WALK_DEPTH_MAX)
		return;
	fd = buf_append_text(&walk->path, "/") ? -1 : open_below(dir, name, false);
	if (fd < 0)
		walk_failed(walk, buf_status(&walk->path) ? -buf_status(&walk->path) : errno);
	else
		walk_dir(walk, fd, depth + 1);
}

/* Takes the fd. */
static void walk_dir(struct walk *walk, int fd, unsigned depth)
{
	DIR *stream = fdopendir(fd);
	size_t len = walk->path.len;
	struct dirent *entry;

	if (!stream) {
		walk_failed(walk, errno);
		closep(&fd);
		return;
	}
	while (!buf_status(&walk->path) && (errno = 0, entry = readdir(stream)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			walk_entry(walk, fd, entry->d_name, depth);
		walk->path.len = len;
	}
	if (!buf_status(&walk->path) && errno)
		walk_failed(walk, errno);
	(void)closedir(stream);
}

int each_record(struct cache *cache, enum cache_dir dir, record_fn *fn, void *context)
{
	struct walk walk = { cache, fn, context, { 0 }, 0 };
	int fd;

	if (cache->dirs[dir] < 0)
		return 0;
	/* An fd of its own: reading a directory moves its offset. */
	fd = openat(cache->dirs[dir], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	buf_init(&walk.path, PATH_MAX);
	walk_dir(&walk, fd, 0);
	buf_release(&walk.path);
	return walk.rc;
}

/* --- one of them --- */

enum { PUT_TRIES = 2 };

/* Whoever removes the last record of a directory removes that, too. */
static int record_rename(
	struct cache *cache, const char *tmp, const struct buf *path, const char *name)
{
	int rc = -1;

	for (int i = 0; rc && i < PUT_TRIES; i++) {
		CLEANUP(closep) int dir = open_below(cache->dirs[DIR_REFS], path->data, true);

		rc = dir < 0 ? -1 : renameat(cache->dirs[DIR_TMP], tmp, dir, name);
		if (rc && errno != ENOENT)
			break;
	}
	return rc;
}

/* path ends in '/'. */
static int record_put(struct cache *cache, const struct buf *path, const char *name,
	const char *body, size_t len, struct error *err)
{
	uint64_t now = (uint64_t)time(NULL);
	char tmp[TMP_NAME_MAX], head[HEAD_MAX], hex[DIGEST_HEX_MAX];
	CLEANUP(closep) int fd = -1;
	struct digest digest;
	int n, rc;

	if (!record_fits(cache, len))
		return error_set(err, ENOSPC, "cache '%s': too small for %zu bytes of names",
			cache->path, len);
	rc = record_hash(&digest, now, body, len, err);
	if (rc)
		return rc;
	if (cache->dirs[DIR_REFS] < 0)
		return disk_error(cache, EROFS, err, "write");
	fd = tmp_create(cache, tmp);
	if (fd < 0)
		return disk_error(cache, errno, err, "write");
	n = snprintf(head, sizeof head, HEAD_FORMAT "%s\n", now, digest_hex(&digest, hex));
	rc = write_at(fd, head, (size_t)n, 0);
	if (!rc)
		rc = write_at(fd, body, len, (uint64_t)n);
	if (!rc && record_rename(cache, tmp, path, name))
		rc = -errno;
	if (rc) {
		rc = disk_error(cache, -rc, err, "write");
		(void)unlinkat(cache->dirs[DIR_TMP], tmp, 0);
		return rc;
	}
	note_own(cache, "%s/%s%s", dir_name(DIR_REFS), path->data, name);
	account_record(cache, (size_t)n + len);
	return 0;
}

static int no_record(struct error *err)
{
	return error_set(err, ENOENT, "not in the cache");
}

static int no_read(struct cache *cache, int code, struct error *err)
{
	(void)disk_error(cache, code, NULL, "read");
	return error_set(err, code, "%s", strerror(code));
}

/* The whole file with a NUL behind it; see record_read(). */
static int read_file(struct cache *cache, int dir, const char *name, char **ret, size_t *ret_len,
	struct error *err)
{
	CLEANUP(closep) int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	CLEANUP(freep) char *bytes = NULL;
	struct stat st;
	ssize_t len;

	if (fd < 0)
		return errno == ENOENT ? no_record(err) : no_read(cache, errno, err);
	if (fstat(fd, &st))
		return no_read(cache, errno, err);
	if (!is_own_file(&st) || st.st_size > RECORD_MAX)
		return no_record(err);
	bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return error_set(err, ENOMEM, "cache: out of memory");
	len = read_at(fd, bytes, (size_t)st.st_size, 0);
	if (len < 0)
		return no_read(cache, (int)-len, err);
	if (len < st.st_size)
		return no_record(err);
	bytes[len] = '\0';
	*ret = TAKE(bytes);
	*ret_len = (size_t)len;
	return 0;
}

/* Checks the first line and the hash; *ret_body points into bytes. */
static int record_check(
	char *bytes, size_t len, char **ret_body, uint64_t *ret_time, struct error *err)
{
	char *line_end = memchr(bytes, '\n', len < HEAD_MAX ? len : HEAD_MAX);
	char head[HEAD_MAX], hex[DIGEST_HEX_MAX];
	struct digest digest;
	uint64_t then;
	char *body;
	int rc;

	if (!line_end || sscanf(bytes, "imgfs 1 %20" SCNu64 " ", &then) != 1)
		return error_set(err, EBADMSG, "its first line is none of ours");
	body = line_end + 1;
	rc = record_hash(&digest, then, body, len - (size_t)(body - bytes), err);
	if (rc)
		return rc;
	(void)snprintf(head, sizeof head, HEAD_FORMAT "%s\n", then, digest_hex(&digest, hex));
	if (strlen(head) != (size_t)(body - bytes) || memcmp(head, bytes, strlen(head)))
		return error_set(err, EBADMSG, "its checksum is wrong");
	*ret_body = body;
	*ret_time = then;
	return 0;
}

int record_read(struct cache *cache, int dir, const char *name, char **ret_bytes, char **ret_body,
	size_t *ret_len, uint64_t *ret_time, struct error *err)
{
	CLEANUP(freep) char *bytes = NULL;
	size_t len = 0;
	int rc = read_file(cache, dir, name, &bytes, &len, err);

	if (!rc)
		rc = record_check(bytes, len, ret_body, ret_time, err);
	if (rc)
		return rc;
	*ret_len = len - (size_t)(*ret_body - bytes);
	*ret_bytes = TAKE(bytes);
	return 0;
}

/* *ret_bytes is to be freed, *ret_body lies in it.  One that the disk does not give is a miss. */
static int record_get(struct cache *cache, const struct buf *path, const char *name,
	char **ret_bytes, char **ret_body, size_t *ret_len, uint64_t *ret_age_s, struct error *err)
{
	CLEANUP(closep) int dir = -1;
	uint64_t then = 0;
	int rc;

	if (cache->dirs[DIR_REFS] >= 0)
		dir = open_below(cache->dirs[DIR_REFS], path->data, false);
	if (dir < 0)
		return no_record(err);
	rc = record_read(cache, dir, name, ret_bytes, ret_body, ret_len, &then, err);
	if (rc == -EBADMSG)
		(void)unlinkat(dir, name, 0);
	if (rc)
		return rc == -ENOMEM ? rc : no_record(err);
	*ret_age_s = age_of(then);
	return 0;
}

/* --- refs --- */

static int ref_path(struct buf *path, char **ret_name, const char *host, const char *repository,
	const char *tag, struct error *err)
{
	CLEANUP(buf_release) struct buf name = { 0 };
	int rc;

	buf_init(path, PATH_MAX);
	buf_init(&name, NAME_MAX + 1);
	rc = put_repository(path, host, repository, err);
	if (!rc)
		rc = buf_append_text(path, "_tags/");
	if (!rc)
		rc = put_component(&name, tag, strlen(tag), "_", err);
	if (rc)
		return error_set(err, ENAMETOOLONG, "cache: '%s' has too long a name", repository);
	name.data[name.len - 1] = '\0'; /* its slash */
	*ret_name = buf_take(&name, NULL);
	return *ret_name ? 0 : error_set(err, ENOMEM, "cache: out of memory");
}

int parse_ref(struct descriptor *ret, char *body, struct error *err)
{
	char digest[DIGEST_TEXT_MAX], size[24];
	struct descriptor descriptor = { .size = DESCRIPTOR_SIZE_UNKNOWN };
	char *type;
	int rc;

	if (sscanf(body, "%135s %23s", digest, size) != 2)
		return no_record(err);
	rc = digest_parse(&descriptor.digest, digest, err);
	if (rc)
		return no_record(err);
	if (strcmp(size, "-") && sscanf(size, "%" SCNu64, &descriptor.size) != 1)
		return no_record(err);
	type = strchr(body, '\n');
	if (type && type[1]) {
		descriptor.media_type = strndup(type + 1, strcspn(type + 1, "\n"));
		if (!descriptor.media_type)
			return error_set(err, ENOMEM, "cache: out of memory");
	}
	*ret = descriptor;
	return 0;
}

int cache_ref_get(struct cache *cache, const char *host, const char *repository, const char *tag,
	struct descriptor *ret, uint64_t *ret_age_s, struct error *err)
{
	CLEANUP(freep) char *name = NULL;
	CLEANUP(freep) char *bytes = NULL;
	CLEANUP(buf_release) struct buf path = { 0 };
	uint64_t age = 0;
	char *body;
	size_t len;
	int rc = ref_path(&path, &name, host, repository, tag, err);

	if (rc)
		return rc == -ENOMEM ? rc : no_record(err);
	rc = record_get(cache, &path, name, &bytes, &body, &len, &age, err);
	if (!rc)
		rc = parse_ref(ret, body, err);
	if (!rc)
		*ret_age_s = age;
	return rc;
}

int cache_ref_put(struct cache *cache, const char *host, const char *repository, const char *tag,
	const struct descriptor *descriptor, struct error *err)
{
	const char *type = descriptor->media_type;
	CLEANUP(freep) char *name = NULL;
	CLEANUP(buf_release) struct buf path = { 0 };
	CLEANUP(buf_release) struct buf body = { 0 };
	char digest[DIGEST_TEXT_MAX];
	int rc;

	buf_init(&body, REF_MAX);
	rc = ref_path(&path, &name, host, repository, tag, err);
	if (rc)
		return rc;
	(void)buf_printf(&body, "%s ", digest_format(&descriptor->digest, digest));
	if (descriptor->size == DESCRIPTOR_SIZE_UNKNOWN)
		(void)buf_append_text(&body, "-\n");
	else
		(void)buf_printf(&body, "%" PRIu64 "\n", descriptor->size);
	if (type && strlen(type) <= MEDIA_TYPE_MAX && !strchr(type, '\n'))
		(void)buf_printf(&body, "%s\n", type);
	if (buf_status(&body))
		return error_set(err, -buf_status(&body), "cache: ref of '%s'", repository);
	return record_put(cache, &path, name, body.data, body.len, err);
}

/* --- lists --- */

static int list_path(struct buf *path, char *ret_name, size_t name_len, const char *host,
	const char *repository, const char *name, struct error *err)
{
	int rc;

	buf_init(path, PATH_MAX);
	(void)snprintf(ret_name, name_len, "_list-%s", name);
	rc = put_repository(path, host, repository, err);
	return rc ? error_set(err, ENAMETOOLONG, "cache: '%s' has too long a name", repository) : 0;
}

int cache_list_get(struct cache *cache, const char *host, const char *repository, const char *name,
	struct buf *ret, uint64_t *ret_age_s, struct error *err)
{
	CLEANUP(freep) char *bytes = NULL;
	CLEANUP(buf_release) struct buf path = { 0 };
	uint64_t age = 0;
	char file[NAME_MAX];
	char *body;
	size_t len;
	int rc = list_path(&path, file, sizeof file, host, repository, name, err);

	if (rc)
		return no_record(err);
	rc = record_get(cache, &path, file, &bytes, &body, &len, &age, err);
	if (rc)
		return rc;
	rc = buf_append(ret, body, len);
	if (rc)
		return error_set(err, -rc, "cache: list too long");
	*ret_age_s = age;
	return 0;
}

int cache_list_put(struct cache *cache, const char *host, const char *repository, const char *name,
	const char *text, size_t len, struct error *err)
{
	CLEANUP(buf_release) struct buf path = { 0 };
	char file[NAME_MAX];
	int rc = list_path(&path, file, sizeof file, host, repository, name, err);

	return rc ? rc : record_put(cache, &path, file, text, len, err);
}

bool cache_has_names(struct cache *cache, const char *host, const char *repository)
{
	CLEANUP(buf_release) struct buf path = { 0 };
	CLEANUP(closep) int dir = -1;

	buf_init(&path, PATH_MAX);
	if (cache->dirs[DIR_REFS] >= 0 && !put_repository(&path, host, repository, NULL))
		dir = open_below(cache->dirs[DIR_REFS], path.data, false);
	return dir >= 0;
}

/* --- proofs --- */

static int proof_dir(
	struct cache *cache, const char *key, char hex[static DIGEST_HEX_MAX], bool create)
{
	struct digest digest;

	if (cache->dirs[DIR_PROOF] < 0 || digest_of(&digest, DIGEST_SHA256, key, strlen(key), NULL))
		return -1;
	return open_below(cache->dirs[DIR_PROOF], digest_hex(&digest, hex), create);
}

bool cache_proof_has(
	struct cache *cache, const char *key, const struct digest *digest, bool any_age)
{
	char key_hex[DIGEST_HEX_MAX], name[DIGEST_HEX_MAX];
	CLEANUP(closep) int dir = proof_dir(cache, key, key_hex, false);
	struct stat st;

	if (dir < 0 || fstatat(dir, digest_hex(digest, name), &st, AT_SYMLINK_NOFOLLOW) ||
		!is_own_file(&st))
		return false;
	return any_age ||
	       (st.st_mtime >= 0 && age_of((uint64_t)st.st_mtime) < CACHE_PROOF_MAX_AGE_S);
}

void cache_proof_put(struct cache *cache, const char *key, const struct digest *digest)
{
	char key_hex[DIGEST_HEX_MAX], name[DIGEST_HEX_MAX];
	CLEANUP(closep) int dir = proof_dir(cache, key, key_hex, true);
	CLEANUP(closep)
	int fd = dir < 0 ? -1
			 : openat(dir, digest_hex(digest, name),
				   O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
				   FILE_MODE);

	if (fd < 0)
		return; /* then it is asked again next time */
	(void)futimens(fd, NULL);
	note_own(cache, "%s/%s/%s", dir_name(DIR_PROOF), key_hex, name);
	account_record(cache, 0);
}
