/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An index that nobody's pass has written (docs/index-format.md), of a blob that is there: opened,
 * its tree walked, its spans decoded.  All of it may be refused; nothing outside may be read, and
 * nothing is given out that neither the states prove nor, where it has such, the MACs.
 *
 *	| length of the index, 4 | index | what blob and spool hold |
 *
 * Lengths and checksum are made to agree, or nothing else would ever be tried.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/hmac.h>

#include "fetch/layer/internal.h"
#include "fetch/layer/layer.h"
#include "fetch/reader.h"
#include "model/cleanup.h"

/* Places in the header. */
enum {
	AT_CHECKSUM = 24,
	AT_TREE_LEN = 80,
	AT_WINDOWS_LEN = 88,
	AT_SPAN_COUNT = 96,
	AT_WINDOW_COUNT = 100,
	AT_STATE_COUNT = 128,
	AT_SALT = 136,
	SALT_LEN = 16,
	AT_CHECK = AT_SALT + SALT_LEN,
	CHECK_LEN = 16,
	HEADER_LEN = 552,
	SPAN_LEN = 64,
	STATE_LEN = 104,
	WINDOW_LEN = 16,
	SPANS_TRIED = 2,
};

static const struct secret secret = { "0123456789abcdef0123456789abcde" };
static uint8_t decoded[SPAN_SIZE_MAX];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static int file_of(const void *bytes, size_t len)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	must(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	return fd;
}

static uint64_t get(const uint8_t *at, size_t len)
{
	uint64_t value = 0;

	memcpy(&value, at, len);
	return value;
}

/* Of odd salts the MACs count. */
static void make_check(uint8_t *bytes)
{
	uint8_t derived[32];
	unsigned len;

	if (!(bytes[AT_SALT] & 1))
		return;
	must(HMAC(EVP_sha256(), secret.bytes, sizeof secret.bytes, bytes + AT_SALT, SALT_LEN,
		     derived, &len) != NULL);
	memcpy(bytes + AT_CHECK, derived + 16, CHECK_LEN);
}

/* False: it is too short for what it says. */
static bool make_agree(uint8_t *bytes, size_t len)
{
	uint64_t tree_len, end, windows_len;
	struct digest checksum;

	if (len < HEADER_LEN)
		return false;
	tree_len = get(bytes + AT_TREE_LEN, 8);
	if (tree_len > len)
		return false;
	end = HEADER_LEN + (tree_len + 7) / 8 * 8 + get(bytes + AT_SPAN_COUNT, 4) * SPAN_LEN +
	      get(bytes + AT_STATE_COUNT, 4) * STATE_LEN +
	      get(bytes + AT_WINDOW_COUNT, 4) * WINDOW_LEN;
	if (end > len)
		return false;
	windows_len = len - end;
	make_check(bytes);
	memcpy(bytes + AT_WINDOWS_LEN, &windows_len, 8);
	memset(bytes + AT_CHECKSUM, 0, 32);
	must(!digest_of(&checksum, DIGEST_SHA256, bytes, end, NULL));
	memcpy(bytes + AT_CHECKSUM, checksum.bytes, 32);
	return true;
}

static void walk_tree(const struct layer *layer)
{
	const struct tree *tree = &layer->tree;
	volatile size_t sum = 0; /* so that nothing is left out */

	for (uint32_t i = 0; i < tree->entry_count; i++) {
		const struct tree_entry *entry = tree_entry(tree, i);
		struct tree_segment single;
		struct tree_xattr xattr;
		uint32_t count;
		const struct tree_segment *segments = tree_segments(tree, i, &single, &count);

		for (uint32_t k = 0; k < count; k++)
			must(!S_ISREG(entry->mode) ||
				segments[k].data_offset + segments[k].size <= layer->plain_size);
		for (uint32_t k = 0; k < 16 && tree_xattr(tree, i, k, &xattr); k++)
			sum += strlen(xattr.name) + xattr.value_len;
		if (S_ISLNK(entry->mode) || entry->flags & TREE_LINK_OUTSIDE)
			sum += strlen(tree_link(tree, i));
		if (i)
			sum += tree_lookup(
				tree, entry->parent, tree_name(tree, i), entry->name_len);
	}
	(void)sum;
}

static bool is_proved_by_mac(const struct layer *layer, uint32_t i, const uint8_t *bytes)
{
	const struct span *span = &layer->spans[i];
	CLEANUP(macp) EVP_MAC_CTX *mac = mac_new(layer->mac_key);
	uint8_t found[SPAN_MAC];

	must(mac && !mac_begin(mac, span->in_spool, span->stored_offset) &&
		!mac_update(mac, bytes + span->stored_offset, span->stored_len) &&
		!mac_end(mac, found));
	return !span->stored_len || mac_is(found, span->mac);
}

/* By the plain bytes of a span in the spool, the stored ones of another. */
static bool is_proved(const struct layer *layer, uint32_t i, const uint8_t *bytes)
{
	const struct span *span = &layer->spans[i];
	struct span_state state = layer->states[span->state];

	if (layer->mac_key)
		return is_proved_by_mac(layer, i, bytes);
	if (span->in_spool)
		span_state_advance(&state, decoded, span->plain_len);
	else
		span_state_advance(&state, bytes + span->stored_offset, span->stored_len);
	return !memcmp(&state, &layer->states[span->state + 1], sizeof state);
}

static void read_spans(const struct layer *layer, const uint8_t *bytes, size_t len)
{
	CLEANUP(closep) int spool_fd = file_of(bytes, len);
	CLEANUP(readerp) struct reader *blob = NULL;
	bool is_spool;

	must(!reader_of_fd(&blob, file_of(bytes, len), NULL));
	for (uint32_t i = 0; i < layer->span_count && i < SPANS_TRIED; i++) {
		must(layer_span_at(layer, layer->spans[i].plain_offset) == i);
		if (!layer_decode_span(layer, i, blob, spool_fd, decoded, NULL))
			must(is_proved(layer, i, bytes));
	}
	(void)layer_verify(layer, spool_fd, &is_spool, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(freep) uint8_t *bytes = NULL;
	CLEANUP(closep) int fd = -1;
	struct layer *layer = NULL;
	uint32_t len;

	if (size < 4)
		return 0;
	len = (uint32_t)get(data, 4);
	if (len > size - 4)
		return 0;
	bytes = malloc(len + 1);
	must(bytes != NULL);
	memcpy(bytes, data + 4, len);
	if (!make_agree(bytes, len))
		return 0;
	fd = file_of(bytes, len);
	if (layer_open(&layer, fd, NULL, NULL))
		return 0;
	layer_set_secret(layer, &secret);
	must(!layer->mac_key == !(bytes[AT_SALT] & 1));
	must(strlen(layer->message) < sizeof layer->message);
	if (!layer->status)
		walk_tree(layer);
	read_spans(layer, data + 4 + len, size - 4 - len);
	layer_free(layer);
	return 0;
}
