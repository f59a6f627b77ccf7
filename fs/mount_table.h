/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_table -- the mounts of imgfs that there are, as the kernel tells them.
 *
 * What the table says of type and owner is the kernel's word; what lies in a mount is the word of
 * whoever serves it, who may be another user, and no imgfs at all.
 */
#ifndef FS_MOUNT_TABLE_H
#define FS_MOUNT_TABLE_H

#include <stdbool.h>
#include <sys/types.h>

#include "model/error.h"

struct mount_entry {
	char *source, *directory;
	uid_t owner;
};

struct mount_table {
	struct mount_entry *entries; /* in the order they were mounted */
	size_t count;
};

/* What is hidden behind a later mount is left out. */
int mount_table_read(struct mount_table *ret, struct error *err);
void mount_table_release(struct mount_table *table);

/* The mount whose root that is, however it is spelt; -EINVAL when there is none.  Borrowed. */
int mount_table_find(const struct mount_table *table, const struct mount_entry **ret,
	const char *directory, struct error *err);

#endif
