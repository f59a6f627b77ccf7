/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index_command -- `imgfs index`: makes the index of a stored layer without a mount, and prints
 * one.
 */
#ifndef FS_INDEX_COMMAND_H
#define FS_INDEX_COMMAND_H

#include "fs/options.h"

/* argv[0] is the word "index".  Messages go to stderr. */
enum exit_status index_command(int argc, char **argv);

#endif
