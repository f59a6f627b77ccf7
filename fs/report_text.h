/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report_text -- text from an image as text of a page, in HTML that is XML as well.
 *
 * Markup is escaped.  What a reader would not see, or what could move or turn what he sees, is
 * written out: control characters and bytes that are no UTF-8 as \xHH (\n, \t and \r by these
 * names), other characters as \u{HHHH}.
 */
#ifndef FS_REPORT_TEXT_H
#define FS_REPORT_TEXT_H

#include <stdbool.h>

#include "model/buf.h"

void html_put(struct buf *ret, const char *text);
/* As much of it as fits into max bytes, with an ellipsis when that is not all; tells whether it is.
 */
bool html_put_short(struct buf *ret, const char *text, size_t max);

#endif
