/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/disk.h"

#include <sys/statvfs.h>

bool disk_has_room(int fd, uint64_t bytes)
{
	struct statvfs st;
	uint64_t size, left;

	if (fstatvfs(fd, &st) || !st.f_blocks)
		return true;
	size = (uint64_t)st.f_blocks * st.f_frsize;
	left = size / DISK_LEFT_SHARE < DISK_LEFT_MAX ? size / DISK_LEFT_SHARE : DISK_LEFT_MAX;
	return (uint64_t)st.f_bavail * st.f_frsize >= left + bytes;
}
