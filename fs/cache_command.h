/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache_command -- `imgfs cache`: what lies in the cache, whether it is sound, and less of it.
 * It works beside running mounts.
 */
#ifndef FS_CACHE_COMMAND_H
#define FS_CACHE_COMMAND_H

#include "fs/options.h"

/* argv[0] is the word "cache".  Messages go to stderr. */
enum exit_status cache_command(int argc, char **argv);

#endif
