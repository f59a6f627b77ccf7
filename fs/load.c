/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/load.h"

#include <string.h>

#include "fs/fs.h"
#include "fs/objects.h"
#include "model/cleanup.h"

static void run(struct job *job)
{
	struct load *load = container_of(job, struct load, job);

	atomic_store(&load->is_at_work, true);
	load->rc = cancel_is_set(&load->cancel) ? error_set(&load->err, EINTR, "cancelled")
						: load->type->run(load);
}

void load_init(struct load *load, struct fs *fs, const struct load_type *type)
{
	*load = (struct load){ .fs = fs, .type = type };
	load->job.run = run;
	cancel_init(&load->cancel);
}

void load_release(struct load *load)
{
	cancel_release(&load->cancel);
}

static enum load_pool pool_of(const struct load *load)
{
	switch (load->step) {
	case STORE_LOOK:
		break;
	case STORE_ASK:
		return POOL_REQUEST;
	case STORE_WORK:
		return POOL_WORK;
	case STORE_FETCH:
		return load->is_small ? POOL_PIECE : load->type->fetch_pool;
	}
	return load->type->pool;
}

static void submit(struct load *load, enum store_step step)
{
	load->step = step;
	cancel_start_wait(&load->cancel);
	atomic_store(&load->is_at_work, false);
	pool_submit(load->fs->pools[pool_of(load)], &load->job);
}

void load_start(struct load *load, pid_t asker)
{
	struct fs *fs = load->fs;

	if (load->state == LOAD_RUNNING || load->state == LOAD_READY)
		return;
	if (load->state == LOAD_FAILED && now_ms() - load->ended_ms < LOAD_RETRY_MS)
		return;
	cancel_release(&load->cancel);
	cancel_init(&load->cancel);
	atomic_store(&load->progress.done, 0);
	load->err.text[0] = '\0';
	load->is_stale = false;
	load->asker = asker;
	load->started_ms = now_ms();
	load->moved_ms = load->started_ms;
	load->seen_done = 0;
	load->told = 0;
	load->is_silent = false;
	load->state = LOAD_RUNNING;
	load->next_running = fs->running;
	load->prev_running = &fs->running;
	if (fs->running)
		fs->running->prev_running = &load->next_running;
	fs->running = load;
	submit(load, STORE_LOOK);
}

int load_want(struct load *load, struct need *need)
{
	if (load->state == LOAD_READY) {
		need->is_stale |= load->is_stale;
		return 0;
	}
	load_start(load, need->asker);
	if (load->state == LOAD_FAILED) {
		need->err = load->err;
		need_again(need, load->ended_ms + LOAD_RETRY_MS);
		return load->rc;
	}
	need_again(need, 0); /* for whoever does not wait for it */
	if (load->has_old && need->stale_is_fine) {
		need->is_stale = true;
		return 0;
	}
	need->load = load;
	return LOAD_PENDING;
}

int load_want_fresh(struct load *load, struct need *need)
{
	uint64_t ttl = load->fs->options->ttl_ms;
	int rc;

	if (load->is_stale && ttl != UINT64_MAX && ttl > LOAD_RETRY_MS)
		ttl = LOAD_RETRY_MS;
	/* What was asked for since the request came is new enough. */
	if (load->state == LOAD_READY && load->started_ms < need->since_ms && ttl != UINT64_MAX &&
		now_ms() - load->ended_ms >= ttl)
		load_forget(load);
	rc = load_want(load, need);
	if (!rc && load->state == LOAD_READY) /* for ever: until somebody says load_forget() */
		need_again(need, ttl < UINT64_MAX - 1 - load->ended_ms ? load->ended_ms + ttl
								       : UINT64_MAX - 1);
	return rc;
}

void load_forget(struct load *load)
{
	if (load->state != LOAD_READY && load->state != LOAD_FAILED)
		return;
	load->has_old |= load->state == LOAD_READY;
	load->state = LOAD_IDLE;
}

bool load_is_transient(int rc)
{
	if (rc == -EIO || rc == -EBADMSG) /* as much as to say that the thing itself is malformed */
		return false;
	return source_is_away(rc) || rc == -ENOSPC || rc == -ENOMEM || rc == -EMFILE ||
	       rc == -ENFILE || rc == -EAGAIN;
}

bool need_is_transient(const struct need *need, int rc)
{
	return load_is_transient(rc) || (rc == -EIO && need->is_unread);
}

/* Those who want it try again, with descriptors that were in use before. */
static bool finds_descriptors(const struct load *load)
{
	return (load->rc == -EMFILE || load->rc == -ENFILE) && objects_give_up_files(load->fs);
}

struct request *load_ended(struct load *load)
{
	struct request *waiters;

	if (load->rc > 0 && !cancel_is_set(&load->cancel)) {
		submit(load, (enum store_step)load->rc);
		return NULL;
	}
	if (load->rc > 0)
		load->rc = error_set(&load->err, EINTR, "cancelled");
	*load->prev_running = load->next_running;
	if (load->next_running)
		load->next_running->prev_running = load->prev_running;
	load->ended_ms = now_ms();
	if (load->type->settle)
		load->type->settle(load);
	if (finds_descriptors(load))
		load->rc = -EINTR;
	if (load->rc == 0) {
		load->state = LOAD_READY;
		load->has_old = false;
		if (load->type->publish)
			load->type->publish(load);
	} else if (load->rc == -EINTR) {
		load->state = LOAD_IDLE;
	} else if (load->has_old && (source_is_away(load->rc) || load_is_transient(load->rc))) {
		log_line(load->fs->log, LOG_LEVEL_WARNING,
			"%s; going on with what was known before", load->err.text);
		load->state = LOAD_READY;
		load->has_old = false;
		load->is_stale = true;
	} else {
		load->state = LOAD_FAILED;
	}
	waiters = load->waiters;
	load->waiters = NULL;
	return waiters;
}

void load_park(struct load *load, struct request *request)
{
	/* Who decodes what is here fetches nothing. */
	if (load->waiters && load->type->pool != POOL_DECODE)
		observer_count(load->fs->observer, fetch_coalesced, 1);
	request->load = load;
	request->next = load->waiters;
	request->prev = &load->waiters;
	if (load->waiters)
		load->waiters->prev = &request->next;
	load->waiters = request;
}

/* Not worth throwing away: seven eighths are here. */
static bool is_nearly_done(const struct load *load)
{
	uint64_t total = atomic_load(&load->progress.total);

	return total && atomic_load(&load->progress.done) >= total - total / 8;
}

void load_unpark(struct load *load, struct request *request)
{
	*request->prev = request->next;
	if (request->next)
		request->next->prev = request->prev;
	request->load = NULL;
	if (!load->waiters && load->state == LOAD_RUNNING && !is_nearly_done(load))
		cancel_set(&load->cancel);
}
