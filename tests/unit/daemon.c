/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's images, from tests/fakeengine.py, which makes them and notes what it is asked for.
 */
#include "fetch/daemon/daemon.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "fetch/cache/cache.h"
#include "fetch/cancel.h"
#include "fetch/daemon/internal.h"
#include "fetch/reader.h"
#include "model/cleanup.h"
#include "model/image.h"
#include "tests/unit/cases.h"
#include "tests/unit/faultserver.h"

enum { IMAGES = DAEMON_OPEN_MAX + 6 };

static struct {
	pid_t pid;
	char dir[64], socket[80];
	char ids[IMAGES][DIGEST_TEXT_MAX], layers[IMAGES][DIGEST_TEXT_MAX];
} engine;
static struct test_observer observer;

/* ---- names -------------------------------------------------------------------------------- */

#define ID(c) "\"Id\":\"sha256:" c c c c c c c c "\""
#define A     "aaaaaaaa"
#define B     "bbbbbbbb"

static const struct names_case {
	const char *name, *text;
	int rc;
	const char *names; /* REPOSITORY|TAG, joined by blanks */
} names_cases[] = {
	{ "none", "[]", 0, "" },
	{ "one", "[{" ID(A) ",\"RepoTags\":[\"nginx:1.0\"]}]", 0, "nginx|1.0" },
	{ "several, of two images",
		"[{" ID(A) ",\"RepoTags\":[\"a:1\",\"b/c:2\"]},{" ID(B) ",\"RepoTags\":[\"a:3\"]}]",
		0, "a|1 b/c|2 a|3" },
	{ "a port", "[{" ID(A) ",\"RepoTags\":[\"localhost:5000/x:1\"]}]", 0,
		"localhost:5000/x|1" },
	{ "Podman's", "[{" ID(A) ",\"RepoTags\":[\"localhost/x:latest\"],\"Names\":[]}]", 0,
		"localhost/x|latest" },
	{ "RepoTags null", "[{" ID(A) ",\"RepoTags\":null}]", 0, "" },
	{ "no RepoTags", "[{" ID(A) "}]", 0, "" },
	{ "no RepoTags in it", "[{" ID(A) ",\"RepoTags\":[]}]", 0, "" },
	{ "none of none", "[{" ID(A) ",\"RepoTags\":[\"<none>:<none>\"]}]", 0, "" },
	{ "no tag",
		"[{" ID(A) ",\"RepoTags\":[\"x\",\"h:5000/x\",\":1\",\"x:\",\"/x:1\",\"a//b:1\","
			   "\"y:2\"]}]",
		0, "y|2" },
	{ "no proper id",
		"[{\"Id\":\"../../x\",\"RepoTags\":[\"a:1\"]},{\"RepoTags\":[\"b:1\"]},"
		"{\"Id\":7,\"RepoTags\":[\"c:1\"]},3,{" ID(A) ",\"RepoTags\":[\"d:1\"]}]",
		0, "d|1" },
	{ "names that are no text", "[{" ID(A) ",\"RepoTags\":[7]}]", 0, "" },
	{ "an object", "{\"message\":\"x\"}", -EIO, NULL },
	{ "not JSON", "<html>", -EIO, NULL },
	{ "nothing", "", -EIO, NULL },
};

static void parses_names(void **state)
{
	const struct names_case *c = *state;
	struct daemon_names names = { NULL, 0 };
	char joined[256] = "";
	struct error err;
	size_t used = 0;

	assert_int_equal(daemon_names_parse(&names, c->text, strlen(c->text), &err), c->rc);
	for (size_t i = 0; i < names.count; i++)
		used += (size_t)sprintf(joined + used, "%s%s|%s", i ? " " : "",
			names.items[i].repository, names.items[i].tag);
	if (c->names)
		assert_string_equal(joined, c->names);
	daemon_names_release(&names);
}

/* ---- the socket --------------------------------------------------------------------------- */

static const struct socket_case {
	const char *name, *host; /* $DOCKER_HOST */
	int rc;
	const char *socket, *error;
} socket_cases[] = {
	{ "by DOCKER_HOST", "unix:///run/x.sock", 0, "/run/x.sock", NULL },
	{ "tcp", "tcp://127.0.0.1:2375", -EOPNOTSUPP, NULL, "DOCKER_HOST='tcp://127.0.0.1:2375'" },
	{ "ssh", "ssh://host", -EOPNOTSUPP, NULL, "hint:" },
	{ "too long",
		"unix:///xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
		-ENAMETOOLONG, NULL, NULL },
};

static void finds_socket(void **state)
{
	const struct socket_case *c = *state;
	CLEANUP(freep) char *socket = NULL;
	struct error err = { "" };

	assert_int_equal(setenv("DOCKER_HOST", c->host, 1), 0);
	assert_int_equal(engine_socket(&socket, NULL, &err), c->rc);
	assert_int_equal(unsetenv("DOCKER_HOST"), 0);
	if (c->socket)
		assert_string_equal(socket, c->socket);
	if (c->error && !strstr(err.text, c->error))
		fail_msg("'%s' lacks '%s'", err.text, c->error);
}

/* Podman's, of the user; where Docker's is not there. */
static void finds_own_socket(void **state)
{
	CLEANUP(freep) char *socket = NULL;
	char command[256], path[128];

	(void)state;
	if (!access("/var/run/docker.sock", F_OK))
		skip();
	(void)snprintf(command, sizeof command,
		"cd %s && mkdir -p podman && ln -sf ../socket podman/podman.sock", engine.dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", engine.dir, 1), 0);
	assert_int_equal(engine_socket(&socket, NULL, NULL), 0);
	(void)snprintf(path, sizeof path, "%s/podman/podman.sock", engine.dir);
	assert_string_equal(socket, path);
}

/* ---- what the engine is asked for, and how it fails ------------------------------------------ */

static void set_fault(const char *fault)
{
	char path[128];

	(void)snprintf(path, sizeof path, "%s/fault", engine.dir);
	if (fault)
		write_file(engine.dir, "fault", fault, strlen(fault));
	else
		(void)unlink(path);
}

static size_t count_saved(void)
{
	char path[128], line[256];
	size_t count = 0;
	FILE *log;

	(void)snprintf(path, sizeof path, "%s/log", engine.dir);
	log = fopen(path, "r");
	while (log && fgets(line, sizeof line, log))
		count += strstr(line, "/get") != NULL;
	if (log)
		(void)fclose(log);
	return count;
}

static struct source *open_source(struct cache *cache)
{
	const struct daemon_config config = { .socket = engine.socket, .cache = cache };
	struct source *source = NULL;
	struct error err;

	test_observer_init(&observer);
	if (daemon_open(&source, &config, &observer.base, &err))
		fail_msg("%s", err.text);
	return source;
}

static int resolve_number(struct source *source, unsigned number, struct descriptor *ret,
	struct cancel *cancel, struct error *err)
{
	char repository[32];

	(void)snprintf(repository, sizeof repository, "demo/%u", number);
	return source->ops->resolve(source, repository, "1.0", ret, cancel, err);
}

static struct digest digest_from(const char *text)
{
	struct digest digest;

	assert_int_equal(digest_parse(&digest, text, NULL), 0);
	return digest;
}

static void check_layer(struct source *source, unsigned number)
{
	const struct digest layer = digest_from(engine.layers[number]);
	CLEANUP(readerp) struct reader *reader = NULL;
	struct digest found;
	char bytes[64 << 10];
	struct error err;
	ssize_t n;

	if (source->ops->open_reader(source, &layer, &reader, NULL, &err))
		fail_msg("%s", err.text);
	n = reader_read(reader, bytes, sizeof bytes, 0, &err);
	assert_true(n > 0);
	assert_int_equal(digest_of(&found, DIGEST_SHA256, bytes, (size_t)n, NULL), 0);
	assert_true(digest_equal(&found, &layer));
}

/* The manifest names the config, whose digest is the image's id, and the layer. */
static void check_manifest(struct source *source, unsigned number, const struct descriptor *found)
{
	const struct digest id = digest_from(engine.ids[number]);
	const struct digest layer = digest_from(engine.layers[number]);
	struct image image = { .layers = NULL };
	CLEANUP(freep) char *type = NULL;
	struct digest digest;
	struct error err;
	struct buf body;

	buf_init(&body, DOCUMENT_MAX);
	if (source->ops->manifest(source, "x", &found->digest, &body, &type, NULL, &err))
		fail_msg("%s", err.text);
	assert_string_equal(type, found->media_type);
	assert_int_equal(body.len, found->size);
	assert_int_equal(digest_of(&digest, DIGEST_SHA256, body.data, body.len, NULL), 0);
	assert_true(digest_equal(&digest, &found->digest));
	assert_int_equal(image_parse(&image, DOCUMENT_SCHEMA2, body.data, body.len, &err), 0);
	assert_true(digest_equal(&image.config.digest, &id));
	assert_int_equal(image.layer_count, 1);
	assert_true(digest_equal(&image.layers[0].digest, &layer));
	image_release(&image);
	buf_release(&body);
}

static void lists(void **state)
{
	struct source *source = open_source(NULL);
	struct name_list list = { NULL, 0 };
	struct error err;

	(void)state;
	assert_true(source->is_local);
	assert_int_equal(source->ops->repositories(source, &list, NULL, &err), 0);
	assert_int_equal(list.count, IMAGES + 1);
	assert_true(name_list_has(&list, "localhost:5000/demo"));
	name_list_release(&list);
	assert_int_equal(source->ops->tags(source, "demo/0", &list, NULL, &err), 0);
	assert_int_equal(list.count, 1);
	assert_string_equal(list.names[0], "1.0");
	name_list_release(&list);
	assert_int_equal(source->ops->tags(source, "demo", &list, NULL, &err), -ENOENT);
	assert_int_equal(source->ops->probe(source, NULL, NULL, &err), 0);
	assert_int_equal(source->ops->probe(source, "demo/0", NULL, &err), 0);
	assert_int_equal(source->ops->probe(source, "demo", NULL, &err), -ENOENT);
	source_free(source);
}

static void reads_image(void **state)
{
	struct descriptor first = { .media_type = NULL }, second = { .media_type = NULL };
	struct descriptor blob = { .digest = digest_from(engine.layers[0]) };
	struct source *source = open_source(NULL);
	struct blob_stream *stream = NULL;
	size_t saved = count_saved();
	struct error err = { "" };
	char byte[2];
	uint64_t offset;

	(void)state;
	if (resolve_number(source, 0, &first, NULL, &err))
		fail_msg("%s", err.text);
	check_manifest(source, 0, &first);
	check_layer(source, 0);
	assert_int_equal(
		source->ops->open_blob(source, "x", &blob, 4, &stream, &offset, NULL, &err), 0);
	assert_true(offset == 4);
	assert_int_equal(stream->ops->read(stream, byte, 2, &err), 2);
	assert_memory_equal(byte, "nu", 2); /* of "etc/number" */
	stream->ops->free(stream);
	assert_int_equal(
		source->ops->resolve(source, "localhost:5000/demo", "x", &second, NULL, &err), 0);
	assert_true(digest_equal(&first.digest, &second.digest));
	assert_int_equal(count_saved(), saved + 1);
	descriptor_release(&first);
	descriptor_release(&second);
	source_free(source);
}

static void knows_what_is_not_there(void **state)
{
	const struct digest digest = digest_from(engine.layers[0]);
	struct source *source = open_source(NULL);
	struct descriptor found = { .media_type = NULL };
	struct reader *reader = NULL;
	struct blob_stream *stream = NULL;
	struct error err;
	struct buf body;

	(void)state;
	buf_init(&body, 100);
	assert_int_equal(
		source->ops->resolve(source, "demo/0", "2.0", &found, NULL, &err), -ENOENT);
	assert_int_equal(source->ops->open_reader(source, &digest, &reader, NULL, &err), -ENOENT);
	assert_int_equal(
		source->ops->manifest(source, "x", &digest, &body, NULL, NULL, &err), -ENOENT);
	assert_int_equal(source->ops->open_layer(source, "x", "..", &stream, NULL, &err), -ENOENT);
	buf_release(&body);
	source_free(source);
}

static const struct fault_case {
	const char *name, *fault;
	int rc;
	const char *error;
} fault_cases[] = {
	{ "the engine fails", "500", -EIO, "no ? luck" },
	{ "the engine knows no such thing", "404", -ENOENT, NULL },
	{ "the archive breaks off", "cut", -EIO, NULL },
	{ "the archive is none", "garbage", -EIO, NULL },
};

static void survives_fault(void **state)
{
	const struct fault_case *c = *state;
	struct source *source = open_source(NULL);
	struct descriptor found = { .media_type = NULL };
	struct error err = { "" };

	set_fault(c->fault);
	assert_int_equal(resolve_number(source, 1, &found, NULL, &err), c->rc);
	if (c->error && !strstr(err.text, c->error))
		fail_msg("'%s' lacks '%s'", err.text, c->error);
	set_fault(NULL);
	assert_int_equal(resolve_number(source, 1, &found, NULL, &err), 0);
	check_manifest(source, 1, &found);
	descriptor_release(&found);
	source_free(source);
}

struct resolver {
	struct source *source;
	struct cancel cancel;
	int rc;
};

/* Opens the first one's layer, whose archive is closed by then. */
static void *open_and_tell(void *context)
{
	struct resolver *resolver = context;
	const struct digest layer = digest_from(engine.layers[0]);
	CLEANUP(readerp) struct reader *reader = NULL;

	resolver->rc = resolver->source->ops->open_reader(
		resolver->source, &layer, &reader, &resolver->cancel, NULL);
	return NULL;
}

static void *resolve_and_tell(void *context)
{
	struct resolver *resolver = context;
	struct descriptor found = { .media_type = NULL };

	resolver->rc = resolve_number(resolver->source, 2, &found, &resolver->cancel, NULL);
	descriptor_release(&found);
	return NULL;
}

static void interrupt(struct resolver *resolver, void *(*ask)(void *))
{
	uint64_t requests = observer.base.counters.http_requests;
	pthread_t thread;

	set_fault("hang");
	cancel_init(&resolver->cancel);
	assert_int_equal(pthread_create(&thread, NULL, ask, resolver), 0);
	while (observer.base.counters.http_requests == requests)
		usleep(1000);
	cancel_set(&resolver->cancel);
	(void)pthread_join(thread, NULL);
	set_fault(NULL);
	assert_int_equal(resolver->rc, -EINTR);
	cancel_release(&resolver->cancel);
}

static void is_interrupted(void **state)
{
	struct resolver resolver = { .source = open_source(NULL) };

	(void)state;
	interrupt(&resolver, resolve_and_tell);
	for (unsigned i = 0; i < IMAGES; i++) {
		struct descriptor found = { .media_type = NULL };

		assert_int_equal(resolve_number(resolver.source, i, &found, NULL, NULL), 0);
		descriptor_release(&found);
	}
	interrupt(&resolver, open_and_tell);
	source_free(resolver.source);
}

/* However many ask for an image at once, it is saved once. */
static void saves_once(void **state)
{
	struct resolver resolvers[8] = { { NULL } };
	struct source *source = open_source(NULL);
	pthread_t threads[ARRAY_SIZE(resolvers)];
	size_t saved = count_saved();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		resolvers[i].source = source;
		cancel_init(&resolvers[i].cancel);
		assert_int_equal(
			pthread_create(&threads[i], NULL, resolve_and_tell, &resolvers[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		(void)pthread_join(threads[i], NULL);
		assert_int_equal(resolvers[i].rc, 0);
		cancel_release(&resolvers[i].cancel);
	}
	assert_int_equal(count_saved(), saved + 1);
	source_free(source);
}

/* The ones closed meanwhile are opened again by what is in them. */
static void opens_many(void **state)
{
	struct source *source = open_source(NULL);
	struct descriptor first = { .media_type = NULL };
	size_t saved = count_saved();

	(void)state;
	for (unsigned i = 0; i < IMAGES; i++) {
		struct descriptor found = { .media_type = NULL };

		assert_int_equal(resolve_number(source, i, i ? &found : &first, NULL, NULL), 0);
		descriptor_release(&found);
	}
	assert_int_equal(count_saved(), saved + IMAGES);
	check_layer(source, IMAGES - 1);
	assert_int_equal(count_saved(), saved + IMAGES);
	check_layer(source, 0);
	assert_int_equal(count_saved(), saved + IMAGES + 1);
	check_manifest(source, 0, &first);
	assert_int_equal(count_saved(), saved + IMAGES + 1);
	descriptor_release(&first);
	source_free(source);
}

/* ---- with a cache ------------------------------------------------------------------------- */

static struct cache *open_cache(uint64_t size_max)
{
	struct cache *cache = NULL;
	struct error err;
	char path[128];

	(void)snprintf(path, sizeof path, "%s/cache", engine.dir);
	if (cache_open(&cache, path, size_max, &observer.base, &err))
		fail_msg("%s", err.text);
	return cache;
}

static void resolve_once(struct cache *cache, struct digest *ret)
{
	struct source *source = open_source(cache);
	struct descriptor found = { .media_type = NULL };
	struct error err = { "" };

	if (resolve_number(source, 3, &found, NULL, &err))
		fail_msg("%s", err.text);
	check_manifest(source, 3, &found);
	check_layer(source, 3);
	*ret = found.digest;
	descriptor_release(&found);
	source_free(source);
}

static void keeps_archive(void **state)
{
	struct cache *cache;
	struct digest first, second;
	size_t saved = count_saved();

	(void)state;
	test_observer_init(&observer);
	cache = open_cache(1 << 30);
	resolve_once(cache, &first);
	assert_int_equal(count_saved(), saved + 1);
	cache_close(cache);
	cache = open_cache(1 << 30);
	resolve_once(cache, &second);
	assert_int_equal(count_saved(), saved + 1);
	assert_true(digest_equal(&first, &second));
	cache_close(cache);
}

static const struct damage_case {
	const char *name;
	const char *command; /* with the file in $f */
} damage_cases[] = {
	{ "no archive in the cache any more",
		"dd if=/dev/urandom of=$f bs=512 count=30 conv=notrunc 2>/dev/null" },
	/* Behind two headers lies what the layer's only file holds. */
	{ "a bit of a layer in the cache was flipped",
		"printf X | dd of=$f bs=1 seek=1024 conv=notrunc 2>/dev/null" },
	{ "a bit of a config in the cache was flipped", "sed -i s/2020-/2021-/ $f" },
};

/* Of its right size, but not what it was. */
static void replaces_damaged_archive(void **state)
{
	const struct damage_case *c = *state;
	struct cache *cache;
	struct digest digest;
	char command[256];
	size_t saved;

	test_observer_init(&observer);
	cache = open_cache(1 << 30);
	resolve_once(cache, &digest);
	saved = count_saved();
	(void)snprintf(command, sizeof command,
		"for f in %s/cache/blobs/sha256/*; do chmod u+w $f; %s; done", engine.dir,
		c->command);
	assert_int_equal(system(command), 0);
	resolve_once(cache, &digest);
	assert_int_equal(count_saved(), saved + 1);
	cache_close(cache);
}

static void goes_without_room(void **state)
{
	struct cache *cache;
	struct digest digest;

	(void)state;
	test_observer_init(&observer);
	cache = open_cache(1000);
	resolve_once(cache, &digest);
	cache_close(cache);
}

/* What the engine does not list any more is not given away. */
static void asks_before_it_serves(void **state)
{
	struct descriptor found = { .media_type = NULL };
	struct source *source;
	struct cache *cache;
	struct digest digest;
	char from[128], to[128];
	int rc;

	(void)state;
	test_observer_init(&observer);
	cache = open_cache(1 << 30);
	resolve_once(cache, &digest);
	(void)snprintf(from, sizeof from, "%s/images.json", engine.dir);
	(void)snprintf(to, sizeof to, "%s/images.old", engine.dir);
	assert_int_equal(rename(from, to), 0);
	write_file(engine.dir, "images.json", "[]", 2);
	source = open_source(cache);
	rc = resolve_number(source, 3, &found, NULL, NULL);
	assert_int_equal(rename(to, from), 0);
	assert_int_equal(rc, -ENOENT);
	source_free(source);
	cache_close(cache);
}

/* ---- no engine ---------------------------------------------------------------------------- */

static void nobody_is_there(void **state)
{
	const struct daemon_config config = { .socket = "/nonexistent/engine.sock" };
	struct source *source = NULL;
	struct error err = { "" };

	(void)state;
	test_observer_init(&observer);
	assert_int_equal(daemon_open(&source, &config, &observer.base, &err), 0);
	assert_int_equal(source->ops->probe(source, NULL, NULL, &err), -EHOSTUNREACH);
	assert_non_null(strstr(err.text, "/nonexistent/engine.sock"));
	assert_non_null(strstr(err.text, "hint:"));
	source_free(source);
}

/* A child that is nobody: 0 when it is told what it lacks. */
static int try_as_nobody(const char *socket)
{
	const struct daemon_config config = { .socket = socket };
	struct source *source = NULL;
	struct error err = { "" };

	if (setgid(65534) || setuid(65534) || daemon_open(&source, &config, &observer.base, &err))
		return 1;
	if (source->ops->probe(source, NULL, NULL, &err) != -EACCES)
		return 2;
	return strstr(err.text, "docker") ? 0 : 3;
}

static void is_forbidden(void **state)
{
	int status = 0;
	pid_t pid;

	(void)state;
	if (getuid())
		skip();
	test_observer_init(&observer);
	assert_int_equal(chmod(engine.dir, 0755), 0);
	assert_int_equal(chmod(engine.socket, 0600), 0);
	pid = fork();
	if (!pid)
		_exit(try_as_nobody(engine.socket));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- set-up ------------------------------------------------------------------------------- */

static void read_facts(void)
{
	char path[128];
	FILE *facts;

	(void)snprintf(path, sizeof path, "%s/facts", engine.dir);
	facts = fopen(path, "r");
	for (size_t i = 0; facts && i < IMAGES; i++)
		if (fscanf(facts, "%135s %135s", engine.ids[i], engine.layers[i]) != 2)
			fault_die(path);
	if (!facts || fclose(facts))
		fault_die(path);
}

static int start_engine(void **state)
{
	char count[16];
	const char *argv[] = { "python3", FAKEENGINE, engine.dir, count, NULL };
	posix_spawn_file_actions_t actions;
	int pipes[2];

	(void)state;
	(void)snprintf(count, sizeof count, "%d", IMAGES);
	(void)snprintf(engine.dir, sizeof engine.dir, "/tmp/imgfs-unit-XXXXXX");
	if (!mkdtemp(engine.dir) || pipe2(pipes, O_CLOEXEC))
		fault_die("mkdtemp");
	(void)snprintf(engine.socket, sizeof engine.socket, "%s/socket", engine.dir);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, pipes[1], 2);
	extern char **environ;
	if (posix_spawnp(&engine.pid, "python3", &actions, NULL, (char *const *)argv, environ))
		fault_die("python3");
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(pipes[1]);
	await_line(pipes[0]);
	(void)close(pipes[0]);
	read_facts();
	return 0;
}

static int stop_engine(void **state)
{
	char command[128];

	(void)state;
	(void)kill(engine.pid, SIGTERM);
	(void)waitpid(engine.pid, NULL, 0);
	(void)snprintf(command, sizeof command, "rm -rf %s", engine.dir);
	return system(command);
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(names_cases); i++)
		add(names_cases[i].name, parses_names, &names_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(socket_cases); i++)
		add(socket_cases[i].name, finds_socket, &socket_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(fault_cases); i++)
		add(fault_cases[i].name, survives_fault, &fault_cases[i]);
	add("the user's own socket", finds_own_socket, NULL);
	add("lists", lists, NULL);
	add("an image", reads_image, NULL);
	add("what is not there", knows_what_is_not_there, NULL);
	add("interrupted", is_interrupted, NULL);
	add("an image is saved once", saves_once, NULL);
	add("more images than may be open", opens_many, NULL);
	add("a cache keeps archives", keeps_archive, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(damage_cases); i++)
		add(damage_cases[i].name, replaces_damaged_archive, &damage_cases[i]);
	add("a cache without room", goes_without_room, NULL);
	add("an image that is listed no more", asks_before_it_serves, NULL);
	add("nobody is there", nobody_is_there, NULL);
	add("a socket of others", is_forbidden, NULL);
	return _cmocka_run_group_tests("daemon", tests, test_count, start_engine, stop_engine);
}
