/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's socket: where it is, requests to it, and why one has failed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <json-c/json.h>

#include "fetch/daemon/internal.h"
#include "model/cleanup.h"
#include "model/json.h"

#define UNIX "unix://"

enum { DETAIL_MAX = 200 }; /* bytes shown of what an engine says about an error */

/* ---- finding it ------------------------------------------------------------------------- */

static int take_socket(char **ret, const char *path, struct error *err)
{
	struct sockaddr_un address;

	if (strlen(path) >= sizeof address.sun_path)
		return error_set(err, ENAMETOOLONG, "'%s': too long for a socket", path);
	*ret = strdup(path);
	return *ret ? 0 : error_set(err, ENOMEM, "out of memory");
}

static bool is_socket(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISSOCK(st.st_mode);
}

static int find_usual(char **ret, struct error *err)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char own[sizeof((struct sockaddr_un *)NULL)->sun_path] = "";
	const char *const usual[] = { "/var/run/docker.sock", own, "/run/podman/podman.sock" };

	if (runtime && *runtime == '/' &&
		snprintf(own, sizeof own, "%s/podman/podman.sock", runtime) >= (int)sizeof own)
		own[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
		if (is_socket(usual[i]))
			return take_socket(ret, usual[i], err);
	return error_set(err, EHOSTUNREACH,
		"no engine: there is no /var/run/docker.sock and no podman.sock"
		"\nhint: start docker.service or podman.socket, or set DOCKER_HOST=" UNIX "PATH");
}

int engine_socket(char **ret, const char *configured, struct error *err)
{
	const char *host = configured ? NULL : getenv("DOCKER_HOST");

	if (configured)
		return take_socket(ret, configured, err);
	if (!host || !*host)
		return find_usual(ret, err);
	if (strncmp(host, UNIX, strlen(UNIX)) != 0)
		return error_set(err, EOPNOTSUPP,
			"DOCKER_HOST='%s': only an engine on a unix socket can be read"
			"\nhint: forward its socket: ssh -L /tmp/docker.sock:/var/run/docker.sock "
			"HOST",
			host);
	return take_socket(ret, host + strlen(UNIX), err);
}

/* ---- asking it -------------------------------------------------------------------------- */

/* libcurl does not tell why a socket did not answer; it is tried once more to find out. */
static int explain(const struct daemon *daemon, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	CLEANUP(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int code;

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", daemon->socket);
	if (fd < 0 || !connect(fd, (const struct sockaddr *)&address, sizeof address))
		return -EHOSTUNREACH; /* with the text that is there */
	code = errno;
	if (code == EACCES || code == EPERM)
		return error_set(err, EACCES,
			"'%s': %s\nhint: it is for root and the group of the socket, mostly "
			"'docker'",
			daemon->socket, strerror(code));
	return error_set(err, EHOSTUNREACH,
		"'%s': no engine answers: %s\nhint: start docker.service or podman.socket",
		daemon->socket, strerror(code));
}

/* {"message":"..."}, made fit for a line. */
static void describe(struct buf *ret, const struct buf *body)
{
	CLEANUP(json_putp) struct json_object *document = NULL;
	CLEANUP(freep) char *message = NULL;

	if (!body->data || json_parse(&document, body->data, body->len, NULL) ||
		!json_object_is_type(document, json_type_object) ||
		json_get_string(document, "message", &message, NULL) || !message)
		return;
	(void)buf_append_text(ret, ": "); /* only words, as what follows */
	for (const char *text = message; *text && ret->len < DETAIL_MAX; text++)
		(void)buf_append(ret, *text >= ' ' && *text <= '~' ? text : "?", 1);
}

static int refused(const struct daemon *daemon, const char *subject, struct http_transfer *transfer,
	struct buf *body, struct error *err)
{
	long status = http_response(transfer)->status;
	int code = status == 404 ? ENOENT : status == 401 || status == 403 ? EACCES : EIO;
	CLEANUP(buf_release) struct buf own = { .max = HTTP_ERROR_BODY_MAX };
	CLEANUP(buf_release) struct buf detail = { .max = DETAIL_MAX + 1 };
	char piece[4096];
	ssize_t n;

	if (!body) {
		body = &own;
		while ((n = http_read(transfer, piece, sizeof piece, NULL)) > 0)
			if (buf_append(body, piece, (size_t)n))
				break;
	}
	describe(&detail, body);
	return error_set(err, code, "'%s': %s: status %ld%s", daemon->socket, subject, status,
		detail.data ? detail.data : "");
}

int engine_get(struct daemon *daemon, const char *path, const char *subject, struct buf *body,
	struct http_transfer **ret, struct cancel *cancel, struct error *err)
{
	CLEANUP(freep) char *url = NULL;
	struct http_request request = { .no_redirects = true };
	struct http_transfer *transfer = NULL;
	struct error ignored;
	int rc;

	err = err ? err : &ignored;
	if (asprintf(&url, "http://localhost%s", path) < 0) {
		url = NULL;
		return error_set(err, ENOMEM, "out of memory");
	}
	request.url = url;
	rc = body ? http_fetch(&transfer, daemon->http, &request, body, cancel, err)
		  : http_open(&transfer, daemon->http, &request, cancel, err);
	if (rc == -EHOSTUNREACH)
		return explain(daemon, err);
	if (rc)
		return error_prefix(err, rc, "'%s': %s", daemon->socket, subject);
	if (http_response(transfer)->status == 200) {
		*ret = transfer;
		return 0;
	}
	rc = refused(daemon, subject, transfer, body, err);
	http_close(transfer);
	return rc;
}
