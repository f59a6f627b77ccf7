/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/notices.h"

#include <stdlib.h>
#include <string.h>

#include "fs/names.h"
#include "fs/views.h"
#include "model/cleanup.h"

struct notice {
	struct job job;
	struct fs *fs;
	fuse_ino_t parent;
	char name[];
};

/* --- one name --- */

static void tell(struct job *job)
{
	struct notice *notice = container_of(job, struct notice, job);
	struct fs *fs = notice->fs;

	/* -ENOENT: the kernel knows no such name. */
	if (!atomic_load(&fs->notices_are_cancelled))
		(void)fuse_lowlevel_notify_expire_entry(fs->session, notice->parent, notice->name,
			strlen(notice->name), FUSE_LL_EXPIRE_ONLY);
}

static void told(void *context, struct job *job)
{
	struct fs *fs = context;

	free(container_of(job, struct notice, job));
	(void)atomic_fetch_sub(&fs->notices_pending, 1);
}

/* One that cannot be told, for want of memory or a thread, is seen when its time is over. */
static void add(struct fs *fs, const struct node *parent, const char *name)
{
	size_t len = strlen(name) + 1;
	struct notice *notice;

	if (!fs->notices && pool_new(&fs->notices, "notice", 1, told, fs, NULL))
		return;
	notice = malloc(sizeof *notice + len);
	if (!notice)
		return;
	*notice = (struct notice){ .job.run = tell, .fs = fs, .parent = parent->id };
	memcpy(notice->name, name, len);
	(void)atomic_fetch_add(&fs->notices_pending, 1);
	pool_submit(fs->notices, &notice->job);
}

/* --- which ones --- */

static void expire(struct fs *fs, struct node *node, void *context)
{
	(void)context;
	if (node->lookups && node->is_current &&
		(node->view->lists_names || node->parent->view->lists_names))
		add(fs, node->parent, node->name);
	if (node->view == &view_image || node->view == &view_platform)
		add(fs, node, REFERRERS_NAME); /* perhaps there are none yet */
}

void notices_expire(struct fs *fs)
{
	nodes_each(fs, expire, NULL);
}

struct news {
	const char *repository;
	struct name_list names; /* borrowed ones */
};

/* The first component of a repository below the directory, for the caller to free; or NULL. */
static char *component_below(const char *path, const char *directory)
{
	size_t len = strlen(directory);

	if (strncmp(path, directory, len) || (len && path[len] != '/'))
		return NULL;
	path += len + (len ? 1 : 0);
	return strndup(path, strcspn(path, "/"));
}

static void tell_news(struct fs *fs, struct node *node, void *context)
{
	const struct news *news = context;
	const struct view *view = news->repository ? &view_tags : &view_repositories;

	if (node->view != view || (news->repository && node->place.repository != news->repository))
		return;
	for (size_t i = 0; i < news->names.count; i++) {
		const char *text = news->names.names[i];
		CLEANUP(freep)
		char *component = news->repository ? strdup(text)
						   : component_below(text, node->place.repository);
		char name[ESCAPED_NAME_MAX];

		if (component && name_escape(name, component) && *name)
			add(fs, node, name);
	}
}

void notices_tell_new(struct fs *fs, const char *repository, const struct name_list *before,
	const struct name_list *now)
{
	CLEANUP(freep) char **names = calloc(now->count + 1, sizeof *names);
	struct news news = { .repository = repository, .names.names = names };

	for (size_t i = 0; names && i < now->count; i++)
		if (!name_list_has(before, now->names[i]))
			names[news.names.count++] = now->names[i];
	if (news.names.count)
		nodes_each(fs, tell_news, &news);
}

/* --- the end --- */

bool notices_are_pending(struct fs *fs)
{
	return atomic_load(&fs->notices_pending);
}

void notices_cancel(struct fs *fs)
{
	atomic_store(&fs->notices_are_cancelled, true);
}

void notices_stop(struct fs *fs)
{
	pool_free(TAKE(fs->notices));
}
