/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: forms that mount(8), fstab(5) and people use. */
#include "fs/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/cleanup.h"

enum { WORDS_MAX = 10 };

static const struct words_case {
	const char *name;
	const char *words[WORDS_MAX];
	int rc;
	const char *error; /* what the message must hold, on failure */
} words_cases[] = {
	{ "source and directory", { "imgfs", "docker://debian", "mnt" }, 0, NULL },
	{ "mount as a word", { "imgfs", "mount", "docker://debian", "mnt" }, 0, NULL },
	{ "options behind", { "imgfs", "docker://debian", "mnt", "-o", "ttl=5s" }, 0, NULL },
	{ "long options", { "imgfs", "mount", "--no-creds", "--ttl=0", "docker://debian", "mnt" },
		0, NULL },
	{ "what mount(8) passes",
		{ "mount.imgfs", "docker://debian", "mnt", "-o",
			"rw,_netdev,nofail,user,noauto,x-systemd.automount" },
		0, NULL },
	{ "mount(8) flags",
		{ "mount.imgfs", "docker://debian", "mnt", "-s", "-f", "-n", "-v", "-o", "rw" }, 0,
		NULL },
	{ "a type", { "mount.imgfs", "docker://debian", "mnt", "-t", "fuse.imgfs" }, 0, NULL },
	{ "sloppy", { "mount.imgfs", "-s", "docker://debian", "mnt", "-o", "nonsense" }, 0, NULL },
	{ "a misspelt option", { "imgfs", "docker://debian", "mnt", "-o", "platfrom=all" }, -EINVAL,
		"did you mean 'platform'" },
	{ "an unknown option", { "imgfs", "docker://debian", "mnt", "-o", "zzzzzzzzzzzz" }, -EINVAL,
		"unknown option" },
	{ "an unknown letter", { "imgfs", "-Z", "docker://debian", "mnt" }, -EINVAL, "'-Z'" },
	{ "no directory", { "imgfs", "docker://debian" }, -EINVAL, "SOURCE and DIR" },
	{ "three words", { "imgfs", "docker://debian", "mnt", "more" }, -EINVAL, "more than" },
	{ "a value missing", { "imgfs", "docker://debian", "mnt", "-o", "ttl" }, -EINVAL,
		"needs a value" },
	{ "a bad time", { "imgfs", "docker://debian", "mnt", "-o", "ttl=5x" }, -EINVAL,
		"a time like" },
	{ "a time too large",
		{ "imgfs", "docker://debian", "mnt", "-o", "ttl=99999999999999999999d" }, -EINVAL,
		"a time like" },
	{ "a bad size", { "imgfs", "docker://debian", "mnt", "-o", "cache_size=1X" }, -EINVAL,
		"a size like" },
	{ "a size too large",
		{ "imgfs", "docker://debian", "mnt", "-o", "cache_size=18446744073709551615T" },
		-EINVAL, "a size like" },
	{ "a value for none", { "imgfs", "docker://debian", "mnt", "-o", "nosuid=no" }, -EINVAL,
		"takes no value" },
	{ "a bad choice", { "imgfs", "docker://debian", "mnt", "-o", "manifest=v2" }, -EINVAL,
		"raw|oci|docker" },
	{ "a negative number", { "imgfs", "docker://debian", "mnt", "-o", "retries=-1" }, -EINVAL,
		"a number" },
	{ "umask is octal", { "imgfs", "docker://debian", "mnt", "-o", "umask=089" }, -EINVAL,
		"octal" },
	{ "rootfs of a repository", { "imgfs", "docker://debian", "mnt", "-o", "rootfs" }, -EINVAL,
		"one image" },
	{ "rootfs of all platforms",
		{ "imgfs", "docker://debian:12", "mnt", "-o", "rootfs,platform=all" }, -EINVAL,
		"one platform" },
	{ "rootfs of an image", { "imgfs", "docker://debian:12", "mnt", "-o", "rootfs" }, 0, NULL },
	{ "a log level", { "imgfs", "docker://debian", "mnt", "-o", "log_level=loud" }, -EINVAL,
		"warning" },
	{ "a password in SOURCE", { "imgfs", "docker://me:secret@registry.example/app", "mnt" },
		-EINVAL, "" },
	{ "a bare image name", { "imgfs", "debian:12", "mnt" }, -ENOENT,
		"hint: for an image in a registry write docker://debian:12" },
	{ "an archive without a path", { "imgfs", "docker-archive:", "mnt" }, -EINVAL,
		"a path is missing" },
	{ "rootfs of an engine", { "imgfs", "docker-daemon:", "mnt", "-o", "rootfs" }, -EINVAL,
		"one image" },
	{ "a digest of a V1 registry",
		{ "imgfs",
			"docker-v1://registry.example/a@sha256:"
			"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
			"mnt" },
		-EINVAL, "no digest" },
	{ "containers-storage", { "imgfs", "containers-storage:debian", "mnt" }, -EINVAL,
		"hint: save it first" },
	{ "ostree", { "imgfs", "ostree:debian@/srv/repo", "mnt" }, -EINVAL, "hint: copy it first" },
	{ "a URL", { "imgfs", "https://registry.example/a:1", "mnt" }, -EINVAL,
		"https://registry.example/a:1: cannot be mounted\n"
		"hint: write docker://registry.example/a:1" },
	{ "a URL with a password", { "imgfs", "https://me:secret@registry.example:5000/a", "mnt" },
		-EINVAL, "hint: write docker://registry.example:5000/a" },
	{ "Helm's spelling", { "imgfs", "oci://registry.example/chart", "mnt" }, -EINVAL,
		"hint: write docker://registry.example/chart" },
	{ "registry:", { "imgfs", "registry:registry.example/a", "mnt" }, -EINVAL,
		"hint: write docker://registry.example/a" },
	{ "regctl's spelling", { "imgfs", "ocidir:///srv/a:1", "mnt" }, -EINVAL,
		"hint: write oci:/srv/a:1" },
	{ "docker: without slashes", { "imgfs", "docker:debian:12", "mnt" }, -ENOENT,
		"hint: did you mean docker://debian:12?" },
	{ "docker: with one slash", { "imgfs", "docker:/debian", "mnt" }, -ENOENT,
		"hint: did you mean docker://debian?" },
	{ "a misspelt transport", { "imgfs", "dokcer://registry.example/a", "mnt" }, -ENOENT,
		"hint: did you mean docker://registry.example/a?" },
	{ "a misspelt archive", { "imgfs", "docker-achive:/srv/a.tar", "mnt" }, -ENOENT,
		"hint: did you mean docker-archive:/srv/a.tar?" },
	{ "a misspelt transport with a password",
		{ "imgfs", "dokcer://me:secret@registry.example/a", "mnt" }, -ENOENT,
		"registry.example/a: no such file" },
	{ "an image called almost as a transport", { "imgfs", "redis:7", "mnt" }, -ENOENT,
		"hint: for an image in a registry write docker://redis:7" },
	{ "an image by digest",
		{ "imgfs",
			"debian@sha256:"
			"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
			"mnt" },
		-ENOENT, "write docker://debian@sha256:e3b0" },
	{ "a bare name with a password", { "imgfs", "me:secret@registry.example/a", "mnt" },
		-ENOENT, "no such file" },
	{ "ready_fd is no descriptor of ours", { "imgfs", "oci:a", "mnt", "-o", "ready_fd=2" },
		-EINVAL, "from 3 on" },
	{ "what else mount(8) passes",
		{ "mount.imgfs", "docker://debian", "mnt", "-o",
			"rw,nodiratime,strictatime,lazytime,dirsync,silent,iversion" },
		0, NULL },
};

static int parse_words(const char *const *words, struct options *options, struct error *err)
{
	char copies[WORDS_MAX][256];
	char *argv[WORDS_MAX + 1] = { NULL };
	enum options_action action;
	int argc = 0;

	for (; argc < WORDS_MAX && words[argc]; argc++) {
		(void)snprintf(copies[argc], sizeof copies[argc], "%s", words[argc]);
		argv[argc] = copies[argc];
	}
	return options_parse(options, &action, argc, argv, err);
}

static void parses(void **state)
{
	const struct words_case *c = *state;
	struct error err = { "" };
	struct options options;
	int rc = parse_words(c->words, &options, &err);

	options_release(&options);
	if (rc != c->rc)
		fail_msg("%d, not %d: %s", rc, c->rc, err.text);
	if (c->error && !strstr(err.text, c->error))
		fail_msg("'%s' does not hold '%s'", err.text, c->error);
	assert_null(strstr(err.text, "secret"));
}

static void values_are_read(void **state)
{
	static const char *const words[WORDS_MAX] = { "imgfs",
		"docker://registry.example:5000/a/b@sha256:"
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"mnt", "-o",
		"ttl=2m,cache_size=3M,umask=027,uid=0,manifest=docker,proxy=http://p\\,q,tls_verify=no,"
		"realm=auth.example.net:8443" };
	struct error err = { "" };
	struct options options;

	(void)state;
	assert_int_equal(parse_words(words, &options, &err), 0);
	assert_int_equal(options.ttl_ms, 120000);
	assert_int_equal(options.cache_size, 3 << 20);
	assert_int_equal(options.umask, 027);
	assert_true(options.has_uid);
	assert_false(options.has_gid);
	assert_int_equal(options.manifest, MANIFEST_DOCKER);
	assert_string_equal(options.proxy, "http://p,q");
	assert_string_equal(options.realm, "auth.example.net:8443");
	assert_false(options.tls_verify);
	assert_string_equal(options.reference.host, "registry.example:5000");
	assert_string_equal(options.reference.repository, "a/b");
	assert_true(digest_is_set(&options.reference.digest));
	options_release(&options);
}

static const struct secret_case {
	const char *name;
	const char *word, *overwritten; /* behind -o, unless it begins with "--" */
	const char *proxy, *given;
} secret_cases[] = {
	{ "a proxy's password", "proxy=http://me:s3cret@p:3128", "proxy=http://*********@p:3128",
		"http://me:s3cret@p:3128", "proxy=http://***@p:3128\n" },
	{ "among others", "ttl=1,proxy=http://me:s3cret@p,ttl=2",
		"ttl=1,proxy=http://*********@p,ttl=2", "http://me:s3cret@p",
		"ttl=1\nproxy=http://***@p\nttl=2\n" },
	{ "as a long option", "--proxy=http://me:s3cret@p", "--proxy=http://*********@p",
		"http://me:s3cret@p", "proxy=http://***@p\n" },
	{ "without a scheme", "proxy=me:s3cret@p", "proxy=*********@p", "me:s3cret@p",
		"proxy=***@p\n" },
	{ "with what should be escaped", "proxy=http://me:s3c/r@e\\,t@p",
		"proxy=http://*************@p", "http://me:s3c/r@e,t@p", "proxy=http://***@p\n" },
	{ "a proxy without one", "proxy=http://p:3128", "proxy=http://p:3128", "http://p:3128",
		"proxy=http://p:3128\n" },
	{ "no proxy", "user_agent=me:you@p", "user_agent=me:you@p", NULL, "user_agent=me:you@p\n" },
};

static void hides_secrets(void **state)
{
	const struct secret_case *c = *state;
	bool is_long = !strncmp(c->word, "--", 2);
	enum options_action action;
	struct options options;
	char word[64];
	char *argv[] = { (char *)"imgfs", (char *)"oci:layout", (char *)"mnt",
		is_long ? word : (char *)"-o", is_long ? NULL : word, NULL };

	(void)snprintf(word, sizeof word, "%s", c->word);
	assert_int_equal(options_parse(&options, &action, is_long ? 4 : 5, argv, NULL), 0);
	assert_string_equal(word, c->overwritten);
	assert_string_equal(options.given.data, c->given);
	if (c->proxy)
		assert_string_equal(options.proxy, c->proxy);
	else
		assert_null(options.proxy);
	options_release(&options);
}

static void a_flag_means_what_its_caller_means(void **state)
{
	static const char *const as_helper[WORDS_MAX] = { "/sbin/mount.imgfs", "docker://debian",
		"mnt", "-f" };
	static const char *const as_program[WORDS_MAX] = { "/usr/bin/imgfs", "docker://debian",
		"mnt", "-f" };
	struct options options;

	(void)state;
	assert_int_equal(parse_words(as_helper, &options, NULL), 0);
	assert_true(options.fake);
	assert_false(options.foreground);
	options_release(&options);
	assert_int_equal(parse_words(as_program, &options, NULL), 0);
	assert_false(options.fake);
	assert_true(options.foreground);
	options_release(&options);
}

/* mount(8) appends what is said on its command line to what fstab says. */
static void the_last_one_counts(void **state)
{
	static const char *const taken_back[WORDS_MAX] = { "mount.imgfs", "docker://debian", "mnt",
		"-o", "suid,dev,rw,nosuid,nodev" };
	static const char *const given[WORDS_MAX] = { "mount.imgfs", "docker://debian", "mnt", "-o",
		"nosuid,nodev,suid,dev" };
	struct options options;

	(void)state;
	assert_int_equal(parse_words(taken_back, &options, NULL), 0);
	assert_false(options.suid);
	assert_false(options.dev);
	options_release(&options);
	assert_int_equal(parse_words(given, &options, NULL), 0);
	assert_true(options.suid);
	assert_true(options.dev);
	options_release(&options);
}

/* As mount.imgfs(8) gives them. */
static void what_is_not_given_has_its_default(void **state)
{
	static const char *const words[WORDS_MAX] = { "imgfs", "docker://debian", "mnt" };
	struct options options;

	(void)state;
	assert_int_equal(parse_words(words, &options, NULL), 0);
	assert_string_equal(options.platform, "all");
	assert_int_equal(options.manifest, MANIFEST_RAW);
	assert_true(options.tls_verify);
	assert_null(options.registries_conf);
	assert_int_equal(options.connect_timeout_ms, 10000);
	assert_int_equal(options.stall_timeout_ms, 60000);
	assert_int_equal(options.mount_timeout_ms, 30000);
	assert_int_equal(options.ttl_ms, 300000);
	assert_int_equal(options.retries, 5);
	assert_int_equal(options.max_transfers, 6);
	assert_int_equal(options.cache_size, 10737418240);
	assert_int_equal(options.span_cache, 67108864);
	assert_int_equal(options.umask, 0);
	assert_null(options.pidfile);
	assert_false(options.has_ready_fd);
	assert_false(options.suid);
	assert_false(options.dev);
	assert_int_equal(options.log_level, LOG_LEVEL_WARNING);
	options_release(&options);
}

int main(void)
{
	struct CMUnitTest tests[4 + ARRAY_SIZE(words_cases) + ARRAY_SIZE(secret_cases)] = {
		cmocka_unit_test(values_are_read),
		cmocka_unit_test(what_is_not_given_has_its_default),
		cmocka_unit_test(a_flag_means_what_its_caller_means),
		cmocka_unit_test(the_last_one_counts),
	};
	struct CMUnitTest *next = tests + 4;

	for (size_t i = 0; i < ARRAY_SIZE(words_cases); i++)
		*next++ = (struct CMUnitTest){ .name = words_cases[i].name,
			.test_func = parses,
			.initial_state = (void *)&words_cases[i] };
	for (size_t i = 0; i < ARRAY_SIZE(secret_cases); i++)
		*next++ = (struct CMUnitTest){ .name = secret_cases[i].name,
			.test_func = hides_secrets,
			.initial_state = (void *)&secret_cases[i] };
	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
