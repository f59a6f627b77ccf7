/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credential helpers (docker-credential-helpers, README.md): "docker-credential-NAME get" reads
 * a server's name and writes
 *
 *	{ "ServerURL": ..., "Username": ..., "Secret": ... }
 *
 * or fails and writes why.  The user "<token>" has an identity token for a secret.
 *
 * A helper is somebody else's program, which may ask a daemon, a key in a slot or a cloud: it gets
 * a session of its own, so that it finds no terminal to prompt on, three descriptors, default
 * signals, a time and a size; and is killed with all of its group when it passes them.  What it
 * writes is read into memory that is wiped, and nowhere else: its words may hold the secret.
 */
#include "fetch/auth/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fetch/cancel.h"
#include "fetch/clock.h"
#include "fetch/outside.h"
#include "model/cleanup.h"
#include "model/json.h"

#define PREFIX    "docker-credential-"
#define NOT_FOUND "credentials not found in native keychain"

extern char **environ;

/* It becomes part of a program's name, which is looked for in $PATH: nothing that leads elsewhere.
 */
bool helper_name_is_valid(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-_+@";

	return *name && strlen(name) < NAME_MAX - sizeof PREFIX && !name[strspn(name, allowed)];
}

struct run {
	const char *name;
	pid_t pid;
	bool has_ended;
	int pidfd, out, wakeup;
	uint64_t deadline; /* ms */
	struct buf *answer;
};

static int fail(const struct run *run, int code, const char *what, struct error *err)
{
	return error_set(err, code, "credential helper '%s%s': %s", PREFIX, run->name, what);
}

/* Above the three that a child has, where dup2() could meet them. */
static int move_up(int *fd)
{
	int moved = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	if (moved < 0)
		return -errno;
	(void)close(*fd);
	*fd = moved;
	return 0;
}

static int make_pipe(int *ret_read, int *ret_write)
{
	CLEANUP(closep) int from = -1;
	CLEANUP(closep) int to = -1;
	int fds[2], rc;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	from = fds[0];
	to = fds[1];
	rc = move_up(&from);
	if (!rc)
		rc = move_up(&to);
	if (rc)
		return rc;
	*ret_read = TAKE_FD(from);
	*ret_write = TAKE_FD(to);
	return 0;
}

/* For outside_call(): a helper may write to its own files, and start programs. */
struct spawning {
	const char *program;
	int in, out;
	pid_t pid; /* the result */
};

static int spawn(void *context)
{
	struct spawning *spawning = context;
	char *const argv[] = { (char *)spawning->program, (char *)"get", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int rc;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	rc = posix_spawn_file_actions_init(&actions);
	if (rc)
		return -rc;
	rc = posix_spawnattr_init(&attributes);
	if (rc) {
		(void)posix_spawn_file_actions_destroy(&actions);
		return -rc;
	}
	/* These fail for want of memory only, and then the spawn is not tried. */
	rc = posix_spawn_file_actions_adddup2(&actions, spawning->in, STDIN_FILENO);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&actions, spawning->out, STDOUT_FILENO);
	if (!rc)
		rc = posix_spawn_file_actions_addopen(
			&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	if (!rc)
		rc = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	(void)posix_spawnattr_setsigdefault(&attributes, &all);
	(void)posix_spawnattr_setflags(
		&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	if (!rc)
		rc = posix_spawnp(
			&spawning->pid, spawning->program, &actions, &attributes, argv, environ);
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

/* The question lies in the pipe before anybody is there to read it: it is shorter than a pipe
 * holds. */
static int start(struct run *run, const char *server, struct error *err)
{
	CLEANUP(closep) int in = -1;
	CLEANUP(closep) int question = -1;
	CLEANUP(closep) int out = -1;
	CLEANUP(freep) char *program = NULL;
	struct spawning spawning = { .pid = 0 };
	size_t len = strlen(server);
	int rc;

	if (asprintf(&program, PREFIX "%s", run->name) < 0) {
		program = NULL;
		return error_set(err, ENOMEM, "out of memory");
	}
	rc = make_pipe(&in, &question);
	if (!rc)
		rc = make_pipe(&run->out, &out);
	if (!rc && (len > PIPE_BUF || write(question, server, len) != (ssize_t)len ||
			   fcntl(run->out, F_SETFL, O_NONBLOCK)))
		rc = -EIO;
	if (!rc)
		spawning = (struct spawning){ program, in, out, 0 };
	if (!rc)
		rc = outside_call(spawn, &spawning);
	run->pid = spawning.pid;
	if (rc == -ENOENT)
		return fail(run, ENOENT, "no such program in $PATH", err);
	if (rc)
		return fail(run, -rc, strerror(-rc), err);
	run->pidfd = pidfd_open(run->pid, 0);
	return run->pidfd < 0 ? fail(run, errno, strerror(errno), err) : 0;
}

/* Returns 1 when there is no more. */
static int read_some(struct run *run, struct error *err)
{
	char piece[4096];
	ssize_t n = read(run->out, piece, sizeof piece);
	int rc = 0;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0
							 : fail(run, errno, strerror(errno), err);
	if (n && buf_append(run->answer, piece, (size_t)n))
		rc = fail(run, -buf_status(run->answer), "it writes too much", err);
	explicit_bzero(piece, sizeof piece);
	return rc ? rc : !n;
}

static int wait_once(struct run *run, struct pollfd polled[static 3], struct error *err)
{
	uint64_t now = now_ms();

	if (now >= run->deadline)
		return fail(run, ETIMEDOUT, "no answer in time", err);
	if (poll(polled, 3, (int)(run->deadline - now)) < 0 && errno != EINTR)
		return fail(run, errno, strerror(errno), err);
	return 0;
}

/* Until it has ended; what others have inherited its output for is not waited for. */
static int listen_to(struct run *run, struct error *err)
{
	struct pollfd polled[] = { { .fd = run->wakeup, .events = POLLIN },
		{ .fd = run->pidfd, .events = POLLIN }, { .fd = run->out, .events = POLLIN } };
	int rc = 0;

	while (!rc && !run->has_ended) {
		rc = wait_once(run, polled, err);
		if (!rc && polled[0].revents)
			rc = error_set(err, EINTR, "interrupted");
		run->has_ended = !rc && polled[1].revents;
		if (!rc && polled[2].revents) {
			rc = read_some(run, err);
			if (rc == 1) {
				polled[2].fd = -1; /* poll() passes it over */
				rc = 0;
			}
		}
	}
	if (polled[2].fd < 0)
		return rc;
	for (size_t before = SIZE_MAX; !rc && run->answer->len != before;) {
		before = run->answer->len;
		rc = read_some(run, err);
	}
	return rc == 1 ? 0 : rc;
}

static void finish(struct run *run, int *ret_status)
{
	if (!run->has_ended)
		(void)kill(-run->pid, SIGKILL);
	while (waitpid(run->pid, ret_status, 0) < 0 && errno == EINTR)
		continue;
}

static void wake(void *context)
{
	const uint64_t one = 1;

	if (write(*(const int *)context, &one, sizeof one) < 0)
		return; /* the counter is full: it is awake */
}

static int run_helper(struct run *run, const char *server, int *ret_status, struct cancel *cancel,
	struct error *err)
{
	int rc = start(run, server, err);

	if (!rc && !cancel_watch(cancel, wake, &run->wakeup))
		rc = error_set(err, EINTR, "interrupted");
	else if (!rc) {
		rc = listen_to(run, err);
		cancel_unwatch(cancel);
	}
	if (run->pid)
		finish(run, ret_status);
	return rc;
}

static bool says_not_found(const struct buf *answer)
{
	static const char blanks[] = " \t\r\n";
	const char *from = answer->data ? answer->data : "";
	size_t len;

	from += strspn(from, blanks);
	len = strlen(from);
	while (len && strchr(blanks, from[len - 1]))
		len--;
	return len == strlen(NOT_FOUND) && !strncmp(from, NOT_FOUND, len);
}

int helper_answer_parse(struct credential *ret, const char *text, size_t len, struct error *err)
{
	CLEANUP(json_members_release) struct json_members members = { 0 };
	CLEANUP(credential_release) struct credential credential = { .key = NULL };
	int rc = json_members_parse(&members, text, len, err);

	if (!rc)
		rc = json_members_check_unique(&members, err);
	if (!rc)
		rc = json_members_string(&members, "Username", &credential.user, err);
	if (!rc)
		rc = json_members_string(&members, "Secret", &credential.password, err);
	if (rc)
		return rc;
	if (!credential.password || !*credential.password) /* as docker-credential-helpers has it */
		return 0;
	if (!credential.user || strchr(credential.user, ':'))
		return error_set(err, EIO, "no user name that can be sent"); /* RFC 7617 2 */
	rc = credential_find_token(&credential, err);
	if (rc)
		return rc;
	*ret = credential;
	credential = (struct credential){ .key = NULL };
	return 0;
}

int helper_get(struct credential *ret, const char *name, const char *server, uint64_t timeout_ms,
	struct cancel *cancel, struct error *err)
{
	CLEANUP(buf_release) struct buf answer;
	struct run run = { .name = name,
		.pidfd = -1,
		.out = -1,
		.wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.deadline = now_ms() + timeout_ms,
		.answer = &answer };
	struct error why;
	char text[64];
	int status = 0, rc;

	buf_init_secret(&answer, HELPER_ANSWER_MAX);
	if (run.wakeup < 0)
		return fail(&run, errno, strerror(errno), err);
	rc = run_helper(&run, server, &status, cancel, err);
	closep(&run.wakeup);
	closep(&run.pidfd);
	closep(&run.out);
	if (rc || says_not_found(&answer))
		return rc;
	if (status) {
		(void)snprintf(text, sizeof text,
			WIFEXITED(status) ? "exit status %d" : "signal %d",
			WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
		return fail(&run, EIO, text, err);
	}
	rc = helper_answer_parse(ret, answer.data ? answer.data : "", answer.len, &why);
	return rc ? fail(&run, -rc, why.text, err) : 0;
}
