/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faultserver -- for tests: runs tests/faultregistry.py on loopback over a
 * small layout made on the spot, and speaks to its control endpoints by a
 * socket of its own, so that nothing of what is tested is used to test it.
 *
 * Repository "app" has the blobs small (100,000 bytes) and big (6 MiB), and
 * tag "v1", whose manifest names both.
 */
#ifndef TESTS_UNIT_FAULTSERVER_H
#define TESTS_UNIT_FAULTSERVER_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fetch/observer.h"

enum { SMALL_LEN = 100000, BIG_LEN = 6 << 20, SERVER_ARGS_MAX = 24 };

struct fault_server {
	pid_t pid;
	int port, cdn_port;
	bool speaks_tls; /* its control endpoints, too: set by the test */
	char dir[64];
	unsigned char *small, *big;
	char small_digest[80], big_digest[80], manifest_digest[80];
	char *manifest;
};

/* An observer that keeps its lines. */
struct test_observer {
	struct observer base;
	pthread_mutex_t lock;
	pthread_cond_t logged;
	char lines[16384];
};

static inline void test_log(struct observer *observer, enum log_level level, const char *text)
{
	struct test_observer *test = (struct test_observer *)observer;
	size_t used;

	(void)level;
	(void)pthread_mutex_lock(&test->lock);
	used = strlen(test->lines);
	(void)snprintf(test->lines + used, sizeof test->lines - used, "%s\n", text);
	(void)pthread_cond_broadcast(&test->logged);
	(void)pthread_mutex_unlock(&test->lock);
}

static inline void test_observer_init(struct test_observer *test)
{
	memset(test, 0, sizeof *test);
	test->base.log = test_log;
	(void)pthread_mutex_init(&test->lock, NULL);
	(void)pthread_cond_init(&test->logged, NULL);
}

/* Waits until a line that holds text was logged. */
static inline void test_observer_wait(struct test_observer *test, const char *text)
{
	(void)pthread_mutex_lock(&test->lock);
	while (!strstr(test->lines, text))
		(void)pthread_cond_wait(&test->logged, &test->lock);
	(void)pthread_mutex_unlock(&test->lock);
}

#define fault_die(what)                                                                            \
	do {                                                                                       \
		perror(what);                                                                      \
		exit(1);                                                                           \
	} while (0)

static inline void sha256_text(char text[static 80], const void *bytes, size_t len)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned md_len = 0;

	if (!EVP_Digest(bytes, len, md, &md_len, EVP_sha256(), NULL))
		exit(1);
	memcpy(text, "sha256:", 8);
	for (unsigned i = 0; i < md_len; i++)
		(void)sprintf(text + 7 + 2 * i, "%02x", md[i]);
}

static inline void write_file(const char *dir, const char *name, const void *bytes, size_t len)
{
	char path[512];
	FILE *file;

	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	file = fopen(path, "w");
	if (!file || fwrite(bytes, 1, len, file) != len || fclose(file))
		fault_die(path);
}

static inline void write_blob(
	const char *dir, char digest[static 80], const void *bytes, size_t len)
{
	char name[320];

	sha256_text(digest, bytes, len);
	(void)snprintf(name, sizeof name, "layout/blobs/sha256/%s", digest + 7);
	write_file(dir, name, bytes, len);
}

/* Bytes that never repeat in a row of a power of two. */
static inline unsigned char *noise(size_t len, unsigned seed)
{
	unsigned char *bytes = malloc(len);
	unsigned x = seed;

	if (!bytes)
		fault_die("malloc");
	for (size_t i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		bytes[i] = (unsigned char)(x >> 24);
	}
	return bytes;
}

static inline void make_layout(struct fault_server *server)
{
	static const char *const dirs[] = { "layout", "layout/blobs", "layout/blobs/sha256" };
	char path[128], config_digest[80], *index = NULL;
	int len;

	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", server->dir, dirs[i]);
		if (mkdir(path, 0700))
			fault_die(path);
	}
	server->small = noise(SMALL_LEN, 1);
	server->big = noise(BIG_LEN, 2);
	write_blob(server->dir, server->small_digest, server->small, SMALL_LEN);
	write_blob(server->dir, server->big_digest, server->big, BIG_LEN);
	write_blob(server->dir, config_digest, "{}", 2);
#define DESCRIPTOR "{\"mediaType\":\"application/vnd.oci.image.%s\",\"digest\":\"%s\",\"size\":%d}"
	len = asprintf(&server->manifest,
		"{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
		"\"config\":" DESCRIPTOR ",\"layers\":[" DESCRIPTOR "," DESCRIPTOR "]}",
		"config.v1+json", config_digest, 2, "layer.v1.tar", server->small_digest, SMALL_LEN,
		"layer.v1.tar", server->big_digest, BIG_LEN);
#undef DESCRIPTOR
	if (len < 0)
		fault_die("asprintf");
	write_blob(server->dir, server->manifest_digest, server->manifest, (size_t)len);
	len = asprintf(&index,
		"{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":"
		"\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"%s\",\"size\":%d,"
		"\"annotations\":{\"org.opencontainers.image.ref.name\":\"v1\"}}]}",
		server->manifest_digest, len);
	if (len < 0)
		fault_die("asprintf");
	write_file(server->dir, "layout/index.json", index, (size_t)len);
	free(index);
}

/* Ready when it has said so on stderr, which is read to the end of that line. */
static inline void await_line(int fd)
{
	char c = 0;

	while (c != '\n')
		if (read(fd, &c, 1) != 1)
			fault_die("python3 tests/faultregistry.py did not start");
}

static inline void read_ports(struct fault_server *server, const char *path)
{
	FILE *file = fopen(path, "r");

	if (!file || fscanf(file, "%d %d", &server->port, &server->cdn_port) != 2)
		fault_die(path);
	(void)fclose(file);
}

/* args: further options, NULL-terminated; the server's stderr goes nowhere after the start. */
static inline void fault_server_start(struct fault_server *server, const char *const *args)
{
	char layout[128], ports[128];
	const char *argv[SERVER_ARGS_MAX] = { "python3", FAULTREGISTRY, "--port-file", ports };
	posix_spawn_file_actions_t actions;
	size_t count = 4;
	int pipes[2];

	memset(server, 0, sizeof *server);
	(void)snprintf(server->dir, sizeof server->dir, "/tmp/imgfs-unit-XXXXXX");
	if (!mkdtemp(server->dir))
		fault_die("mkdtemp");
	make_layout(server);
	(void)snprintf(ports, sizeof ports, "%s/ports", server->dir);
	(void)snprintf(layout, sizeof layout, "app=%s/layout", server->dir);
	while (args && *args && count < SERVER_ARGS_MAX - 2)
		argv[count++] = *args++;
	argv[count] = layout;

	if (pipe2(pipes, O_CLOEXEC))
		fault_die("pipe2");
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, pipes[1], 2);
	extern char **environ;
	if (posix_spawnp(&server->pid, "python3", &actions, NULL, (char *const *)argv, environ))
		fault_die("python3");
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(pipes[1]);
	await_line(pipes[0]);
	(void)close(pipes[0]);
	read_ports(server, ports);
}

static inline void fault_server_stop(struct fault_server *server)
{
	char command[128];

	(void)kill(server->pid, SIGTERM);
	(void)waitpid(server->pid, NULL, 0);
	(void)snprintf(command, sizeof command, "rm -rf %s", server->dir);
	if (system(command))
		fault_die(command);
	free(server->small);
	free(server->big);
	free(server->manifest);
}

/* A certificate for 127.0.0.1, in a new directory; false: there is no openssl to make it. */
static inline bool make_certificate(char dir[static 64], char pem[static 128], char key[static 128])
{
	char command[512];

	(void)snprintf(dir, 64, "/tmp/imgfs-unit-XXXXXX");
	if (!mkdtemp(dir))
		fault_die("mkdtemp");
	(void)snprintf(pem, 128, "%s/ca.crt", dir);
	(void)snprintf(key, 128, "%s/server.pem", dir);
	(void)snprintf(command, sizeof command,
		"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
		"-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -out %s -keyout %s "
		"2>/dev/null",
		pem, key);
	return system(command) == 0;
}

static inline int connect_to(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address))
		fault_die("connect");
	return fd;
}

/* All that comes; the caller's. */
static inline char *read_to_end(int fd)
{
	char *answer = NULL;
	size_t used = 0;
	ssize_t n;

	do {
		answer = realloc(answer, used + 4097);
		n = answer ? read(fd, answer + used, 4096) : -1;
		if (n < 0)
			fault_die("control");
		used += (size_t)n;
	} while (n);
	answer[used] = '\0';
	return answer;
}

static inline char *fault_control_tls(
	struct fault_server *server, const char *method, const char *path, const char *body)
{
	char command[512], *answer;
	FILE *curl;

	write_file(server->dir, "control", body, strlen(body));
	(void)snprintf(command, sizeof command,
		"curl -sik -X %s --data-binary @%s/control https://127.0.0.1:%d%s", method,
		server->dir, server->port, path);
	curl = popen(command, "r");
	if (!curl)
		fault_die("curl");
	answer = read_to_end(fileno(curl));
	(void)pclose(curl);
	return answer;
}

/* One control request; the answer, head and all, is the caller's. */
static inline char *fault_control(
	struct fault_server *server, const char *method, const char *path, const char *body)
{
	char *answer, *request = NULL;
	int fd;

	if (server->speaks_tls)
		return fault_control_tls(server, method, path, body);
	fd = connect_to(server->port);
	if (asprintf(&request,
		    "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
		    "Content-Length: %zu\r\n\r\n%s",
		    method, path, strlen(body), body) < 0)
		fault_die("asprintf");
	if (write(fd, request, strlen(request)) < 0)
		fault_die("write");
	answer = read_to_end(fd);
	free(request);
	(void)close(fd);
	return answer;
}

/* The first counter of that name in the statistics as they are now; -1 when there is none. */
static inline long fault_stat_now(struct fault_server *server, const char *name)
{
	char *answer = fault_control(server, "GET", "/__stats", "");
	char key[64];
	const char *at;
	long value = -1;

	(void)snprintf(key, sizeof key, "\"%s\": ", name);
	at = strstr(answer, key);
	if (at)
		value = strtol(at + strlen(key), NULL, 10);
	free(answer);
	return value;
}

/* A request is counted when the server is through with it, which we may see before it does. */
static inline void fault_settle(struct fault_server *server)
{
	while (fault_stat_now(server, "active") > 0)
		usleep(1000);
}

static inline long fault_stat(struct fault_server *server, const char *name)
{
	fault_settle(server);
	return fault_stat_now(server, name);
}

static inline void fault_rules(struct fault_server *server, const char *rules)
{
	char *answer = fault_control(server, "PUT", "/__rules", rules);

	if (!strstr(answer, " 200 ")) {
		(void)fprintf(stderr, "rules: %s\n%s\n", rules, answer);
		exit(1);
	}
	free(answer);
	fault_settle(server);
	free(fault_control(server, "POST", "/__stats/reset", ""));
}

#endif
