/* SPDX-License-Identifier: Apache-2.0 */
/*
 * complete -- what may stand next on a command line: for the completions of shells (fs/system),
 * which ask `imgfs --complete WORD...` and know nothing of imgfs themselves.
 *
 * WORDs are the command line as far as the cursor: the name of the program, and as the last one
 * what has been typed of the current word, perhaps "".  Each line of the answer is a candidate for
 * the whole of that word, a tab, and what it means.  Besides there may be one of each of
 *
 *   :files<TAB>N        names of files for what follows the word's first N bytes
 *   :directories<TAB>N  the same, of directories
 *   :list               the word is a list: no blank behind it
 */
#ifndef FS_COMPLETE_H
#define FS_COMPLETE_H

#include <stddef.h>

#include "fs/mount_table.h"
#include "fs/options.h"

/* Appends the answer; a failure is the buf's status. */
void complete(struct buf *ret, size_t count, char *const *words, const struct mount_table *mounts);

/* argv[0] is the word "--complete".  Answers on stdout. */
enum exit_status complete_command(int argc, char **argv);

#endif
