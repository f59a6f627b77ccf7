/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replies -- sending what was read.
 *
 * The kernel copies an answer while it is being sent.  The loop sends small ones
 * itself, and large ones too as long as nobody else waits for it: handing them over costs
 * a lone reader more than it brings.  Under many readers, threads of their own
 * send the large ones side by side.
 */
#ifndef FS_REPLIES_H
#define FS_REPLIES_H

#include "fs/fs.h"

int replies_start(struct fs *fs, struct error *err);
/* All are sent; the session is still there. */
void replies_stop(struct fs *fs);

/* Sends the answer, now or soon; releases it. */
void reply_answer(struct fs *fs, fuse_req_t req, struct answer *answer);

#endif
