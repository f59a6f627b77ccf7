/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs in a pool: each runs once, none is lost, a blocked one holds up nobody else. */
#include "fetch/pool.h"

#include <dirent.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/cleanup.h"

enum { JOBS = 1000 };

struct counted {
	struct job job;
	unsigned number, runs, ends;
	pthread_t ran_on;
	bool same_thread;
	unsigned again; /* how often its owner submits it once more */
};

struct tally {
	pthread_mutex_t lock;
	struct pool *pool;
	unsigned ended;
	unsigned order[JOBS]; /* numbers, as they ended */
};

static void run_counted(struct job *job)
{
	struct counted *counted = container_of(job, struct counted, job);

	counted->runs++;
	counted->ran_on = pthread_self();
}

static void end_counted(void *context, struct job *job)
{
	struct counted *counted = container_of(job, struct counted, job);
	struct tally *tally = context;

	counted->ends++;
	counted->same_thread = pthread_equal(counted->ran_on, pthread_self());
	(void)pthread_mutex_lock(&tally->lock);
	if (tally->ended < JOBS)
		tally->order[tally->ended] = counted->number;
	tally->ended++;
	(void)pthread_mutex_unlock(&tally->lock);
	if (counted->again) {
		counted->again--;
		pool_submit(tally->pool, job);
	}
}

static const struct pool_case {
	const char *name;
	unsigned threads, jobs;
} pool_cases[] = {
	{ "no job", 3, 0 },
	{ "one thread", 1, JOBS },
	{ "several threads", 4, JOBS },
	{ "no thread is one", 0, 10 },
	{ "more threads than jobs", 8, 2 },
};

static void each_runs_once(void **state)
{
	static struct counted jobs[JOBS];
	const struct pool_case *c = *state;
	struct tally tally = { .lock = PTHREAD_MUTEX_INITIALIZER };

	assert_int_equal(pool_new(&tally.pool, "a-name-that-is-too-long", c->threads, end_counted,
				 &tally, NULL),
		0);
	for (unsigned i = 0; i < c->jobs; i++) {
		jobs[i] = (struct counted){ .job.run = run_counted, .number = i };
		pool_submit(tally.pool, &jobs[i].job);
	}
	pool_free(tally.pool);
	assert_int_equal(tally.ended, c->jobs);
	for (unsigned i = 0; i < c->jobs; i++) {
		assert_int_equal(jobs[i].runs, 1);
		assert_int_equal(jobs[i].ends, 1);
		assert_true(jobs[i].same_thread);
		if (c->threads == 1)
			assert_int_equal(tally.order[i], i);
	}
}

static void an_owner_may_submit_again(void **state)
{
	struct tally tally = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct counted job = { .job.run = run_counted, .again = 5 };

	(void)state;
	assert_int_equal(pool_new(&tally.pool, "again", 2, end_counted, &tally, NULL), 0);
	pool_submit(tally.pool, &job.job);
	pool_free(tally.pool); /* runs dry first */
	assert_int_equal(job.runs, 6);
}

struct blocked {
	struct job job;
	sem_t started, go;
};

static void run_blocked(struct job *job)
{
	struct blocked *blocked = container_of(job, struct blocked, job);

	(void)sem_post(&blocked->started);
	(void)sem_wait(&blocked->go);
}

static void run_release(struct job *job)
{
	struct {
		struct job job;
		sem_t *go;
	} *release = (void *)job;

	(void)sem_post(release->go);
}

static void end_nothing(void *context, struct job *job)
{
	(void)context;
	(void)job;
}

static void a_blocked_job_blocks_no_other(void **state)
{
	struct blocked blocked = { .job.run = run_blocked };
	struct {
		struct job job;
		sem_t *go;
	} release = { { run_release, NULL }, &blocked.go };
	struct pool *pool;

	(void)state;
	(void)sem_init(&blocked.started, 0, 0);
	(void)sem_init(&blocked.go, 0, 0);
	assert_int_equal(pool_new(&pool, "blocked", 2, end_nothing, NULL, NULL), 0);
	pool_submit(pool, &blocked.job);
	(void)sem_wait(&blocked.started);
	pool_submit(pool, &release.job); /* else this would hang */
	pool_free(pool);
	(void)sem_destroy(&blocked.started);
	(void)sem_destroy(&blocked.go);
}

/* How many threads this process has (proc(5)). */
static unsigned count_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned count = 0;

	assert_non_null(tasks);
	for (const struct dirent *entry; (entry = readdir(tasks));)
		count += entry->d_name[0] != '.';
	(void)closedir(tasks);
	return count;
}

static void threads_are_started_when_all_are_at_work(void **state)
{
	enum { BOUND = 3 };
	struct blocked blocked[BOUND], last = { .job.run = run_blocked };
	unsigned before = count_threads();
	struct pool *pool;

	(void)state;
	assert_int_equal(pool_new(&pool, "grows", BOUND, end_nothing, NULL, NULL), 0);
	assert_int_equal(count_threads(), before + 1);
	for (unsigned i = 0; i < BOUND; i++) {
		blocked[i] = (struct blocked){ .job.run = run_blocked };
		(void)sem_init(&blocked[i].started, 0, 0);
		(void)sem_init(&blocked[i].go, 0, 0);
		pool_submit(pool, &blocked[i].job);
		(void)sem_wait(&blocked[i].started); /* else this would hang */
		assert_true(count_threads() <= before + i + 2);
	}
	assert_int_equal(count_threads(), before + BOUND);
	(void)sem_init(&last.started, 0, 0);
	(void)sem_init(&last.go, 0, 1);
	pool_submit(pool, &last.job);
	assert_int_equal(count_threads(), before + BOUND);
	assert_int_equal(sem_trywait(&last.started), -1);
	for (unsigned i = 0; i < BOUND; i++)
		(void)sem_post(&blocked[i].go);
	pool_free(pool);
	assert_int_equal(sem_trywait(&last.started), 0);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(pool_cases) + 3] = {
		cmocka_unit_test(an_owner_may_submit_again),
		cmocka_unit_test(a_blocked_job_blocks_no_other),
		cmocka_unit_test(threads_are_started_when_all_are_at_work),
	};

	for (size_t i = 0; i < ARRAY_SIZE(pool_cases); i++)
		tests[i + 3] = (struct CMUnitTest){ .name = pool_cases[i].name,
			.test_func = each_runs_once,
			.initial_state = (void *)&pool_cases[i] };
	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
