/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of cases that a program makes of its tables, for _cmocka_run_group_tests().
 */
#ifndef TESTS_UNIT_CASES_H
#define TESTS_UNIT_CASES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CASES_MAX = 256 };

static struct CMUnitTest tests[CASES_MAX];
static size_t test_count;

/* name and state stay; the test finds state in *state. */
static void add(const char *name, CMUnitTestFunction function, const void *state)
{
	if (test_count == CASES_MAX)
		abort();
	tests[test_count++] = (struct CMUnitTest){
		.name = name, .test_func = function, .initial_state = (void *)state
	};
}

#endif
