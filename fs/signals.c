/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/signals.h"

#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>

#define MASK(number) (UINT64_C(1) << ((number)-1))

enum { LINE_MAX_BYTES = 256 };

static const uint64_t harmless = MASK(SIGCHLD) | MASK(SIGCONT) | MASK(SIGURG) | MASK(SIGWINCH);

/* Those that are pending, and neither blocked nor ignored; false: /proc does not say. */
static bool find_pending(FILE *status, uint64_t *ret)
{
	uint64_t of_thread = 0, of_process = 0, blocked = 0, ignored = 0;
	char line[LINE_MAX_BYTES];
	int found = 0;

	while (fgets(line, sizeof line, status)) {
		found += sscanf(line, "SigPnd: %" SCNx64, &of_thread) == 1;
		found += sscanf(line, "ShdPnd: %" SCNx64, &of_process) == 1;
		found += sscanf(line, "SigBlk: %" SCNx64, &blocked) == 1;
		found += sscanf(line, "SigIgn: %" SCNx64, &ignored) == 1;
	}
	*ret = (of_thread | of_process) & ~blocked & ~ignored;
	return found == 4;
}

bool signals_interrupt(pid_t thread)
{
	char path[64];
	uint64_t pending;
	FILE *status;
	bool is_known;

	(void)snprintf(path, sizeof path, "/proc/%d/status", (int)thread);
	status = fopen(path, "re");
	if (!status)
		return true;
	is_known = find_pending(status, &pending);
	(void)fclose(status); /* was only read */
	return !is_known || pending & ~harmless;
}
