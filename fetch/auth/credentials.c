/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Auth files (containers-auth.json(5), Docker's config.json):
 *
 *	{ "auths": { KEY: { "auth": base64(user:password), "identitytoken": ... } } }
 *
 * KEY is a host, host/ns/repo, or an URL as Docker wrote it for logins
 * ("https://index.docker.io/v1/"), of which the host alone counts.
 */
#include "fetch/auth/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>
#include <openssl/evp.h>

#include "fetch/observer.h"
#include "model/base64.h"
#include "model/cleanup.h"
#include "model/json.h"

enum { CREDENTIALS_MAX = 1000 }; /* of one host */

void secret_free(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

void secret_freep(char **secret)
{
	secret_free(*secret);
}

static void buf_wipe(struct buf *buf)
{
	if (buf->data)
		explicit_bzero(buf->data, buf->capacity);
	buf_release(buf);
}

char *credential_basic(const struct credential *credential)
{
	CLEANUP(secret_freep) char *pair = NULL;
	size_t len;
	char *text;

	if (asprintf(&pair, "%s:%s", credential->user, credential->password) < 0) {
		pair = NULL;
		return NULL;
	}
	len = strlen(pair);
	text = malloc((len + 2) / 3 * 4 + 1);
	if (text)
		(void)EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)pair, (int)len);
	return text;
}

/* ---- keys ------------------------------------------------------------------------------- */

/* Docker Hub goes by several names; "docker.io" is ours. */
static const char *const hub_names[] = { "index.docker.io", "registry-1.docker.io",
	"registry.hub.docker.com" };

static bool is_hub(const char *host, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(hub_names); i++)
		if (strlen(hub_names[i]) == len && !strncasecmp(hub_names[i], host, len))
			return true;
	return false;
}

/* NULL: out of memory. */
static char *normal_key(const char *key)
{
	const char *scheme = strstr(key, "://");
	const char *host = scheme ? scheme + 3 : key;
	size_t host_len = strcspn(host, "/");
	const char *path = scheme || !host[host_len] ? "" : host + host_len;
	size_t path_len = strlen(path);
	char *normal = NULL;

	while (path_len && path[path_len - 1] == '/')
		path_len--;
	if (is_hub(host, host_len)) {
		if (path_len == 3 && path[1] == 'v') /* index.docker.io/v1/ */
			path_len = 0;
		host = "docker.io";
		host_len = strlen(host);
	}
	if (asprintf(&normal, "%.*s%.*s", (int)host_len, host, (int)path_len, path) < 0)
		return NULL;
	return normal;
}

/* Is key the host, or something below it? */
static bool is_key_of(const char *key, const char *host)
{
	size_t len = strlen(host);

	return !strncasecmp(key, host, len) && (!key[len] || key[len] == '/');
}

static bool key_matches(const char *key, const char *host, const char *repository)
{
	size_t host_len = strlen(host), len;
	const char *path = key + host_len;

	if (!is_key_of(key, host))
		return false;
	if (!*path)
		return true;
	path++;
	len = strlen(path);
	return repository && !strncmp(path, repository, len) &&
	       (!repository[len] || repository[len] == '/');
}

const struct credential *credentials_find(
	const struct credentials *credentials, const char *host, const char *repository)
{
	const struct credential *best = NULL;

	for (size_t i = 0; i < credentials->count; i++) {
		const struct credential *one = &credentials->items[i];

		if (!key_matches(one->key, host, repository))
			continue;
		if (!best || (one->file == best->file && strlen(one->key) > strlen(best->key)))
			best = one;
	}
	return best;
}

/* ---- one file --------------------------------------------------------------------------- */

static void credential_release(struct credential *credential)
{
	free(credential->key);
	free(credential->user);
	secret_free(credential->password);
	secret_free(credential->identity_token);
}

/* "user:password", with Docker's stray NULs at the end; the user "<token>" has an
 * identity token for a password. */
static int split_pair(struct credential *credential, const char *text, struct error *err)
{
	CLEANUP(secret_freep) char *pair = NULL;
	char *colon;
	size_t len;
	int rc;

	rc = base64_decode(&pair, &len, text, err);
	if (rc)
		return rc;
	while (len && !pair[len - 1])
		len--;
	colon = memchr(pair, ':', len);
	if (!colon || strlen(pair) != len)
		return error_set(err, EIO, "not user:password");
	*colon = '\0';
	if (!strcmp(pair, "<token>") && !credential->identity_token) {
		credential->identity_token = strdup(colon + 1);
		if (!credential->identity_token)
			return error_set(err, ENOMEM, "out of memory");
	}
	credential->user = strdup(pair);
	credential->password = strdup(colon + 1);
	explicit_bzero(pair, len);
	if (!credential->user || !credential->password)
		return error_set(err, ENOMEM, "out of memory");
	return 0;
}

/* Leaves *ret without a user and a token when the entry has neither. */
static int parse_entry(struct credential *ret, struct json_object *entry, struct error *err)
{
	CLEANUP(secret_freep) char *pair = NULL;
	char *token = NULL;
	int rc;

	rc = json_get_string(entry, "auth", &pair, err);
	if (!rc)
		rc = json_get_string(entry, "identitytoken", &token, err);
	if (rc)
		return rc;
	if (token && !*token) {
		free(token);
		token = NULL;
	}
	ret->identity_token = token;
	return pair && *pair ? split_pair(ret, pair, err) : 0;
}

static int add_credential(
	struct credentials *credentials, struct credential *credential, struct error *err)
{
	struct credential *items;

	if (credentials->count == CREDENTIALS_MAX)
		return error_set(err, EFBIG, "more than %d entries for one host", CREDENTIALS_MAX);
	items = realloc(credentials->items, (credentials->count + 1) * sizeof *items);
	if (!items)
		return error_set(err, ENOMEM, "out of memory");
	credentials->items = items;
	items[credentials->count++] = *credential;
	*credential = (struct credential){ .key = NULL };
	return 0;
}

static int take_entry(struct credentials *credentials, size_t file, const char *host,
	const char *key, struct json_object *value, struct error *err)
{
	CLEANUP(credential_release)
	struct credential credential = { .key = normal_key(key), .file = file };
	int rc;

	if (!credential.key)
		return error_set(err, ENOMEM, "out of memory");
	if (!is_key_of(credential.key, host))
		return 0;
	if (!json_object_is_type(value, json_type_object))
		return error_set(err, EIO, "an entry is no object");
	rc = parse_entry(&credential, value, err);
	if (rc || (!credential.user && !credential.identity_token))
		return rc;
	return add_credential(credentials, &credential, err);
}

int credentials_parse(struct credentials *credentials, size_t file, const char *host,
	const char *text, size_t len, struct error *err)
{
	CLEANUP(json_putp) struct json_object *document = NULL;
	struct json_object *auths = NULL;
	int rc;

	rc = json_parse(&document, text, len, err);
	if (rc)
		return rc;
	if (!json_object_is_type(document, json_type_object))
		return error_set(err, EIO, "no object");
	rc = json_get_object(document, "auths", &auths, err);
	if (rc || !auths)
		return rc;
	json_object_object_foreach(auths, key, value)
	{
		rc = take_entry(credentials, file, host, key, value, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int read_file(struct buf *ret, const char *path, struct error *err)
{
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char piece[4096];
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st))
		return error_set(err, errno, "'%s': %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(err, EINVAL, "'%s': not a regular file", path);
	while ((n = read(fd, piece, sizeof piece)) > 0)
		(void)buf_append(ret, piece, (size_t)n); /* checked below */
	explicit_bzero(piece, sizeof piece);
	if (n < 0)
		return error_set(err, errno, "'%s': %s", path, strerror(errno));
	if (buf_status(ret))
		return error_set(
			err, -buf_status(ret), "'%s': more than %d bytes", path, AUTH_FILE_MAX);
	return 0;
}

static int load_file(struct credentials *credentials, size_t file, const char *host,
	const char *path, struct error *err)
{
	struct buf text;
	int rc;

	buf_init(&text, AUTH_FILE_MAX);
	rc = read_file(&text, path, err);
	if (!rc) {
		rc = credentials_parse(
			credentials, file, host, text.data ? text.data : "", text.len, err);
		if (rc)
			(void)error_prefix(err, rc, "auth file '%s'", path);
	}
	buf_wipe(&text);
	return rc;
}

/* ---- the usual places ------------------------------------------------------------------- */

static char *home_directory(void)
{
	const char *home = getenv("HOME");
	char scratch[4096];
	struct passwd entry, *found = NULL;

	if (home && *home)
		return strdup(home);
	if (getpwuid_r(getuid(), &entry, scratch, sizeof scratch, &found) || !found)
		return NULL;
	return strdup(found->pw_dir);
}

/* "$VARIABLE/below", or "home/fallback" without it; NULL when there is neither. */
static char *place(const char *variable, const char *below, const char *home, const char *fallback)
{
	const char *value = getenv(variable);
	char *path = NULL;
	int n = -1;

	if (value && *value)
		n = asprintf(&path, "%s/%s", value, below);
	else if (home)
		n = asprintf(&path, "%s/%s", home, fallback);
	return n < 0 ? NULL : path;
}

static void note(struct credentials *credentials, const char *path, size_t found)
{
	struct buf *searched = &credentials->searched;

	(void)buf_printf(searched, "%s%s%s", searched->len ? ", " : "", path, /* only words */
		credentials->count > found ? " (found)" : "");
}

/* A place that cannot be read or understood is said so, and passed over. */
static void search(struct credentials *credentials, size_t file, const char *host, const char *path,
	struct observer *observer)
{
	size_t before = credentials->count;
	struct error err;
	int rc;

	if (!path)
		return;
	rc = load_file(credentials, file, host, path, &err);
	if (rc && rc != -ENOENT && rc != -ENOTDIR)
		observer_log(observer, LOG_LEVEL_WARNING, "%s; going on without it", err.text);
	note(credentials, path, before);
}

static void search_usual_places(
	struct credentials *credentials, const char *host, struct observer *observer)
{
	CLEANUP(freep) char *home = home_directory();
	CLEANUP(freep)
	char *config = place(
		"XDG_CONFIG_HOME", "containers/auth.json", home, ".config/containers/auth.json");
	CLEANUP(freep)
	char *docker = place("DOCKER_CONFIG", "config.json", home, ".docker/config.json");
	CLEANUP(freep) char *runtime = place("XDG_RUNTIME_DIR", "containers/auth.json", NULL, "");
	char fallback[64];

	(void)snprintf(fallback, sizeof fallback, "/run/containers/%u/auth.json", getuid());
	search(credentials, 0, host, runtime ? runtime : fallback, observer);
	search(credentials, 1, host, config, observer);
	search(credentials, 2, host, docker, observer);
}

int credentials_load(struct credentials *ret, const struct auth_config *config,
	struct observer *observer, struct error *err)
{
	const char *named = config->authfile ? config->authfile : getenv("REGISTRY_AUTH_FILE");
	int rc = 0;

	*ret = (struct credentials){ .items = NULL };
	buf_init(&ret->searched, 4096);
	if (config->no_credentials) {
		(void)buf_append_text(&ret->searched, "nowhere, as told"); /* only words */
	} else if (named && *named) {
		rc = load_file(ret, 0, config->host, named, err);
		note(ret, named, 0);
	} else {
		search_usual_places(ret, config->host, observer);
	}
	if (rc)
		credentials_release(ret);
	return rc;
}

void credentials_release(struct credentials *credentials)
{
	for (size_t i = 0; i < credentials->count; i++)
		credential_release(&credentials->items[i]);
	free(credentials->items);
	buf_release(&credentials->searched);
	*credentials = (struct credentials){ .items = NULL };
}
