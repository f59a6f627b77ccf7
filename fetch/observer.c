/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/observer.h"

#include <stdarg.h>
#include <stdio.h>

void observer_log(struct observer *observer, enum log_level level, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	observer->log(observer, level, text);
}
