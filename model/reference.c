/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing peels from the right: "@DIGEST", a trailing slash or ":TAG", and
 * what is left is HOST and REPOSITORY.  Text that might hold a password is
 * never repeated in an error.
 */
#include "model/reference.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "model/cleanup.h"
#include "model/error.h"

#define DOCKER_HUB "docker.io"

static bool is_lower_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alphanumeric(char c)
{
	return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Length of a separator at the start of text: ".", "_", "__" or any number of "-". */
static size_t separator(const char *text, size_t len)
{
	size_t dashes = 0;

	if (text[0] == '.')
		return 1;
	if (text[0] == '_')
		return len > 1 && text[1] == '_' ? 2 : 1;
	while (dashes < len && text[dashes] == '-')
		dashes++;
	return dashes;
}

bool repository_component_is_valid(const char *text, size_t len)
{
	size_t i = 0;

	if (len > REPOSITORY_MAX)
		return false;
	while (i < len) {
		size_t skip;

		if (!is_lower_or_digit(text[i]))
			return false;
		while (i < len && is_lower_or_digit(text[i]))
			i++;
		if (i == len)
			return true;
		skip = separator(text + i, len - i);
		if (!skip)
			return false;
		i += skip;
	}
	return false; /* empty, or ends in a separator */
}

bool repository_is_valid(const char *text)
{
	if (strlen(text) > REPOSITORY_MAX)
		return false;
	for (;;) {
		size_t len = strcspn(text, "/");

		if (!repository_component_is_valid(text, len))
			return false;
		if (!text[len])
			return true;
		text += len + 1;
	}
}

bool tag_is_valid(const char *text)
{
	size_t len = 0;

	if (*text == '.' || *text == '-')
		return false;
	while (is_alphanumeric(text[len]) || (text[len] && strchr("_.-", text[len])))
		if (++len > TAG_MAX)
			return false;
	return len > 0 && !text[len];
}

bool reference_is_host(const char *text, size_t len)
{
	static const char localhost[] = "localhost";

	if (memchr(text, '.', len) || memchr(text, ':', len))
		return true;
	return len == sizeof localhost - 1 && !memcmp(text, localhost, len);
}

/* Labels joined by dots; a label neither starts nor ends with a dash. */
static bool is_domain(const char *text, size_t len)
{
	char previous = '.';

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '.' ? !is_alphanumeric(previous)
			     : !is_alphanumeric(c) && (c != '-' || previous == '.'))
			return false;
		previous = c;
	}
	return is_alphanumeric(previous);
}

static bool is_port(const char *text)
{
	unsigned port = 0;
	size_t len = 0;

	for (; len < 6 && is_digit(text[len]); len++)
		port = port * 10 + (unsigned)(text[len] - '0');
	return len && !text[len] && port > 0 && port <= 65535;
}

/* domain[:port], [ipv6] or [ipv6]:port */
static bool is_host(const char *text)
{
	size_t len;

	if (*text == '[') {
		len = 1 + strspn(text + 1, "0123456789abcdefABCDEF:.");
		if (len == 1 || text[len] != ']')
			return false;
		len++;
	} else {
		len = strcspn(text, ":");
		if (!is_domain(text, len))
			return false;
	}
	return !text[len] || (text[len] == ':' && is_port(text + len + 1));
}

void reference_release(struct reference *reference)
{
	free(reference->host);
	free(reference->repository);
	free(reference->tag);
	*reference = (struct reference){ 0 };
}

char *reference_familiar(const char *host, const char *repository)
{
	static const char library[] = "library/";
	const char *slash = strchr(repository, '/');
	char *name = NULL;

	if (strcmp(host, DOCKER_HUB))
		return asprintf(&name, "%s/%s", host, repository) < 0 ? NULL : name;
	if (slash && !strchr(slash + 1, '/') && !strncmp(repository, library, strlen(library)))
		repository = slash + 1;
	return strdup(repository);
}

/* Bytes of a repository's name that come from a file's: leaves room for "docker.io/library/". */
enum { FILE_NAME_USED_MAX = REPOSITORY_MAX / 2 };

char *repository_from_file_name(const char *file_name)
{
	char *name = malloc(strlen(file_name) + 1);
	size_t len = 0;

	if (!name)
		return NULL;
	for (const char *p = file_name; *p && len < FILE_NAME_USED_MAX; p++) {
		char c = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;

		if (is_alphanumeric(c))
			name[len++] = c;
		else if (len && is_alphanumeric(name[len - 1]))
			name[len++] = c == '.' || c == '_' ? c : '-';
	}
	if (len && !is_alphanumeric(name[len - 1]))
		len--;
	name[len] = '\0';
	return name;
}

/* Cuts "@DIGEST" off text. */
static int take_digest(struct reference *reference, char *text, struct error *err)
{
	char *at = strchr(text, '@');
	int rc;

	if (!at)
		return 0;
	/* No digest holds a '/': this is the '@' of USER[:PASSWORD]@HOST. */
	if (strchr(at, '/') || strchr(at + 1, '@'))
		return error_set(err, EINVAL,
			"a user name or password does not belong in an address: "
			"log in with a credentials file (authfile=)");
	if (strncmp(at + 1, "sha", 3))
		return error_set(err, EINVAL,
			"what follows '@' is no digest known here; "
			"a user name or password does not belong in an address");
	rc = digest_parse(&reference->digest, at + 1, err);
	if (rc)
		return rc == -EOPNOTSUPP ? -EINVAL : rc;
	*at = '\0';
	return 0;
}

/* Cuts a trailing '/' or ":TAG" off text. */
static int take_tag(struct reference *reference, char *text, struct error *err)
{
	size_t len = strlen(text);
	char *slash, *colon;

	if (len && text[len - 1] == '/') {
		if (digest_is_set(&reference->digest))
			return error_set(err, EINVAL, "'%.255s': a directory has no digest", text);
		text[len - 1] = '\0';
		reference->is_directory = true;
		return 0;
	}
	slash = strrchr(text, '/');
	colon = strrchr(text, ':');
	if (!colon || (slash && colon < slash))
		return 0;
	/* A colon in the only component is a port when a host stands before it. */
	if (!slash && (*text == '[' || reference_is_host(text, (size_t)(colon - text))))
		return 0;
	if (!tag_is_valid(colon + 1))
		return error_set(err, EINVAL, "tag '%.140s': not a tag name", colon + 1);
	reference->tag = strdup(colon + 1);
	if (!reference->tag)
		return error_set(err, ENOMEM, "reference: out of memory");
	*colon = '\0';
	return 0;
}

size_t name_split(const char *text, size_t len, const char **ret_tag)
{
	const char *slash = memrchr(text, '/', len);
	const char *last = slash ? slash + 1 : text;
	const char *colon = memrchr(last, ':', len - (size_t)(last - text));

	*ret_tag = colon ? colon + 1 : NULL;
	return colon ? (size_t)(colon - text) : len;
}

bool name_has_components(const char *repository, size_t len)
{
	return len && repository[0] != '/' && repository[len - 1] != '/' &&
	       !memmem(repository, len, "//", 2);
}

/* With the prefix, which nobody wrote, a name is as long as the registry sees it. */
static int check_repository(const char *prefix, const char *text, struct error *err)
{
	if (strlen(prefix) + strlen(text) > REPOSITORY_MAX)
		return error_set(err, EINVAL, "repository '%s%.40s...': longer than %d bytes",
			prefix, text, REPOSITORY_MAX);
	if (repository_is_valid(text))
		return 0;
	for (const char *p = text; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			return error_set(
				err, EINVAL, "repository '%s': names are lower case", text);
	return error_set(err, EINVAL, "repository '%s': not a repository name", text);
}

/* Splits what is left into host and repository, and fills in Docker Hub's names. */
static int take_name(struct reference *reference, const char *text, struct error *err)
{
	size_t first = strcspn(text, "/");
	const char *host = DOCKER_HUB, *name = text, *prefix = "";
	CLEANUP(freep) char *spelled = NULL;
	bool is_host_alone = false;
	int rc;

	if (!text[first] && !reference->is_directory && !reference->tag &&
		!digest_is_set(&reference->digest) && reference_is_host(text, first))
		reference->is_directory = true; /* "quay.io" is "quay.io/" */

	if (reference_is_host(text, first) && (text[first] || reference->is_directory)) {
		spelled = strndup(text, first);
		if (!spelled)
			return error_set(err, ENOMEM, "reference: out of memory");
		for (char *p = spelled; *p; p++)
			*p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
		if (!is_host(spelled))
			return error_set(err, EINVAL, "'%.255s': not a host name", spelled);
		host = spelled;
		is_host_alone = !text[first];
		name = is_host_alone ? "" : text + first + 1;
	}
	if (!strcmp(host, "index." DOCKER_HUB) || !strcmp(host, "registry-1." DOCKER_HUB))
		host = DOCKER_HUB;

	if (!strcmp(host, DOCKER_HUB) && !reference->is_directory && !strchr(name, '/'))
		prefix = "library/";
	if (!is_host_alone) {
		rc = check_repository(prefix, name, err);
		if (rc)
			return rc;
	}
	reference->host = strdup(host);
	if (!reference->host || asprintf(&reference->repository, "%s%s", prefix, name) < 0) {
		reference->repository = NULL;
		return error_set(err, ENOMEM, "reference: out of memory");
	}
	return 0;
}

int reference_parse(struct reference *ret, const char *text, struct error *err)
{
	CLEANUP(reference_release) struct reference reference = { 0 };
	CLEANUP(freep) char *copy = strdup(text);
	int rc;

	if (!copy)
		return error_set(err, ENOMEM, "reference: out of memory");
	if (!*text || *text == '/')
		return error_set(err, EINVAL, "a host or a repository is missing");
	if (!strncasecmp(text, "https://", 8) || !strncasecmp(text, "http://", 7))
		return error_set(err, EINVAL, "an address has no second scheme: leave out '%.*s'",
			(int)(strchr(text, '/') - text) + 2, text);

	rc = take_digest(&reference, copy, err);
	if (!rc)
		rc = take_tag(&reference, copy, err);
	if (!rc)
		rc = take_name(&reference, copy, err);
	if (rc)
		return rc;
	*ret = reference;
	reference = (struct reference){ 0 };
	return 0;
}
