/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/replies.h"

#include <poll.h>
#include <stdlib.h>

#include "model/cleanup.h"

enum { APART_MIN = 32 << 10 }; /* bytes: copying less is done before a thread wakes up */

struct reply {
	struct job job;
	fuse_req_t req;
	struct answer answer; /* owned */
};

static void send_answer(struct job *job)
{
	struct reply *reply = container_of(job, struct reply, job);

	/* A failure: nobody there to tell. */
	(void)fuse_reply_buf(reply->req, answer_bytes(&reply->answer), reply->answer.done);
}

static void sent(void *context, struct job *job)
{
	struct reply *reply = container_of(job, struct reply, job);

	(void)context;
	answer_release(&reply->answer);
	free(reply);
}

int replies_start(struct fs *fs, struct error *err)
{
	return pool_new(&fs->replies, "reply", fs->cores, sent, NULL, err);
}

void replies_stop(struct fs *fs)
{
	pool_free(TAKE(fs->replies));
}

/* Copying on another core is of use to them; where all decode it is only one thread more. */
static bool somebody_waits(const struct fs *fs)
{
	struct pollfd device = { .fd = fuse_session_fd(fs->session), .events = POLLIN };

	return loop_has_idle_core(fs) && poll(&device, 1, 0) > 0;
}

void reply_answer(struct fs *fs, fuse_req_t req, struct answer *answer)
{
	struct reply *reply = NULL;

	if (answer->done >= APART_MIN && answer_can_stay(answer) && somebody_waits(fs))
		reply = calloc(1, sizeof *reply);
	if (reply) {
		reply->job.run = send_answer;
		reply->req = req;
		reply->answer = *answer;
		*answer = (struct answer){ 0 };
		pool_submit(fs->replies, &reply->job);
		return;
	}
	(void)fuse_reply_buf(req, answer_bytes(answer), answer->done);
	answer_release(answer);
}
