/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node -- directories and generated files above the trees.
 *
 * A node is what the kernel holds a number for; it lives while the kernel or
 * a child does.  It says what it is about (struct place), which its children
 * inherit, and how it behaves (struct view).  One name in one directory is one
 * node, unless what it is about has changed (a tag that moved): then the name
 * gets a new node and the old one serves those who still hold it.
 */
#ifndef FS_NODE_H
#define FS_NODE_H

#include "fs/fs.h"
#include "fs/listing.h"
#include "model/tree/merge.h"

/* What a node is about.  Names are interned. */
struct place {
	const char *repository;          /* "" where there is only one */
	const char *tag;                 /* NULL when reached by digest */
	struct digest image;             /* what the tag points at; not set until that is known */
	struct digest manifest;          /* of one platform */
	const char *platform;            /* its directory name, or NULL */
	uint32_t layer;                  /* 0 is the base */
	enum media_family family;        /* of oci/ and docker/ */
	enum digest_algorithm algorithm; /* of blobs/ALG, sha256/ */
};

struct node;

/* One kind of directory (or file); one table per kind, in its view_*.c. */
struct view {
	const char *name;
	mode_t type;      /* S_IFDIR or S_IFREG */
	bool lists_names; /* that the source gave, and may give differently later */
	/* Fills *ret for a child; the caller counts the kernel's reference.  -ENOENT. */
	int (*lookup)(struct fs *fs, struct node *dir, const char *name,
		struct fuse_entry_param *ret, struct need *need);
	int (*list)(struct fs *fs, struct node *dir, struct listing *ret, struct need *need);
	/* A user.imgfs. attribute, name without the prefix; -ENODATA.  May be NULL. */
	int (*xattr)(struct fs *fs, struct node *node, const char *name, struct buf *ret,
		struct need *need);
	/* The directory is only another name of this one: 0 is none.  May be NULL. */
	int (*alias)(struct fs *fs, struct node *node, fuse_ino_t *ret, struct need *need);
	/* Files that are not their node's content: bytes at offset, inside of content_len. */
	int (*read)(struct fs *fs, struct node *node, uint64_t offset, struct answer *answer,
		struct need *need);
};

struct node {
	fuse_ino_t id;
	fuse_ino_t ino; /* what a person sees */
	const struct view *view;
	struct node *parent; /* NULL for the root */
	char *name;
	struct place place;
	uint64_t lookups;  /* references the kernel holds */
	uint32_t children; /* nodes whose parent this is */
	bool is_current;   /* found by name; an older one is found by id only */
	char *content;     /* generated files */
	size_t content_len;
	struct assembly *assembly; /* oci.tar, docker.tar: instead of content; owned */
	struct timespec time;
	struct listing *listing;            /* of a directory that was listed, or NULL; owned */
	struct node *list_prev, *list_next; /* those with one, the one used last at the end */
	uint64_t listed_until_ms; /* names that the kernel may have are good until then, by
				   * now_ms(); 0: it has none */
	uint32_t version;         /* of those names: see node_stat() */
};

int nodes_new(struct fs *fs, struct error *err);
void nodes_free(struct fs *fs);

struct node *node_root(struct fs *fs);
struct node *node_find(struct fs *fs, fuse_ino_t id); /* NULL when it is no node */
/* All of them, in no order; visit() makes and drops none. */
void nodes_each(struct fs *fs, void (*visit)(struct fs *fs, struct node *node, void *context),
	void *context);
/* The current child of that name, or NULL. */
struct node *node_child(struct fs *fs, struct node *parent, const char *name);
/* The child of that name; made when there is none, or none with this view and place. */
struct node *node_make(struct fs *fs, struct node *parent, const char *name,
	const struct view *view, const struct place *place);
/* A file with content (taken over, freed even on failure); a node of that name with the same
 * content is kept. */
struct node *node_make_file(
	struct fs *fs, struct node *parent, const char *name, char *content, size_t len);
/* The kernel holds count references more / fewer. */
void node_ref(struct fs *fs, fuse_ino_t id);
void node_forget(struct fs *fs, fuse_ino_t id, uint64_t count);

/* Fills *ret for a node; timeout in seconds. -ENOMEM when node is NULL. */
int entry_node(struct fs *fs, struct node *node, double timeout, struct fuse_entry_param *ret);
/* An entry whose nodes come and go is shown as one file all the time: by a number of its own. cp(1)
 * takes one that has another number when it is opened for another file. */
void node_fix_ino(struct fs *fs, struct fuse_entry_param *entry, unsigned number);
/*
 * Attributes, and for how many seconds the kernel may believe them.
 *
 * The kernel keeps the names of a directory, and looks before it gives them out whether the
 * time of its last change is still the same, asking for attributes that it may not believe any
 * more.  So when names it has are too old, the time becomes another one, by a nanosecond: looking
 * costs no request to a registry, and listing asks for the names.
 */
double node_stat(struct fs *fs, struct node *node, struct stat *ret);
/* The listing of a directory, for a reader at its beginning or in the middle of it, to whom it
 * will be sent.  Owned by the node, and kept for those who read on: of all directories those listed
 * last.  One that went is made anew, from the same names unless others came or went since. */
enum { LISTINGS_MAX = 64 << 20 }; /* bytes of listings kept, or one that is larger */
int node_list(struct fs *fs, struct node *node, bool from_beginning, const struct listing **ret,
	struct need *need);
/* What lists told is to be asked for anew, and the kernel shall come and ask. */
void nodes_forget_lists(struct fs *fs);

/* The path from the mount's root, for keys and messages; caller frees. */
char *node_path(const struct node *node);

#endif
