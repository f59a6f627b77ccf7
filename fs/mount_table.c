/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/mount_table.h"

#include <errno.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"

static const char type[] = "fuse.imgfs";

static void close_table(FILE **file)
{
	if (*file)
		(void)endmntent(*file);
}

static void entry_release(struct mount_entry *entry)
{
	free(entry->source);
	free(entry->directory);
}

/* Whatever was mounted there before cannot be seen any more. */
static void forget(struct mount_table *table, const char *directory)
{
	size_t kept = 0;

	for (size_t i = 0; i < table->count; i++) {
		if (strcmp(table->entries[i].directory, directory) != 0)
			table->entries[kept++] = table->entries[i];
		else
			entry_release(&table->entries[i]);
	}
	table->count = kept;
}

static int add(struct mount_table *table, const struct mntent *line)
{
	const char *owner = hasmntopt(line, "user_id");
	struct mount_entry entry = { .source = strdup(line->mnt_fsname),
		.directory = strdup(line->mnt_dir),
		.owner = owner ? (uid_t)strtoul(owner + strlen("user_id="), NULL, 10) : 0 };
	struct mount_entry *entries =
		reallocarray(table->entries, table->count + 1, sizeof *entries);

	if (entries)
		table->entries = entries;
	if (!entries || !entry.source || !entry.directory) {
		entry_release(&entry);
		return -ENOMEM;
	}
	entries[table->count++] = entry;
	return 0;
}

int mount_table_read(struct mount_table *ret, struct error *err)
{
	CLEANUP(close_table) FILE *file = setmntent("/proc/self/mounts", "re");
	struct mount_table table = { NULL, 0 };
	struct mntent *line;

	if (!file)
		return error_set(err, errno, "/proc/self/mounts: %s", strerror(errno));
	while ((line = getmntent(file))) {
		forget(&table, line->mnt_dir);
		if (strcmp(line->mnt_type, type) != 0 || !add(&table, line))
			continue;
		mount_table_release(&table);
		return error_set(err, ENOMEM, "out of memory");
	}
	*ret = table;
	return 0;
}

void mount_table_release(struct mount_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		entry_release(&table->entries[i]);
	free(table->entries);
	*table = (struct mount_table){ NULL, 0 };
}

/* As the kernel spells it.  The last component is not looked at unless it has to be: it may be the
 * root of a mount whose process has died. */
static char *canonical(const char *directory)
{
	char *whole = realpath(directory, NULL);
	CLEANUP(freep) char *copy = whole ? NULL : strdup(directory);
	CLEANUP(freep) char *parent = NULL;
	char *slash;

	if (whole || !copy)
		return whole;
	while ((slash = strrchr(copy, '/')) && slash != copy && !slash[1])
		*slash = '\0';
	if (slash)
		*slash = '\0';
	parent = realpath(!slash ? "." : *copy ? copy : "/", NULL);
	if (!parent ||
		asprintf(&whole, "%s/%s", parent[1] ? parent : "", slash ? slash + 1 : copy) < 0)
		return NULL;
	return whole;
}

int mount_table_find(const struct mount_table *table, const struct mount_entry **ret,
	const char *directory, struct error *err)
{
	CLEANUP(freep) char *path = canonical(directory);

	if (!path)
		return error_set(err, errno, "%s: %s", directory, strerror(errno));
	for (size_t i = 0; i < table->count; i++) {
		if (strcmp(table->entries[i].directory, path) != 0)
			continue;
		*ret = &table->entries[i];
		return 0;
	}
	return error_set(err, EINVAL, "%s: nothing of imgfs is mounted there", directory);
}
