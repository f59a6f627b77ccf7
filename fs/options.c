/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One table makes the parser, the help, and the list that the manual is checked
 * against.  -o lists are split as libfuse does it: at commas, backslash
 * escapes, quotes mean nothing.
 */
#include "fs/options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/log.h"
#include "fs/nearest.h"
#include "model/cleanup.h"

enum { GIVEN_MAX = 64 << 10 };

enum kind {
	KIND_FLAG,  /* no value, or yes/no */
	KIND_UNSET, /* no value: takes a flag back */
	KIND_TEXT,
	KIND_PATH,      /* made absolute: the daemon's directory is / */
	KIND_DIRECTORY, /* the same */
	KIND_TIME,      /* ms; a number with s, m, h, d; forever */
	KIND_SIZE,      /* bytes; a number with K, M, G, T */
	KIND_NUMBER,
	KIND_OCTAL,
	KIND_CHOICE,
	KIND_IGNORED, /* other programs' options that mount(8) passes on */
};

struct option_row {
	const char *name;
	enum kind kind;
	size_t offset;        /* of the field */
	size_t given_offset;  /* of a bool that tells that it was given, or 0 */
	const char *choices;  /* KIND_CHOICE: separated by '|', in the order of the enum; others:
			       * likely  values, for completion */
	const char *fallback; /* the default, as it would be given */
	const char *help;
};

#define AT(field) offsetof(struct options, field)

static const struct option_row rows[] = {
	{ "platform", KIND_TEXT, AT(platform), 0, "all|native|linux/amd64|linux/arm64", "all",
		"all, native, or OS/ARCH[/VARIANT]" },
	{ "rootfs", KIND_FLAG, AT(rootfs), 0, NULL, NULL,
		"show one image's merged file system at the root" },
	{ "manifest", KIND_CHOICE, AT(manifest), 0, "raw|oci|docker", "raw",
		"flavour of manifest.json" },
	{ "ref", KIND_TEXT, AT(ref), 0, NULL, NULL,
		"an image in a layout or archive whose path holds a colon" },
	{ "whiteouts", KIND_CHOICE, AT(whiteouts), 0, "tar|overlay", "tar",
		"how diff/ shows whiteouts" },
	{ "authfile", KIND_PATH, AT(authfile), 0, NULL, NULL, "credentials file" },
	{ "realm", KIND_TEXT, AT(realm), 0, NULL, NULL,
		"HOST of a token server on another site that may have them" },
	{ "no_creds", KIND_FLAG, AT(no_creds), 0, NULL, NULL, "ask anonymously" },
	{ "cert_dir", KIND_DIRECTORY, AT(cert_dir), 0, NULL, NULL,
		"directory of *.crt, *.cert and *.key" },
	{ "tls_verify", KIND_FLAG, AT(tls_verify), 0, NULL, "yes",
		"no: accept any certificate, and http" },
	{ "registries_conf", KIND_PATH, AT(registries_conf), 0, NULL, NULL,
		"mirrors and locations of registries" },
	{ "proxy", KIND_TEXT, AT(proxy), 0, NULL, NULL, "proxy URL; else the environment's" },
	{ "user_agent", KIND_TEXT, AT(user_agent), 0, NULL, NULL, "what to call ourselves" },
	{ "connect_timeout", KIND_TIME, AT(connect_timeout_ms), 0, NULL, "10s",
		"for a connection" },
	{ "stall_timeout", KIND_TIME, AT(stall_timeout_ms), 0, NULL, "60s",
		"without a byte for so long: try again" },
	{ "retries", KIND_NUMBER, AT(retries), 0, NULL, "5", "further attempts after a failure" },
	{ "max_transfers", KIND_NUMBER, AT(max_transfers), 0, NULL, "6", "layers fetched at once" },
	{ "mount_timeout", KIND_TIME, AT(mount_timeout_ms), 0, NULL, "30s",
		"for everything before the mount is live" },
	{ "nocheck", KIND_FLAG, AT(nocheck), 0, NULL, NULL,
		"mount without looking at SOURCE first" },
	{ "offline", KIND_FLAG, AT(offline), 0, NULL, NULL, "serve from the cache alone" },
	{ "ttl", KIND_TIME, AT(ttl_ms), 0, NULL, "300s",
		"age of tags and lists; 0 always asks, forever pins" },
	{ "cache_dir", KIND_DIRECTORY, AT(cache_dir), 0, NULL, NULL,
		"where blobs and indexes are kept" },
	{ "cache_size", KIND_SIZE, AT(cache_size), 0, NULL, "10G",
		"what the cache keeps to; 0 keeps nothing" },
	{ "fetch_limit", KIND_SIZE, AT(fetch_limit), 0, NULL, NULL,
		"refuse to fetch larger blobs" },
	{ "foreign_layers", KIND_FLAG, AT(foreign_layers), 0, NULL, NULL,
		"fetch layers that only their publisher's URLs have" },
	{ "uid", KIND_NUMBER, AT(uid), AT(has_uid), NULL, NULL, "owner of everything" },
	{ "gid", KIND_NUMBER, AT(gid), AT(has_gid), NULL, NULL, "group of everything" },
	{ "umask", KIND_OCTAL, AT(umask), 0, NULL, "0", "mode bits to drop, in octal" },
	{ "allow_other", KIND_FLAG, AT(allow_other), 0, NULL, NULL, "let other users in" },
	{ "allow_root", KIND_FLAG, AT(allow_root), 0, NULL, NULL, "let root in" },
	{ "default_permissions", KIND_FLAG, AT(default_permissions), 0, NULL, NULL,
		"let the kernel check modes" },
	{ "no_default_permissions", KIND_FLAG, AT(no_default_permissions), 0, NULL, NULL,
		"not even with allow_other" },
	{ "auto_unmount", KIND_FLAG, AT(auto_unmount), 0, NULL, NULL,
		"unmount when the process dies" },
	{ "max_threads", KIND_NUMBER, AT(max_threads), 0, NULL, NULL,
		"threads that decode and index; else one a processor" },
	{ "span_cache", KIND_SIZE, AT(span_cache), 0, NULL, "64M", "decoded data kept in memory" },
	{ "pidfile", KIND_PATH, AT(pidfile), 0, NULL, NULL,
		"written when the mount is live, removed with it" },
	{ "ready_fd", KIND_NUMBER, AT(ready_fd), AT(has_ready_fd), NULL, NULL,
		"descriptor that gets a newline when the mount is live" },
	{ "log", KIND_TEXT, AT(log), 0, "stderr|syslog", NULL, "stderr, syslog, or a file" },
	{ "log_level", KIND_TEXT, 0, 0, "error|warning|info|debug|trace", "warning",
		"error, warning, info, debug or trace" },
	{ "suid", KIND_FLAG, AT(suid), 0, NULL, NULL, "root only: honour set-user-ID bits" },
	{ "nosuid", KIND_UNSET, AT(suid), 0, NULL, NULL, "always so, unless suid follows" },
	{ "dev", KIND_FLAG, AT(dev), 0, NULL, NULL, "root only: honour device nodes" },
	{ "nodev", KIND_UNSET, AT(dev), 0, NULL, NULL, "always so, unless dev follows" },
	{ "ro", KIND_IGNORED, 0, 0, NULL, NULL, "always so" },
};

/* Accepted in silence: mount(8) and fstab(5) have them, they mean nothing here. */
static const char *const ignored[] = {
	"ro",
	"rw",
	"exec",
	"noexec",
	"atime",
	"noatime",
	"diratime",
	"nodiratime",
	"relatime",
	"norelatime",
	"strictatime",
	"nostrictatime",
	"lazytime",
	"nolazytime",
	"_netdev",
	"nofail",
	"user",
	"users",
	"nouser",
	"owner",
	"group",
	"auto",
	"noauto",
	"defaults",
	"async",
	"sync",
	"dirsync",
	"iversion",
	"noiversion",
	"silent",
	"loud",
};

static const char *const ignored_prefixes[] = { "x-", "X-", "comment=" };

/* --- values --- */

static int bad_value(struct error *err, const char *name, const char *value, const char *wanted)
{
	return error_set(err, EINVAL, "option '%s': '%s' is not %s", name, value, wanted);
}

/* A whole number and what follows it. */
static int parse_number(const char *text, int base, uint64_t *ret, const char **ret_rest)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*ret = strtoull(text, &end, base);
	*ret_rest = end;
	return errno ? -errno : 0;
}

static int multiply(uint64_t *value, uint64_t factor)
{
	return __builtin_mul_overflow(*value, factor, value) ? -ERANGE : 0;
}

static int parse_time(const char *text, uint64_t *ret)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = { { "", 1000 }, { "s", 1000 }, { "ms", 1 }, { "m", 60000 }, { "h", 3600000 },
		{ "d", 86400000 } };
	const char *rest;
	uint64_t value;

	if (!strcmp(text, "forever")) {
		*ret = UINT64_MAX;
		return 0;
	}
	if (parse_number(text, 10, &value, &rest))
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(rest, units[i].unit))
			continue;
		*ret = value;
		return multiply(ret, units[i].ms);
	}
	return -EINVAL;
}

int options_parse_size(const char *text, uint64_t *ret)
{
	static const char units[] = "KMGT";
	const char *rest, *unit;
	uint64_t value;

	if (parse_number(text, 10, &value, &rest))
		return -EINVAL;
	*ret = value;
	if (!*rest)
		return 0;
	unit = strchr(units, *rest);
	if (!unit || rest[1])
		return -EINVAL;
	return multiply(ret, UINT64_C(1) << (10 * (unit - units + 1)));
}

static int parse_flag(const char *text, bool *ret)
{
	if (!text || !strcmp(text, "yes") || !strcmp(text, "true") || !strcmp(text, "1"))
		*ret = true;
	else if (!strcmp(text, "no") || !strcmp(text, "false") || !strcmp(text, "0"))
		*ret = false;
	else
		return -EINVAL;
	return 0;
}

static int parse_choice(const char *text, const char *choices, unsigned *ret)
{
	size_t len = strlen(text);
	unsigned number = 0;

	for (const char *choice = choices; choice; number++) {
		const char *end = strchr(choice, '|');
		size_t choice_len = end ? (size_t)(end - choice) : strlen(choice);

		if (choice_len == len && !strncmp(choice, text, len)) {
			*ret = number;
			return 0;
		}
		choice = end ? end + 1 : NULL;
	}
	return -EINVAL;
}

/* A cleanup for text that may hold a password. */
static void wipep(char **text)
{
	if (*text)
		explicit_bzero(*text, strlen(*text));
	free(*text);
	*text = NULL;
}

static int set_text(char **field, char *text, struct error *err)
{
	if (!text)
		return error_set(err, ENOMEM, "out of memory");
	wipep(field);
	*field = text;
	return 0;
}

static char *absolute(const char *path)
{
	CLEANUP(freep) char *cwd = *path == '/' ? NULL : getcwd(NULL, 0);
	char *text = NULL;

	if (*path == '/')
		return strdup(path);
	if (!cwd || asprintf(&text, "%s/%s", strcmp(cwd, "/") ? cwd : "", path) < 0)
		return NULL;
	return text;
}

static bool takes_value(const struct option_row *row)
{
	return row->kind != KIND_FLAG && row->kind != KIND_UNSET && row->kind != KIND_IGNORED;
}

static int set_value(
	struct options *options, const struct option_row *row, const char *value, struct error *err)
{
	void *field = (char *)options + row->offset;
	const char *rest = "";
	unsigned choice;

	if (!value && takes_value(row))
		return error_set(err, EINVAL, "option '%s' needs a value", row->name);
	if (!strcmp(row->name, "log_level"))
		return log_level_parse(value, &options->log_level)
			       ? bad_value(err, row->name, value, row->help)
			       : 0;
	switch (row->kind) {
	case KIND_FLAG:
		return parse_flag(value, field) ? bad_value(err, row->name, value, "yes or no") : 0;
	case KIND_UNSET:
		if (value)
			return error_set(err, EINVAL, "option '%s' takes no value", row->name);
		*(bool *)field = false;
		return 0;
	case KIND_TEXT:
		return set_text(field, strdup(value), err);
	case KIND_PATH:
	case KIND_DIRECTORY:
		return set_text(field, absolute(value), err);
	case KIND_TIME:
		return parse_time(value, field)
			       ? bad_value(err, row->name, value, "a time like 30s, 5m or 1h")
			       : 0;
	case KIND_SIZE:
		return options_parse_size(value, field)
			       ? bad_value(err, row->name, value, "a size like 500M or 10G")
			       : 0;
	case KIND_NUMBER:
		if (parse_number(value, 10, field, &rest) || *rest ||
			*(uint64_t *)field > UINT32_MAX)
			return bad_value(err, row->name, value, "a number");
		return 0;
	case KIND_OCTAL:
		if (parse_number(value, 8, field, &rest) || *rest || *(uint64_t *)field > 07777)
			return bad_value(err, row->name, value, "an octal number");
		return 0;
	case KIND_CHOICE:
		if (parse_choice(value, row->choices, &choice))
			return bad_value(err, row->name, value, row->choices);
		memcpy(field, &choice, sizeof choice);
		return 0;
	case KIND_IGNORED:
		return 0;
	}
	return error_set(err, EINVAL, "option '%s'", row->name);
}

/* --- names --- */

static bool is_ignored(const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		if (!strcmp(text, ignored[i]))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(ignored_prefixes); i++)
		if (!strncmp(text, ignored_prefixes[i], strlen(ignored_prefixes[i])))
			return true;
	return false;
}

static int unknown_option(const struct options *options, const char *name, struct error *err)
{
	struct nearest nearest = { .wanted = name, .farthest = 1 + strlen(name) / 3 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		nearest_try(&nearest, rows[i].name);
	if (options->sloppy) {
		(void)fprintf(stderr, "%s: warning: unknown option '%s' ignored\n",
			options->program, name);
		return 0;
	}
	if (nearest.name)
		return error_set(err, EINVAL, "unknown option '%s' (did you mean '%s'?)", name,
			nearest.name);
	return error_set(
		err, EINVAL, "unknown option '%s'\nhint: imgfs help mount lists them", name);
}

/* --- secrets --- */

/* Where a proxy's "user:password" stands in text; 0: there is none.  The last '@' ends it, wherever
 * it is: rather too much is hidden than a part of a password. */
static size_t find_secret(const char *text, size_t len, size_t *ret_at)
{
	static const char proxy[] = "proxy=";
	const char *value = text + strlen(proxy);
	const char *at, *slashes;

	if (len < strlen(proxy) || strncmp(text, proxy, strlen(proxy)))
		return 0;
	at = memrchr(value, '@', (size_t)(text + len - value));
	if (!at)
		return 0;
	slashes = memmem(value, (size_t)(at - value), "://", 3);
	*ret_at = (size_t)((slashes ? slashes + 3 : value) - text);
	return (size_t)(at - text) - *ret_at;
}

/* In the command line, which everybody can read (ps): what stood there is lost. */
static void overwrite_secret(char *text, size_t len)
{
	size_t at;
	size_t secret_len = find_secret(text, len, &at);

	if (secret_len)
		memset(text + at, '*', secret_len);
}

static void keep_given(struct options *options, const char *text)
{
	size_t at;
	size_t len = find_secret(text, strlen(text), &at);

	if (len)
		(void)buf_printf(&options->given, "%.*s***%s\n", (int)at, text, text + at + len);
	else
		(void)buf_printf(&options->given, "%s\n", text);
}

/* One "name" or "name=value"; in the --long spelling '-' stands for '_'. */
static int set_option(struct options *options, const char *text, struct error *err)
{
	size_t len = strcspn(text, "=");
	const char *value = text[len] ? text + len + 1 : NULL;
	CLEANUP(freep) char *name = strndup(text, len);

	if (!name)
		return error_set(err, ENOMEM, "out of memory");
	if (!*text || is_ignored(text))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int rc;

		if (strcmp(name, rows[i].name))
			continue;
		rc = set_value(options, &rows[i], value, err);
		if (!rc && rows[i].given_offset)
			*(bool *)((char *)options + rows[i].given_offset) = true;
		if (!rc)
			keep_given(options, text);
		return rc;
	}
	return unknown_option(options, name, err);
}

static int set_list(struct options *options, char *list, struct error *err)
{
	CLEANUP(freep) char *item = malloc(strlen(list) + 1);
	char *begin = list;
	size_t len = 0;

	if (!item)
		return error_set(err, ENOMEM, "out of memory");
	for (char *p = list;; p++) {
		int rc;

		if (*p == '\\' && p[1]) {
			item[len++] = *++p;
			continue;
		}
		if (*p && *p != ',') {
			item[len++] = *p;
			continue;
		}
		item[len] = '\0';
		rc = set_option(options, item, err);
		explicit_bzero(item, len);
		overwrite_secret(begin, (size_t)(p - begin));
		if (rc || !*p)
			return rc;
		begin = p + 1;
		len = 0;
	}
}

static int set_long(struct options *options, char *text, struct error *err)
{
	CLEANUP(wipep) char *name = strdup(text);

	overwrite_secret(text, strlen(text));
	if (!name)
		return error_set(err, ENOMEM, "out of memory");
	for (char *p = name; *p && *p != '='; p++)
		*p = *p == '-' ? '_' : *p;
	return set_option(options, name, err);
}

/* --- SOURCE --- */

/* What others call sources that cannot be mounted as they are. */
static const struct {
	const char *prefix;
	const char *spelling; /* ours, which goes before the rest; or NULL */
	const char *hint;     /* instead */
} refused[] = {
	{ "containers-storage:", NULL, "save it first: podman save --format oci-dir -o DIR IMAGE" },
	{ "ostree:", NULL, "copy it first: skopeo copy ostree:IMAGE oci:DIR:TAG" },
	{ "tarball:", NULL, "copy it first: skopeo copy tarball:FILE oci:DIR:TAG" },
	{ "sif:", NULL, "copy it first: skopeo copy sif:FILE oci:DIR:TAG" },
	{ "ocidir://", "oci:", NULL },
	{ "http://", "docker://", NULL },
	{ "https://", "docker://", NULL },
	{ "oci://", "docker://", NULL },
	{ "registry://", "docker://", NULL },
	{ "registry:", "docker://", NULL },
};

/* PATH, or PATH:REF. */
static int parse_path(struct options *options, const char *path, bool may_have_ref,
	enum source_transport transport, struct error *err)
{
	const char *colon = may_have_ref ? strchr(path, ':') : NULL;
	CLEANUP(freep)
	char *alone = strndup(path, colon ? (size_t)(colon - path) : strlen(path));

	if (!alone)
		return error_set(err, ENOMEM, "out of memory");
	if (!*alone)
		return error_set(err, EINVAL, "a path is missing");
	options->transport = transport;
	if (colon && set_text(&options->ref, strdup(colon + 1), err))
		return -ENOMEM;
	return set_text(&options->path, absolute(alone), err);
}

static int parse_registry(struct options *options, const char *text,
	enum source_transport transport, struct error *err)
{
	int rc = reference_parse(&options->reference, text, err);

	options->transport = transport;
	if (!rc && transport == TRANSPORT_REGISTRY_V1 && digest_is_set(&options->reference.digest))
		rc = error_set(err, EINVAL, "images of that time have no digest");
	return rc;
}

static bool has_tag(const char *ref)
{
	const char *tag = NULL;

	(void)name_split(ref, strlen(ref), &tag);
	return tag;
}

static int parse_daemon(struct options *options, const char *text, struct error *err)
{
	options->transport = TRANSPORT_DAEMON;
	return *text ? set_text(&options->ref, strdup(text), err) : 0;
}

static const struct {
	const char *prefix;
	enum source_transport transport;
	bool may_have_ref;
} transports[] = {
	{ "docker://", TRANSPORT_REGISTRY, false },
	{ "docker-v1://", TRANSPORT_REGISTRY_V1, false },
	{ "oci:", TRANSPORT_LAYOUT, true },
	{ "oci-archive:", TRANSPORT_OCI_ARCHIVE, true },
	{ "docker-archive:", TRANSPORT_DOCKER_ARCHIVE, true },
	{ "dir:", TRANSPORT_DIR, false },
	{ "docker-daemon:", TRANSPORT_DAEMON, false },
};

/* With one of the prefixes; *ret_is_known false: without. */
static int parse_transport(
	struct options *options, const char *source, bool *ret_is_known, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(transports); i++) {
		const char *rest = source + strlen(transports[i].prefix);
		enum source_transport transport = transports[i].transport;
		int rc;

		if (strncmp(source, transports[i].prefix, strlen(transports[i].prefix)))
			continue;
		*ret_is_known = true;
		if (transport == TRANSPORT_REGISTRY || transport == TRANSPORT_REGISTRY_V1) {
			rc = parse_registry(options, rest, transport, err);
			/* What stands before an '@' may be a password. */
			return rc && !strchr(source, '@') ? error_prefix(err, rc, "%s", source)
							  : rc;
		}
		if (transport == TRANSPORT_DAEMON)
			return parse_daemon(options, rest, err);
		rc = parse_path(options, rest, transports[i].may_have_ref, transport, err);
		return rc ? error_prefix(err, rc, "%s", source) : 0;
	}
	*ret_is_known = false;
	return 0;
}

static bool looks_like_reference(const char *source)
{
	struct reference reference = { 0 };
	bool is_one = !reference_parse(&reference, source, NULL);

	reference_release(&reference);
	return is_one;
}

/* What follows a login, which may hold a password; the text itself when it has none. */
static const char *skip_login(const char *text)
{
	const char *at = strrchr(text, '@');
	struct digest digest;

	return at && digest_parse(&digest, at + 1, NULL) ? at + 1 : text;
}

static int refuse(const char *source, size_t i, struct error *err)
{
	const char *rest = source + strlen(refused[i].prefix);
	const char *name = skip_login(rest);

	if (refused[i].hint)
		return error_set(err, EINVAL, "%s%s: cannot be mounted\nhint: %s",
			refused[i].prefix, name, refused[i].hint);
	return error_set(err, EINVAL, "%s%s%s: cannot be mounted\nhint: write %s%s",
		refused[i].prefix, name == rest ? "" : "***@", name, refused[i].spelling, name);
}

/* The prefix of ours that the one of source is almost, or NULL. */
static const char *nearest_prefix(const char *source, const char *rest)
{
	size_t len = (size_t)(rest - source);
	CLEANUP(freep) char *word = strndup(source, len);
	struct nearest nearest = { .wanted = word, .farthest = 1 + len / 6 };

	for (size_t i = 0; word && i < ARRAY_SIZE(transports); i++)
		nearest_try(&nearest, transports[i].prefix);
	return nearest.name;
}

/* Neither a source by its spelling nor a file. */
static int no_such_source(const char *source, struct error *err)
{
	const char *colon = strchr(source, ':');
	const char *rest = colon ? colon + 1 + strspn(colon + 1, "/") : source;
	const char *prefix = colon ? nearest_prefix(source, rest) : NULL;

	if (skip_login(source) != source)
		return error_set(err, ENOENT, "...@%s: no such file", skip_login(source));
	if (prefix) /* what begins with slashes may be a path */
		return error_set(err, ENOENT, "%s: no such file\nhint: did you mean %s%s?", source,
			prefix, strstr(prefix, "//") ? rest : colon + 1);
	if (looks_like_reference(source))
		return error_set(err, ENOENT,
			"%s: no such file\nhint: for an image in a registry write docker://%s",
			source, source);
	return error_set(err, ENOENT, "%s: no such file", source);
}

int options_parse_source(struct options *options, const char *source, struct error *err)
{
	bool is_known;
	struct stat st;
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		if (!strncmp(source, refused[i].prefix, strlen(refused[i].prefix)))
			return refuse(source, i, err);
	rc = parse_transport(options, source, &is_known, err);
	if (rc || is_known)
		return rc;
	if (stat(source, &st) == 0)
		return parse_path(options, source, false, TRANSPORT_PATH, err);
	return no_such_source(source, err);
}

/* --- the command line --- */

static int set_defaults(struct options *options, struct error *err)
{
	int rc = 0;

	*options = (struct options){ 0 };
	buf_init(&options->given, GIVEN_MAX);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(rows); i++)
		if (rows[i].fallback && rows[i].offset != AT(platform)) /* check() sets that */
			rc = set_value(options, &rows[i], rows[i].fallback, err);
	return rc;
}

enum { LONG_HELP = 256, LONG_VERSION, LONG_FOREGROUND, LONG_OTHER };

static int short_option(struct options *options, int c, char *argument, struct error *err)
{
	switch (c) {
	case 'o':
		return set_list(options, argument, err);
	case 'f':
		*(options->is_helper ? &options->fake : &options->foreground) = true;
		return 0;
	case 's':
		options->sloppy = options->is_helper;
		return 0;
	case 'v':
		options->log_level += options->log_level < LOG_LEVEL_TRACE;
		return 0;
	case 'd':
		options->debug = options->foreground = true;
		options->log_level = LOG_LEVEL_TRACE;
		return 0;
	default: /* -n, -t TYPE, -N NAMESPACE: mount(8) has done what there was to do */
		return 0;
	}
}

/* getopt does the short ones; it cannot know the table's names, so long ones are taken out first.
 */
static int parse_words(struct options *options, enum options_action *ret_action, int argc,
	char **argv, struct error *err)
{
	int rest = 1;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || (!strcmp(argv[i], "-h") && !options->is_helper)) {
			*ret_action = OPTIONS_HELP;
			return 0;
		}
		if (!strcmp(argv[i], "--version") ||
			(!strcmp(argv[i], "-V") && !options->is_helper)) {
			*ret_action = OPTIONS_VERSION;
			return 0;
		}
		if (!strcmp(argv[i], "--foreground")) {
			options->foreground = true;
		} else if (!strncmp(argv[i], "--", 2) && argv[i][2]) {
			int rc = set_long(options, argv[i] + 2, err);

			if (rc)
				return rc;
		} else {
			argv[rest++] = argv[i];
		}
	}
	argv[rest] = NULL;
	optind = 0;
	opterr = 0;
	for (int c; (c = getopt(rest, argv, "o:fsnvdt:N:")) != -1;) {
		int rc =
			c == '?'
				? error_set(err, EINVAL,
					  "unknown option '-%c'\nhint: imgfs help mount lists them",
					  optopt)
				: short_option(options, c, optarg, err);

		if (rc)
			return rc;
	}
	if (optind < rest && !strcmp(argv[optind], "mount") && !options->is_helper)
		optind++;
	if (rest - optind != 2)
		return error_set(err, EINVAL, "%s\nhint: %s SOURCE DIR [-o OPTIONS]; see %s --help",
			rest - optind < 2 ? "SOURCE and DIR are needed"
					  : "more than SOURCE and DIR",
			options->program, options->program);
	if (set_text(&options->source, strdup(argv[optind]), err))
		return -ENOMEM;
	return set_text(&options->mountpoint, strdup(argv[optind + 1]), err);
}

static int check(struct options *options, struct error *err)
{
	int rc;

	if (!options->platform &&
		set_text(&options->platform, strdup(options->rootfs ? "native" : "all"), err))
		return -ENOMEM;
	options->has_platform = strcmp(options->platform, "all") != 0;
	if (options->has_platform) {
		rc = platform_parse(&options->wanted, options->platform, err);
		if (rc)
			return error_prefix(err, rc, "option 'platform'");
	}
	if (!options->has_platform && options->rootfs)
		return error_set(
			err, EINVAL, "option 'rootfs' shows one platform: not platform=all");
	if (!options->max_transfers || options->max_transfers > 64)
		return error_set(err, EINVAL, "option 'max_transfers': 1 to 64");
	if (options->max_threads > 256)
		return error_set(err, EINVAL, "option 'max_threads': at most 256");
	if (options->has_ready_fd && (options->ready_fd < 3 || options->ready_fd > INT_MAX))
		return error_set(err, EINVAL, "option 'ready_fd': a descriptor from 3 on");
	if (options->allow_other && options->allow_root)
		return error_set(
			err, EINVAL, "options 'allow_other' and 'allow_root' exclude each other");
	if (options->rootfs && options_has_registry(options) && !options->reference.tag &&
		!digest_is_set(&options->reference.digest))
		return error_set(
			err, EINVAL, "option 'rootfs' needs one image: name a tag or digest");
	if (options->ref && !*options->ref)
		return error_set(
			err, EINVAL, "%s: the name of an image is missing", options->source);
	if (options->rootfs && options->transport == TRANSPORT_DAEMON &&
		!(options->ref && has_tag(options->ref)))
		return error_set(
			err, EINVAL, "option 'rootfs' needs one image: docker-daemon:REPO:TAG");
	return 0;
}

int options_parse(struct options *ret, enum options_action *ret_action, int argc, char **argv,
	struct error *err)
{
	const char *base = argc ? argv[0] : "imgfs";
	const char *slash = strrchr(base, '/');
	int rc = set_defaults(ret, err);

	if (rc)
		return rc;
	base = slash ? slash + 1 : base;
	ret->is_helper = !strncmp(base, "mount.", 6);
	ret->program = strdup(base);
	if (!ret->program)
		return error_set(err, ENOMEM, "out of memory");
	*ret_action = OPTIONS_MOUNT;
	rc = parse_words(ret, ret_action, argc, argv, err);
	if (rc || *ret_action != OPTIONS_MOUNT)
		return rc;
	rc = options_parse_source(ret, ret->source, err);
	return rc ? rc : check(ret, err);
}

void options_release(struct options *options)
{
	char **texts[] = { &options->program, &options->source, &options->mountpoint,
		&options->path, &options->ref, &options->platform, &options->authfile,
		&options->registries_conf, &options->realm, &options->cert_dir, &options->proxy,
		&options->user_agent, &options->cache_dir, &options->pidfile, &options->log };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		wipep(texts[i]);
	reference_release(&options->reference);
	if (options->has_platform)
		platform_release(&options->wanted);
	buf_release(&options->given);
}

void options_list(struct buf *ret, const char *first, const char *others, size_t width)
{
	size_t column = strlen(first);

	(void)buf_append_text(ret, first);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t len = strlen(rows[i].name) + takes_value(&rows[i]);

		if (i && column + 1 + len > width) {
			(void)buf_printf(ret, "\n%s", others);
			column = strlen(others);
		} else if (i) {
			(void)buf_append_text(ret, " ");
			column++;
		}
		(void)buf_printf(ret, "%s%s", rows[i].name, takes_value(&rows[i]) ? "=" : "");
		column += len;
	}
	(void)buf_append_text(ret, "\n");
}

void options_help(const char *program, struct buf *ret)
{
	(void)buf_printf(ret,
		"usage: %s SOURCE DIR [-o OPTION[,OPTION...]]\n"
		"       imgfs mount [--OPTION[=VALUE]...] SOURCE DIR\n\n"
		"Shows container images as directories, read-only.\n\n"
		"SOURCE\n"
		"  docker://HOST/              a registry\n"
		"  docker://HOST/NS/           the repositories below NS\n"
		"  docker://[HOST/]REPO        a repository: its tags\n"
		"  docker://[HOST/]REPO:TAG    an image; also REPO@DIGEST\n"
		"  docker-v1://HOST/[REPO[:TAG]]        a registry of the V1 protocol\n"
		"  oci:DIR[:REF]               an OCI image layout, or an image in it\n"
		"  oci-archive:FILE[:REF]      the same in a tar archive\n"
		"  docker-archive:FILE[:REPO:TAG]       what docker save wrote, at any time\n"
		"  dir:DIR                     what skopeo copy ... dir:DIR wrote\n"
		"  docker-daemon:[REPO[:TAG]]  the images of the engine on this machine\n"
		"  PATH                        any of these files and directories\n\n"
		"OPTION\n",
		program);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char name[40];

		(void)snprintf(
			name, sizeof name, "%s%s", rows[i].name, takes_value(&rows[i]) ? "=" : "");
		(void)buf_printf(ret, "  %-24s  %s%s%s%s\n", name, rows[i].help,
			rows[i].fallback ? " (" : "", rows[i].fallback ? rows[i].fallback : "",
			rows[i].fallback ? ")" : "");
	}
	(void)buf_append_text(ret,
		"\n  -f  stay in the foreground      (as mount.imgfs: check only)\n"
		"  -v  say more                    -d  debug, in the foreground\n"
		"  --foreground  --help  --version\n\n"
		"Options of mount(8) and fstab(5) that mean nothing here are accepted.\n"
		"See imgfs(1), imgfs(5), mount.imgfs(8).\n");
}

/* --- for completion --- */

bool options_word(size_t i, struct options_word *ret)
{
	static const enum options_value values[] = {
		[KIND_FLAG] = OPTIONS_VALUE_FLAG,
		[KIND_UNSET] = OPTIONS_VALUE_NONE,
		[KIND_TEXT] = OPTIONS_VALUE_TEXT,
		[KIND_PATH] = OPTIONS_VALUE_FILE,
		[KIND_DIRECTORY] = OPTIONS_VALUE_DIRECTORY,
		[KIND_TIME] = OPTIONS_VALUE_TEXT,
		[KIND_SIZE] = OPTIONS_VALUE_TEXT,
		[KIND_NUMBER] = OPTIONS_VALUE_TEXT,
		[KIND_OCTAL] = OPTIONS_VALUE_TEXT,
		[KIND_CHOICE] = OPTIONS_VALUE_TEXT,
		[KIND_IGNORED] = OPTIONS_VALUE_NONE,
	};

	if (i >= ARRAY_SIZE(rows))
		return false;
	*ret = (struct options_word){ rows[i].name, values[rows[i].kind], rows[i].choices,
		rows[i].fallback, rows[i].help };
	return true;
}

const char *options_transport(size_t i, enum source_transport *ret)
{
	if (i >= ARRAY_SIZE(transports))
		return NULL;
	*ret = transports[i].transport;
	return transports[i].prefix;
}

char *options_default_cache_dir(void)
{
	const char *base = getenv("IMGFS_CACHE_DIR");
	const char *home = getenv("HOME");
	char *path = NULL;
	int n;

	if (base && *base == '/')
		return strdup(base);
	base = getenv("XDG_CACHE_HOME");
	if (getuid() == 0 && !(base && *base == '/'))
		return strdup("/var/cache/imgfs");
	if (base && *base == '/')
		n = asprintf(&path, "%s/imgfs", base);
	else
		n = asprintf(&path, "%s/.cache/imgfs", home ? home : "");
	return n < 0 ? NULL : path;
}
