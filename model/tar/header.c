/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of a header block.
 *
 * A number is octal digits between blanks, up to a NUL or the end of the
 * field; or, if the first bit is set, base-256: the other bits are one
 * big-endian two's complement number (GNU tar manual, "Basic Tar Format").
 * Readers disagree about digits behind a leading NUL (GNU tar and Go see
 * them, libarchive and Python see 0), so a field like that is refused: a size
 * that two readers take for two numbers hides entries from one of them.
 */
#include "model/tar/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "model/error.h"

bool block_is_zero(const void *block)
{
	const char *bytes = block;

	/* Equal to itself, one byte on: all bytes equal the first. */
	return bytes[0] == '\0' && memcmp(bytes, bytes + 1, TAR_BLOCK - 1) == 0;
}

static size_t skip_blanks(const char *field, size_t len, size_t at)
{
	while (at < len && field[at] == ' ')
		at++;
	return at;
}

static bool is_blank(const char *field, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (field[i] != ' ' && field[i] != '\0')
			return false;
	return true;
}

static int octal(int64_t *ret, const char *field, size_t len)
{
	size_t first = skip_blanks(field, len, 0), at = first;
	int64_t value = 0;

	/* At most 12 digits, 36 bits: no overflow. */
	for (; at < len && field[at] >= '0' && field[at] <= '7'; at++)
		value = value * 8 + (field[at] - '0');
	*ret = value;
	if (at == first)
		return is_blank(field + at, len - at) ? 0 : -EIO;
	at = skip_blanks(field, len, at);
	/* Behind the NUL old writers left whatever was in their buffer. */
	return at == len || field[at] == '\0' ? 0 : -EIO;
}

static int base256(int64_t *ret, const char *field, size_t len)
{
	bool is_negative = field[0] & 0x40;
	uint64_t value = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t byte = (uint8_t)field[i];

		if (is_negative)
			byte = (uint8_t)~byte;
		if (i == 0)
			byte &= 0x7f;
		if (value >> 55)
			return -EIO;
		value = value << 8 | byte;
	}
	*ret = is_negative ? -(int64_t)value - 1 : (int64_t)value;
	return 0;
}

static int number(int64_t *ret, const char *field, size_t len)
{
	return field[0] & 0x80 ? base256(ret, field, len) : octal(ret, field, len);
}

int header_number(uint64_t *ret, const char *field, size_t len, uint64_t max, const char *name,
	struct error *err)
{
	int64_t value;

	if (number(&value, field, len))
		return error_set(err, EIO, "%s is no number", name);
	if (value < 0 || (uint64_t)value > max)
		return error_set(err, EIO, "%s %" PRId64 " is out of range", name, value);
	*ret = (uint64_t)value;
	return 0;
}

int header_time(int64_t *ret, const char *field, size_t len, struct error *err)
{
	return number(ret, field, len) ? error_set(err, EIO, "mtime is no number") : 0;
}

/* The sum of all bytes, eight at once: each word is two times four lanes of 16 bits, which cannot
 * overflow.  Every header of a layer comes by here. */
static uint32_t sum_of_block(const void *block)
{
	const uint64_t even = UINT64_C(0x00ff00ff00ff00ff);
	const char *bytes = block;
	uint64_t lanes = 0, word;

	for (size_t i = 0; i < TAR_BLOCK; i += sizeof word) {
		memcpy(&word, bytes + i, sizeof word);
		lanes += (word & even) + (word >> 8 & even);
	}
	return (uint32_t)((lanes & 0xffff) + (lanes >> 16 & 0xffff) + (lanes >> 32 & 0xffff) +
			  (lanes >> 48));
}

static uint32_t count_negative(const void *block)
{
	const signed char *bytes = block;
	uint32_t count = 0;

	for (size_t i = 0; i < TAR_BLOCK; i++)
		count += bytes[i] < 0;
	return count;
}

/*
 * POSIX sums unsigned bytes, the checksum field as blanks; writers that summed
 * signed ones have left archives (GNU tar manual, "Basic Tar Format"): each negative one counts
 * 256 less there.
 */
bool header_has_checksum(const struct header *header)
{
	struct header blanked = *header;
	int64_t wanted, sum;

	if (number(&wanted, header->checksum, sizeof header->checksum))
		return false;
	memset(blanked.checksum, ' ', sizeof blanked.checksum);
	sum = sum_of_block(&blanked);
	return wanted == sum || wanted == sum - 256 * (int64_t)count_negative(&blanked);
}

bool header_is_gnu(const struct header *header)
{
	return memcmp(header->magic, "ustar  ", 8) == 0;
}

/* Copies a field up to its NUL, if it has one. */
static size_t copy(char *to, const char *field, size_t len)
{
	len = strnlen(field, len);
	memcpy(to, field, len);
	to[len] = '\0';
	return len;
}

size_t header_path(const struct header *header, char path[static HEADER_PATH_MAX])
{
	const struct ustar_tail *tail = &header->ustar;
	size_t len = 0, prefix_max = sizeof tail->prefix;

	/* star put times behind a shorter prefix; "tar" and a NUL end its block. */
	if (memcmp(tail->pad + sizeof tail->pad - 4, "tar", 4) == 0)
		prefix_max = 131;
	if (memcmp(header->magic, "ustar", 5) == 0 && !header_is_gnu(header) && tail->prefix[0]) {
		len = copy(path, tail->prefix, prefix_max);
		path[len++] = '/';
	}
	return len + copy(path + len, header->name, sizeof header->name);
}

size_t header_link(const struct header *header, char link[static HEADER_LINK_MAX])
{
	return copy(link, header->link, sizeof header->link);
}
