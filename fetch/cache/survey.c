/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies in a cache, for people who look at it from outside of any mount.
 *
 * Mounts go on meanwhile.  Complete entries do not change, and an fd outlives
 * the name; so entries are read as they are found, and removed only while the
 * name still means the file that was found.  Who has one open holds a shared
 * lock of it (cache_hold()): an exclusive one is had for the others only.
 */
#include "fetch/cache/internal.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "model/cleanup.h"

/* --- entries --- */

struct entries {
	struct cache_entry *entries;
	size_t count;
	int rc; /* why some may be left out, or 0 */
};

static enum cache_dir dir_of(const struct cache_entry *entry)
{
	return entry->is_partial ? DIR_PARTIAL : entry_dir(entry->kind, &entry->digest);
}

/* What a file's place and name say that it is.  False: nothing of ours has that name. */
static bool read_name(struct cache_entry *entry, enum cache_dir dir, const char *name)
{
	static const enum cache_kind kinds[] = { CACHE_BLOB, CACHE_INDEX, CACHE_SPOOL };
	bool is_sha512 = dir == DIR_PARTIAL ? strlen(name) > 2 * digest_size(DIGEST_SHA256)
					    : (dir - DIR_BLOBS) % 2;

	entry->is_partial = dir == DIR_PARTIAL;
	entry->kind = dir == DIR_PARTIAL ? CACHE_BLOB : kinds[(dir - DIR_BLOBS) / 2];
	return !digest_parse_parts(&entry->digest,
		digest_algorithm_name(is_sha512 ? DIGEST_SHA512 : DIGEST_SHA256), name, NULL);
}

static bool is_locked(int dir, const char *name)
{
	CLEANUP(closep) int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
}

static void add_entry(struct cache *cache, enum cache_dir dir, const char *name, void *context)
{
	struct entries *entries = context;
	struct cache_entry entry = { .size = 0 };
	struct stat st;

	if (entries->rc)
		return;
	if (fstatat(cache->dirs[dir], name, &st, AT_SYMLINK_NOFOLLOW)) {
		entries->rc = errno == ENOENT ? 0 : -errno; /* ENOENT: gone meanwhile */
		return;
	}
	if (!is_own_file(&st) || !read_name(&entry, dir, name))
		return;
	if (!(entries->count & (entries->count - 1))) { /* full at powers of two */
		size_t more = entries->count ? entries->count * 2 : 1;
		struct cache_entry *grown = reallocarray(entries->entries, more, sizeof *grown);

		if (!grown) {
			entries->rc = -ENOMEM;
			return;
		}
		entries->entries = grown;
	}
	entry.size = (uint64_t)st.st_size;
	entry.used = used_at(&st);
	entry.number = (uint64_t)st.st_ino;
	entry.is_in_use = is_locked(cache->dirs[dir], name);
	entries->entries[entries->count++] = entry;
}

static int youngest_first(const void *a, const void *b)
{
	return compare_times(
		&((const struct cache_entry *)b)->used, &((const struct cache_entry *)a)->used);
}

int cache_entries(
	struct cache *cache, struct cache_entry **ret, size_t *ret_count, struct error *err)
{
	struct entries entries = { NULL, 0, 0 };
	int rc = 0;

	for (enum cache_dir dir = 0; !rc && dir <= DIR_PARTIAL; dir++) {
		rc = each_file(cache, dir, add_entry, &entries);
		if (!rc)
			rc = entries.rc;
	}
	if (rc) {
		free(entries.entries);
		return error_set(err, -rc, "cache '%s': %s", cache->path, strerror(-rc));
	}
	if (entries.count)
		qsort(entries.entries, entries.count, sizeof *entries.entries, youngest_first);
	*ret = entries.entries;
	*ret_count = entries.count;
	return 0;
}

char *cache_entry_name(const struct cache_entry *entry, char text[static CACHE_ENTRY_NAME_MAX])
{
	char hex[DIGEST_HEX_MAX];

	(void)snprintf(text, CACHE_ENTRY_NAME_MAX, "%s/%s", dir_name(dir_of(entry)),
		digest_hex(&entry->digest, hex));
	return text;
}

/* The file with the entry's name, if it is the one that was found; -1 and errno. */
static int open_entry(struct cache *cache, const struct cache_entry *entry, int flags)
{
	char hex[DIGEST_HEX_MAX];
	CLEANUP(closep)
	int fd = openat(cache->dirs[dir_of(entry)], digest_hex(&entry->digest, hex),
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -1;
	if (!is_own_file(&st) || (uint64_t)st.st_ino != entry->number) {
		errno = ENOENT;
		return -1;
	}
	return TAKE_FD(fd);
}

int cache_entry_open(struct cache *cache, const struct cache_entry *entry, struct error *err)
{
	int fd = open_entry(cache, entry, O_NOATIME); /* reading it is no use of it */

	return fd < 0 ? error_set(err, errno, "%s", strerror(errno)) : fd;
}

bool cache_entry_remove(struct cache *cache, const struct cache_entry *entry, bool spare_used)
{
	char hex[DIGEST_HEX_MAX];
	CLEANUP(closep) int fd = open_entry(cache, entry, 0);

	/* One that does not even open, by a fault of the disk, goes unseen. */
	if (fd < 0 && (errno == ENOENT || spare_used))
		return false;
	if (spare_used && flock(fd, LOCK_EX | LOCK_NB))
		return false;
	return !unlinkat(cache->dirs[dir_of(entry)], digest_hex(&entry->digest, hex), 0);
}

/* --- records --- */

/* The text that put_component() made a file name of; of a long one, what there is. */
static int unescape(struct buf *ret, const char *name, size_t len)
{
	buf_init(ret, PATH_MAX);
	for (size_t i = 0; i < len; i++) {
		unsigned byte;
		int used = 0;

		if (name[i] == '%' && i + 2 < len &&
			sscanf(name + i, "%%%2X%n", &byte, &used) == 1 && used == 3) {
			(void)buf_append(ret, &(char){ (char)byte }, 1);
			i += 2;
		} else if (name[i] != '%' || len > 1) {
			(void)buf_append(ret, name + i, 1);
		}
	}
	return buf_append(ret, "", 0) ? -ENOMEM : buf_status(ret);
}

/* "NAME", "NAME_PORT_" or "_local". */
static int unescape_host(struct buf *ret, const char *name, size_t len)
{
	size_t port = len;

	if (len == strlen("_local") && !strncmp(name, "_local", len))
		return unescape(ret, "%", 1);
	if (len && name[len - 1] == '_')
		for (port = len - 1; port && name[port - 1] != '_';)
			port--;
	if (port == len)
		return unescape(ret, name, len);
	(void)unescape(ret, name, port - 1);
	(void)buf_append_text(ret, ":");
	return buf_append(ret, name + port, len - 1 - port);
}

struct names {
	struct buf host, repository, tag;
	bool is_list;
};

static void names_release(struct names *names)
{
	buf_release(&names->host);
	buf_release(&names->repository);
	buf_release(&names->tag);
}

/* path: HOST/REPOSITORY.../_tags/TAG, or HOST/REPOSITORY.../_list-NAME. */
static int read_path(struct names *names, const char *path)
{
	const char *slash = strchr(path, '/'), *at;
	int rc = slash ? unescape_host(&names->host, path, (size_t)(slash - path)) : -EINVAL;

	buf_init(&names->repository, PATH_MAX);
	for (at = slash ? slash + 1 : path; !rc && *at != '_'; at += strcspn(at, "/") + 1) {
		CLEANUP(buf_release) struct buf component = { 0 };
		size_t len = strcspn(at, "/");

		if (!at[len])
			return -EINVAL; /* neither */
		rc = unescape(&component, at, len);
		if (!rc && at != slash + 1)
			rc = buf_append_text(&names->repository, "/");
		if (!rc)
			rc = buf_append(&names->repository, component.data ? component.data : "",
				component.len);
	}
	names->is_list = strncmp(at, "_tags/", 6) != 0;
	return rc || names->is_list ? rc : unescape(&names->tag, at + 6, strlen(at + 6));
}

static const char *text_of(const struct buf *buf)
{
	return buf->data ? buf->data : "";
}

struct survey {
	cache_record_fn *fn;
	void *context;
	int rc; /* why one was left out, or 0 */
};

static void tell_record(struct cache *cache, const char *path, const struct stat *st, void *context)
{
	struct survey *survey = context;
	CLEANUP(freep) char *bytes = NULL;
	CLEANUP(freep) char *whole = NULL;
	CLEANUP(names_release) struct names names = { .is_list = false };
	CLEANUP(descriptor_release) struct descriptor descriptor = { 0 };
	struct cache_record record;
	uint64_t then;
	size_t len;
	char *body;
	int rc = record_read(cache, cache->dirs[DIR_REFS], path, &bytes, &body, &len, &then, NULL);

	(void)st;
	if (rc == -ENOENT && faccessat(cache->dirs[DIR_REFS], path, F_OK, AT_SYMLINK_NOFOLLOW))
		return; /* gone meanwhile */
	record = (struct cache_record){ .is_damaged = rc != 0 };
	if (!rc)
		rc = read_path(&names, path);
	if (rc == -EINVAL)
		return; /* not a name that we give */
	if (!rc && !names.is_list) {
		rc = parse_ref(&descriptor, body, NULL);
		record.is_damaged = rc != 0;
	}
	if (asprintf(&whole, "%s/%s", dir_name(DIR_REFS), path) < 0) {
		whole = NULL;
		rc = -ENOMEM;
	}
	if (rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE) { /* for which it cannot help */
		survey->rc = rc;
		return;
	}
	record.path = whole;
	if (!record.is_damaged) {
		record.host = text_of(&names.host);
		record.repository = text_of(&names.repository);
		record.tag = names.is_list ? NULL : text_of(&names.tag);
		record.digest = descriptor.digest;
		record.media_type = descriptor.media_type;
	}
	survey->fn(&record, survey->context);
}

int cache_records(struct cache *cache, cache_record_fn *fn, void *context, struct error *err)
{
	struct survey survey = { fn, context, 0 };
	int rc = each_record(cache, DIR_REFS, tell_record, &survey);

	if (!rc)
		rc = survey.rc;
	return rc ? error_set(err, -rc, "cache '%s': %s", cache->path, strerror(-rc)) : 0;
}

bool cache_record_remove(struct cache *cache, const char *path)
{
	size_t len = strlen(dir_name(DIR_REFS)) + 1;

	return strlen(path) > len && remove_record(cache, DIR_REFS, path + len);
}

/* --- pruning --- */

struct pruning {
	struct cache *cache;
	struct cache_entry *entries;
	size_t count; /* of those that are left, sorted by digest */
	bool is_trial;
	int code; /* of one that could not be removed, or 0 */
	struct cache_pruned *pruned;
};

static int by_digest(const void *a, const void *b)
{
	return digest_compare(
		&((const struct cache_entry *)a)->digest, &((const struct cache_entry *)b)->digest);
}

static bool is_left(const struct pruning *pruning, const struct digest *digest)
{
	const struct cache_entry key = { .digest = *digest };

	return pruning->count &&
	       bsearch(&key, pruning->entries, pruning->count, sizeof *pruning->entries, by_digest);
}

static void prune_ref(const struct cache_record *record, void *context)
{
	struct pruning *pruning = context;

	if (record->is_damaged ||
		(record->tag ? is_left(pruning, &record->digest) : pruning->count > 0))
		return;
	if (pruning->is_trial || cache_record_remove(pruning->cache, record->path))
		pruning->pruned->records++;
}

/* What was proved stays true; but of an empty cache nothing is to be left. */
static void prune_proof(struct cache *cache, const char *path, const struct stat *st, void *context)
{
	struct pruning *pruning = context;

	(void)st;
	if (pruning->is_trial || remove_record(cache, DIR_PROOF, path))
		pruning->pruned->records++;
}

static bool prune_entry(struct pruning *pruning, const struct cache_entry *entry)
{
	struct cache_pruned *pruned = pruning->pruned;

	if (entry->is_in_use ||
		(!pruning->is_trial && !cache_entry_remove(pruning->cache, entry, true))) {
		if (!entry->is_in_use && errno != EWOULDBLOCK && errno != ENOENT)
			pruning->code = errno;
		pruned->spared++;
		pruned->spared_bytes += entry->size;
		return false;
	}
	pruned->removed++;
	pruned->removed_bytes += entry->size;
	pruned->left_bytes -= entry->size;
	return true;
}

int cache_prune(struct cache *cache, uint64_t size, bool is_trial, struct cache_pruned *ret,
	struct error *err)
{
	CLEANUP(freep) struct cache_entry *entries = NULL;
	struct cache_pruned pruned = { 0 };
	struct pruning pruning = { .cache = cache, .is_trial = is_trial, .pruned = &pruned };
	size_t count = 0;
	int rc = cache_entries(cache, &entries, &count, err);

	if (rc)
		return rc;
	if (!is_trial)
		collect_dead(cache);
	for (size_t i = 0; i < count; i++)
		pruned.left_bytes += entries[i].size;
	pruning.entries = entries;
	for (size_t i = count; i-- > 0;)
		if (pruned.left_bytes <= size || !prune_entry(&pruning, &entries[i]))
			entries[count - ++pruning.count] = entries[i];
	pruning.entries = entries + count - pruning.count;
	if (pruning.count)
		qsort(pruning.entries, pruning.count, sizeof *entries, by_digest);
	rc = cache_records(cache, prune_ref, &pruning, err);
	if (!rc && !pruning.count)
		rc = each_record(cache, DIR_PROOF, prune_proof, &pruning);
	if (!rc && pruning.code)
		rc = error_set(err, pruning.code, "cache '%s': not all could be removed: %s",
			cache->path, strerror(pruning.code));
	if (!rc)
		*ret = pruned;
	return rc;
}
