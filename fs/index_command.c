/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is written is what the cache would hold: the index at -o FILE, and the spool, where the
 * layer needs one, at FILE.spool.  Neither may exist; neither stays when it is not complete.
 */
#include "fs/index_command.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch/layer/indexer.h"
#include "fs/index_show.h"
#include "fs/log.h"
#include "model/cleanup.h"
#include "model/descriptor.h"

static const char usage[] =
	"usage: imgfs index BLOB -o FILE\n"
	"       imgfs index --show FILE\n\n"
	"Makes the index of a layer as a mount keeps it in its cache, or prints one.\n\n"
	"  BLOB         a layer as stored: a tar, plain or compressed\n"
	"  -o FILE      where the index is written, and FILE.spool if it needs a spool;\n"
	"               neither may exist\n"
	"  --show FILE  print the index in FILE as text, in the form of mtree(5)\n"
	"  --help\n\n"
	"See imgfs(1).\n";

CLEANUP_POINTER(indexerp, struct indexer, indexer_free)
CLEANUP_POINTER(layerp, struct layer, layer_free)

static enum exit_status complain(enum exit_status status, const struct error *err)
{
	(void)fprintf(stderr, "imgfs: %s\n", err->text);
	return status;
}

/* --- made --- */

/* A file that is taken back unless it is kept. */
struct output {
	char *path; /* NULL: not created */
	int fd;
};

#define OUTPUT_NONE                                                                                \
	{                                                                                          \
		NULL, -1                                                                           \
	}

static int output_open(
	struct output *output, const char *path, const char *suffix, struct error *err)
{
	CLEANUP(freep) char *whole = NULL;
	int fd;

	if (asprintf(&whole, "%s%s", path, suffix) < 0) {
		whole = NULL; /* not set on failure */
		return error_set(err, ENOMEM, "out of memory");
	}
	fd = open(whole, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return error_set(err, errno, "%s: %s", whole, strerror(errno));
	*output = (struct output){ TAKE(whole), fd };
	return 0;
}

static void output_release(struct output *output)
{
	if (output->path)
		(void)unlink(output->path); /* a part of an index is of no use to anybody */
	free(output->path);
	closep(&output->fd);
}

static void output_keep(struct output *output)
{
	free(TAKE(output->path));
}

struct outputs {
	const char *path; /* -o */
	struct output index, spool;
};

static void outputs_release(struct outputs *outputs)
{
	output_release(&outputs->index);
	output_release(&outputs->spool);
}

/* indexer_spool_fn */
static int give_spool(void *context, uint64_t size, struct error *err)
{
	struct outputs *outputs = context;
	int rc = outputs->spool.fd < 0 ? output_open(&outputs->spool, outputs->path, ".spool", err)
				       : 0;

	(void)size; /* who asks for it here says where it is to lie */
	return rc ? rc : outputs->spool.fd;
}

static int feed_file(struct indexer *indexer, const char *path, struct error *err)
{
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	while (!rc) {
		size_t room;
		uint8_t *piece = indexer_room(indexer, &room, err);
		ssize_t n;

		if (!piece)
			return -ENOMEM;
		n = read(fd, piece, room);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, errno, "%s: %s", path, strerror(errno));
		if (n == 0)
			return 0;
		rc = indexer_put(indexer, (size_t)n, err);
	}
	return rc;
}

/* What a mount would say of it, each time that somebody enters the layer. */
static int tell_status(const char *blob, int index_fd, struct error *err)
{
	CLEANUP(layerp) struct layer *layer = NULL;
	char why[LOG_LINE_MAX];
	int rc = layer_open(&layer, index_fd, NULL, err);

	if (rc || !layer->status)
		return rc;
	log_escape(layer->message, why, sizeof why);
	(void)fprintf(stderr, "imgfs: %s: no files: %s\n", blob, why);
	return 0;
}

static int make(const char *blob, const char *path, struct error *err)
{
	CLEANUP(outputs_release) struct outputs outputs = { path, OUTPUT_NONE, OUTPUT_NONE };
	CLEANUP(indexerp) struct indexer *indexer = NULL;
	int rc;

	rc = output_open(&outputs.index, path, "", err);
	if (!rc)
		rc = indexer_new(
			&indexer, NULL, DESCRIPTOR_SIZE_UNKNOWN, give_spool, &outputs, err);
	if (!rc)
		rc = feed_file(indexer, blob, err);
	if (!rc)
		rc = indexer_finish(indexer, outputs.index.fd, err);
	if (!rc)
		rc = tell_status(blob, outputs.index.fd, err);
	if (rc)
		return rc;
	output_keep(&outputs.index);
	output_keep(&outputs.spool);
	return 0;
}

/* --- shown --- */

static int show(const char *path, struct error *err)
{
	CLEANUP(layerp) struct layer *layer = NULL;
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	rc = layer_open(&layer, fd, NULL, err);
	if (rc)
		return error_prefix(err, rc, "%s", path);
	index_show(layer, stdout);
	if (fflush(stdout) || ferror(stdout))
		return error_set(err, EIO, "cannot write: %s", strerror(errno));
	return 0;
}

/* --- the command line --- */

static enum exit_status misuse(const char *what)
{
	(void)fprintf(stderr, "imgfs: index: %s\nhint: imgfs index --help\n", what);
	return STATUS_USAGE;
}

enum exit_status index_command(int argc, char **argv)
{
	static const struct option long_options[] = { { "show", required_argument, NULL, 's' },
		{ "output", required_argument, NULL, 'o' }, { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 } };
	const char *shown = NULL, *output = NULL;
	struct error err = { "" };
	int rc;

	opterr = 0;
	for (int c; (c = getopt_long(argc, argv, "o:h", long_options, NULL)) != -1;) {
		switch (c) {
		case 's':
			shown = optarg;
			break;
		case 'o':
			output = optarg;
			break;
		case 'h':
			return fputs(usage, stdout) < 0 ? STATUS_SYSTEM : STATUS_OK;
		default:
			return misuse("unknown option, or one without its value");
		}
	}
	if (shown && (output || optind != argc))
		return misuse("--show FILE stands alone");
	if (!shown && (!output || optind + 1 != argc))
		return misuse("BLOB and -o FILE are needed");
	rc = shown ? show(shown, &err) : make(argv[optind], output, &err);
	return rc ? complain(STATUS_SYSTEM, &err) : STATUS_OK;
}
