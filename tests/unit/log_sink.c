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

static void lines_come_in_order(void **state)
{
	const struct fixture *fixture = *state;
	char *heard;

	say(fixture, 0, 100);
	heard = hear(fixture, "line 99\n");
	for (const char *at = heard, *next; (next = strstr(at, "line ")); at = next + 1)
		assert_true(next == strstr(heard, "line ") ||
			    strtoul(next + 5, NULL, 10) == strtoul(at + 4, NULL, 10) + 1);
	assert_int_equal(count(heard, "imgfs: warning: line "), 100);
	free(heard);
}

static void what_finds_no_room_is_counted(void **state)
{
	const struct fixture *fixture = *state;
	unsigned lost, said = 3 * LOG_WAITING, written;
	char *heard;

	fill_pipe(fixture);
	say(fixture, 0, said);
	heard = hear(fixture, "lines were lost");
	written = count(heard, "warning: line ");
	assert_true(written == LOG_WAITING || written == LOG_WAITING + 1);
	lost = find_lost(heard);
	assert_int_equal(written + lost, said);
	free(heard);
	say(fixture, said, said + 1);
	heard = hear(fixture, "line 768");
	assert_int_equal(count(heard, "imgfs: warning: line "), 1);
	free(heard);
}

/* Freed, and then by the thread: nothing leaks, nothing is freed twice. */
static void the_end_does_not_wait(void **state)
{
	struct fixture *fixture = *state;
	char *heard;

	fill_pipe(fixture);
	say(fixture, 0, 3);
	log_sink_free(fixture->sink);
	fixture->sink = NULL;
	heard = hear(fixture, "line 0\n");
	assert_int_equal(count(heard, "warning: "), 1);
	free(heard);
	heard = hear(fixture, "line 1\n");
	assert_string_equal(heard, "");
	free(heard);
}

static void the_end_brings_what_waits(void **state)
{
	struct fixture *fixture = *state;
	char *heard;

	say(fixture, 0, 50);
	log_sink_free(fixture->sink);
	fixture->sink = NULL;
	heard = hear(fixture, "line 49\n");
	assert_int_equal(count(heard, "warning: "), 50);
	free(heard);
}

static void what_was_said_before_waits(void **state)
{
	struct fixture *fixture = *state;
	char *heard;

	say(fixture, 0, 3);
	heard = hear(fixture, "line 0\n");
	assert_string_equal(heard, "");
	free(heard);
	assert_int_equal(log_sink_start(fixture->sink, NULL), 0);
	heard = hear(fixture, "line 2\n");
	assert_int_equal(count(heard, "warning: "), 3);
	free(heard);
	log_sink_free(fixture->sink);
	assert_int_equal(log_sink_new(&fixture->sink, fixture->path, NULL), 0);
	say(fixture, 0, 2);
	log_sink_free(fixture->sink);
	fixture->sink = NULL;
	heard = hear(fixture, "line 1\n");
	assert_int_equal(count(heard, "warning: "), 2);
	free(heard);
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
