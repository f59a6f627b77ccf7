/* SPDX-License-Identifier: Apache-2.0 */
#include "model/error.h"

#include <stdarg.h>
#include <stdio.h>

int error_set(struct error *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -code;
	va_start(ap, fmt);
	(void)vsnprintf(err->text, sizeof err->text, fmt, ap);
	va_end(ap);
	return -code;
}

int error_prefix(struct error *err, int rc, const char *fmt, ...)
{
	struct error inner;
	va_list ap;
	int used;

	if (!err)
		return rc;
	inner = *err;
	va_start(ap, fmt);
	used = vsnprintf(err->text, sizeof err->text, fmt, ap);
	va_end(ap);
	if (used >= 0 && (size_t)used + 2 < sizeof err->text) {
		size_t room = sizeof err->text - (size_t)used;

		(void)snprintf(err->text + used, room, ": %.*s", (int)room - 3, inner.text);
	}
	return rc;
}
