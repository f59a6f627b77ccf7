/* SPDX-License-Identifier: Apache-2.0 */
/* What may stand next on a command line. */
#include "fs/complete.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/cleanup.h"

enum { WORDS_MAX = 8 };

static struct mount_entry entries[] = {
	{ .source = (char *)"docker://debian", .directory = (char *)"/mnt/deb" },
	{ .source = (char *)"oci:/srv/x", .directory = (char *)"/mnt/with blank" },
	{ .source = (char *)"docker://alpine", .directory = (char *)"/mnt/two\nlines" },
};
static const struct mount_table mounts = { entries, ARRAY_SIZE(entries) };

static const struct complete_case {
	const char *name;
	const char *words[WORDS_MAX];
	const char *answer; /* without the meanings */
} complete_cases[] = {
	{ "a command", { "imgfs", "um" }, "umount :files" },
	{ "a group of commands, once", { "imgfs", "ca" }, "cache :files" },
	{ "its second words", { "imgfs", "cache", "" }, "dir list prune verify" },
	{ "one of them", { "imgfs", "cache", "p" }, "prune" },
	{ "behind an option", { "imgfs", "cache", "-o", "cache_dir=/x", "v" }, "verify" },
	{ "nothing behind it", { "imgfs", "cache", "list", "" }, "" },
	{ "another word is SOURCE", { "imgfs", "cached", "" }, ":directories" },
	{ "SOURCE", { "imgfs", "mount", "" },
		"docker:// docker-v1:// oci: oci-archive: docker-archive: dir: docker-daemon: :files" },
	{ "the beginning of a SOURCE", { "imgfs", "mount", "oci" }, "oci: oci-archive: :files" },
	{ "a layout is a directory", { "imgfs", "oci:/s" }, ":directories4" },
	{ "an archive is a file", { "imgfs", "oci-archive:/s" }, ":files12" },
	{ "what only a registry knows", { "imgfs", "docker://de" }, "" },
	{ "an engine", { "imgfs", "docker-daemon:" }, "" },
	{ "DIR", { "imgfs", "oci:/srv", "" }, ":directories" },
	{ "nothing behind DIR", { "imgfs", "oci:/srv", "/mnt", "" }, "" },
	{ "mounts", { "imgfs", "umount", "" }, "/mnt/deb /mnt/with blank" },
	{ "a mount by its beginning", { "imgfs", "refresh", "/mnt/d" }, "/mnt/deb" },
	{ "a mount from where we are", { "imgfs", "status", "mnt/d" }, "mnt/deb" },
	{ "a file", { "imgfs", "index", "" }, ":files" },
	{ "the file of -o", { "imgfs", "index", "layer.tar", "-o", "" }, ":files" },
	{ "help for a command", { "imgfs", "help", "s" }, "status" },
	{ "flags of a command", { "imgfs", "status", "--" }, "--json --watch --help" },
	{ "flags of one of a group", { "imgfs", "cache", "prune", "--" },
		"--dry-run --help --cache-dir= --cache-size=" },
	{ "a long option", { "imgfs", "mount", "--no-c" }, "--no-creds" },
	{ "a long option that takes a value", { "imgfs", "mount", "--cache-d" }, "--cache-dir=" },
	{ "its value", { "imgfs", "mount", "--manifest=" },
		"--manifest=raw --manifest=oci --manifest=docker" },
	{ "a directory as its value", { "imgfs", "mount", "--cert-dir=/e" }, ":directories11" },
	{ "a file as its value", { "imgfs", "mount", "--authfile=/e" }, ":files11" },
	{ "-o", { "imgfs", "-o", "cert" }, ":list cert_dir=" },
	{ "the next of a list", { "imgfs", "-o", "rootfs,cert" }, ":list rootfs,cert_dir=" },
	{ "not the same twice", { "imgfs", "-o", "rootfs,root" }, ":list" },
	{ "a longer name is another", { "imgfs", "-o", "log_level=debug,lo" },
		":list log_level=debug,log=" },
	{ "a comma in a value", { "imgfs", "-o", "proxy=a\\,cert" }, ":list" },
	{ "a value in a list", { "imgfs", "-o", "rootfs,whiteouts=o" },
		":list rootfs,whiteouts=overlay" },
	{ "yes and no", { "imgfs", "-o", "tls_verify=" }, ":list tls_verify=yes tls_verify=no" },
	{ "a default", { "imgfs", "-o", "connect_timeout=" }, ":list connect_timeout=10s" },
	{ "a file in a list", { "imgfs", "-o", "rootfs,authfile=/e" }, ":list :files16" },
	{ "no value", { "imgfs", "-o", "nosuid=" }, ":list" },
	{ "an unknown option", { "imgfs", "-o", "nonsense=" }, ":list" },
	{ "options of a cache", { "imgfs", "cache", "prune", "-o", "" },
		":list cache_dir= cache_size=" },
	{ "not those of a mount", { "imgfs", "cache", "list", "-o", "ttl=" }, ":list" },
	{ "the helper has no commands", { "/sbin/mount.imgfs", "um" }, ":files" },
	{ "the helper has no long options", { "mount.imgfs", "-" }, "-f -n -o -s -v --help" },
	{ "the helper's SOURCE", { "mount.fuse.imgfs", "dir" }, "dir: :files" },
	{ "no word at all", { "imgfs" }, "" },
};

/* "a\tmeaning\n:files\t0\n" -> "a :files" */
static char *shorten(const char *answer)
{
	struct buf ret;

	buf_init(&ret, 1 << 16);
	while (answer && *answer) {
		size_t len = strcspn(answer, "\t\n");
		size_t line_len = strcspn(answer, "\n");

		(void)buf_printf(&ret, "%s%.*s", ret.len ? " " : "", (int)len, answer);
		if (*answer == ':' && answer[len] == '\t' && strncmp(answer + len, "\t0", 2))
			(void)buf_printf(&ret, "%.*s", (int)(line_len - len - 1), answer + len + 1);
		answer += line_len + 1;
	}
	return buf_take(&ret, NULL);
}

static void completes(void **state)
{
	const struct complete_case *c = *state;
	CLEANUP(freep) char *answer = NULL;
	struct buf ret;
	size_t count = 0;

	while (count < WORDS_MAX && c->words[count])
		count++;
	assert_int_equal(chdir("/"), 0);
	buf_init(&ret, 1 << 16);
	complete(&ret, count, (char *const *)c->words, &mounts);
	answer = shorten(ret.data);
	buf_release(&ret);
	assert_string_equal(answer, c->answer);
}

/* What completion offers is what the parser takes. */
static void every_option_is_offered_once(void **state)
{
	static char *const words[] = { (char *)"imgfs", (char *)"-o", (char *)"" };
	struct options_word option;
	struct buf ret;
	size_t count = 0;

	(void)state;
	buf_init(&ret, 1 << 16);
	complete(&ret, ARRAY_SIZE(words), words, &mounts);
	assert_int_equal(buf_status(&ret), 0);
	for (; options_word(count, &option); count++) {
		char line[64];
		const char *at;

		(void)snprintf(line, sizeof line, "\n%s%s\t", option.name,
			option.value == OPTIONS_VALUE_NONE || option.value == OPTIONS_VALUE_FLAG
				? ""
				: "=");
		at = strstr(ret.data, line);
		if (!at || strstr(at + 1, line))
			fail_msg("'%s' is not offered once", option.name);
	}
	for (const char *p = ret.data; *p; p++)
		count -= *p == '\n';
	assert_int_equal(count + 1, 0); /* the line ":list" */
	buf_release(&ret);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(complete_cases) + 1];

	for (size_t i = 0; i < ARRAY_SIZE(complete_cases); i++)
		tests[i] = (struct CMUnitTest){ .name = complete_cases[i].name,
			.test_func = completes,
			.initial_state = (void *)&complete_cases[i] };
	tests[ARRAY_SIZE(complete_cases)] =
		(struct CMUnitTest)cmocka_unit_test(every_option_is_offered_once);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
