/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of a load that takes long: when, how often, and when it is not. */
#include "fs/patience.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/fs.h"
#include "model/cleanup.h"

enum { STEPS_MAX = 8, BEGIN_MS = 1000000 };

/* From that second on, so many bytes, and a thread has it (or not). */
struct step {
	unsigned s, done;
	bool is_at_work;
};

static const struct patience_case {
	const char *name;
	struct step steps[STEPS_MAX];
	unsigned end_s;
	enum store_step step;
	bool is_unnamed, has_no_waiter;
	unsigned goes_on, silent, again; /* lines expected */
	const char *line;                /* what one of them holds */
} cases[] = {
	{ "nine seconds", { { 0, 1, true }, { 8, 2, true } }, 9, STORE_FETCH, false, false, 0, 0, 0,
		NULL },
	{ "ten seconds", { { 0, 1, true }, { 9, 340, true } }, 11, STORE_FETCH, false, false, 1, 0,
		0,
		"docker://r/app: still fetching sha256:5d20c808ce19: 34% of 1000 B, 34 B/s, for " },
	{ "half a minute, and on",
		{ { 0, 1, true }, { 10, 2, true }, { 25, 3, true }, { 45, 4, true },
			{ 70, 5, true } },
		90, STORE_FETCH, false, false, 2, 0, 0, NULL },
	{ "half a minute without a byte", { { 0, 0, true } }, 31, STORE_FETCH, false, false, 1, 1,
		0,
		"docker://r/app: not responding, still trying: sha256:5d20c808ce19: 0% of 1000 B" },
	{ "a minute without a byte is told once", { { 0, 0, true } }, 90, STORE_FETCH, false, false,
		1, 1, 0, NULL },
	{ "it comes again", { { 0, 0, true }, { 40, 1, true } }, 45, STORE_FETCH, false, false, 2,
		1, 1, "docker://r/app: responding again" },
	{ "silent twice", { { 0, 0, true }, { 40, 1, true } }, 75, STORE_FETCH, false, false, 2, 2,
		1, NULL },
	{ "silent after a while", { { 0, 1, true }, { 20, 2, true } }, 51, STORE_FETCH, false,
		false, 1, 1, 0, NULL },
	{ "in a queue", { { 0, 0, false } }, 90, STORE_FETCH, false, false, 0, 0, 0, NULL },
	{ "in a queue, then served", { { 0, 0, false }, { 60, 1, true } }, 65, STORE_FETCH, false,
		false, 1, 0, 0, NULL },
	{ "looked for in the cache", { { 0, 0, true } }, 90, STORE_LOOK, false, false, 0, 0, 0,
		NULL },
	{ "nobody waits", { { 0, 0, true } }, 90, STORE_FETCH, false, true, 0, 0, 0, NULL },
	{ "an answer that does not come", { { 0, 0, true } }, 31, STORE_ASK, true, false, 1, 1, 0,
		"docker://r/app: still waiting for an answer for " },
	{ "what is here takes long, and no source is to blame", { { 0, 0, true } }, 90, STORE_WORK,
		false, false, 1, 0, 0, "docker://r/app: still indexing sha256:5d20c808ce19" },
};

static void describe(const struct load *load, char *text, size_t len)
{
	(void)load;
	(void)snprintf(text, len, "sha256:5d20c808ce19");
}

static unsigned count(const struct buf *ring, const char *part)
{
	unsigned found = 0;

	for (const char *at = ring->data; at && (at = strstr(at, part)); at++)
		found++;
	return found;
}

struct fixture {
	struct options options;
	struct fs fs;
	struct load_type type;
	struct load load;
	struct request request;
};

static void set_up(struct fixture *fixture, int notify_fd)
{
	*fixture = (struct fixture){ .fs.notify_fd = notify_fd, .type.describe = describe };
	fixture->options.source = (char *)"docker://r/app";
	fixture->options.mountpoint = (char *)"/mnt";
	fixture->fs.options = &fixture->options;
	/* A level that writes nothing, so that the ring alone has it. */
	assert_int_equal(log_new(&fixture->fs.log, "stderr", LOG_LEVEL_ERROR, NULL), 0);
	load_init(&fixture->load, &fixture->fs, &fixture->type);
	fixture->load.started_ms = fixture->load.moved_ms = BEGIN_MS;
	fixture->load.progress.total = 1000;
	fixture->load.step = STORE_FETCH;
	fixture->request.since_ms = BEGIN_MS;
	fixture->request.pid = getpid();
	load_park(&fixture->load, &fixture->request);
	fixture->fs.running = &fixture->load;
}

static void tear_down(struct fixture *fixture)
{
	load_release(&fixture->load);
	log_free(fixture->fs.log);
}

static void take_step(struct fixture *fixture, const struct step *steps, unsigned s)
{
	for (size_t i = 0; i < STEPS_MAX && (!i || steps[i].s); i++) {
		if (steps[i].s != s)
			continue;
		fixture->load.progress.done = steps[i].done;
		fixture->load.is_at_work = steps[i].is_at_work;
	}
}

static void tells(void **state)
{
	const struct patience_case *c = *state;
	struct fixture fixture;
	struct buf ring;

	set_up(&fixture, -1);
	fixture.load.step = c->step;
	if (c->is_unnamed)
		fixture.type.describe = NULL;
	if (c->has_no_waiter)
		fixture.load.waiters = NULL;
	for (unsigned s = 0; s <= c->end_s; s++) {
		take_step(&fixture, c->steps, s);
		/* Awake more often than need be: that changes nothing. */
		assert_int_equal(patience_tick(&fixture.fs, BEGIN_MS + 1000 * (uint64_t)s), 1000);
		assert_in_range(
			patience_tick(&fixture.fs, BEGIN_MS + 1000 * (uint64_t)s + 400), 1, 600);
	}
	buf_init(&ring, 1 << 20);
	log_ring(fixture.fs.log, &ring);
	assert_int_equal(count(&ring, "info: docker://r/app: still "), c->goes_on);
	assert_int_equal(count(&ring, "warning: docker://r/app: not responding"), c->silent);
	assert_int_equal(count(&ring, "info: docker://r/app: responding again"), c->again);
	if (c->line && !count(&ring, c->line))
		fail_msg("'%s' is not in '%s'", c->line, ring.data);
	buf_release(&ring);
	tear_down(&fixture);
}

/* A second is told every other second, and the end of it at once. */
static void a_manager_hears_of_it(void **state)
{
	struct fixture fixture;
	char lines[512];
	int ends[2];
	ssize_t n;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends), 0);
	set_up(&fixture, ends[0]);
	fixture.load.is_at_work = true;
	for (unsigned tenths = 0; tenths <= 100; tenths++) {
		fixture.load.progress.done = tenths;
		(void)patience_tick(&fixture.fs, BEGIN_MS + 100 * (uint64_t)tenths);
	}
	for (unsigned s = 0; s <= 10; s += 2) {
		char expected[64];

		n = read(ends[1], lines, sizeof lines - 1);
		assert_true(n > 0);
		lines[n] = '\0';
		(void)snprintf(
			expected, sizeof expected, "STATUS=1 under way: %u B of 1000 B\n", 10 * s);
		assert_string_equal(lines, expected);
	}
	assert_true(read(ends[1], lines, sizeof lines) < 0);
	fixture.fs.running = NULL;
	for (int i = 0; i < 2; i++)
		assert_int_equal(patience_tick(&fixture.fs, BEGIN_MS + 10050), -1);
	n = read(ends[1], lines, sizeof lines - 1);
	assert_true(n > 0);
	lines[n] = '\0';
	assert_string_equal(lines, "STATUS=docker://r/app on /mnt\n");
	assert_true(read(ends[1], lines, sizeof lines) < 0);
	tear_down(&fixture);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

int main(void)
{
	struct CMUnitTest tests[1 + ARRAY_SIZE(cases)] = { cmocka_unit_test(
		a_manager_hears_of_it) };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		tests[1 + i] = (struct CMUnitTest){ .name = cases[i].name,
			.test_func = tells,
			.initial_state = (void *)&cases[i] };
	return cmocka_run_group_tests_name("patience", tests, NULL, NULL);
}
