/* SPDX-License-Identifier: Apache-2.0 */
/* Where lines go: a pipe that nobody reads keeps nobody. */
#include "fs/log_sink.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { PIPE_ROOM = 4096, FILL = '.', TRIES = 1000 };

struct fixture {
	struct log_sink *sink;
	char path[32];
	int fd; /* both ends of the pipe, so that neither is ever missing */
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);
	int fd;

	*state = fixture;
	(void)strcpy(fixture->path, "/tmp/imgfs-sink-XXXXXX");
	fd = mkstemp(fixture->path);
	if (fd < 0 || close(fd) || unlink(fixture->path) || mkfifo(fixture->path, 0600))
		return -1;
	fixture->fd = open(fixture->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fixture->fd < 0 || fcntl(fixture->fd, F_SETPIPE_SZ, PIPE_ROOM) < 0)
		return -1;
	return log_sink_new(&fixture->sink, fixture->path, NULL);
}

static int set_up_started(void **state)
{
	int rc = set_up(state);
	const struct fixture *fixture = *state;

	return rc ? rc : log_sink_start(fixture->sink, NULL);
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	log_sink_free(fixture->sink);
	(void)close(fixture->fd);
	(void)unlink(fixture->path);
	free(fixture);
	return 0;
}

static void fill_pipe(const struct fixture *fixture)
{
	char bytes[PIPE_ROOM];

	memset(bytes, FILL, sizeof bytes);
	assert_int_equal(write(fixture->fd, bytes, sizeof bytes), sizeof bytes);
}

static void say(const struct fixture *fixture, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		char text[32];

		(void)snprintf(text, sizeof text, "line %u", i);
		log_sink_write(fixture->sink, LOG_WARNING, "warning", text);
	}
}

/* All that comes, until something holds that part or nothing has come for a while. */
static char *hear(const struct fixture *fixture, const char *part)
{
	size_t room = 1 << 20, len = 0;
	char *heard = calloc(1, room);

	for (unsigned i = 0; heard && i < TRIES && !strstr(heard, part); i++) {
		const struct timespec pause = { .tv_nsec = 1000000 };
		ssize_t n = read(fixture->fd, heard + len, room - len - 1);

		if (n > 0)
			len += (size_t)n;
		else
			(void)nanosleep(&pause, NULL);
	}
	return heard;
}

static unsigned count(const char *text, const char *part)
{
	unsigned n = 0;

	while ((text = strstr(text, part))) {
		text += strlen(part);
		n++;
	}
	return n;
}

/* The number in the line about them. */
static unsigned find_lost(const char *heard)
{
	static const char before[] = "imgfs: warning: ";
	const char *at = strstr(heard, " lines were lost");

	while (at && at > heard && strncmp(at, before, strlen(before)) != 0)
		at--;
	return at ? (unsigned)strtoul(at + strlen(before), NULL, 10) : 0;
}

/* Exactly these lines come, in their order. */
static void expect(const struct fixture *fixture, unsigned from, unsigned to)
{
	char text[32], *heard, *at;

	(void)snprintf(text, sizeof text, "line %u\n", to - 1);
	heard = at = hear(fixture, text);
	for (unsigned i = from; i < to; i++) {
		(void)snprintf(text, sizeof text, "imgfs: warning: line %u\n", i);
		at = strstr(at, text);
		assert_non_null(at);
	}
	assert_int_equal(count(heard, "warning: "), to - from);
	free(heard);
}

static void expect_nothing(const struct fixture *fixture)
{
	char *heard = hear(fixture, "line ");

	assert_string_equal(heard, "");
	free(heard);
}

static void lines_come_in_order(void **state)
{
	const struct fixture *fixture = *state;

	say(fixture, 0, 100);
	expect(fixture, 0, 100);
}

static void what_finds_no_room_is_counted(void **state)
{
	const struct fixture *fixture = *state;
	unsigned lost, said = 3 * LOG_WAITING, written;
	char *heard;

	fill_pipe(fixture);
	say(fixture, 0, said);
	heard = hear(fixture, "lines were lost: the log stood still\n");
	written = count(heard, "warning: line ");
	assert_true(written == LOG_WAITING || written == LOG_WAITING + 1);
	lost = find_lost(heard);
	assert_int_equal(written + lost, said);
	free(heard);
	say(fixture, said, said + 1);
	expect(fixture, said, said + 1);
}

/* Freed, and then by the thread: nothing leaks, nothing is freed twice. */
static void the_end_does_not_wait(void **state)
{
	struct fixture *fixture = *state;

	fill_pipe(fixture);
	say(fixture, 0, 3);
	log_sink_free(fixture->sink);
	fixture->sink = NULL;
	expect(fixture, 0, 1);
	expect_nothing(fixture);
}

static void the_end_brings_what_waits(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, 0, 50);
	log_sink_free(fixture->sink);
	fixture->sink = NULL;
	expect(fixture, 0, 50);
}

static void what_was_said_before_waits(void **state)
{
	struct fixture *fixture = *state;

	say(fixture, 0, 3);
	expect_nothing(fixture);
	assert_int_equal(log_sink_start(fixture->sink, NULL), 0);
	expect(fixture, 0, 3);
	log_sink_free(fixture->sink);
	assert_int_equal(log_sink_new(&fixture->sink, fixture->path, NULL), 0);
	say(fixture, 0, 2);
	log_sink_free(fixture->sink);
	fixture->sink = NULL;
	expect(fixture, 0, 2);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up_started, tear_down)
	static const struct CMUnitTest tests[] = {
		CASE(lines_come_in_order),
		CASE(what_finds_no_room_is_counted),
		CASE(the_end_does_not_wait),
		CASE(the_end_brings_what_waits),
		cmocka_unit_test_setup_teardown(what_was_said_before_waits, set_up, tear_down),
	};
#undef CASE
	return cmocka_run_group_tests_name("log_sink", tests, NULL, NULL);
}
