/* SPDX-License-Identifier: Apache-2.0 */
/* What a V1 registry answers: the first byte tells to which question.  Only ids and tags that are
 * some come out, which become parts of URLs. */
#include "fetch/registry_v1/internal.h"

#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char image[] = "1234567890abcdef1234567890abcdef1234567890abcdef1234567890abcdef";

static void check(bool is_true)
{
	if (!is_true)
		abort();
}

static int check_pair(void *context, const char *tag, const char *id, struct error *err)
{
	(void)context;
	(void)err;
	check(tag_is_valid(tag) && strlen(id) == V1_ID_LEN && v1_id_is_valid(id));
	return 0;
}

static void check_tags(const struct buf *body)
{
	struct v1_visitor visitor = { check_pair, NULL, 0 };

	(void)v1_visit_tags(&visitor, body, NULL);
}

static void check_id(const struct buf *body)
{
	char id[V1_ID_LEN + 1];

	check(!v1_parse_id(body, id) || v1_id_is_valid(id));
}

static void check_ancestry(const struct buf *body)
{
	struct name_list ids = { NULL, 0 };

	if (!v1_parse_ancestry(&ids, body, image, NULL)) {
		check(ids.count && ids.count <= IMAGE_LAYERS_MAX && !strcmp(ids.names[0], image));
		for (size_t i = 0; i < ids.count; i++)
			check(v1_id_is_valid(ids.names[i]));
	}
	name_list_release(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const checks[])(
		const struct buf *) = { check_tags, check_id, check_ancestry };
	CLEANUP(buf_release) struct buf body = { .max = V1_ANCESTRY_MAX };

	if (!size || buf_append(&body, data + 1, size - 1))
		return 0;
	checks[*data % ARRAY_SIZE(checks)](&body);
	return 0;
}
