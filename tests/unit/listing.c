/* SPDX-License-Identifier: Apache-2.0 */
/* Places in a listing that changes under its readers: what readdir(3) and telldir(3) promise
 * (POSIX.1: what is neither added nor removed comes exactly once). */
#include "fs/listing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "model/cleanup.h"

/* Of words that a blank parts. */
static struct listing *listing_of(const char *names, const struct listing *old)
{
	struct listing *listing = calloc(1, sizeof *listing);
	CLEANUP(freep) char *copy = strdup(names);
	char *rest = copy;

	assert_non_null(listing);
	assert_non_null(copy);
	for (char *name; (name = strsep(&rest, " "));)
		if (*name)
			assert_int_equal(listing_add(listing, name, S_IFDIR | 0555, 0), 0);
	assert_int_equal(listing_place(listing, old), 0);
	return listing;
}

/* Reads up to count names behind *place. */
static void read_names(
	const struct listing *listing, uint64_t *place, size_t count, char *ret, size_t room)
{
	for (size_t i = listing_behind(listing, *place); count && i < listing->count; i++) {
		size_t used = strlen(ret);

		(void)snprintf(
			ret + used, room - used, "%s%s", used ? " " : "", listing->entries[i].name);
		*place = listing->entries[i].place;
		count--;
	}
}

/* Some names are read of the first listing, then all that is left, of the last one. */
static const struct change_case {
	const char *name;
	const char *listings[4];
	size_t count;
	const char *read;
} change_cases[] = {
	{ "nothing changes", { "a b c d" }, 2, "a b c d" },
	{ "nothing changes in a new listing", { "a b c d", "a b c d" }, 2, "a b c d" },
	{ "one more in front comes once, at the end", { "b c d", "a b c d" }, 2, "b c d a" },
	{ "one more in the middle", { "a c d", "a b c d" }, 2, "a c d b" },
	{ "one that was read goes", { "a b c d", "b c d" }, 2, "a b c d" },
	{ "one that was not read goes", { "a b c d", "a b d" }, 2, "a b d" },
	{ "the last one read goes", { "a b c d", "a c d" }, 2, "a b c d" },
	{ "all go", { "a b c d", "" }, 2, "a b" },
	{ "all are others", { "a b", "c d" }, 1, "a c d" },
	{ "the first are there again", { "a b", "", "a b" }, 0, "a b" },
	{ "what went and came back comes anew", { "a b c", "b c", "a b c" }, 2, "a b c a" },
	{ "another order is none", { "a b c d", "d c b a" }, 2, "a b c d" },
	{ "changes add up", { "b d", "a b d", "a b c d", "b c d e" }, 1, "b d c e" },
	{ "of none", { "", "a" }, 0, "a" },
};

static void goes_on(void **state)
{
	const struct change_case *c = *state;
	struct listing *listing = listing_of(c->listings[0], NULL);
	char read[64] = "";
	uint64_t place = 0;

	read_names(listing, &place, c->count, read, sizeof read);
	for (size_t i = 1; i < ARRAY_SIZE(c->listings) && c->listings[i]; i++) {
		struct listing *old = listing;

		listing = listing_of(c->listings[i], old);
		listing_free(old);
	}
	read_names(listing, &place, SIZE_MAX, read, sizeof read);
	assert_string_equal(read, c->read);
	listing_free(listing);
}

/* A place is an offset in the end: none is 0, all grow, and none is behind the last. */
static void places_grow(void **state)
{
	struct listing *listing = listing_of("c b a", NULL);
	uint64_t last = 0;

	(void)state;
	for (size_t i = 0; i < listing->count; i++) {
		assert_true(listing->entries[i].place > last);
		last = listing->entries[i].place;
	}
	assert_int_equal(listing->last_place, last);
	assert_int_equal(listing_behind(listing, last), listing->count);
	assert_int_equal(listing_behind(listing, UINT64_MAX), listing->count);
	listing_free(listing);
}

/* More text than one block of it. */
static void holds_many(void **state)
{
	enum { MANY = 20000 };
	struct listing *listing = calloc(1, sizeof *listing);
	char name[32];

	(void)state;
	assert_non_null(listing);
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof name, "name-%d", i);
		assert_int_equal(listing_add(listing, name, S_IFREG | 0644, i), 0);
	}
	assert_int_equal(listing_place(listing, NULL), 0);
	assert_int_equal(listing->count, MANY);
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof name, "name-%d", i);
		assert_string_equal(listing->entries[i].name, name);
		assert_int_equal(listing->entries[i].mode, S_IFREG);
		assert_int_equal(listing->entries[i].ino, i);
	}
	listing_free(listing);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(change_cases) + 2];
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(change_cases); i++)
		tests[count++] = (struct CMUnitTest){ .name = change_cases[i].name,
			.test_func = goes_on,
			.initial_state = (void *)&change_cases[i] };
	tests[count++] = (struct CMUnitTest)cmocka_unit_test(places_grow);
	tests[count++] = (struct CMUnitTest)cmocka_unit_test(holds_many);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
