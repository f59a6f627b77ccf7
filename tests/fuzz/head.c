/* SPDX-License-Identifier: Apache-2.0 */
/* An answer's header section, and the numbers in it. */
#include "fetch/http/internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool is_true)
{
	if (!is_true)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct content_range range;
	struct head head;
	uint64_t number;

	if (head_parse(&head, (const char *)data, size, NULL))
		return 0;
	check(head.status >= 100 && head.status <= 999);
	check(head.links.count <= HTTP_LISTED_HEADERS_MAX);
	check(head.challenges.count <= HTTP_LISTED_HEADERS_MAX);
	if (head_length(&head, &number))
		check(number <= INT64_MAX);
	if (content_range_parse(&range, head.content_range)) {
		check(range.start < range.end);
		check(!range.has_total || range.end <= range.total);
	}
	if (retry_after_parse(&number, head.retry_after, head.date))
		check(number <= HTTP_RETRY_AFTER_MAX_MS);
	head_release(&head);
	return 0;
}
