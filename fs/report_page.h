/* SPDX-License-Identifier: Apache-2.0 */
/* report_page -- the parts of the page that report_write_page() puts together. */
#ifndef FS_REPORT_PAGE_H
#define FS_REPORT_PAGE_H

#include "fs/report.h"

/* CSS, but for the hues of layers. */
extern const char report_style[];

/* The root file system as a picture. */
int report_put_map(const struct report *report, struct buf *ret, struct error *err);
/* A patch of a layer's colour and its number; 0 is the base. */
void report_put_layer(size_t layer, struct buf *ret);

#endif
