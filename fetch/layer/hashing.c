/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The digests of a pass: of the stored bytes and of the plain ones.  These then go to
 * the sink, while the processor's cache has them.  Windows are compressed here, too.
 *
 * Both are chains of SHA-256 which keep their states at marks: the stored one where spans start and
 * end, the plain one around those in the spool.  A blob whose digest is of another algorithm is
 * digested by that besides.  A decoder knows of a place only when it has passed it; so stored bytes
 * are posted a while after they were decoded, cut at the marks.
 *
 * At first a job is done at once.  After hashing_start() it waits in a short queue for a thread
 * that does nothing else, while the pass goes on decoding.  Job number n is done when
 * done >= n, so that a number tells when the job's bytes may be overwritten; 0 is: at once.
 *
 * One thread posts and waits, one works.  The poster wakes the worker when there is enough to do,
 * and before it waits itself; so they never both sleep, and one condition does.
 */
#include "fetch/layer/internal.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "fetch/thread.h"

enum {
	JOBS_MAX = 32,
	WAKE_BYTES = 1 << 20, /* so many are worth waking a thread for: that costs as much as
			       * hashing 20 KiB or so */
};

struct hash_job {
	enum hash_what what;
	const void *bytes;
	size_t len;
};

struct hashing {
	struct chain *stored, *plain; /* the worker's, while there are jobs; */
	struct hasher *other;         /* NULL: the blob's digest is sha256 */
	struct windows *windows;
	bool stored_is_plain; /* and digested as such */
	hashing_sink_fn *sink;
	void *context;
	int status; /* of the first job that failed; the worker's */
	struct error why;

	uint64_t stored_posted; /* the poster's: stored bytes so far, */
	uint64_t *marks;        /* and places among those to come, in order */
	uint32_t mark_count, mark_capacity;

	bool has_thread;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct hash_job jobs[JOBS_MAX]; /* under lock */
	uint64_t posted;                /* written under lock, by the poster alone */
	uint64_t done;                  /* under lock */
	uint64_t awaited;               /* under lock: the job that the poster sleeps for, or 0 */
	size_t unannounced;             /* under lock: bytes posted since the worker was woken */
	bool is_closing;                /* under lock */
};

static int out_of_memory(struct error *err)
{
	return error_set(err, ENOMEM, "index a layer: out of memory");
}

int hashing_new(struct hashing **ret, enum digest_algorithm algorithm, hashing_sink_fn *sink,
	void *context, struct error *err)
{
	struct hashing *hashing = calloc(1, sizeof *hashing);
	int rc = 0;

	if (!hashing)
		return out_of_memory(err);
	hashing->sink = sink;
	hashing->context = context;
	(void)pthread_mutex_init(&hashing->lock, NULL); /* cannot fail with default attributes */
	(void)pthread_cond_init(&hashing->changed, NULL);
	hashing->stored = chain_new();
	hashing->plain = chain_new();
	hashing->windows = windows_new();
	if (!hashing->stored || !hashing->plain || !hashing->windows || hashing_mark(hashing, 0))
		rc = out_of_memory(err);
	if (!rc && algorithm != DIGEST_SHA256)
		rc = hasher_new(&hashing->other, algorithm, err);
	if (rc) {
		hashing_free(hashing);
		return rc;
	}
	*ret = hashing;
	return 0;
}

/* Jobs that still wait are dropped. */
void hashing_free(struct hashing *hashing)
{
	if (!hashing)
		return;
	if (hashing->has_thread) {
		(void)pthread_mutex_lock(&hashing->lock);
		hashing->is_closing = true;
		(void)pthread_cond_signal(&hashing->changed);
		(void)pthread_mutex_unlock(&hashing->lock);
		(void)pthread_join(hashing->thread, NULL);
	}
	(void)pthread_cond_destroy(&hashing->changed);
	(void)pthread_mutex_destroy(&hashing->lock);
	chain_free(hashing->stored);
	chain_free(hashing->plain);
	hasher_free(hashing->other);
	windows_free(hashing->windows);
	free(hashing->marks);
	free(hashing);
}

int hashing_set_key(struct hashing *hashing, const struct mac_key *key, struct error *err)
{
	return chain_set_key(hashing->stored, key) ? out_of_memory(err) : 0;
}

static int mark(struct hashing *hashing, struct chain *chain)
{
	return chain_mark(chain) ? out_of_memory(&hashing->why) : 0;
}

static int take_stored(struct hashing *hashing, const struct hash_job *job)
{
	if (chain_update(hashing->stored, job->bytes, job->len))
		return out_of_memory(&hashing->why);
	if (!hashing->other)
		return 0;
	return hasher_update(hashing->other, job->bytes, job->len, &hashing->why);
}

static int take_plain(struct hashing *hashing, const struct hash_job *job)
{
	if (!hashing->stored_is_plain && chain_update(hashing->plain, job->bytes, job->len))
		return out_of_memory(&hashing->why);
	return hashing->sink(hashing->context, job->bytes, job->len, &hashing->why);
}

static int run(struct hashing *hashing, const struct hash_job *job)
{
	int rc;

	switch (job->what) {
	case HASH_STORED:
		return take_stored(hashing, job);
	case HASH_STORED_MARK:
		rc = take_stored(hashing, job);
		return rc ? rc : mark(hashing, hashing->stored);
	case HASH_PLAIN:
		return take_plain(hashing, job);
	case HASH_SPOOLED:
		rc = mark(hashing, hashing->plain);
		if (!rc)
			rc = take_plain(hashing, job);
		return rc ? rc : mark(hashing, hashing->plain);
	case HASH_WINDOW:
		return windows_add(hashing->windows, job->bytes, job->len, &hashing->why);
	}
	return 0;
}

static void run_unless_failed(struct hashing *hashing, const struct hash_job *job)
{
	if (!hashing->status)
		hashing->status = run(hashing, job);
}

void hashing_stored_is_plain(struct hashing *hashing)
{
	hashing->stored_is_plain = true;
}

static void *work(void *context)
{
	struct hashing *hashing = context;

	(void)pthread_mutex_lock(&hashing->lock);
	while (!hashing->is_closing) {
		struct hash_job job;

		if (hashing->done == hashing->posted) {
			(void)pthread_cond_wait(&hashing->changed, &hashing->lock);
			continue;
		}
		job = hashing->jobs[hashing->done % JOBS_MAX];
		(void)pthread_mutex_unlock(&hashing->lock);
		run_unless_failed(hashing, &job);
		(void)pthread_mutex_lock(&hashing->lock);
		if (++hashing->done == hashing->awaited)
			(void)pthread_cond_signal(&hashing->changed);
	}
	(void)pthread_mutex_unlock(&hashing->lock);
	return NULL;
}

void hashing_start(struct hashing *hashing)
{
	if (!hashing->has_thread)
		hashing->has_thread = !thread_start(&hashing->thread, "imgfs-hash", work, hashing);
}

/* With the lock. */
static void wake(struct hashing *hashing)
{
	hashing->unannounced = 0;
	(void)pthread_cond_signal(&hashing->changed);
}

/* With the lock: until that job is done. */
static void await(struct hashing *hashing, uint64_t number)
{
	if (hashing->done >= number)
		return;
	wake(hashing);
	hashing->awaited = number;
	while (hashing->done < number)
		(void)pthread_cond_wait(&hashing->changed, &hashing->lock);
	hashing->awaited = 0;
}

uint64_t hashing_post(struct hashing *hashing, enum hash_what what, const void *bytes, size_t len)
{
	struct hash_job job = { what, bytes, len };

	if (!hashing->has_thread) {
		run_unless_failed(hashing, &job);
		return 0;
	}
	(void)pthread_mutex_lock(&hashing->lock);
	if (hashing->posted >= JOBS_MAX)
		await(hashing, hashing->posted - JOBS_MAX + 1);
	hashing->jobs[hashing->posted++ % JOBS_MAX] = job;
	hashing->unannounced += len;
	if (hashing->unannounced >= WAKE_BYTES)
		wake(hashing);
	(void)pthread_mutex_unlock(&hashing->lock);
	return hashing->posted;
}

int hashing_mark(struct hashing *hashing, uint64_t place)
{
	uint64_t *marks = table_grow(
		hashing->marks, sizeof *marks, hashing->mark_count, &hashing->mark_capacity);

	if (!marks)
		return -ENOMEM;
	hashing->marks = marks;
	assert(place >= hashing->stored_posted);
	assert(!hashing->mark_count || place >= marks[hashing->mark_count - 1]);
	marks[hashing->mark_count++] = place;
	return 0;
}

uint64_t hashing_post_stored(struct hashing *hashing, const uint8_t *bytes, size_t len)
{
	uint64_t end = hashing->stored_posted + len;
	uint32_t i;

	for (i = 0; i < hashing->mark_count && hashing->marks[i] <= end; i++) {
		size_t n = (size_t)(hashing->marks[i] - hashing->stored_posted);

		(void)hashing_post(hashing, HASH_STORED_MARK, bytes, n);
		bytes += n;
		hashing->stored_posted += n;
	}
	hashing->mark_count -= i;
	memmove(hashing->marks, hashing->marks + i, hashing->mark_count * sizeof *hashing->marks);
	(void)hashing_post(hashing, HASH_STORED, bytes, (size_t)(end - hashing->stored_posted));
	hashing->stored_posted = end;
	return hashing->posted;
}

void hashing_wait(struct hashing *hashing, uint64_t number)
{
	if (!number)
		return;
	(void)pthread_mutex_lock(&hashing->lock);
	await(hashing, number);
	(void)pthread_mutex_unlock(&hashing->lock);
}

void hashing_drain(struct hashing *hashing)
{
	hashing_wait(hashing, hashing->posted);
}

int hashing_finish(struct hashing *hashing, struct digest *ret_stored, struct digest *ret_plain,
	struct error *err)
{
	struct digest plain, stored;
	int rc = 0;

	hashing_drain(hashing);
	if (hashing->status)
		return error_set(err, -hashing->status, "%s", hashing->why.text);
	stored = chain_digest(hashing->stored);
	plain = hashing->stored_is_plain ? stored : chain_digest(hashing->plain);
	if (hashing->other)
		rc = hasher_final(hashing->other, &stored, err);
	if (rc)
		return rc;
	*ret_stored = stored;
	*ret_plain = plain;
	return 0;
}

void hashing_describe(const struct hashing *hashing, struct span *spans, uint32_t span_count,
	struct index_parts *parts)
{
	parts->stored_states = chain_states(hashing->stored, &parts->stored_state_count);
	parts->plain_states = chain_states(hashing->plain, &parts->plain_state_count);
	for (uint32_t i = 0; i < span_count; i++) {
		struct span *span = &spans[i];
		const uint8_t *mac;

		if (span->in_spool) {
			span->state = parts->stored_state_count +
				      chain_find(hashing->plain, span->plain_offset);
			continue;
		}
		span->state = chain_find(hashing->stored, span->stored_offset);
		mac = chain_mac(hashing->stored, span->state);
		if (mac)
			memcpy(span->mac, mac, SPAN_MAC);
	}
	windows_describe(hashing->windows, parts);
}
