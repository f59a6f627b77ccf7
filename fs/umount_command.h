/* SPDX-License-Identifier: Apache-2.0 */
/* umount_command -- `imgfs umount`: by umount(8), or by fusermount3(1) for users. */
#ifndef FS_UMOUNT_COMMAND_H
#define FS_UMOUNT_COMMAND_H

#include "fs/options.h"

enum exit_status umount_command(int argc, char **argv);

#endif
