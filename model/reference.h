/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reference -- HOST/REPOSITORY:TAG@DIGEST, by the distribution grammar.
 *
 * The predicates decide without allocation whether a name can exist at all,
 * so that lookups of ".git" or "HEAD/" never become a request.
 * Source: distribution reference/regexp.go; OCI distribution-spec spec.md "Pulling manifests".
 */
#ifndef MODEL_REFERENCE_H
#define MODEL_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "model/digest.h"

enum {
	REPOSITORY_MAX = 255, /* bytes of a whole repository name */
	TAG_MAX = 128,
};

/* One path component of a repository name: [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*  */
bool repository_component_is_valid(const char *text, size_t len);
bool repository_is_valid(const char *text); /* components joined by '/' */
bool tag_is_valid(const char *text);
/* Names as they stand in archives and layouts, whatever they are made of.  A tag begins behind the
 * last ':', if that is behind the last '/' (else it belongs to a port).  Returns how long the
 * repository is; *ret_tag is what follows, up to len, or NULL. */
size_t name_split(const char *text, size_t len, const char **ret_tag);
/* Can each component be a directory?  Empty ones would make two repositories one. */
bool name_has_components(const char *repository, size_t len);
/* Does the first component name a host: has '.' or ':' or is "localhost". */
bool reference_is_host(const char *text, size_t len);

struct reference {
	char *host;           /* never NULL after a parse: Docker Hub is "docker.io" */
	char *repository;     /* "library/debian"; "" when only a host was given */
	char *tag;            /* NULL when absent */
	struct digest digest; /* not set when absent */
	bool is_directory;    /* ended in '/': a directory of repositories (repository may be "") */
};

/* Parses what follows "docker://".  -EINVAL, with a text for people. */
int reference_parse(struct reference *ret, const char *text, struct error *err);
void reference_release(struct reference *reference);

/* The short name that Docker prints for a repository: docker.io/library/x is x.  Owned by the
 * caller; NULL when out of memory. */
char *reference_familiar(const char *host, const char *repository);
/* A file name as a repository name of one component: a run of anything but letters and digits
 * becomes one '.' or '_', if it begins with that, or else '-'.  "" when nothing is left; otherwise
 * as reference_familiar(). */
char *repository_from_file_name(const char *file_name);

#endif
