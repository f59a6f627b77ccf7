/* SPDX-License-Identifier: Apache-2.0 */
/* The log: what a flood leaves of it. */
#include "fs/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fetch/clock.h"
#include "model/cleanup.h"

/* By --wrap: the time is what a case says. */
static uint64_t clock_ms;

uint64_t __wrap_now_ms(void);
uint64_t __wrap_now_ms(void)
{
	return clock_ms;
}

struct fixture {
	struct log *log;
	char path[32];
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);
	int fd;

	*state = fixture;
	clock_ms = 1;
	(void)strcpy(fixture->path, "/tmp/imgfs-log-XXXXXX");
	fd = mkstemp(fixture->path);
	return fd < 0 || close(fd) ||
	       log_new(&fixture->log, fixture->path, LOG_LEVEL_WARNING, NULL);
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	log_free(fixture->log);
	(void)unlink(fixture->path);
	free(fixture);
	return 0;
}

/* Lines of the ring, and whether one holds a part. */
static unsigned ring_lines(struct fixture *fixture, const char *part)
{
	struct buf ring;
	unsigned count = 0;

	buf_init(&ring, 1 << 20);
	log_ring(fixture->log, &ring);
	for (char *line = ring.data, *end; line && (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		count += strstr(line, part) != NULL;
	}
	buf_release(&ring);
	return count;
}

static unsigned file_lines(struct fixture *fixture, const char *part)
{
	FILE *file = fopen(fixture->path, "re");
	char line[2048];
	unsigned count = 0;

	assert_non_null(file);
	while (fgets(line, sizeof line, file))
		count += strstr(line, part) != NULL;
	(void)fclose(file);
	return count;
}

static void many_readers_are_one_incident(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 0; i < 4000; i++)
		log_failure(fixture->log, "blob: connection refused", "a/file-%c%c: refused pid=%d",
			'a' + i % 26, 'a' + i / 26 % 26, i);
	assert_int_equal(ring_lines(fixture, "refused"), 5);
	assert_int_equal(file_lines(fixture, "refused"), 5);
	clock_ms += 10000; /* whoever looks now is told */
	assert_int_equal(ring_lines(fixture, "3995 more"), 1);
	assert_int_equal(
		file_lines(fixture, "3995 more like it not written: blob: connection refused"), 1);
}

static void goes_on_after_a_while(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 0; i < 9; i++)
		log_line(fixture->log, LOG_LEVEL_WARNING, "retry %d/5 in 0.%ds: 503", i, i);
	clock_ms += 9999;
	log_line(fixture->log, LOG_LEVEL_WARNING, "retry 5/5 in 1.7s: 503");
	assert_int_equal(file_lines(fixture, "retry"), 5);
	clock_ms += 1;
	log_line(fixture->log, LOG_LEVEL_WARNING, "something else");
	assert_int_equal(file_lines(fixture, "5 more like it not written: retry"), 1);
	log_line(fixture->log, LOG_LEVEL_WARNING, "retry 1/5 in 0.3s: 503");
	assert_int_equal(file_lines(fixture, "retry 1/5 in 0.3s"), 1);
}

static void other_causes_are_other_incidents(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 0; i < 26; i++)
		log_line(fixture->log, LOG_LEVEL_WARNING, "tag %c: refused", 'a' + i);
	assert_int_equal(file_lines(fixture, "refused"), 26);
}

/* More than are kept apart: none is lost, and no count. */
static void many_causes(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 0; i < 7; i++)
		log_line(fixture->log, LOG_LEVEL_WARNING, "the first");
	for (int i = 0; i < 26 * 26; i++)
		log_line(fixture->log, LOG_LEVEL_WARNING, "tag %c%c: refused", 'a' + i % 26,
			'a' + i / 26);
	assert_int_equal(file_lines(fixture, "refused"), 26 * 26);
	assert_int_equal(file_lines(fixture, "2 more like it not written: the first"), 1);
}

static void what_people_asked_for_is_complete(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 0; i < 50; i++)
		log_line(fixture->log, LOG_LEVEL_INFO, "status");
	assert_int_equal(ring_lines(fixture, "status"), 50);
}

static void the_end_tells_the_rest(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 0; i < 8; i++)
		log_line(fixture->log, LOG_LEVEL_ERROR, "sha256:%04x: wrong digest", i);
	log_free(fixture->log);
	fixture->log = NULL;
	assert_int_equal(file_lines(fixture, "wrong digest"), 6);
	assert_int_equal(file_lines(fixture, "3 more like it not written"), 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		CASE(many_readers_are_one_incident),
		CASE(goes_on_after_a_while),
		CASE(other_causes_are_other_incidents),
		CASE(many_causes),
		CASE(what_people_asked_for_is_complete),
		CASE(the_end_tells_the_rest),
	};
#undef CASE
	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
