/* SPDX-License-Identifier: Apache-2.0 */
/* Names of things, as people and images write them: the first byte tells what it is.  What is taken
 * can be written, and read again as the same. */
#include "fs/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/options.h"
#include "model/cleanup.h"
#include "model/platform.h"
#include "model/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool is_true)
{
	if (!is_true)
		abort();
}

static void check_digest(const char *text)
{
	char again[DIGEST_TEXT_MAX], hex[DIGEST_HEX_MAX];
	struct digest digest;

	if (digest_parse(&digest, text, NULL))
		return;
	check(!strcmp(digest_format(&digest, again), text)); /* there is one spelling */
	check(strspn(digest_hex(&digest, hex), "0123456789abcdef") == strlen(hex));
}

static void check_reference(const char *text)
{
	struct reference reference = { .host = NULL };

	if (reference_parse(&reference, text, NULL))
		return;
	check(reference.host && !strpbrk(reference.host, "/@?# \t\r\n"));
	check(!*reference.repository || repository_is_valid(reference.repository));
	check(!strstr(reference.repository, ".."));
	check(!reference.tag || tag_is_valid(reference.tag));
	reference_release(&reference);
}

static void check_platform(const char *text)
{
	struct platform platform = { .os = NULL };
	char name[PLATFORM_NAME_MAX];

	if (platform_parse(&platform, text, NULL))
		return;
	platform_directory_name(&platform, name);
	check(*name && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, ".."));
	check(platform_match(&platform, &platform) > 0);
	platform_release(&platform);
}

static void check_name(const char *text)
{
	char escaped[ESCAPED_NAME_MAX], back[ESCAPED_NAME_MAX];

	if (name_escape(escaped, text)) {
		check(strlen(escaped) <= 255 && !strchr(escaped, '/'));
		check(*escaped != '.' && *escaped != '_');
		check(name_unescape(back, escaped) && !strcmp(back, text));
	}
	if (name_unescape(back, text))
		check(name_escape(escaped, back) && !strcmp(escaped, text));
}

static void check_repository_name(const char *text)
{
	CLEANUP(freep) char *name = repository_from_file_name(text);
	const char *tag;
	size_t len = name_split(text, strlen(text), &tag);

	check(name && (!*name || repository_is_valid(name)));
	check(len <= strlen(text) && (!tag || (tag > text && tag <= text + strlen(text))));
}

/* As mount(8) calls it. */
static void check_options(const char *text)
{
	CLEANUP(freep) char *given = strdup(text); /* which is overwritten where it is secret */
	char program[] = "mount.imgfs", source[] = "docker://h/a", directory[] = "/", flag[] = "-o";
	char *argv[] = { program, source, directory, flag, given, NULL };
	enum options_action action;
	struct options options = { 0 };
	struct error err = { "" };

	check(given);
	if (strstr(text, "sloppy")) /* that prints */
		return;
	if (options_parse(&options, &action, 5, argv, &err))
		check(*err.text);
	options_release(&options);
}

static void check_source(const char *text)
{
	struct options options = { 0 };
	struct error err = { "" };

	if (options_parse_source(&options, text, &err))
		check(*err.text);
	options_release(&options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const checks[])(const char *) = { check_digest, check_reference,
		check_platform, check_name, check_repository_name, check_options, check_source };
	CLEANUP(freep) char *text = NULL;

	if (!size)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	check(text);
	checks[*data % ARRAY_SIZE(checks)](text);
	return 0;
}
