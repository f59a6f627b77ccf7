/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that is stopped keeps what it is sent pending, as one does whose read waits.
 */
#include "fs/signals.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/cleanup.h"

enum disposition { CAUGHT, DEFAULT, IGNORED, BLOCKED };

static const struct signal_case {
	const char *name;
	int sent[2]; /* 0: none */
	enum disposition disposition;
	bool interrupts;
} signal_cases[] = {
	{ "no signal", { 0 }, CAUGHT, false },
	{ "SIGCHLD", { SIGCHLD }, CAUGHT, false },
	{ "SIGURG", { SIGURG }, CAUGHT, false },
	{ "SIGWINCH", { SIGWINCH }, CAUGHT, false },
	{ "SIGCHLD and SIGWINCH", { SIGCHLD, SIGWINCH }, CAUGHT, false },
	{ "SIGINT", { SIGINT }, CAUGHT, true },
	{ "SIGINT without a handler", { SIGINT }, DEFAULT, true },
	{ "SIGINT that is ignored", { SIGINT }, IGNORED, false },
	{ "SIGINT that is blocked", { SIGINT }, BLOCKED, false },
	{ "SIGTERM", { SIGTERM }, CAUGHT, true },
	{ "SIGALRM", { SIGALRM }, CAUGHT, true },
	{ "SIGUSR1", { SIGUSR1 }, CAUGHT, true },
	{ "SIGTERM and SIGCHLD", { SIGTERM, SIGCHLD }, CAUGHT, true },
	{ "a realtime signal", { 40 }, CAUGHT, true },
	{ "the highest signal", { 64 }, CAUGHT, true },
};

static void do_nothing(int number)
{
	(void)number;
}

static void be_child(const struct signal_case *row)
{
	sigset_t all;

	(void)sigfillset(&all);
	(void)sigprocmask(row->disposition == BLOCKED ? SIG_BLOCK : SIG_UNBLOCK, &all, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(row->sent) && row->sent[i]; i++)
		if (row->disposition == CAUGHT || row->disposition == IGNORED)
			(void)signal(
				row->sent[i], row->disposition == CAUGHT ? do_nothing : SIG_IGN);
	(void)raise(SIGSTOP);
	_exit(0);
}

static pid_t stopped_child(const struct signal_case *row)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child)
		be_child(row);
	assert_int_equal(waitpid(child, &status, WUNTRACED), child);
	assert_true(WIFSTOPPED(status));
	for (size_t i = 0; i < ARRAY_SIZE(row->sent) && row->sent[i]; i++)
		assert_int_equal(kill(child, row->sent[i]), 0);
	return child;
}

static void end(pid_t child)
{
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static void tells_what_interrupts(void **state)
{
	const struct signal_case *row = *state;
	pid_t child = stopped_child(row);

	assert_int_equal(signals_interrupt(child), row->interrupts);
	end(child);
}

static void what_cannot_be_told_does(void **state)
{
	pid_t child = stopped_child(&signal_cases[0]);

	(void)state;
	end(child);
	assert_true(signals_interrupt(child)); /* there is no such process any more */
	assert_true(signals_interrupt(0));     /* one of another pid namespace */
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(signal_cases) + 1] = {
		cmocka_unit_test(what_cannot_be_told_does),
	};

	for (size_t i = 0; i < ARRAY_SIZE(signal_cases); i++)
		tests[i + 1] = (struct CMUnitTest){ .name = signal_cases[i].name,
			.test_func = tells_what_interrupts,
			.initial_state = (void *)&signal_cases[i] };
	return cmocka_run_group_tests_name("signals", tests, NULL, NULL);
}
