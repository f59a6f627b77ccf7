/* SPDX-License-Identifier: Apache-2.0 */
/* refresh_command -- `imgfs refresh`: a mount asks for tags and lists again. */
#ifndef FS_REFRESH_COMMAND_H
#define FS_REFRESH_COMMAND_H

#include "fs/options.h"

enum exit_status refresh_command(int argc, char **argv);

#endif
