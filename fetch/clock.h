/* SPDX-License-Identifier: Apache-2.0 */
/* clock -- the monotonic clock, for ages and deadlines (setting the time does not move it), and
 * the times of files. */
#ifndef FETCH_CLOCK_H
#define FETCH_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

uint64_t now_us(void);
uint64_t now_ms(void);

/* For waits that end by this clock. */
struct timespec deadline_in_ms(long ms);

/* To the nanosecond: of a file that was changed and one that was not. */
static inline bool times_equal(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

#endif
