/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/signals.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/at.h"
#include "model/cleanup.h"

#define MASK(number) (UINT64_C(1) << ((number)-1))

enum { STATUS_MAX = 16 << 10 }; /* bytes: usually 1,500, and ten more for each group */

static const uint64_t harmless = MASK(SIGCHLD) | MASK(SIGCONT) | MASK(SIGURG) | MASK(SIGWINCH);

/* A set of signals, in hexadecimal. */
static bool find_set(const char *status, const char *name, uint64_t *ret)
{
	const char *line = strstr(status, name);

	if (!line)
		return false;
	*ret = strtoull(line + strlen(name), NULL, 16);
	return true;
}

/* Those that are pending, and neither blocked nor ignored; false: it does not say. */
static bool find_pending(const char *status, uint64_t *ret)
{
	uint64_t of_thread, of_process, blocked, ignored;

	if (!find_set(status, "\nSigPnd:", &of_thread) ||
		!find_set(status, "\nShdPnd:", &of_process) ||
		!find_set(status, "\nSigBlk:", &blocked) ||
		!find_set(status, "\nSigIgn:", &ignored))
		return false;
	*ret = (of_thread | of_process) & ~blocked & ~ignored;
	return true;
}

bool signals_interrupt(pid_t thread)
{
	char path[64], status[STATUS_MAX];
	CLEANUP(closep) int fd = -1;
	uint64_t pending;
	ssize_t n;

	(void)snprintf(path, sizeof path, "/proc/%d/status", (int)thread);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read_at(fd, status, sizeof status - 1, 0);
	if (n < 0)
		return true;
	status[n] = '\0';
	return !find_pending(status, &pending) || pending & ~harmless;
}
