/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_tar -- one platform of an image as one file: oci.tar, an oci-archive
 * (containers-transports(5)); docker.tar, what `docker load` takes.
 *
 * The archive is made up when it is looked up, which settles its size, and put
 * together anew by each read: headers and documents are in memory, blobs stay
 * in the cache or the layout, and are fetched when they are read.
 */
#ifndef FS_IMAGE_TAR_H
#define FS_IMAGE_TAR_H

#include "fs/views.h"

/* place.manifest is set, place.family says which of the two.  -EOPNOTSUPP when the image cannot
 * be said in that family. */
int entry_image_tar(struct fs *fs, struct node *dir, const char *name, const struct place *place,
	struct fuse_entry_param *ret, struct need *need);

#endif
