/* SPDX-License-Identifier: Apache-2.0 */
/*
 * referrers -- what the sources share in collecting manifests that have one
 * manifest as their subject.
 *
 * Source: OCI distribution-spec "Listing Referrers", "Referrers Tag Schema".
 */
#ifndef FETCH_REFERRERS_H
#define FETCH_REFERRERS_H

#include "fetch/source.h"

enum { REFERRERS_TAG_MAX = 32 + 1 + 64 + 1 }; /* bytes of the fallback tag and its NUL */

/* Descriptors as they are found.  Owns them; zeroed it is empty. */
struct referrer_list {
	struct descriptor *items;
	size_t count;
};

/* Copies it; -EFBIG when there are more than REFERRERS_MAX. */
int referrer_list_add(
	struct referrer_list *list, const struct descriptor *referrer, struct error *err);
/* Hands them over, each manifest once (with its artifact type, if anybody gave one), but not
 * the subject itself. */
void referrer_list_give(struct referrer_list *list, const struct digest *subject,
	struct descriptor **ret, size_t *ret_count);
void referrer_list_release(struct referrer_list *list);

/* The tag that holds the referrers of a manifest where there is no API for them: "sha256-HEX".
 * Writes it and its NUL; returns text. */
char *referrers_tag(const struct digest *subject, char text[static REFERRERS_TAG_MAX]);
/* The other way.  The tag has the beginning of a long digest alone, the rest of *ret is 0 then:
 * it equals the referrers_tag_digest() of its subject.  False: no such tag. */
bool referrers_tag_parse(struct digest *ret, const char *tag);
struct digest referrers_tag_digest(const struct digest *subject);

#endif
