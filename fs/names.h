/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names -- names from outside as file names, and back.
 *
 * '/', control characters, '%', and a '_' or '.' at the start (where our own
 * names live) become %XX, so that any name is one safe path component and two
 * names are never one.  Names that would be longer than 255 bytes have no
 * file name.
 */
#ifndef FS_NAMES_H
#define FS_NAMES_H

#include <stdbool.h>

enum { ESCAPED_NAME_MAX = 256 }; /* with the NUL */

/* text; NULL when it would be too long. */
char *name_escape(char text[static ESCAPED_NAME_MAX], const char *name);
/* The name whose escaped form file_name is; NULL when there is none.  No reason else: a name that
 * is there is never taken for one that is not. */
char *name_unescape(char name[static ESCAPED_NAME_MAX], const char *file_name);

#endif
