/* SPDX-License-Identifier: Apache-2.0 */
/* clock -- the monotonic clock, for ages and deadlines; setting the time does not move it. */
#ifndef FETCH_CLOCK_H
#define FETCH_CLOCK_H

#include <stdint.h>

uint64_t now_us(void);
uint64_t now_ms(void);

#endif
