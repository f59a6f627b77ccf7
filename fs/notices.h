/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notices -- what the kernel is told without having asked: to look names up again.
 *
 * For that it takes the lock of the directory, which somebody may hold who waits
 * for our answer.  So a thread of its own tells it, and the loop goes on
 * answering until that thread has done.  All calls are made on the loop's thread.
 *
 * Nothing that is open is disturbed: a name is only expired.  Where the kernel
 * cannot do that (before 6.2) it drops the name, which a lookup brings back.
 */
#ifndef FS_NOTICES_H
#define FS_NOTICES_H

#include "fs/fs.h"

/* All names that came from the source, which may say something else by now. */
void notices_expire(struct fs *fs);
/* A list has changed: of the tags of a repository, or (NULL) of repositories.  What is new in it
 * may be remembered as absent. */
void notices_tell_new(struct fs *fs, const char *repository, const struct name_list *before,
	const struct name_list *now);

/* Must the loop go on answering? */
bool notices_are_pending(struct fs *fs);
/* What was not begun is dropped. */
void notices_cancel(struct fs *fs);
/* None is pending. */
void notices_stop(struct fs *fs);

#endif
