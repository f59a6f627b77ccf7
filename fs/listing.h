/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listing -- the names of a directory above the trees, as READDIR gives them.
 *
 * The kernel goes on in a listing by a number that came with the last name it has got, its place,
 * maybe hours later, and others may list the same directory meanwhile.  So places are good for
 * as long as there is the directory, whatever is added to it or taken away: a name keeps its place
 * from one listing to the next, and what is new comes behind all there ever was.
 */
#ifndef FS_LISTING_H
#define FS_LISTING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct listing {
	struct listing_entry {
		const char *name; /* in the listing's text */
		mode_t mode;
		uint64_t ino;   /* 0: not known without a lookup */
		uint64_t place; /* from 1 on; entries are in this order once they have one */
	} * entries;
	size_t count;
	uint64_t last_place;     /* that was ever given in this directory */
	uint64_t good_until_ms;  /* by now_ms(); then it is to be made anew.  UINT64_MAX: never */
	struct text_block *text; /* owned */
	size_t bytes;            /* of memory, about */
};

/* 0 or -ENOMEM. */
int listing_add(struct listing *listing, const char *name, mode_t mode, uint64_t ino);
/* Gives the entries their places; old is the one that this takes the place of, or NULL.  0 or
 * -ENOMEM. */
int listing_place(struct listing *listing, const struct listing *old);
/* The first entry behind a place (0: the first of all), counted from 0; count: there is none. */
size_t listing_behind(const struct listing *listing, uint64_t place);
void listing_free(struct listing *listing);

#endif
