/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Referrers are an answer as names are: no digest verifies it, and the last one
 * is given again when the registry is away.  It is kept as the index that a
 * registry's API would give.
 */
#include "fetch/store/internal.h"

#include <stdio.h>

#include "model/cleanup.h"
#include "model/image.h"

enum { RECORD_NAME_MAX = 10 + DIGEST_TEXT_MAX }; /* "referrers-", the digest, a NUL */

/* The names of the other lists are words: no ':' in this one either. */
static const char *record_name(const struct digest *subject, char name[static RECORD_NAME_MAX])
{
	char hex[DIGEST_HEX_MAX];

	(void)snprintf(name, RECORD_NAME_MAX, "referrers-%s-%s",
		digest_algorithm_name(subject->algorithm), digest_hex(subject, hex));
	return name;
}

/* One that cannot be kept is asked for again. */
static void put(struct store *store, const char *repository, const char *name,
	const struct descriptor *referrers, size_t count)
{
	static const struct image_index plain = { .kind = DOCUMENT_OCI_INDEX };
	CLEANUP(buf_release) struct buf text = { .max = DOCUMENT_MAX };

	if (store->cache &&
		!image_index_write(&plain, FAMILY_OCI, referrers, count, &text, NULL, NULL))
		(void)cache_list_put(
			store->cache, store->host, repository, name, text.data, text.len, NULL);
}

static int get(struct store *store, const char *repository, const char *name,
	struct descriptor **ret, size_t *ret_count)
{
	CLEANUP(buf_release) struct buf text = { .max = DOCUMENT_MAX };
	CLEANUP(image_index_release) struct image_index idx = { 0 };
	uint64_t age_s;
	int rc = cache_list_get(store->cache, store->host, repository, name, &text, &age_s, NULL);

	if (!rc)
		rc = image_index_parse(
			&idx, DOCUMENT_OCI_INDEX, text.data ? text.data : "", text.len, NULL);
	if (rc)
		return rc;
	*ret_count = idx.entry_count;
	*ret = TAKE(idx.entries);
	idx.entry_count = 0;
	return 0;
}

int store_referrers(struct store *store, const char *repository, const struct digest *subject,
	struct descriptor **ret, size_t *ret_count, struct cancel *cancel, struct error *err)
{
	struct source *source = store->source;
	struct error local = { "" }, why;
	char name[RECORD_NAME_MAX];
	int rc;

	*ret = NULL;
	*ret_count = 0;
	if (!source->ops->referrers)
		return 0;
	err = err ? err : &local;
	(void)record_name(subject, name);
	if (names_rest(store, repository, &why) && !get(store, repository, name, ret, ret_count)) {
		names_tell_fallback(store, "referrers", repository, &why);
		return 0;
	}
	rc = store->offline ? names_offline(repository, err)
			    : source->ops->referrers(
				      source, repository, subject, ret, ret_count, cancel, err);
	away_note(store, rc, err);
	if (!is_remote(store))
		return rc;
	if (!rc) {
		access_grant_names(store, repository);
		put(store, repository, name, *ret, *ret_count);
		return 0;
	}
	if (!names_may_fall_back(store, repository, rc) ||
		get(store, repository, name, ret, ret_count))
		return rc;
	names_tell_fallback(store, "referrers", repository, err);
	return 0;
}
