/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox, each case in a process of its own: there is no way out of it. */
#include "fs/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fetch/outside.h"
#include "fetch/temporary.h"
#include "model/cleanup.h"

static int base = -1; /* of the files below */

static int try_write(const char *name, int flags)
{
	CLEANUP(closep) int fd = openat(base, name, O_WRONLY | O_CLOEXEC | flags, 0600);

	return fd < 0 ? -errno : 0;
}

static int writes_cache(void)
{
	return try_write("cache/new", O_CREAT);
}

static int cuts_cache(void)
{
	return try_write("cache/file", O_TRUNC);
}

static int moves_in_cache(void)
{
	return renameat(base, "cache/file", base, "cache/directory/file") ? -errno : 0;
}

static int makes_directory_in_cache(void)
{
	return mkdirat(base, "cache/made", 0700) ? -errno : 0;
}

static int makes_temporary(void)
{
	struct error err;
	unsigned place = 0;
	CLEANUP(closep) int fd = temporary_open(&place, &err);

	return fd < 0 ? fd : 0;
}

static int writes_null(void)
{
	CLEANUP(closep) int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : 0;
}

static int reads_outside(void)
{
	CLEANUP(closep) int fd = openat(base, "outside", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : 0;
}

static int writes_outside(void)
{
	return try_write("outside", 0);
}

static int creates_outside(void)
{
	return try_write("new", O_CREAT);
}

static int removes_outside(void)
{
	return unlinkat(base, "outside", 0) ? -errno : 0;
}

static int moves_out(void)
{
	return renameat(base, "cache/file", base, "moved") ? -errno : 0;
}

static int links_outside(void)
{
	return symlinkat("/etc/passwd", base, "cache/link") ? -errno : 0;
}

static int runs_a_program(void)
{
	(void)execl("/bin/true", "true", (char *)NULL);
	return -errno;
}

static int gains_privileges(void)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? -EPERM : 0;
}

static int forked_child_is_in_it(void)
{
	int status = 0;
	pid_t child = fork();

	if (!child)
		_exit(-writes_outside());
	if (child < 0 || waitpid(child, &status, 0) != child)
		return -ECHILD;
	return -WEXITSTATUS(status);
}

static int call_outside(void *context)
{
	(void)context;
	return writes_outside();
}

static int asks_outside(void)
{
	return outside_call(call_outside, NULL);
}

static const struct sandbox_case {
	const char *name;
	int (*try)(void);
	int rc;
} cases[] = {
	{ "the cache can be written to", writes_cache, 0 },
	{ "a file of the cache can be cut", cuts_cache, 0 },
	{ "a file of the cache can be moved", moves_in_cache, 0 },
	{ "a directory can be made in the cache", makes_directory_in_cache, 0 },
	{ "a temporary file can be made", makes_temporary, 0 },
	{ "/dev/null can be opened", writes_null, 0 },
	{ "other files can be read", reads_outside, 0 },
	{ "other files cannot be written to", writes_outside, -EACCES },
	{ "other files cannot be made", creates_outside, -EACCES },
	{ "other files cannot be removed", removes_outside, -EACCES },
	{ "nothing can be moved out of the cache", moves_out, -EACCES },
	{ "no link can be made", links_outside, -EACCES },
	{ "no program can be run", runs_a_program, -EACCES },
	{ "no privileges can be gained", gains_privileges, -EPERM },
	{ "a child is in it", forked_child_is_in_it, -EACCES },
	{ "the thread outside is not", asks_outside, 0 },
};

struct trial {
	const struct sandbox_case *c;
	const char *cache;
	int rc;
};

static void try_inside(void *context)
{
	struct trial *trial = context;
	struct log *log;

	trial->rc = log_new(&log, "/dev/null", LOG_LEVEL_ERROR, NULL);
	if (trial->rc)
		return;
	sandbox_enter(trial->cache, log);
	trial->rc = trial->c->try();
	log_free(log);
}

static bool has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 2;
}

static void holds(void **state)
{
	const struct sandbox_case *c = *state;
	char directory[] = "/dev/shm/imgfs-XXXXXX"; /* no place for temporary files */
	char cache[64];
	int status = 0;
	pid_t child;

	if (!has_landlock())
		skip();
	assert_non_null(mkdtemp(directory));
	base = open(directory, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	(void)snprintf(cache, sizeof cache, "%s/cache", directory);
	assert_int_equal(mkdirat(base, "cache", 0700), 0);
	assert_int_equal(mkdirat(base, "cache/directory", 0700), 0);
	assert_int_equal(try_write("cache/file", O_CREAT), 0);
	assert_int_equal(try_write("outside", O_CREAT), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct trial trial = { c, cache, 0 };

		_exit(outside_run(try_inside, &trial, NULL) ? 255 : -trial.rc);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	(void)unlinkat(base, "cache/link", 0);
	(void)unlinkat(base, "cache/new", 0);
	(void)unlinkat(base, "cache/file", 0);
	(void)unlinkat(base, "cache/directory/file", 0);
	(void)unlinkat(base, "cache/directory", AT_REMOVEDIR);
	(void)unlinkat(base, "cache/made", AT_REMOVEDIR);
	(void)unlinkat(base, "cache", AT_REMOVEDIR);
	(void)unlinkat(base, "outside", 0);
	(void)unlinkat(base, "moved", 0);
	(void)unlinkat(base, "new", 0);
	(void)close(base);
	assert_int_equal(rmdir(directory), 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(-WEXITSTATUS(status), c->rc);
}

/* --- the thread outside --- */

enum { CALLERS = 16, CALLS = 200 };

struct callers {
	pthread_t outside;
	unsigned calls; /* outside, one after the other: without a lock */
	bool was_elsewhere;
};

static int count_call(void *context)
{
	struct callers *callers = context;

	callers->was_elsewhere |= !pthread_equal(pthread_self(), callers->outside);
	return (int)++callers->calls;
}

static void *call_often(void *context)
{
	for (int i = 0; i < CALLS; i++)
		(void)outside_call(count_call, context);
	return NULL;
}

static void call_from_many(void *context)
{
	pthread_t threads[CALLERS];

	for (size_t i = 0; i < CALLERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, call_often, context), 0);
	for (size_t i = 0; i < CALLERS; i++)
		(void)pthread_join(threads[i], NULL);
}

static void calls_are_done_outside(void **state)
{
	struct callers callers = { .outside = pthread_self() };

	(void)state;
	for (unsigned round = 1; round <= 2; round++) {
		assert_int_equal(outside_run(call_from_many, &callers, NULL), 0);
		assert_int_equal(callers.calls, round * CALLERS * CALLS);
	}
	assert_false(callers.was_elsewhere);
	assert_int_equal(outside_call(count_call, &callers), 2 * CALLERS * CALLS + 1);
	assert_false(callers.was_elsewhere);
}

int main(void)
{
	struct CMUnitTest tests[1 + ARRAY_SIZE(cases)] = {
		cmocka_unit_test(calls_are_done_outside),
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		tests[i + 1] = (struct CMUnitTest){ .name = cases[i].name,
			.test_func = holds,
			.initial_state = (void *)&cases[i] };
	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
