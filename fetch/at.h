/* SPDX-License-Identifier: Apache-2.0 */
/* at -- pread(2) and pwrite(2) of all there is: signals and parts are no end. */
#ifndef FETCH_AT_H
#define FETCH_AT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Returns how many bytes were read, fewer than len at the file's end only; or a negative errno. */
ssize_t read_at(int fd, void *bytes, size_t len, uint64_t offset);
/* All of them, or a negative errno: some may have been written then. */
int write_at(int fd, const void *bytes, size_t len, uint64_t offset);

#endif
