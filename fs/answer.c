/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/answer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

char *answer_room(struct answer *answer, struct error *err)
{
	if (!answer->buf)
		answer->buf = malloc(answer->len);
	if (answer->buf)
		return answer->buf + answer->done;
	(void)error_set(err, ENOMEM, "out of memory");
	return NULL;
}

int answer_add(struct answer *answer, const void *bytes, size_t len, _Atomic unsigned *pins,
	struct error *err)
{
	char *room;

	assert(len <= answer->len - answer->done);
	if (len == answer->len) {
		answer->borrowed = bytes;
		answer->pins = pins;
		if (pins)
			atomic_fetch_add(pins, 1);
		answer->done = len;
		return 0;
	}
	room = answer_room(answer, err);
	if (!room)
		return -ENOMEM;
	memcpy(room, bytes, len);
	answer->done += len;
	return 0;
}

int answer_add_zeroes(struct answer *answer, size_t len, struct error *err)
{
	char *room = answer_room(answer, err);

	assert(len <= answer->len - answer->done);
	if (!room)
		return -ENOMEM;
	memset(room, 0, len);
	answer->done += len;
	return 0;
}

const char *answer_bytes(const struct answer *answer)
{
	return answer->borrowed ? answer->borrowed : answer->buf;
}

bool answer_can_stay(const struct answer *answer)
{
	return answer->buf || answer->pins;
}

void answer_release(struct answer *answer)
{
	if (answer->pins)
		atomic_fetch_sub(answer->pins, 1);
	free(answer->buf);
	*answer = (struct answer){ 0 };
}
