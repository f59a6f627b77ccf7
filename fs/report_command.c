/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/report_command.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/log.h"
#include "fs/report.h"
#include "model/cleanup.h"

static const char usage[] =
	"usage: imgfs report IMAGEDIR [-o FILE]\n"
	"       imgfs report --json IMAGEDIR [-o FILE]\n\n"
	"Shows what an image is made of: its layers, what of them later layers overwrote\n"
	"or deleted, and the root file system as a map.  Fetches all layers.\n\n"
	"  IMAGEDIR     where the image is in a mount: the directory that holds layers/,\n"
	"               like mnt/TAG/linux_amd64\n"
	"  -o FILE      write there, not to standard output\n"
	"  --json       the figures alone, for programs, not a page in HTML\n"
	"  --help\n\n"
	"See imgfs(1).\n";

static enum exit_status misuse(const char *what)
{
	(void)fprintf(stderr, "imgfs: report: %s\nhint: imgfs report --help\n", what);
	return STATUS_USAGE;
}

/* The words of a message may come from an image, and its second line is a hint of ours. */
static enum exit_status complain(struct error *err)
{
	char line[LOG_LINE_MAX];
	char *hint = strstr(err->text, "\nhint: ");

	if (hint)
		*hint++ = '\0';
	log_escape(err->text, line, sizeof line);
	(void)fprintf(stderr, "imgfs: report: %s\n", line);
	if (hint)
		(void)fprintf(stderr, "%s\n", hint);
	return STATUS_SYSTEM;
}

static int write_all(int fd, const struct buf *text)
{
	for (size_t done = 0; done < text->len;) {
		ssize_t n = write(fd, text->data + done, text->len - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* All of it is there by now: who interrupts us before leaves an old report as it was. */
static int write_report(const struct buf *text, const char *path, struct error *err)
{
	CLEANUP(closep) int fd = -1;
	int rc;

	if (!path) {
		rc = write_all(STDOUT_FILENO, text);
		return rc ? error_set(err, -rc, "cannot write: %s", strerror(-rc)) : 0;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	rc = write_all(fd, text);
	if (!rc && close(TAKE_FD(fd)))
		rc = -errno;
	return rc ? error_set(err, -rc, "%s: %s", path, strerror(-rc)) : 0;
}

static int make(const char *directory, const char *path, bool as_json, struct error *err)
{
	CLEANUP(report_release) struct report report = { .layers = NULL };
	CLEANUP(buf_release) struct buf text = { .max = REPORT_TEXT_MAX };
	int rc = report_read(&report, directory, err);

	if (rc)
		return rc;
	if (as_json)
		report_write_json(&report, &text);
	else
		rc = report_write_page(&report, &text, err);
	if (!rc && buf_status(&text))
		rc = error_set(err, -buf_status(&text), "the report is too long");
	return rc ? rc : write_report(&text, path, err);
}

enum exit_status report_command(int argc, char **argv)
{
	static const struct option long_options[] = { { "json", no_argument, NULL, 'j' },
		{ "output", required_argument, NULL, 'o' }, { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 } };
	const char *output = NULL;
	struct error err = { "" };
	bool as_json = false;

	opterr = 0;
	for (int c; (c = getopt_long(argc, argv, "o:h", long_options, NULL)) != -1;) {
		switch (c) {
		case 'j':
			as_json = true;
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
	if (optind + 1 != argc)
		return misuse("IMAGEDIR is needed, and nothing else");
	return make(argv[optind], output, as_json, &err) ? complain(&err) : STATUS_OK;
}
