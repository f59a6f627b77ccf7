/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No coding at all: a span may start at every byte.  Nothing is copied.
 */
#include "fetch/layer/internal.h"

struct plain_codec {
	struct codec base;
	uint64_t offset; /* bytes so far */
};

static struct plain_codec *plain_codec(struct codec *codec)
{
	return container_of(codec, struct plain_codec, base);
}

static int plain_boundary(struct plain_codec *plain, struct error *err)
{
	struct span start = { .stored_offset = plain->offset, .start = SPAN_STORED };

	return cutter_boundary(plain->base.cutter, &start, NULL, 0, err);
}

static int plain_feed(struct codec *codec, struct bytes in, struct error *err)
{
	struct plain_codec *plain = plain_codec(codec);
	size_t n;
	int rc = 0;

	for (; !rc && in.left; in.next += n, in.left -= n) {
		n = SPAN_SIZE_MIN - codec->cutter->span.plain_len;
		if (n > in.left)
			n = in.left;
		rc = cutter_pass(codec->cutter, in.next, n, err);
		if (rc)
			return rc;
		plain->offset += n;
		rc = plain_boundary(plain, err);
	}
	return rc;
}

static int plain_finish(struct codec *codec, struct error *err)
{
	return cutter_finish(codec->cutter, plain_codec(codec)->offset, err);
}

static void plain_free(struct codec *codec)
{
	free(plain_codec(codec));
}

static const struct codec_ops plain_ops = { plain_feed, plain_finish, plain_free };

int codec_plain_new(struct codec **ret, struct cutter *cutter, struct error *err)
{
	struct plain_codec *plain = calloc(1, sizeof *plain);

	if (!plain)
		return error_set(err, ENOMEM, "index a layer: out of memory");
	plain->base = (struct codec){ &plain_ops, cutter };
	*ret = &plain->base;
	return 0; /* a zeroed span is SPAN_STORED at offset 0 */
}
