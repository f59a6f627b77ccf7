/* SPDX-License-Identifier: Apache-2.0 */
/* status_command -- `imgfs status`: what mounts are doing, out of their control files. */
#ifndef FS_STATUS_COMMAND_H
#define FS_STATUS_COMMAND_H

#include "fs/options.h"

enum exit_status status_command(int argc, char **argv);

#endif
