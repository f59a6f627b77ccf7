/* SPDX-License-Identifier: Apache-2.0 */
/* report_command -- `imgfs report`: an image as a page to look at, or as figures (report.h). */
#ifndef FS_REPORT_COMMAND_H
#define FS_REPORT_COMMAND_H

#include "fs/options.h"

/* argv[0] is the word "report".  Messages go to stderr. */
enum exit_status report_command(int argc, char **argv);

#endif
