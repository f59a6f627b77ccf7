/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bundles: one tree of files, put into a directory and, by several tools, into archives, is the
 * same bundle each time; then archives that no tool would write.
 */
#include "fetch/bundle/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fetch/cache/cache.h"
#include "fetch/cancel.h"
#include "fetch/observer.h"
#include "model/buf.h"
#include "model/cleanup.h"
#include "model/tar/tar.h"

enum { LARGE = 5 << 20, TEXT_MAX = 1 << 10 };

static _Atomic unsigned warnings;

static void count_warning(struct observer *observer, enum log_level level, const char *text)
{
	(void)observer;
	(void)text;
	warnings += level <= LOG_LEVEL_WARNING;
}

static struct observer observer = { .log = count_warning };

/* --- one tree --- */

static char work[64]; /* the tree is in work/tree */
static char *large;   /* LARGE bytes that do not compress */

__attribute__((format(printf, 1, 2))) static const char *in_work(const char *fmt, ...)
{
	static char path[2][512];
	static unsigned turn;
	char *ret = path[turn++ % 2];
	int used = snprintf(ret, sizeof path[0], "%s/", work);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(ret + used, sizeof path[0] - (size_t)used, fmt, ap);
	va_end(ap);
	return ret;
}

static void run(const char *command)
{
	char line[1024];

	(void)snprintf(line, sizeof line, "cd %s && %s", work, command);
	if (system(line))
		fail_msg("%s", line);
}

static void put_file(const char *path, const void *bytes, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int make_tree(void **state)
{
	unsigned seed = 1;

	(void)state;
	strcpy(work, "/tmp/imgfs-bundle-XXXXXX");
	large = malloc(LARGE);
	if (!large || !mkdtemp(work))
		return -1;
	for (size_t i = 0; i < LARGE; i++) {
		seed = seed * 1103515245 + 12345;
		large[i] = (char)(seed >> 24);
	}
	run("mkdir -p tree/a/b tree/empty && cd tree && printf hello >a/file && printf top >top &&"
	    "ln a/file hard && : >nothing && mkfifo fifo &&"
	    "ln -s file a/link && ln -s ../top a/b/wrong && ln -s ../../top a/b/right &&"
	    "ln -s a dirlink && ln -s / root && ln -s /etc/passwd absolute &&"
	    "ln -s ../../../../../../etc/passwd out && ln -s nowhere dangling &&"
	    "ln -s loop2 loop1 && ln -s loop1 loop2 &&"
	    "for i in 1 2 3 4 5 6 7 8; do ln -s chain$i chain$((i + 1)); done &&"
	    "ln -s top chain1 &&"
	    "long=$(printf %0120d 0) && mkdir -p $long/$long && printf long >$long/$long/$long");
	put_file(in_work("tree/large"), large, LARGE);
	return 0;
}

static int drop_tree(void **state)
{
	(void)state;
	free(large);
	return nftw(work, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define LONG                                                                                       \
	"000000000000000000000000000000000000000000000000000000000000"                             \
	"000000000000000000000000000000000000000000000000000000000000"

/* What each form of the tree gives. */
static const struct {
	const char *path;
	int rc;
	const char *text;
} files[] = {
	{ "a/file", 0, "hello" },
	{ "./a//file", 0, "hello" },
	{ "top", 0, "top" },
	{ "nothing", 0, "" },
	{ "hard", 0, "hello" },
	{ "a/link", 0, "hello" },
	{ "a/b/right", 0, "top" },
	{ "dirlink/file", 0, "hello" },
	{ "dirlink/b/right", 0, "top" },
	{ "dirlink/../top", 0, "top" }, /* ".." of where the link leads */
	{ LONG "/" LONG "/" LONG, 0, "long" },
	{ "chain8", 0, "top" },
	{ "chain9", -EIO, "more than 8 links" },
	{ "loop1", -EIO, "more than 8 links" },
	{ "a/b/wrong", -EIO, "leads nowhere" },
	{ "dangling", -EIO, "leads nowhere" },
	{ "dangling/x", -EIO, "leads nowhere" },
	{ "absolute", -EIO, "leads out of it" },
	{ "root/etc/passwd", -EIO, "leads out of it" },
	{ "out", -EIO, "leads out of it" },
	{ "../top", -EIO, "leads out of it" },
	{ "a/../../top", -EIO, "leads out of it" },
	{ "fifo", -EIO, "not a regular file" },
	{ "a", -EIO, "not a regular file" },
	{ "dirlink", -EIO, "not a regular file" },
	{ "", -EIO, "not a regular file" },
	{ "a/..", -EIO, "not a regular file" },
	{ "absent", -ENOENT, "no such file" },
	{ "a/absent", -ENOENT, "no such file" },
	{ "absent/file", -ENOENT, "no such file" },
	{ "top/file", -ENOENT, "no such file" },
};

static const struct {
	const char *path;
	int rc;
	const char *names;
} directories[] = {
	{ "a", 0, "b|file|link|" },
	{ "a/b", 0, "right|wrong|" },
	{ "dirlink", 0, "b|file|link|" },
	{ "empty", 0, "" },
	{ "absent", -ENOENT, NULL },
	{ "top", -ENOENT, NULL },
	{ "root", -EIO, NULL },
	{ "..", -EIO, NULL },
	{ "", 0,
		LONG "|a|absolute|chain1|chain2|chain3|chain4|chain5|chain6|chain7|chain8|chain9|"
		     "dangling|dirlink|empty|fifo|hard|large|loop1|loop2|nothing|out|root|top|" },
};

static void assert_file(struct bundle *bundle, const char *path, int rc, const char *text)
{
	CLEANUP(buf_release) struct buf body = { .max = TEXT_MAX };
	struct error err = { "" };
	int found = bundle_read(bundle, path, &body, &err);

	if (found != rc)
		fail_msg("'%s': %d, not %d: %s", path, found, rc, err.text);
	if (!rc)
		assert_string_equal(body.len ? body.data : "", text);
	else if (!strstr(err.text, text) || !strstr(err.text, path))
		fail_msg("'%s' does not hold '%s' and '%s'", err.text, path, text);
}

static void assert_names(struct bundle *bundle, const char *path, int rc, const char *names)
{
	struct name_list list = { NULL, 0 };
	char text[TEXT_MAX] = "";
	size_t used = 0;

	assert_int_equal(bundle_list(bundle, path, &list, NULL), rc);
	if (rc)
		return;
	for (size_t i = 0; i < list.count; i++)
		used += (size_t)snprintf(text + used, sizeof text - used, "%s|", list.names[i]);
	assert_string_equal(text, names);
	name_list_release(&list);
}

static void assert_large(struct bundle *bundle)
{
	static const size_t lens[] = { 1, 4096, 1000003, LARGE };
	CLEANUP(readerp) struct reader *reader = NULL;
	CLEANUP(freep) char *bytes = malloc(LARGE);
	uint64_t offset = 0;

	assert_int_equal(bundle_file(bundle, "large", &reader, NULL), 0);
	assert_int_equal(reader->size, LARGE);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		size_t len = lens[i] < LARGE - offset ? lens[i] : LARGE - offset;

		assert_int_equal(reader_read(reader, bytes, lens[i], offset, NULL), len);
		assert_memory_equal(bytes, large + offset, len);
		offset = (offset + 2500000) % LARGE;
	}
}

static void assert_tree(struct bundle *bundle)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		assert_file(bundle, files[i].path, files[i].rc, files[i].text);
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		assert_names(bundle, directories[i].path, directories[i].rc, directories[i].names);
	assert_large(bundle);
}

static struct bundle *open_bundle(const char *path, struct cache *cache)
{
	struct error err = { "" };
	struct bundle *bundle;

	if (bundle_open(&bundle, path, cache, &observer, NULL, &err))
		fail_msg("%s", err.text);
	assert_string_equal(bundle_name(bundle), path);
	return bundle;
}

/* The tree in a directory, and as tools put it into archives. */
static const struct form_case {
	const char *name;
	const char *command; /* makes "archive"; NULL: the directory itself */
} form_cases[] = {
	{ "a directory", NULL },
	{ "GNU tar", "tar -cf archive --format=gnu -C tree ." },
	{ "GNU tar, no dots", "(cd tree && tar -cf ../archive --format=gnu *)" },
	{ "GNU tar, pax", "tar -cf archive --format=pax -C tree ." },
	{ "GNU tar, files backwards", "(cd tree && find . | LC_ALL=C sort -r |"
				      "tar -cf ../archive --no-recursion -T -)" },
	{ "GNU tar, absolute names", "(cd tree && tar -cPf ../archive --transform 's,^,/,S' *)" },
	{ "bsdtar, pax", "bsdtar -cf archive --format=pax -C tree ." },
	{ "bsdtar, GNU", "bsdtar -cf archive --format=gnutar -C tree ." },
	{ "gzip", "tar -czf archive -C tree ." },
	{ "gzip in two members",
		"tar -cf plain -C tree . && "
		"(head -c 1000 plain | gzip; tail -c +1001 plain | gzip) >archive" },
	{ "zstd in one frame", "tar -cf - -C tree . | zstd -q >archive" },
	{ "zstd in many frames", "tar -cf plain -C tree . && for i in 0 1 2 3 4 5 6; do "
				 "dd if=plain bs=1M count=1 skip=$i 2>/dev/null | zstd -q;"
				 "done >archive" },
	{ "bsdtar, gzip", "bsdtar -czf archive -C tree ." },
	{ "bsdtar, xz", "bsdtar -cJf archive -C tree ." },
	{ "bsdtar, bzip2", "bsdtar -cjf archive -C tree ." },
};

static void form_row(void **state)
{
	const struct form_case *c = *state;
	CLEANUP(bundlep) struct bundle *bundle = NULL;

	if (c->command)
		run(c->command);
	bundle = open_bundle(in_work("%s", c->command ? "archive" : "tree"), NULL);
	assert_int_equal(bundle_is_archive(bundle), c->command != NULL);
	assert_tree(bundle);
}

/* --- archives that no tool would write --- */

/* POSIX.1-2017 pax, "ustar Interchange Format". */
static void put_header(char block[TAR_BLOCK], char type, const char *name, const char *link,
	unsigned long long size)
{
	unsigned sum = 0;
	char number[24];

	memset(block, 0, TAR_BLOCK);
	memcpy(block, name, strlen(name));
	(void)snprintf(block + 100, 8, "%07o", 0644);
	(void)snprintf(block + 108, 8, "%07o", 0);
	(void)snprintf(block + 116, 8, "%07o", 0);
	(void)snprintf(number, sizeof number, "%011llo", size);
	memcpy(block + 124, number, strlen(number));
	(void)snprintf(block + 136, 12, "%011o", 0);
	memset(block + 148, ' ', 8);
	block[156] = type;
	memcpy(block + 157, link, strlen(link));
	memcpy(block + 257, "ustar\00000", 8);
	for (int i = 0; i < TAR_BLOCK; i++)
		sum += (unsigned char)block[i];
	(void)snprintf(block + 148, 8, "%06o", sum);
}

/* Lines of a tar type, a name, and the content or the target. */
static void put_members(struct buf *tar, const char *lines)
{
	char type, name[100], text[100], block[TAR_BLOCK];

	for (; *lines; lines += strcspn(lines, "\n"), lines += *lines == '\n') {
		*text = '\0';
		assert_true(sscanf(lines, "%c %99s%*[ ]%99[^\n]", &type, name, text) >= 2);
		put_header(
			block, type, name, type == '0' ? "" : text, type == '0' ? strlen(text) : 0);
		(void)buf_append(tar, block, TAR_BLOCK);
		memset(block, 0, TAR_BLOCK);
		memcpy(block, text, sizeof text);
		if (type == '0' && *text)
			(void)buf_append(tar, block, TAR_BLOCK);
	}
	memset(block, 0, TAR_BLOCK);
	(void)buf_append(tar, block, TAR_BLOCK);
	(void)buf_append(tar, block, TAR_BLOCK);
	assert_int_equal(buf_status(tar), 0);
}

static const struct member_case {
	const char *name, *members;
	const char *path;
	int rc;
	const char *text;
	unsigned warnings;
} member_cases[] = {
	{ "of two members the last wins", "0 a one\n0 a two\n", "a", 0, "two", 0 },
	{ "however they are spelled", "0 a one\n0 ./b/../a two\n", "a", 0, "two", 0 },
	{ "a member asked for as it is spelled", "0 /a one\n", "./a", 0, "one", 0 },
	{ "a file in the place of a directory", "0 a/b one\n0 a two\n", "a/b", -ENOENT,
		"no such file", 0 },
	{ "a directory that is not there", "0 a/b one\n", "a/b", 0, "one", 0 },
	{ "a hard link in front of its target", "1 a b\n0 b one\n", "a", 0, "one", 0 },
	{ "a hard link keeps what its target was", "0 b one\n1 a b\n0 b two\n", "a", 0, "one", 0 },
	{ "a hard link to a symlink", "0 b one\n2 c b\n1 a c\n", "a", 0, "one", 0 },
	{ "a hard link to nothing", "1 a b\n", "a", -EIO, "not there", 0 },
	{ "a hard link to itself", "1 a a\n", "a", -ENOENT, "no such file", 1 },
	{ "hard links in a loop", "1 a b\n1 b a\n", "a", -ENOENT, "no such file", 1 },
	{ "a hard link out of the archive", "1 a ../etc/passwd\n", "a", -ENOENT, "no such file",
		1 },
	{ "a symlink in front of its target", "2 a b\n0 b one\n", "a", 0, "one", 0 },
	{ "a symlink to where it lies", "2 a .\n0 b one\n", "a/b", 0, "one", 0 },
	{ "a member behind a symlink", "5 d\n2 a d\n0 a/b one\n", "d/b", 0, "one", 0 },
	{ "a name that climbs out", "0 ../a one\n0 b two\n", "a", -ENOENT, "no such file", 1 },
	{ "a name that climbs out takes no other with it", "0 ../a one\n0 b two\n", "b", 0, "two",
		1 },
	{ "a device", "3 a\n", "a", -EIO, "not a regular file", 0 },
	{ "a whiteout is a file", "0 .wh.a one\n", ".wh.a", 0, "one", 0 },
	{ "no member", "", "a", -ENOENT, "no such file", 0 },
};

static struct reader *reader_of(const void *bytes, size_t len)
{
	int fd = memfd_create("bundle", MFD_CLOEXEC);
	struct reader *reader = NULL;

	assert_int_equal(write(fd, bytes, len), len);
	assert_int_equal(reader_of_fd(&reader, fd, NULL), 0);
	return reader;
}

static void member_row(void **state)
{
	const struct member_case *c = *state;
	CLEANUP(buf_release) struct buf tar = { .max = 1 << 20 };
	CLEANUP(bundlep) struct bundle *bundle = NULL;
	struct error err = { "" };
	struct reader *archive;

	put_members(&tar, c->members);
	archive = reader_of(tar.data, tar.len);
	warnings = 0;
	if (bundle_open_reader(&bundle, archive, "it", &observer, NULL, &err))
		fail_msg("%s", err.text);
	reader_unref(archive); /* the bundle has its own */
	assert_int_equal(warnings, c->warnings);
	assert_true(bundle_is_archive(bundle));
	assert_string_equal(bundle_name(bundle), "it");
	assert_file(bundle, c->path, c->rc, c->text);
}

/* --- what cannot be opened --- */

static const struct broken_case {
	const char *name;
	const char *command; /* makes "broken" */
	int rc;
	const char *error;
} broken_cases[] = {
	{ "nothing", "rm -f broken", -ENOENT, "No such file" },
	{ "a FIFO", "mkfifo broken", -EIO, "not a regular file" },
	{ "no archive", "seq 1000 >broken", -EIO, "not a tar archive" },
	{ "a few bytes", "echo a >broken", -EIO, "not a tar archive" },
	{ "cut off inside a member", "tar -cf - tree/large | head -c 100000 >broken", -EIO,
		"inside the content" },
	{ "cut off inside a header", "tar -cf - tree/top | head -c 700 >broken", 0, NULL },
	{ "cut off inside a second header",
		"tar -cf - tree/top tree/hard tree/nothing | head -c 1100 >broken", -EIO,
		"inside a header" },
	{ "an empty file", ": >broken", 0, NULL },
	{ "gzip of no archive", "seq 1000 | gzip >broken", -EIO, "not a tar archive" },
	{ "gzip cut off", "tar -czf - tree/large 2>/dev/null | head -c 100000 >broken", -EIO,
		"gzip" },
	{ "gzip of an archive cut off", "tar -cf - tree/large | head -c 100000 | gzip >broken",
		-EIO, "inside the content" },
	{ "xz cut off", "bsdtar -cJf - tree/large | head -c 10000 >broken", -EIO, "xz" },
	{ "bzip2 cut off", "bsdtar -cjf - tree/large | head -c 10000 >broken", -EIO, "bzip2" },
	{ "zstd cut off", "tar -cf - tree/large | zstd -q | head -c 100000 >broken", -EIO, "zstd" },
};

static void broken_row(void **state)
{
	const struct broken_case *c = *state;
	CLEANUP(bundlep) struct bundle *bundle = NULL;
	const char *path = in_work("broken");
	struct error err = { "" };

	(void)unlink(path);
	run(c->command);
	assert_int_equal(bundle_open(&bundle, path, NULL, &observer, NULL, &err), c->rc);
	if (c->rc && (!strstr(err.text, c->error) || !strstr(err.text, path)))
		fail_msg("'%s' does not hold '%s' and '%s'", err.text, path, c->error);
}

static void sparse_members_are_refused(void **state)
{
	CLEANUP(bundlep) struct bundle *bundle = NULL;

	(void)state;
	run("printf x >sparse && truncate -s 1M sparse && tar -Scf archive sparse tree/top");
	bundle = open_bundle(in_work("archive"), NULL);
	assert_file(bundle, "sparse", -EIO, "sparse");
	assert_file(bundle, "tree/top", 0, "top");
}

static void a_ceiling_is_kept(void **state)
{
	CLEANUP(bundlep) struct bundle *bundle = NULL;
	CLEANUP(buf_release) struct buf body = { .max = 4 };
	struct error err = { "" };

	(void)state;
	bundle = open_bundle(in_work("tree"), NULL);
	assert_int_equal(bundle_read(bundle, "a/file", &body, &err), -EFBIG);
	assert_non_null(strstr(err.text, "'a/file': 5 bytes, more than 4"));
	assert_int_equal(bundle_read(bundle, "top", &body, NULL), 0);
}

/* --- how much is read --- */

/* What lies below is counted. */
struct counting {
	struct reader base;
	struct reader *below; /* NULL: one header again and again */
	char header[TAR_BLOCK];
	_Atomic uint64_t bytes, reads;
	struct cancel *cancel; /* set by the second read */
};

static int counting_read(
	struct reader *base, void *bytes, size_t len, uint64_t offset, struct error *err)
{
	struct counting *counting = container_of(base, struct counting, base);
	char *to = bytes;

	counting->bytes += len;
	if (++counting->reads == 2 && counting->cancel)
		cancel_set(counting->cancel);
	if (counting->below)
		return reader_read(counting->below, bytes, len, offset, err) < 0 ? -EIO : 0;
	for (size_t i = 0; i < len; i++)
		to[i] = counting->header[(offset + i) % TAR_BLOCK];
	return 0;
}

static int counting_stat(struct reader *base, struct stat *ret, struct error *err)
{
	return reader_stat(container_of(base, struct counting, base)->below, ret, err);
}

static void counting_free(struct reader *base)
{
	reader_unref(container_of(base, struct counting, base)->below);
}

static const struct reader_ops counting_ops = { counting_read, counting_stat, counting_free };

static void an_archive_is_opened_by_its_headers(void **state)
{
	enum { MEMBERS = 10 };
	const uint64_t size = UINT64_C(1) << 30, step = size + TAR_BLOCK;
	CLEANUP(bundlep) struct bundle *bundle = NULL;
	CLEANUP(readerp) struct reader *last = NULL;
	struct counting counting = { .bytes = 0 };
	int fd = memfd_create("large", MFD_CLOEXEC);
	char block[TAR_BLOCK], name[] = "a", byte;

	(void)state;
	for (unsigned i = 0; i < MEMBERS; i++, name[0]++) {
		put_header(block, '0', name, "", size);
		assert_int_equal(pwrite(fd, block, TAR_BLOCK, (off_t)(i * step)), TAR_BLOCK);
		assert_int_equal(pwrite(fd, name, 1, (off_t)(i * step + TAR_BLOCK)), 1);
	}
	assert_int_equal(ftruncate(fd, (off_t)(MEMBERS * step)), 0);
	assert_int_equal(reader_of_fd(&counting.below, fd, NULL), 0);
	reader_init(&counting.base, &counting_ops, MEMBERS * step);
	assert_int_equal(
		bundle_open_reader(&bundle, &counting.base, "it", &observer, NULL, NULL), 0);
	assert_true(counting.bytes <= TAR_BLOCK + MEMBERS * 4096);
	counting.bytes = 0;
	assert_int_equal(bundle_file(bundle, "j", &last, NULL), 0);
	assert_int_equal(last->size, size);
	assert_int_equal(reader_read(last, &byte, 1, 0, NULL), 1);
	assert_int_equal(byte, 'j');
	assert_int_equal(counting.bytes, 1);
	reader_unref(&counting.base);
}

static void a_cancelled_scan_ends(void **state)
{
	struct counting counting = { .below = NULL };
	struct bundle *bundle;
	struct cancel cancel;

	(void)state;
	cancel_init(&cancel);
	counting.cancel = &cancel;
	put_header(counting.header, '0', "a", "", 0);
	reader_init(&counting.base, &counting_ops, UINT64_C(1) << 40);
	assert_int_equal(
		bundle_open_reader(&bundle, &counting.base, "it", &observer, &cancel, NULL),
		-EINTR);
	assert_int_equal(counting.reads, 2);
	cancel_release(&cancel);
	reader_unref(&counting.base);
}

static void members_have_a_ceiling(void **state)
{
	struct counting counting = { .below = NULL };
	struct bundle *bundle;
	struct error err = { "" };

	(void)state;
	put_header(counting.header, '0', "a", "", 0);
	reader_init(&counting.base, &counting_ops, UINT64_C(1) << 40);
	assert_int_equal(
		bundle_open_reader(&bundle, &counting.base, "it", &observer, NULL, &err), -EFBIG);
	assert_non_null(strstr(err.text, "members"));
	reader_unref(&counting.base);
}

/* --- changes behind our back --- */

static void a_touched_file_has_another_stat(void **state)
{
	static const char *const forms[] = { "tree", "archive" };
	static const char *const touched[] = { "tree/top", "archive" };
	static const char *const paths[] = { "top", "tree/top" };

	(void)state;
	run("tar -cf archive tree/top");
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		CLEANUP(bundlep) struct bundle *bundle = open_bundle(in_work("%s", forms[i]), NULL);
		struct stat before, same, after;

		assert_int_equal(bundle_stat(bundle, paths[i], &before, NULL), 0);
		assert_int_equal(bundle_stat(bundle, paths[i], &same, NULL), 0);
		assert_true(stat_is_same(&before, &same));
		assert_int_equal(utimensat(AT_FDCWD, in_work("%s", touched[i]),
					 (struct timespec[]){ { 1, 0 }, { 2, 0 } }, 0),
			0);
		assert_int_equal(bundle_stat(bundle, paths[i], &after, NULL), 0);
		assert_false(stat_is_same(&before, &after));
		assert_int_equal(bundle_stat(bundle, "absent", &after, NULL), -ENOENT);
	}
}

static void an_archive_cut_short_later_is_a_fault(void **state)
{
	CLEANUP(bundlep) struct bundle *bundle = NULL;
	CLEANUP(readerp) struct reader *reader = NULL;
	char bytes[8];

	(void)state;
	run("tar -cf archive -C tree large");
	bundle = open_bundle(in_work("archive"), NULL);
	assert_int_equal(bundle_file(bundle, "large", &reader, NULL), 0);
	assert_int_equal(truncate(in_work("archive"), 1 << 20), 0);
	assert_int_equal(reader_read(reader, bytes, sizeof bytes, 0, NULL), sizeof bytes);
	assert_true(reader_read(reader, bytes, sizeof bytes, 2 << 20, NULL) < 0);
}

/* --- compressed archives --- */

static struct cache *open_cache(void)
{
	struct cache *cache = NULL;

	assert_int_equal(cache_open(&cache, in_work("cache"), 1 << 30, &observer, NULL), 0);
	return cache;
}

/* Opens the archive and reads some; returns how often one was indexed for that. */
static uint64_t indexings(struct cache *cache)
{
	uint64_t before = observer.counters.layers_indexed;
	CLEANUP(bundlep) struct bundle *bundle = open_bundle(in_work("archive"), cache);

	assert_file(bundle, "a/file", 0, "hello");
	assert_large(bundle);
	return observer.counters.layers_indexed - before;
}

static const struct kept_case {
	const char *name;
	const char *command;
	bool has_spool;
} kept_cases[] = {
	{ "gzip is indexed once", "tar -czf archive -C tree .", false },
	{ "zstd is indexed once", "tar -cf - -C tree . | zstd -q >archive", true },
};

/* Reads all of a file; 0 or the failure. */
static int read_through(const char *path, struct cache *cache)
{
	CLEANUP(bundlep) struct bundle *bundle = open_bundle(in_work("archive"), cache);
	CLEANUP(readerp) struct reader *reader = NULL;
	struct digest digest;

	assert_int_equal(bundle_file(bundle, path, &reader, NULL), 0);
	return reader_digest(reader, DIGEST_SHA256, &digest, NULL, NULL);
}

/* What is damaged inside shows when it is read, and is gone by the next time. */
static void a_damaged_copy_is_made_again(void **state)
{
	struct cache *cache;
	uint64_t before;

	(void)state;
	run("rm -rf cache && tar -cf - -C tree . | zstd -q >archive");
	cache = open_cache();
	assert_int_equal(read_through("large", cache), 0);
	run("for f in cache/spool/sha256/*; do chmod u+w $f; "
	    "printf x | dd of=$f bs=1 seek=3000 conv=notrunc 2>/dev/null; done");
	before = observer.counters.layers_indexed;
	assert_int_equal(read_through("large", cache), -EBADMSG);
	assert_int_equal(read_through("large", cache), 0);
	assert_int_equal(observer.counters.layers_indexed, before + 1);
	assert_int_equal(read_through("large", cache), 0);
	assert_int_equal(observer.counters.layers_indexed, before + 1);
	cache_close(cache);
}

static void kept_row(void **state)
{
	const struct kept_case *c = *state;
	struct cache *cache;

	run("rm -rf cache");
	run(c->command);
	cache = open_cache();
	assert_int_equal(indexings(cache), 1);
	assert_int_equal(indexings(cache), 0);
	cache_close(cache);
	cache = open_cache();
	assert_int_equal(indexings(cache), 0);
	/* By another name it is another one; a link is its target. */
	run("mv archive other && ln -s other archive");
	assert_int_equal(indexings(cache), 1);
	assert_int_equal(indexings(cache), 0);
	run("mv -f other archive");
	/* A state that was never seen. */
	run("touch archive");
	assert_int_equal(indexings(cache), 1);
	/* What is missing or damaged is made again. */
	run("rm -f cache/index/sha256/*");
	assert_int_equal(indexings(cache), 1);
	run("for f in cache/index/sha256/*; do echo x >$f; done");
	assert_int_equal(indexings(cache), 1);
	assert_int_equal(indexings(cache), 0);
	if (c->has_spool) {
		run("rm cache/spool/sha256/*");
		assert_int_equal(indexings(cache), 1);
		assert_int_equal(indexings(cache), 0);
	}
	assert_int_equal(indexings(NULL), 1);
	cache_close(cache);
}

static void what_is_no_archive_is_remembered_too(void **state)
{
	struct cache *cache;
	struct bundle *bundle;
	uint64_t before;

	(void)state;
	run("rm -rf cache && seq 1000 | gzip >archive");
	cache = open_cache();
	before = observer.counters.layers_indexed;
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			bundle_open(&bundle, in_work("archive"), cache, &observer, NULL, NULL),
			-EIO);
	assert_int_equal(observer.counters.layers_indexed, before + 1);
	cache_close(cache);
}

static void a_cache_that_cannot_be_written_is_no_hindrance(void **state)
{
	struct cache *cache;

	(void)state;
	run("rm -rf cache && tar -cf - -C tree . | zstd -q >archive");
	/* Too small for what is to be kept. */
	assert_int_equal(cache_open(&cache, in_work("cache"), 4096, &observer, NULL), 0);
	assert_int_equal(indexings(cache), 1);
	assert_int_equal(indexings(cache), 1);
	cache_close(cache);
}

static void a_damaged_span_is_told(void **state)
{
	CLEANUP(bundlep) struct bundle *bundle = NULL;
	CLEANUP(readerp) struct reader *reader = NULL;
	CLEANUP(freep) char *bytes = malloc(LARGE);
	CLEANUP(closep) int fd = -1;
	struct stat before, after;
	struct error err = { "" };

	(void)state;
	run("tar -czf archive -C tree large");
	bundle = open_bundle(in_work("archive"), NULL);
	assert_int_equal(bundle_file(bundle, "large", &reader, NULL), 0);
	assert_int_equal(reader_stat(reader, &before, NULL), 0);
	fd = open(in_work("archive"), O_WRONLY);
	assert_int_equal(pwrite(fd, "damage", 6, LARGE / 2), 6);
	assert_int_equal(reader_read(reader, bytes, 4096, 0, NULL), 4096);
	assert_memory_equal(bytes, large, 4096);
	for (int i = 0; i < 2; i++) /* once more: a failure leaves nothing behind */
		assert_int_equal(reader_read(reader, bytes, LARGE, 0, &err), -EBADMSG);
	assert_int_equal(reader_read(reader, bytes, 4096, LARGE - 4096, NULL), 4096);
	assert_memory_equal(bytes, large + LARGE - 4096, 4096);
	assert_int_equal(reader_stat(reader, &after, NULL), 0);
	assert_false(stat_is_same(&before, &after));
}

static void a_cancelled_pass_ends(void **state)
{
	struct counting counting = { .bytes = 0 };
	struct bundle *bundle;
	struct cancel cancel;
	int fd;

	(void)state;
	run("tar -czf archive -C tree large");
	fd = open(in_work("archive"), O_RDONLY);
	assert_int_equal(reader_of_fd(&counting.below, fd, NULL), 0);
	reader_init(&counting.base, &counting_ops, counting.below->size);
	cancel_init(&cancel);
	counting.cancel = &cancel;
	assert_int_equal(
		bundle_open_reader(&bundle, &counting.base, "it", &observer, &cancel, NULL),
		-EINTR);
	assert_int_equal(counting.reads, 2);
	cancel_release(&cancel);
	reader_unref(&counting.base);
}

/* --- many at once --- */

enum { THREADS = 8, PASSES = 40 };

struct asker {
	pthread_t thread;
	struct reader *reader;
	unsigned seed;
	bool is_right;
};

static void *ask(void *context)
{
	enum { MOST = 3 << 20 };
	struct asker *asker = context;
	CLEANUP(freep) char *bytes = malloc(MOST);

	asker->is_right = true;
	for (int i = 0; i < PASSES && asker->is_right; i++) {
		uint64_t offset = (uint64_t)rand_r(&asker->seed) % LARGE;
		size_t len = (size_t)rand_r(&asker->seed) % MOST;
		ssize_t n = reader_read(asker->reader, bytes, len, offset, NULL);
		size_t want = len < LARGE - offset ? len : LARGE - offset;

		asker->is_right = n == (ssize_t)want && !memcmp(bytes, large + offset, want);
	}
	return NULL;
}

/* There are more spans than are kept, and more threads than that. */
static void threads_share_spans(void **state)
{
	CLEANUP(bundlep) struct bundle *bundle = NULL;
	CLEANUP(readerp) struct reader *reader = NULL;
	struct asker askers[THREADS];

	(void)state;
	run("tar -czf archive -C tree large");
	bundle = open_bundle(in_work("archive"), NULL);
	assert_int_equal(bundle_file(bundle, "large", &reader, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		askers[i] = (struct asker){ .reader = reader, .seed = i };
		assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(askers[i].thread, NULL), 0);
		assert_true(askers[i].is_right);
	}
}

static void *read_start(void *context)
{
	struct asker *asker = context;
	char bytes[4096];

	asker->is_right =
		reader_read(asker->reader, bytes, sizeof bytes, 0, NULL) == sizeof bytes &&
		!memcmp(bytes, large, sizeof bytes);
	return NULL;
}

static void one_decodes_for_all(void **state)
{
	CLEANUP(bundlep) struct bundle *bundle = NULL;
	CLEANUP(readerp) struct reader *reader = NULL;
	struct asker askers[THREADS];
	uint64_t before;

	(void)state;
	run("tar -czf archive -C tree large");
	bundle = open_bundle(in_work("archive"), NULL);
	assert_int_equal(bundle_file(bundle, "large", &reader, NULL), 0);
	before = observer.counters.spans_decoded;
	for (unsigned i = 0; i < THREADS; i++) {
		askers[i] = (struct asker){ .reader = reader };
		assert_int_equal(
			pthread_create(&askers[i].thread, NULL, read_start, &askers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(askers[i].thread, NULL), 0);
		assert_true(askers[i].is_right);
	}
	assert_int_equal(observer.counters.spans_decoded, before + 1);
}

/* Sections outlive the bundle they came from. */
static void a_file_outlives_its_bundle(void **state)
{
	static const char *const commands[] = { "tar -cf archive -C tree top",
		"tar -czf archive -C tree top" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		CLEANUP(readerp) struct reader *reader = NULL;
		struct bundle *bundle;
		char bytes[4];

		run(commands[i]);
		bundle = open_bundle(in_work("archive"), NULL);
		assert_int_equal(bundle_file(bundle, "top", &reader, NULL), 0);
		bundle_free(bundle);
		assert_int_equal(reader_read(reader, bytes, sizeof bytes, 0, NULL), 3);
		assert_memory_equal(bytes, "top", 3);
	}
}

#define ROWS(table, fn)                                                                            \
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)                                             \
		tests[n++] = (struct CMUnitTest)                                                   \
		{                                                                                  \
			.name = table[i].name, .test_func = fn, .initial_state = (void *)&table[i] \
		}

int main(void)
{
	static const struct CMUnitTest single[] = {
		cmocka_unit_test(sparse_members_are_refused),
		cmocka_unit_test(a_ceiling_is_kept),
		cmocka_unit_test(an_archive_is_opened_by_its_headers),
		cmocka_unit_test(a_cancelled_scan_ends),
		cmocka_unit_test(members_have_a_ceiling),
		cmocka_unit_test(a_touched_file_has_another_stat),
		cmocka_unit_test(an_archive_cut_short_later_is_a_fault),
		cmocka_unit_test(what_is_no_archive_is_remembered_too),
		cmocka_unit_test(a_cache_that_cannot_be_written_is_no_hindrance),
		cmocka_unit_test(a_damaged_copy_is_made_again),
		cmocka_unit_test(a_damaged_span_is_told),
		cmocka_unit_test(a_cancelled_pass_ends),
		cmocka_unit_test(threads_share_spans),
		cmocka_unit_test(one_decodes_for_all),
		cmocka_unit_test(a_file_outlives_its_bundle),
	};
	struct CMUnitTest tests[ARRAY_SIZE(single) + ARRAY_SIZE(form_cases) +
				ARRAY_SIZE(member_cases) + ARRAY_SIZE(broken_cases) +
				ARRAY_SIZE(kept_cases)];
	size_t n = 0;

	ROWS(form_cases, form_row);
	ROWS(member_cases, member_row);
	ROWS(broken_cases, broken_row);
	ROWS(kept_cases, kept_row);
	memcpy(tests + n, single, sizeof single);
	return cmocka_run_group_tests_name("bundle", tests, make_tree, drop_tree);
}
