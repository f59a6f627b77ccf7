/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FUSE operations: translate, call, reply.
 *
 * Each request is a struct request that request_run() can run any number of
 * times from its start.  Exactly one of three things happens at the end of a
 * run: it was answered, an error was replied, or it was parked.
 */
#include "fs/fs.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <utlist.h>

#include "fs/control.h"
#include "fs/replies.h"
#include "fs/signals.h"
#include "fs/spaces.h"
#include "fs/views.h"
#include "model/cleanup.h"

enum {
	XATTR_MAX = 64 << 10, /* what the kernel takes: XATTR_SIZE_MAX */
	SIGNALS_POLL_MS = 100,
	SIGNALS_LOOKS = 256, /* waiters at a time: a look takes some 10 µs, and all wait for it */
};

static const char imgfs_prefix[] = "user.imgfs.";

const char *const operation_names[OP_COUNT] = {
#define X(name) #name,
	FS_OPERATIONS(X)
#undef X
};

void fs_stat_init(const struct fs *fs, struct stat *st, fuse_ino_t ino, mode_t mode)
{
	const struct options *options = fs->options;

	*st = (struct stat){
		.st_ino = ino,
		.st_mode = mode & ~(mode_t)options->umask,
		.st_nlink = 1,
		.st_blksize = 128 << 10,
		.st_uid = options->has_uid ? (uid_t)options->uid : fs->uid,
		.st_gid = options->has_gid ? (gid_t)options->gid : fs->gid,
		.st_atim = fs->mounted_at,
		.st_mtim = fs->mounted_at,
		.st_ctim = fs->mounted_at,
	};
}

double fs_ttl(const struct fs *fs)
{
	uint64_t ttl = fs->options->ttl_ms;

	return ttl / 1000 < CONTENT_TIMEOUT_S ? (double)ttl / 1000 : CONTENT_TIMEOUT_S;
}

/* --- where an operation goes: a node, or a number in a space --- */

/* Follows the door a node may be: *ret_node is NULL when id is in a space. */
static int resolve(struct fs *fs, fuse_ino_t ino, struct node **ret_node, fuse_ino_t *ret_id,
	struct need *need)
{
	struct node *node = node_find(fs, ino);

	*ret_node = NULL;
	*ret_id = ino;
	if (!node)
		return space_has(fs, ino) ? 0 : error_set(&need->err, ESTALE, "no such node");
	if (node->view->alias) {
		int rc = node->view->alias(fs, node, ret_id, need);

		/* What the directory is made of is missing; that says nothing of a name in it. */
		return rc == -ENOENT ? error_prefix(&need->err, -EIO, "cannot be entered") : rc;
	}
	*ret_node = node;
	return 0;
}

/* The root of a mount with -o rootfs: the one door there is, and all are behind it. */
static bool is_only_door(struct fs *fs, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID && node_root(fs)->view->alias;
}

/* What rests on an old answer is asked for again as soon as we ask ourselves. */
static void limit_timeout(struct fuse_entry_param *entry, const struct need *need)
{
	const double limit = LOAD_RETRY_MS / 1000.0;

	if (need->is_stale && entry->entry_timeout > limit)
		entry->entry_timeout = limit;
}

static int do_lookup(struct fs *fs, struct request *request, struct need *need)
{
	struct fuse_entry_param entry = { 0 };
	struct node *node;
	fuse_ino_t id;
	int rc;

	if (strlen(request->name) > NAME_MAX)
		return error_set(
			&need->err, ENAMETOOLONG, "a name of more than %d bytes", NAME_MAX);
	if (request->ino == FUSE_ROOT_ID && !strcmp(request->name, CONTROL_NAME)) {
		rc = control_entry(fs, &entry);
	} else {
		rc = resolve(fs, request->ino, &node, &id, need);
		if (!rc)
			rc = node ? node->view->lookup(fs, node, request->name, &entry, need)
				  : space_lookup(fs, id, request->name, &entry, need);
	}
	if (rc == -ENOENT) { /* remembered by the kernel, so nobody asks again and again */
		node = node_find(fs, request->ino);
		entry = (struct fuse_entry_param){ 0 };
		entry.entry_timeout = node && !node->view->alias ? fs_ttl(fs) : CONTENT_TIMEOUT_S;
		limit_timeout(&entry, need);
		(void)fuse_reply_entry(request->req, &entry); /* a failure: nobody there to tell */
		return 0;
	}
	if (rc)
		return rc;
	limit_timeout(&entry, need);
	node_ref(fs, entry.ino);
	if (fuse_reply_entry(request->req, &entry))
		node_forget(fs, entry.ino, 1);
	return 0;
}

static int do_getattr(struct fs *fs, struct request *request, struct need *need)
{
	struct node *node = node_find(fs, request->ino);
	struct fuse_entry_param entry;
	struct stat st;
	double timeout = CONTENT_TIMEOUT_S;
	int rc = 0;

	if (node && node->view->alias && node != node_root(fs)) {
		rc = entry_alias(fs, node, &entry, need);
		st = entry.attr;
		timeout = entry.attr_timeout;
	} else if (is_only_door(fs, request->ino)) {
		fuse_ino_t id;

		rc = node->view->alias(fs, node, &id, need);
		if (!rc)
			rc = space_stat(fs, id, &st, need);
	} else if (node) {
		timeout = node_stat(fs, node, &st);
	} else {
		rc = space_stat(fs, request->ino, &st, need);
	}
	if (!rc)
		(void)fuse_reply_attr(request->req, &st, timeout);
	return rc;
}

static int do_readlink(struct fs *fs, struct request *request, struct need *need)
{
	const char *target;
	int rc = space_readlink(fs, request->ino, &target, need);

	if (!rc)
		(void)fuse_reply_readlink(request->req, target);
	return rc;
}

/* --- directories --- */

/* A reply to readdir or readdirplus in the making. */
struct page {
	const struct request *request;
	char *bytes;
	size_t used;
};

enum { PAGE_FULL = 1 };

/* 0 or PAGE_FULL; next is the offset behind this entry. */
static int page_add(
	struct page *page, const char *name, const struct fuse_entry_param *entry, off_t next)
{
	const struct request *request = page->request;
	char *to = page->bytes + page->used;
	size_t room = request->size - page->used;
	size_t len = request->op == OP_readdirplus
			     ? fuse_add_direntry_plus(request->req, to, room, name, entry, next)
			     : fuse_add_direntry(request->req, to, room, name, &entry->attr, next);

	if (len > room)
		return PAGE_FULL;
	page->used += len;
	return 0;
}

/* "." and ".." come first: offsets of what follows are its own and DOTS. */
enum { DOTS = 2 };

static int page_add_dots(struct page *page)
{
	static const char *const names[DOTS] = { ".", ".." };
	struct fuse_entry_param entry = { .attr = { .st_mode = S_IFDIR, .st_ino = FUSE_ROOT_ID } };
	int rc = 0;

	for (off_t i = page->request->offset; !rc && i < DOTS; i++)
		rc = page_add(page, names[i], &entry, i + 1);
	return rc;
}

/* Above the trees nobody looks a child up who was not asked for it. */
static void page_add_listed(struct page *page, const struct listing *listing, uint64_t after)
{
	int rc = 0;

	for (size_t i = listing_behind(listing, after); !rc && i < listing->count; i++) {
		const struct listing_entry *child = &listing->entries[i];
		struct fuse_entry_param entry = { .attr = { .st_mode = child->mode,
							  .st_ino = child->ino ? child->ino
									       : FUSE_ROOT_ID } };

		rc = page_add(page, child->name, &entry, (off_t)child->place + DOTS);
	}
}

/* space_list_fn */
static int page_add_child(
	void *context, const char *name, const struct fuse_entry_param *entry, uint64_t place)
{
	return page_add(context, name, entry, (off_t)place + DOTS);
}

/*
 * Nothing is kept for an open directory: the kernel goes on from where the last reply ended.  But
 * who opens a directory may ask for its attributes before he reads it, as tar(1) does: here is
 * where one waits for what is behind a door, and where it cannot be entered.  Told ENOSYS, the
 * kernel never asks again, and keeps all names: once the only door is open, nobody has to wait for
 * another one.
 */
static int do_opendir(struct fs *fs, struct request *request, struct need *need)
{
	struct fuse_file_info info = { .keep_cache = 1, .cache_readdir = 1 };
	struct node *node;
	fuse_ino_t id;
	int rc = resolve(fs, request->ino, &node, &id, need);

	if (rc)
		return rc;
	if (fs->has_no_opendir && is_only_door(fs, request->ino))
		(void)fuse_reply_err(request->req, ENOSYS);
	else
		(void)fuse_reply_open(request->req, &info);
	return 0;
}

static int do_readdir(struct fs *fs, struct request *request, struct need *need)
{
	CLEANUP(freep) char *bytes = malloc(request->size);
	struct page page = { .request = request, .bytes = bytes };
	uint64_t after = request->offset > DOTS ? (uint64_t)request->offset - DOTS : 0;
	const struct listing *listing;
	struct node *node;
	fuse_ino_t id;
	int rc = bytes ? resolve(fs, request->ino, &node, &id, need)
		       : error_set(&need->err, ENOMEM, "out of memory");

	if (!rc && node)
		rc = node_list(fs, node, request->offset == 0, &listing, need);
	if (!rc && !page_add_dots(&page)) {
		if (node)
			page_add_listed(&page, listing, after);
		else
			rc = space_list(fs, id, after, page_add_child, &page, need);
	}
	if (rc == -ENOENT) /* which readdir(3) takes for the end of the directory */
		return -ESTALE;
	if (rc < 0)
		return rc;
	(void)fuse_reply_buf(request->req, bytes, page.used);
	return 0;
}

/* --- content --- */

static int do_read(struct fs *fs, struct request *request, struct need *need)
{
	struct answer *answer = &request->answer;
	struct node *node = node_find(fs, request->ino);
	uint64_t offset = (uint64_t)request->offset;
	size_t size = node ? node->content_len : 0;
	int rc = 0;

	answer->len = request->size < READ_MAX ? request->size : READ_MAX;
	if (node)
		answer->len = offset >= size                ? 0
			      : answer->len < size - offset ? answer->len
							    : size - (size_t)offset;
	if (!node)
		rc = space_read(fs, request->ino, offset, answer, need);
	else if (answer->len && node->view->read)
		rc = node->view->read(fs, node, offset, answer, need);
	else if (answer->len)
		rc = answer_add(answer, node->content + offset, answer->len, NULL, &need->err);
	if (!rc)
		reply_answer(fs, request->req, answer);
	return rc;
}

/* Without it cp(1) and tar(1) read the holes of sparse files, all of them. */
static int do_lseek(struct fs *fs, struct request *request, struct need *need)
{
	struct node *node = node_find(fs, request->ino);
	uint64_t offset = (uint64_t)request->offset, found;
	bool to_data = request->whence == SEEK_DATA;
	int rc;

	if (!to_data && request->whence != SEEK_HOLE)
		return error_set(&need->err, EINVAL, "whence %d", request->whence);
	if (node) {
		struct tree_segment whole = { .size = node->content_len };

		rc = segments_seek(&whole, 1, whole.size, offset, to_data, &found);
	} else {
		rc = space_seek(fs, request->ino, offset, to_data, &found, need);
	}
	if (!rc)
		(void)fuse_reply_lseek(request->req, (off_t)found);
	return rc;
}

/* --- extended attributes --- */

static int reply_value(struct request *request, const struct buf *value, struct need *need)
{
	if (buf_status(value))
		return error_set(
			&need->err, -buf_status(value), "%s", strerror(-buf_status(value)));
	if (!request->size)
		(void)fuse_reply_xattr(request->req, value->len);
	else if (value->len > request->size)
		return error_set(&need->err, ERANGE, "the buffer is too small");
	else
		(void)fuse_reply_buf(request->req, value->data, value->len);
	return 0;
}

/* Where the answer would have to be fetched there is none: looking must not cost. */
static int node_xattr(
	struct fs *fs, struct node *node, const char *name, struct buf *ret, struct need *need)
{
	if (strncmp(name, imgfs_prefix, sizeof imgfs_prefix - 1))
		return strncmp(name, "user.", 5) ? -EOPNOTSUPP : -ENODATA;
	if (!node->view->xattr)
		return -ENODATA;
	return node->view->xattr(fs, node, name + sizeof imgfs_prefix - 1, ret, need);
}

/* Is what is asked for behind the door?  File managers ask each directory for attributes of theirs:
 * that opens none.  Ours are asked for by those who mean it. */
static bool is_behind(struct fs *fs, struct node *node, const char *name, struct need *need)
{
	if (!strncmp(name, imgfs_prefix, sizeof imgfs_prefix - 1))
		return true;
	return !strncmp(name, "user.", 5) && alias_is_open(fs, node, need);
}

static int do_getxattr(struct fs *fs, struct request *request, struct need *need)
{
	struct node *node = node_find(fs, request->ino);
	fuse_ino_t id = request->ino;
	struct buf value;
	int rc = 0;

	buf_init(&value, XATTR_MAX);
	if (node && node->view->alias && is_behind(fs, node, request->name, need)) {
		rc = node->view->alias(fs, node, &id, need);
		node = NULL;
	}
	if (!rc)
		rc = node ? node_xattr(fs, node, request->name, &value, need)
			  : space_xattr(fs, id, request->name, &value, need);
	if (!rc)
		rc = reply_value(request, &value, need);
	buf_release(&value);
	return rc;
}

static int do_listxattr(struct fs *fs, struct request *request, struct need *need)
{
	struct node *node = node_find(fs, request->ino);
	fuse_ino_t id = request->ino;
	struct buf names;
	int rc = 0;

	buf_init(&names, XATTR_MAX);
	if (node && node->view->alias && alias_is_open(fs, node, need)) {
		rc = node->view->alias(fs, node, &id, need);
		node = NULL;
	}
	if (!rc && !node)
		rc = space_xattr_list(fs, id, &names, need);
	if (!rc)
		rc = reply_value(request, &names, need);
	buf_release(&names);
	return rc;
}

/* --- running --- */

static int run(struct fs *fs, struct request *request, struct need *need)
{
	switch (request->op) {
	case OP_lookup:
		return do_lookup(fs, request, need);
	case OP_getattr:
		return do_getattr(fs, request, need);
	case OP_readlink:
		return do_readlink(fs, request, need);
	case OP_readdir:
	case OP_readdirplus:
		return do_readdir(fs, request, need);
	case OP_opendir:
		return do_opendir(fs, request, need);
	case OP_read:
		return do_read(fs, request, need);
	case OP_lseek:
		return do_lseek(fs, request, need);
	case OP_getxattr:
		return do_getxattr(fs, request, need);
	case OP_listxattr:
		return do_listxattr(fs, request, need);
	case OP_open:
	case OP_releasedir:
	case OP_forget:
	case OP_statfs:
	case OP_interrupt:
	case OP_COUNT:
		break; /* answered where they arrive */
	}
	return error_set(&need->err, ENOSYS, "no such operation");
}

/* Everyday answers are no news. */
static bool is_worth_a_line(int rc)
{
	switch (rc) {
	case -ENOENT:
	case -ESTALE:
	case -ENODATA:
	case -EOPNOTSUPP:
	case -ERANGE:
	case -EINTR:
	case -EINVAL:
	case -ENXIO:
	case -ENAMETOOLONG:
		return false;
	default:
		return true;
	}
}

static void reply_error(
	struct fs *fs, const struct request *request, int rc, const struct need *need)
{
	bool is_xattr = request->op == OP_getxattr || request->op == OP_listxattr;

	if (!request->given_up && (is_worth_a_line(rc) || (rc == -EOPNOTSUPP && !is_xattr))) {
		struct node *node = node_find(fs, request->ino);
		CLEANUP(freep) char *path = node ? node_path(node) : NULL;
		const char *cause = *need->err.text ? need->err.text : strerror(-rc);

		fs->errors++;
		log_failure(fs->log, cause, "%s%s%s: %s  op=%s pid=%d", path ? path : "",
			request->name ? "/" : "", request->name ? request->name : "", cause,
			operation_names[request->op], (int)request->pid);
	}
	observer_count(fs->observer, oom, rc == -ENOMEM);
	(void)fuse_reply_err(request->req, -rc); /* a failure: nobody there to tell */
}

void request_make_ready(struct fs *fs, struct request *request)
{
	request->load = NULL;
	request->next = fs->ready;
	request->prev = &fs->ready;
	if (fs->ready)
		fs->ready->prev = &request->next;
	fs->ready = request;
}

static void give_up(struct fs *fs, struct request *request)
{
	request->given_up = -EINTR;
	if (!request->load)
		return; /* it is in fs->ready already */
	load_unpark(request->load, request);
	request_make_ready(fs, request);
}

/* May be called from within request_park() when the interrupt came first. */
static void interrupted(fuse_req_t req, void *data)
{
	struct request *request = data;
	struct fs *fs = fuse_req_userdata(req);

	fs->requests[OP_interrupt]++;
	if (signals_interrupt(request->pid)) {
		give_up(fs, request);
		return;
	}
	if (!request->disturbed_next)
		CDL_APPEND2(fs->disturbed, request, disturbed_prev, disturbed_next);
}

int requests_look_at_signals(struct fs *fs, uint64_t now_ms)
{
	const struct request *first = fs->disturbed;

	if (!first)
		return -1;
	if (now_ms - fs->disturbed_ms < SIGNALS_POLL_MS)
		return SIGNALS_POLL_MS;
	fs->disturbed_ms = now_ms;
	for (unsigned i = 0; i < SIGNALS_LOOKS && (!i || fs->disturbed != first); i++) {
		struct request *request = fs->disturbed;

		fs->disturbed = request->disturbed_next;
		if (!request->given_up && signals_interrupt(request->pid))
			give_up(fs, request);
	}
	return SIGNALS_POLL_MS;
}

/* Runs one that may or may not have been parked before; true when it is done with. */
static bool run_once(struct fs *fs, struct request *request, struct load **ret_load)
{
	struct need need = { .asker = request->pid,
		.since_ms = request->since_ms,
		.stale_is_fine = request->stale_is_fine,
		.good_until_ms = UINT64_MAX };
	int rc = request->given_up ? request->given_up : run(fs, request, &need);

	if (rc == LOAD_PENDING) {
		*ret_load = need.load;
		return false;
	}
	if (rc)
		reply_error(fs, request, rc, &need);
	answer_release(&request->answer);
	return true;
}

/* One that can wait; NULL: out of memory, or out of what we give to those who wait. */
static struct request *park(struct fs *fs, const struct request *request)
{
	struct request *parked = fs->parked < PARKED_MAX ? malloc(sizeof *parked) : NULL;

	if (!parked)
		return NULL;
	*parked = *request;
	parked->name = request->name ? strdup(request->name) : NULL;
	if (request->name && !parked->name) {
		free(parked);
		return NULL;
	}
	fs->parked++;
	return parked;
}

void request_run(struct fs *fs, struct request *request)
{
	struct request *parked;
	struct load *load;

	fs->requests[request->op]++;
	if (run_once(fs, request, &load))
		return;
	parked = park(fs, request);
	if (!parked) {
		answer_release(&request->answer);
		observer_count(fs->observer, oom, 1);
		(void)fuse_reply_err(request->req, ENOMEM);
		return;
	}
	load_park(load, parked);
	fuse_req_interrupt_func(parked->req, interrupted, parked);
}

void requests_run_ready(struct fs *fs)
{
	while (fs->ready) {
		struct request *request = fs->ready;
		struct load *load;

		fs->ready = request->next;
		if (fs->ready)
			fs->ready->prev = &fs->ready;
		if (!run_once(fs, request, &load)) {
			load_park(load, request);
			continue;
		}
		if (request->disturbed_next)
			CDL_DELETE2(fs->disturbed, request, disturbed_prev, disturbed_next);
		free(request->name);
		free(request);
		fs->parked--;
	}
}

/* --- what libfuse calls --- */

static void start(fuse_req_t req, struct request *request)
{
	const struct fuse_ctx *context = fuse_req_ctx(req);

	request->req = req;
	request->pid = context->pid;
	request->since_ms = now_ms();
	request_run(fuse_req_userdata(req), request);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct request request = { .op = OP_lookup, .ino = parent, .name = (char *)name };

	start(req, &request);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct request request = { .op = OP_getattr, .ino = ino };

	(void)info;
	start(req, &request);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct request request = { .op = OP_readlink, .ino = ino };

	start(req, &request);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct request request = { .op = OP_opendir, .ino = ino };

	(void)info;
	start(req, &request);
}

static void op_readdir(
	fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *info)
{
	struct request request = { .op = OP_readdir, .ino = ino, .size = size, .offset = offset };

	(void)info;
	start(req, &request);
}

static void op_readdirplus(
	fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *info)
{
	struct request request = {
		.op = OP_readdirplus, .ino = ino, .size = size, .offset = offset
	};

	(void)info;
	start(req, &request);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct fs *fs = fuse_req_userdata(req);

	(void)ino;
	(void)info;
	fs->requests[OP_releasedir]++;
	(void)fuse_reply_err(req, 0);
}

/* Files need no state: ENOSYS tells the kernel never to ask again. */
static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct fs *fs = fuse_req_userdata(req);

	(void)ino;
	(void)info;
	fs->requests[OP_open]++;
	(void)fuse_reply_err(req, ENOSYS);
}

static void op_read(
	fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *info)
{
	struct request request = { .op = OP_read, .ino = ino, .size = size, .offset = offset };

	(void)info;
	start(req, &request);
}

static void op_lseek(
	fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *info)
{
	struct request request = { .op = OP_lseek, .ino = ino, .offset = offset, .whence = whence };

	(void)info;
	start(req, &request);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct request request = {
		.op = OP_getxattr, .ino = ino, .name = (char *)name, .size = size
	};

	start(req, &request);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct request request = { .op = OP_listxattr, .ino = ino, .size = size };

	start(req, &request);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	struct fs *fs = fuse_req_userdata(req);

	fs->requests[OP_forget]++;
	node_forget(fs, ino, count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct fs *fs = fuse_req_userdata(req);

	fs->requests[OP_forget]++;
	for (size_t i = 0; i < count; i++)
		node_forget(fs, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

/* df as a gauge: what is known of, and how much of it was fetched. */
static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct fs *fs = fuse_req_userdata(req);
	uint64_t fetched = atomic_load(&fs->observer->counters.fetched_bytes);
	uint64_t known = fs->known_bytes > fetched ? fs->known_bytes : fetched;
	struct statvfs st = {
		.f_bsize = 512,
		.f_frsize = 512,
		.f_namemax = NAME_MAX,
		.f_blocks = known / 512,
		.f_bfree = (known - fetched) / 512,
		.f_bavail = 0,
	};

	(void)ino;
	fs->requests[OP_statfs]++;
	(void)fuse_reply_statfs(req, &st);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct fs *fs = userdata;

	/* Symlinks, listings and attributes are content-addressed: the kernel may keep them.
	 * Of other listings it looks at the time: see node_stat(). */
	conn->want |= conn->capable & (FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_READDIRPLUS |
					      FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_AUTO_INVAL_DATA);
	fs->wants_parallel = conn->capable & FUSE_CAP_PARALLEL_DIROPS;
	fs->has_no_opendir = conn->capable & FUSE_CAP_NO_OPENDIR_SUPPORT;
	/* A guess that only the first reply of a directory is worth attributes: most who want them
	 * read all names first, and would then look up each. */
	conn->want &= ~(unsigned)FUSE_CAP_READDIRPLUS_AUTO;
	conn->max_readahead = READ_MAX;
	conn->max_read = READ_MAX; /* and as a mount option: libfuse wants both */
	fs->has_inited = true;
}

const struct fuse_lowlevel_ops fs_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.readlink = op_readlink,
	.open = op_open,
	.read = op_read,
	.lseek = op_lseek,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.statfs = op_statfs,
};
