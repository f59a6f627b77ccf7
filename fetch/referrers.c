/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/referrers.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TAG_HEX = 64 }; /* digits of a digest that a fallback tag has */

int referrer_list_add(
	struct referrer_list *list, const struct descriptor *referrer, struct error *err)
{
	struct descriptor *items = list->items;
	int rc;

	if (list->count >= REFERRERS_MAX)
		return error_set(err, EFBIG, "more than %d referrers", REFERRERS_MAX);
	if ((list->count & (list->count - 1)) == 0) { /* full at powers of two */
		items = realloc(items, (list->count ? 2 * list->count : 1) * sizeof *items);
		if (!items)
			return error_set(err, ENOMEM, "out of memory");
		list->items = items;
	}
	rc = descriptor_copy(&items[list->count], referrer, err);
	if (!rc)
		list->count++;
	return rc;
}

/* Those that say what they are first. */
static int by_digest(const void *a, const void *b)
{
	const struct descriptor *x = a, *y = b;
	int order = digest_compare(&x->digest, &y->digest);

	return order ? order : !x->artifact_type - !y->artifact_type;
}

void referrer_list_give(struct referrer_list *list, const struct digest *subject,
	struct descriptor **ret, size_t *ret_count)
{
	struct descriptor *items = list->items;
	size_t kept = 0;

	if (list->count)
		qsort(items, list->count, sizeof *items, by_digest);
	for (size_t i = 0; i < list->count; i++) {
		if (digest_equal(&items[i].digest, subject) ||
			(kept && digest_equal(&items[i].digest, &items[kept - 1].digest)))
			descriptor_release(&items[i]);
		else
			items[kept++] = items[i];
	}
	*ret = items;
	*ret_count = kept;
	*list = (struct referrer_list){ NULL, 0 };
}

void referrer_list_release(struct referrer_list *list)
{
	descriptors_free(list->items, list->count);
	*list = (struct referrer_list){ NULL, 0 };
}

/* The names of the algorithms we know, and hex digits, are letters that a tag may have. */
char *referrers_tag(const struct digest *subject, char text[static REFERRERS_TAG_MAX])
{
	char hex[DIGEST_HEX_MAX];

	(void)snprintf(text, REFERRERS_TAG_MAX, "%.32s-%.64s",
		digest_algorithm_name(subject->algorithm), digest_hex(subject, hex));
	return text;
}

bool referrers_tag_parse(struct digest *ret, const char *tag)
{
	const char *dash = strchr(tag, '-');
	char algorithm[32 + 1], hex[DIGEST_HEX_MAX];

	if (!dash || dash - tag >= (ptrdiff_t)sizeof algorithm || strlen(dash + 1) != TAG_HEX)
		return false;
	(void)snprintf(algorithm, sizeof algorithm, "%.*s", (int)(dash - tag), tag);
	if (!digest_parse_parts(ret, algorithm, dash + 1, NULL))
		return true;
	(void)snprintf(hex, sizeof hex, "%s%0*d", dash + 1, DIGEST_HEX_MAX - 1 - TAG_HEX, 0);
	return !digest_parse_parts(ret, algorithm, hex, NULL);
}

struct digest referrers_tag_digest(const struct digest *subject)
{
	struct digest cut = *subject;

	memset(cut.bytes + TAG_HEX / 2, 0, sizeof cut.bytes - TAG_HEX / 2);
	return cut;
}
