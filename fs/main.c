/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the command line to a live mount and back.
 *
 * In the background form the parent forks at once, before there are threads,
 * and only waits for one byte: the child does everything, with the terminal
 * still there for messages, and writes its exit status when the kernel has
 * been answered or something failed.  So "exit 0" means "the mount is live".
 */
#include "fs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fetch/outside.h"
#include "fs/capture.h"
#include "fs/commands.h"
#include "fs/complete.h"
#include "fs/control.h"
#include "fs/device.h"
#include "fs/objects.h"
#include "fs/open.h"
#include "fs/places.h"
#include "fs/readiness.h"
#include "fs/replies.h"
#include "fs/sandbox.h"
#include "fs/spaces.h"
#include "fs/views.h"
#include "model/cleanup.h"
#include "version.h"

enum { OPEN_FILES = 65536 };

static void complain(const struct options *options, const struct error *err)
{
	const char *program = options->program ? options->program : "imgfs";

	(void)fprintf(stderr, "%s: %s\n", program, err->text);
}

/* --- environment --- */

/* Where a user's credentials and engine are, if it is his.  Root's are elsewhere without it. */
static void complete_runtime_directory(void)
{
	char path[sizeof "/run/user/" + 10];
	struct stat st;

	(void)snprintf(path, sizeof path, "/run/user/%u", getuid());
	if (getuid() && !lstat(path, &st) && S_ISDIR(st.st_mode) && st.st_uid == getuid())
		(void)setenv("XDG_RUNTIME_DIR", path, 1);
}

/* mount(8) and systemd start us with nearly nothing. */
static void complete_environment(void)
{
	const struct passwd *user;

	if (!getenv("PATH"))
		(void)setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
	if (!getenv("XDG_RUNTIME_DIR"))
		complete_runtime_directory();
	if (getenv("HOME"))
		return;
	user = getpwuid(getuid());
	if (user && user->pw_dir)
		(void)setenv(
			"HOME", user->pw_dir, 1); /* without it there is one place less to look */
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max < OPEN_FILES ? limit.rlim_max : OPEN_FILES;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* with fewer, fewer layers stay open */
}

/* All threads inherit this: signals go to the loop's signalfd alone. */
static void block_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGCHLD, SIG_DFL); /* credential helpers are waited for */
	(void)signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is a full disk, not the end */
}

/* --- what a mount is made of --- */

/* A cache that cannot be had is worth a warning, not a refusal. */
static int open_cache(struct fs *fs, struct error *err)
{
	const struct options *options = fs->options;
	CLEANUP(freep)
	char *path = options->cache_dir ? strdup(options->cache_dir) : options_default_cache_dir();
	struct error why = { "" };
	int rc;

	if (!path)
		return error_set(err, ENOMEM, "out of memory");
	rc = places_check_cache(options, path, err);
	if (rc)
		return rc;
	rc = cache_open(&fs->cache, path, options->cache_size, fs->observer, &why);
	if (!rc)
		return 0;
	if (options->offline)
		return error_prefix((*err = why, err), rc, "offline needs a cache");
	log_line(fs->log, LOG_LEVEL_WARNING, "%s; going on without a cache", why.text);
	return 0;
}

static int start_pools(struct fs *fs, struct error *err)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned cores = fs->options->max_threads ? (unsigned)fs->options->max_threads
			 : processors > 0         ? (unsigned)processors
						  : 1;
	const struct {
		const char *name;
		unsigned threads;
	} pools[POOL_COUNT] = {
		[POOL_LOOK] = { "look", cores },
		[POOL_REQUEST] = { "request", REQUEST_THREADS },
		[POOL_PIECE] = { "piece", (unsigned)fs->options->max_transfers },
		[POOL_TRANSFER] = { "transfer", (unsigned)fs->options->max_transfers },
		[POOL_WORK] = { "work", cores },
		[POOL_DECODE] = { "decode", cores },
	};

	fs->cores = cores;
	for (size_t i = 0; i < POOL_COUNT; i++) {
		int rc = pool_new(
			&fs->pools[i], pools[i].name, pools[i].threads, loop_job_ended, fs, err);

		if (rc)
			return rc;
	}
	return replies_start(fs, err);
}

/* --- the mount --- */

static char last_fuse_message[ERROR_TEXT_MAX];

/* What libfuse would print is the cause of what we print. */
static void keep_fuse_message(enum fuse_log_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)vsnprintf(last_fuse_message, sizeof last_fuse_message, fmt, ap);
	last_fuse_message[strcspn(last_fuse_message, "\n")] = '\0';
}

/* fsname may hold commas and backslashes, which separate options. */
static void put_escaped(struct buf *ret, const char *text)
{
	for (; *text; text++) {
		if (*text == ',' || *text == '\\')
			(void)buf_append(ret, "\\", 1);
		(void)buf_append(ret, text, 1);
	}
}

static char *mount_options(const struct options *options)
{
	bool is_trusted = options->is_helper && getuid() == 0;
	struct buf text;

	buf_init(&text, 64 << 10);
	(void)buf_printf(&text, "ro,max_read=%d,subtype=imgfs,fsname=", READ_MAX);
	put_escaped(&text, options->source);
	(void)buf_append_text(&text, is_trusted && options->suid ? ",suid" : ",nosuid");
	(void)buf_append_text(&text, is_trusted && options->dev ? ",dev" : ",nodev");
	if (options->allow_other)
		(void)buf_append_text(&text, ",allow_other");
	if (options->allow_root)
		(void)buf_append_text(&text, ",allow_root");
	if (options->default_permissions ||
		((options->allow_other || options->allow_root) && !options->no_default_permissions))
		(void)buf_append_text(&text, ",default_permissions");
	if (options->auto_unmount)
		(void)buf_append_text(&text, ",auto_unmount");
	if (buf_status(&text)) {
		buf_release(&text);
		return NULL;
	}
	return buf_take(&text, NULL);
}

/* For outside_call(), like unmount_session(): who is in the sandbox cannot mount. */
struct mounting {
	struct fs *fs;
	struct error *err;
};

/* libfuse says what is wrong, or fusermount3 does, which mounts for users. */
static int mount_failed(const struct options *options, const char *said, struct error *err)
{
	static const char speaker[] = "fusermount3: ";
	const char *cause = *said ? said : last_fuse_message;

	if (!places_is_mounted(options) && device_check(err))
		return -ENODEV;
	if (!strncmp(cause, speaker, strlen(speaker)))
		cause += strlen(speaker);
	if (strstr(cause, "user_allow_other"))
		return error_set(err, EPERM,
			"%s: allow_other is not allowed to users here\nhint: it needs "
			"'user_allow_other' in /etc/fuse.conf",
			options->mountpoint);
	return error_set(
		err, EIO, "%s: %s", options->mountpoint, *cause ? cause : "cannot be mounted");
}

static int mount_session(void *context)
{
	struct mounting *mounting = context;
	struct fs *fs = mounting->fs;
	struct error *err = mounting->err;
	CLEANUP(freep) char *list = mount_options(fs->options);
	char *argv[] = { fs->options->program, (char *)"-o", list, (char *)"-d", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(fs->options->debug ? 4 : 3, argv);
	struct capture capture;
	char said[256];
	int rc;

	if (!list)
		return error_set(err, ENOMEM, "out of memory");
	if (!fs->options->debug)
		fuse_set_log_func(keep_fuse_message);
	fs->session = fuse_session_new(&args, &fs_ops, sizeof fs_ops, fs);
	fuse_opt_free_args(&args);
	if (!fs->session)
		return error_set(err, EINVAL, "fuse: %s", last_fuse_message);
	capture_begin(&capture);
	rc = fuse_session_mount(fs->session, fs->options->mountpoint);
	capture_end(&capture, said, sizeof said);
	if (rc)
		return mount_failed(fs->options, said, err);
	rc = device_complete(fs, err);
	if (rc)
		fuse_session_unmount(fs->session);
	return rc;
}

static int unmount_session(void *context)
{
	struct fs *fs = context;

	fuse_session_unmount(fs->session);
	fuse_session_destroy(fs->session);
	return 0;
}

/* --- life --- */

struct herald {
	struct fs *fs;
	struct readiness readiness;
	bool is_background;
	bool is_detached; /* from the terminal */
};

/* Whoever waits for our output to end shall not wait for us. */
static void detach(struct herald *herald)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	log_detach(herald->fs->log);
	herald->is_detached = true;
	if (null < 0)
		return;
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(null, STDOUT_FILENO);
	(void)dup2(null, STDERR_FILENO);
	(void)close(null);
}

static int go_live(void *context, struct error *err)
{
	struct herald *herald = context;
	int rc = readiness_announce(&herald->readiness, err);

	if (rc || !herald->is_background)
		return rc;
	detach(herald);
	if (!readiness_tell_parent(&herald->readiness, STATUS_OK))
		fuse_session_exit(herald->fs->session);
	return 0;
}

static void fs_release(struct fs *fs)
{
	for (size_t i = 0; i < POOL_COUNT; i++)
		pool_free(fs->pools[i]);
	replies_stop(fs);
	if (fs->event_fd >= 0)
		loop_reap_last(fs);
	flavours_free(fs);
	spaces_free(fs);
	objects_free(fs);
	nodes_free(fs);
	store_free(fs->store);
	cache_close(fs->cache);
	if (fs->event_fd >= 0)
		loop_release(fs);
	log_free(fs->log);
}

static int fs_open(struct fs *fs, int parent_fd, struct error *err)
{
	int rc;

	rc = log_new(&fs->log, fs->options->log, fs->options->log_level, err);
	if (rc)
		return rc;
	fs->observer = log_observer(fs->log);
	fs->uid = getuid();
	fs->gid = getgid();
	(void)clock_gettime(CLOCK_REALTIME, &fs->mounted_at); /* cannot fail for this clock */
	fs->started_ms = now_ms();
	rc = loop_init(fs, err);
	if (!rc)
		rc = nodes_new(fs, err);
	if (!rc)
		rc = spaces_new(fs, err);
	if (!rc)
		rc = objects_new(fs, err);
	if (!rc)
		rc = open_cache(fs, err);
	if (rc)
		return rc;
	sandbox_enter(fs->cache ? cache_path(fs->cache) : NULL, fs->log);
	rc = log_start(fs->log, err);
	if (!rc)
		rc = open_root(fs, parent_fd, err);
	return rc ? rc : start_pools(fs, err);
}

static enum exit_status status_of(int rc)
{
	switch (rc) {
	case 0:
		return STATUS_OK;
	case -EPERM:
		return STATUS_USAGE;
	case -ENODEV:
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
	case -EAGAIN: /* no thread */
		return STATUS_SYSTEM;
	case -EINTR:
		return STATUS_INTERRUPTED;
	default:
		return STATUS_FAILED;
	}
}

struct service {
	const struct options *options;
	struct herald herald;
	enum exit_status status;
};

/* Everything from the probe to the unmount. */
static void serve_inside(void *context)
{
	struct service *service = context;
	const struct options *options = service->options;
	struct herald *herald = &service->herald;
	struct fs fs = {
		.options = options, .event_fd = -1, .notify_fd = herald->readiness.notify_fd
	};
	struct error err = { "" };
	struct mounting mounting = { &fs, &err };
	int rc;

	herald->fs = &fs;
	rc = fs_open(&fs, herald->readiness.parent_fd, &err);
	if (!rc)
		rc = outside_call(mount_session, &mounting);
	if (!rc) {
		if (herald->is_background && chdir("/") < 0)
			rc = error_set(&err, errno, "/: %s", strerror(errno));
		if (!rc)
			rc = loop_run(&fs, go_live, herald, &err);
	}
	if (fs.session)
		(void)outside_call(unmount_session, &fs);
	if (rc && herald->is_detached)
		log_line(fs.log, LOG_LEVEL_ERROR, "%s", err.text);
	readiness_close(&herald->readiness);
	fs_release(&fs); /* the log has been written by then */
	if (rc && !herald->is_detached)
		complain(options, &err);
	service->status = status_of(rc);
}

/* parent_fd: the end of a pipe that hears how it began, or -1. */
static enum exit_status serve(const struct options *options, int parent_fd)
{
	struct service service = { options, { .is_background = parent_fd >= 0 }, STATUS_SYSTEM };
	struct error err = { "" };
	int rc;

	block_signals();
	raise_file_limit();
	rc = readiness_open(&service.herald.readiness, options, parent_fd, &err);
	if (rc)
		service.status = STATUS_USAGE;
	else
		rc = outside_run(serve_inside, &service, &err);
	if (rc)
		complain(options, &err);
	(void)readiness_tell_parent(&service.herald.readiness, service.status);
	return service.status;
}

/* The child's word, or that it died without one. */
static enum exit_status await(int fd, pid_t child)
{
	unsigned char byte;
	int status;
	ssize_t n;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return byte;
	if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status))
		return (enum exit_status)WEXITSTATUS(status);
	return STATUS_BUG;
}

static enum exit_status serve_in_background(const struct options *options)
{
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC)) {
		(void)fprintf(stderr, "%s: pipe: %s\n", options->program, strerror(errno));
		return STATUS_SYSTEM;
	}
	child = fork();
	if (child < 0) {
		(void)fprintf(stderr, "%s: fork: %s\n", options->program, strerror(errno));
		return STATUS_SYSTEM;
	}
	if (child) {
		(void)close(ends[1]);
		return await(ends[0], child);
	}
	(void)close(ends[0]);
	(void)setsid();
	return serve(options, ends[1]);
}

/* Of those that whoever started us has closed, /dev/null is made: what is opened next would be
 * taken for them, and get our messages.  Programs that we start need them, too. */
static void complete_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	closep(&fd);
}

/* --- the command line --- */

static enum exit_status mount_image(const struct options *options)
{
	struct error err = { "" };

	if (places_check_mountpoint(options, &err) || places_check_options(options, &err)) {
		complain(options, &err);
		return STATUS_FAILED;
	}
	/* Credentials stay out of core files, and /proc/PID is for root alone. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	return options->foreground ? serve(options, -1) : serve_in_background(options);
}

static enum exit_status mount_command(int argc, char **argv)
{
	bool is_named = argc > 1 && !strcmp(argv[1], "mount");
	struct error err = { "" };
	enum options_action action;
	struct options options;
	enum exit_status status;
	int rc = options_parse(&options, &action, argc, argv, &err);

	if (rc) {
		complain(&options, &err);
		status = rc == -ENOENT   ? STATUS_FAILED
			 : rc == -ENOMEM ? STATUS_SYSTEM
					 : STATUS_USAGE;
	} else if (action == OPTIONS_HELP) {
		status = options.is_helper || is_named ? help_mount(options.program)
						       : help_overview();
	} else if (action == OPTIONS_VERSION) {
		status = puts("imgfs " IMGFS_VERSION) < 0 ? STATUS_SYSTEM : STATUS_OK;
	} else {
		status = options.fake ? STATUS_OK : mount_image(&options);
	}
	options_release(&options);
	return status;
}

int main(int argc, char **argv)
{
	bool is_helper = !strncmp(program_invocation_short_name, "mount.", 6);
	const char *word = argc > 1 && !is_helper ? argv[1] : "";
	const struct command *command = command_find(word);
	const char *meant = *word && !command ? command_meant(word) : NULL;

	complete_descriptors();
	complete_environment();
	if (!strcmp(word, "--complete")) /* for shells alone */
		return (int)complete_command(argc - 1, argv + 1);
	if (meant)
		return (int)command_unknown(word, meant);
	if (command && command->run)
		return (int)command->run(argc - 1, argv + 1);
	return (int)mount_command(argc, argv);
}
