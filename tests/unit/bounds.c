/* SPDX-License-Identifier: Apache-2.0 */
/* What a mount keeps for those who wait and for those who list directories is bounded, however many
 * they are. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fs/fs.h"
#include "fs/node.h"
#include "fs/views.h"
#include "model/cleanup.h"

/* --- the kernel, as far as it takes part --- */

static unsigned replies;
static int last_reply;

int __wrap_fuse_reply_err(fuse_req_t req, int code);
void __wrap_fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t func, void *data);

int __wrap_fuse_reply_err(fuse_req_t req, int code)
{
	(void)req;
	replies++;
	last_reply = code;
	return 0;
}

void __wrap_fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t func, void *data)
{
	(void)req;
	(void)func;
	(void)data;
}

/* --- a mount --- */

enum { NAME_BYTES = 250, NAME_COUNT = 60000 }; /* more than a quarter of LISTINGS_MAX */

static struct options options = { .ttl_ms = UINT64_MAX };
static struct load missing;

static int list(struct fs *fs, struct node *dir, struct listing *ret, struct need *need)
{
	char name[NAME_BYTES + 1];

	(void)fs;
	(void)dir;
	(void)need;
	for (int i = 0; i < NAME_COUNT; i++) {
		(void)snprintf(name, sizeof name, "%0*d", NAME_BYTES, i);
		if (listing_add(ret, name, S_IFREG, 0))
			return -ENOMEM;
	}
	return 0;
}

static int never_there(struct fs *fs, struct node *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	(void)fs;
	(void)dir;
	(void)name;
	(void)ret;
	need->load = &missing;
	return LOAD_PENDING;
}

static const struct view view = { .type = S_IFDIR, .list = list, .lookup = never_there };

static struct node *directory(struct fs *fs, const char *name)
{
	const struct place place = { .repository = "" };
	struct node *node = node_make(fs, node_root(fs), name, &view, &place);

	assert_non_null(node);
	node_ref(fs, node->id);
	return node;
}

/* --- listings --- */

static const struct listing *list_directory(struct fs *fs, struct node *node, bool from_beginning)
{
	struct need need = { .good_until_ms = UINT64_MAX };
	const struct listing *listing = NULL;

	assert_int_equal(node_list(fs, node, from_beginning, &listing, &need), 0);
	assert_int_equal(listing->count, NAME_COUNT);
	return listing;
}

static void listings_are_bounded(void **state)
{
	struct fs fs = { .options = &options };
	struct node *nodes[10];
	const struct listing *listing;
	size_t kept = 0;
	uint64_t place;

	(void)state;
	assert_int_equal(nodes_new(&fs, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
		char name[8];

		(void)snprintf(name, sizeof name, "%zu", i);
		nodes[i] = directory(&fs, name);
		listing = list_directory(&fs, nodes[i], true);
		place = listing->entries[1000].place;
		(void)list_directory(&fs, nodes[0], true); /* which is used all the time */
	}
	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
		kept += nodes[i]->listing ? nodes[i]->listing->bytes : 0;
	assert_true(kept <= LISTINGS_MAX && kept > LISTINGS_MAX / 2);
	assert_non_null(nodes[0]->listing);
	assert_null(nodes[1]->listing);
	assert_non_null(nodes[ARRAY_SIZE(nodes) - 1]->listing);

	/* Who was in the middle of one that went, goes on there. */
	listing = list_directory(&fs, nodes[1], false);
	assert_int_equal(listing->entries[1000].place, place);
	assert_int_equal(listing_behind(listing, place), 1001);

	node_forget(&fs, nodes[1]->id, 1);
	nodes_free(&fs);
}

/* --- requests --- */

static void waiting_requests_are_bounded(void **state)
{
	struct observer observer = { .log = NULL };
	struct fs fs = { .options = &options, .observer = &observer };
	const struct load_type type = { .pool = POOL_LOOK };
	struct node *node;

	(void)state;
	assert_true(sizeof(struct request) <= 512);
	assert_int_equal(nodes_new(&fs, NULL), 0);
	load_init(&missing, &fs, &type);
	node = directory(&fs, "a");
	for (unsigned i = 0; i <= PARKED_MAX; i++) {
		struct request request = {
			.op = OP_lookup, .ino = node->id, .name = (char *)"name"
		};

		assert_int_equal(replies, 0);
		request_run(&fs, &request);
	}
	assert_int_equal(replies, 1);
	assert_int_equal(last_reply, ENOMEM);
	assert_int_equal(fs.parked, PARKED_MAX);
	assert_int_equal(observer.counters.fetch_coalesced, PARKED_MAX - 1); /* all but the first */

	/* They are answered, and others have their room. */
	for (struct request *request = missing.waiters; request; request = request->next)
		request->given_up = -EINTR;
	fs.ready = TAKE(missing.waiters);
	fs.ready->prev = &fs.ready;
	requests_run_ready(&fs);
	assert_int_equal(replies, 1 + PARKED_MAX);
	assert_int_equal(last_reply, EINTR);
	assert_int_equal(fs.parked, 0);
	load_release(&missing);
	nodes_free(&fs);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(listings_are_bounded),
		cmocka_unit_test(waiting_requests_are_bounded),
	};

	return cmocka_run_group_tests_name("bounds", tests, NULL, NULL);
}
