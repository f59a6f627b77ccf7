/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Auth files (containers-auth.json(5), Docker's config.json):
 *
 *	{ "auths": { KEY: { "auth": base64(user:password), "identitytoken": ... } },
 *	  "credHelpers": { HOST: NAME }, "credsStore": NAME }
 *
 * KEY is a host, host/ns/repo, or an URL as Docker wrote it for logins
 * ("https://index.docker.io/v1/"), of which the host alone counts.  A helper comes before the
 * entries of its file, one for the host before the store for all.
 *
 * The text is taken apart where it lies, so that no secret is left in a parser's buffers.
 */
#include "fetch/auth/internal.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "fetch/file.h"
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

static char *encode_pair(const struct credential *credential)
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

int credential_header(char **ret, const struct credential *credential, struct error *err)
{
	CLEANUP(secret_freep) char *pair = NULL;

	*ret = NULL;
	if (!credential->user) {
		*ret = strdup("");
	} else {
		pair = encode_pair(credential);
		if (!pair || asprintf(ret, "Authorization: Basic %s", pair) < 0)
			*ret = NULL;
	}
	return *ret ? 0 : error_set(err, ENOMEM, "out of memory");
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

const struct credential *credentials_find(const struct credentials *credentials, size_t file,
	const char *host, const char *repository)
{
	const struct credential *best = NULL;

	for (size_t i = 0; i < credentials->count; i++) {
		const struct credential *one = &credentials->items[i];

		if (one->file != file || !key_matches(one->key, host, repository))
			continue;
		if (!best || strlen(one->key) > strlen(best->key))
			best = one;
	}
	return best;
}

/* ---- one file --------------------------------------------------------------------------- */

void credential_release(struct credential *credential)
{
	free(credential->key);
	free(credential->user);
	secret_free(credential->password);
	secret_free(credential->identity_token);
	secret_free(credential->newer_token);
	*credential = (struct credential){ .key = NULL };
}

static int copy_text(char **ret, const char *text)
{
	if (text)
		*ret = strdup(text);
	return !text || *ret ? 0 : -ENOMEM;
}

int credential_copy(struct credential *ret, const struct credential *credential)
{
	CLEANUP(credential_release) struct credential copy = { .file = credential->file };

	if (copy_text(&copy.key, credential->key) || copy_text(&copy.user, credential->user) ||
		copy_text(&copy.password, credential->password) ||
		copy_text(&copy.identity_token, credential->identity_token))
		return -ENOMEM;
	*ret = copy;
	copy = (struct credential){ .key = NULL };
	return 0;
}

int credential_find_token(struct credential *credential, struct error *err)
{
	if (strcmp(credential->user, "<token>") != 0 || credential->identity_token)
		return 0;
	credential->identity_token = strdup(credential->password);
	return credential->identity_token ? 0 : error_set(err, ENOMEM, "out of memory");
}

/* "user:password", with Docker's stray NULs at the end. */
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
	credential->user = strdup(pair);
	credential->password = strdup(colon + 1);
	explicit_bzero(pair, len);
	if (!credential->user || !credential->password)
		return error_set(err, ENOMEM, "out of memory");
	return credential_find_token(credential, err);
}

/* Leaves *ret without a user and a token when the entry has neither. */
static int parse_entry(struct credential *ret, const struct json_members *entry, struct error *err)
{
	CLEANUP(secret_freep) char *pair = NULL;
	char *token = NULL;
	int rc;

	rc = json_members_string(entry, "auth", &pair, err);
	if (!rc)
		rc = json_members_string(entry, "identitytoken", &token, err);
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
	const struct json_members *auths, const char *key, struct error *err)
{
	CLEANUP(credential_release)
	struct credential credential = { .key = normal_key(key), .file = file };
	CLEANUP(json_members_release) struct json_members entry = { 0 };
	int rc;

	if (!credential.key)
		return error_set(err, ENOMEM, "out of memory");
	if (!is_key_of(credential.key, host))
		return 0;
	rc = json_members_object(auths, key, &entry, err);
	if (!rc)
		rc = parse_entry(&credential, &entry, err);
	if (rc || (!credential.user && !credential.identity_token))
		return rc;
	return add_credential(credentials, &credential, err);
}

static int take_entries(struct credentials *credentials, size_t file, const char *host,
	const struct json_members *document, struct error *err)
{
	CLEANUP(json_members_release) struct json_members auths = { 0 };
	int rc = json_members_object(document, "auths", &auths, err);

	for (size_t i = 0; !rc && i < auths.count; i++)
		rc = take_entry(credentials, file, host, &auths, auths.items[i].name, err);
	return rc;
}

static int take_helper(struct credentials *credentials, size_t file, const char *host,
	const struct json_members *document, struct error *err)
{
	CLEANUP(json_members_release) struct json_members helpers = { 0 };
	CLEANUP(freep) char *name = NULL;
	int rc = json_members_object(document, "credHelpers", &helpers, err);

	for (size_t i = 0; !rc && !name && i < helpers.count; i++) {
		CLEANUP(freep) char *key = normal_key(helpers.items[i].name);

		if (!key)
			rc = error_set(err, ENOMEM, "out of memory");
		else if (!strcasecmp(key, host))
			rc = json_members_string(&helpers, helpers.items[i].name, &name, err);
	}
	if (!rc && !name)
		rc = json_members_string(document, "credsStore", &name, err);
	if (rc || !name || !*name)
		return rc;
	if (!helper_name_is_valid(name))
		return error_set(err, EIO, "the name of a credential helper is none");
	free(credentials->helpers[file]);
	credentials->helpers[file] = TAKE(name);
	return 0;
}

int credentials_parse(struct credentials *credentials, size_t file, const char *host,
	const char *text, size_t len, struct error *err)
{
	CLEANUP(json_members_release) struct json_members document = { 0 };
	int rc;

	rc = json_members_parse(&document, text, len, err);
	if (!rc)
		rc = json_members_check_unique(&document, err);
	if (!rc)
		rc = take_entries(credentials, file, host, &document, err);
	return rc ? rc : take_helper(credentials, file, host, &document, err);
}

int credentials_read(struct credentials *credentials, size_t file, const char *host,
	const char *path, struct error *err)
{
	CLEANUP(buf_release) struct buf text;
	int rc;

	buf_init_secret(&text, AUTH_FILE_MAX);
	rc = file_read(&text, path, err);
	if (rc)
		return rc;
	rc = credentials_parse(credentials, file, host, text.data ? text.data : "", text.len, err);
	return rc ? error_prefix(err, rc, "auth file '%s'", path) : 0;
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

int credentials_places(char *ret[static AUTH_FILES_MAX], bool *ret_is_named,
	const struct auth_config *config, struct error *err)
{
	const char *named = config->authfile ? config->authfile : getenv("REGISTRY_AUTH_FILE");
	CLEANUP(freep) char *home = home_directory();

	if (config->no_credentials)
		return 0;
	if (named && *named) {
		*ret_is_named = true;
		ret[0] = strdup(named);
		return ret[0] ? 0 : error_set(err, ENOMEM, "out of memory");
	}
	ret[0] = place("XDG_RUNTIME_DIR", "containers/auth.json", NULL, "");
	if (!ret[0] && asprintf(&ret[0], "/run/containers/%u/auth.json", getuid()) < 0)
		ret[0] = NULL;
	ret[1] = place(
		"XDG_CONFIG_HOME", "containers/auth.json", home, ".config/containers/auth.json");
	ret[2] = place("DOCKER_CONFIG", "config.json", home, ".docker/config.json");
	return 0;
}

void credentials_release(struct credentials *credentials)
{
	for (size_t i = 0; i < credentials->count; i++)
		credential_release(&credentials->items[i]);
	free(credentials->items);
	for (size_t i = 0; i < AUTH_FILES_MAX; i++)
		free(credentials->helpers[i]);
	*credentials = (struct credentials){ .items = NULL };
}
