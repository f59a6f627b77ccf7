/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Auth files, what credential helpers say and what token servers answer: the first byte tells
 * which. Beyond not crashing: a failure leaves nothing behind, and what is taken can be sent.
 */
#include "fetch/auth/internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "model/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool is_true)
{
	if (!is_true)
		abort();
}

static void check_credential(const struct credential *credential)
{
	CLEANUP(secret_freep) char *line = NULL;

	check(!credential->user == !credential->password);
	check(!credential_header(&line, credential, NULL));
	check(!strpbrk(line, "\r\n"));
}

static void check_file(const char *text, size_t len)
{
	static const char *const hosts[] = { "h", "docker.io", "h:5000" };
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		CLEANUP(credentials_release) struct credentials credentials = { .items = NULL };
		const struct credential *found;

		(void)credentials_parse(&credentials, 0, hosts[i], text, len, &err);
		found = credentials_find(&credentials, 0, hosts[i], "a/b");
		if (found) {
			check(!strncasecmp(found->key, hosts[i], strlen(hosts[i])));
			check_credential(found);
		}
		if (credentials.helpers[0])
			check(helper_name_is_valid(credentials.helpers[0]) &&
				!strchr(credentials.helpers[0], '/'));
	}
}

static void check_helper(const char *text, size_t len)
{
	CLEANUP(credential_release) struct credential credential = { .key = NULL };
	struct error err;

	if (helper_answer_parse(&credential, text, len, &err))
		check(!credential.user && !credential.password);
	else
		check_credential(&credential);
}

static void check_token(const char *text, size_t len)
{
	struct token_answer answer;
	struct error err;

	if (token_answer_parse(&answer, text, len, &err))
		return;
	check(*answer.token && strlen(answer.token) <= TOKEN_TEXT_MAX);
	for (const char *c = answer.token; *c; c++)
		check(*c > ' ' && *c < 0x7f);
	check(answer.lifetime_s >= AUTH_TOKEN_MIN_S && answer.lifetime_s <= AUTH_TOKEN_MAX_S);
	secret_free(answer.token);
	secret_free(answer.refresh_token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const checks[])(
		const char *, size_t) = { check_file, check_helper, check_token };
	CLEANUP(freep) char *text = NULL;

	if (!size)
		return 0;
	text = malloc(size); /* exactly as long, so that a read beyond it shows */
	check(text);
	memcpy(text, data + 1, size - 1);
	checks[*data % ARRAY_SIZE(checks)](text, size - 1);
	return 0;
}
