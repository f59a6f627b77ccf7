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

/* Owned by the caller; NULL when out of memory or too long (errno tells: ENAMETOOLONG). */
char *name_escape(const char *name);
/* The name whose escaped form this is; NULL when there is none. */
char *name_unescape(const char *file_name);

#endif
