/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers, diff_ids and history come from two documents of one publisher and
 * need not agree in number: every step from one to the other is checked.
 */
#include "model/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/error.h"

void image_release(struct image *image)
{
	descriptor_release(&image->config);
	descriptors_free(image->layers, image->layer_count);
	free(image->artifact_type);
	descriptor_release(&image->subject);
	annotations_release(&image->annotations);
	image_config_release(&image->parsed);
	v1_entries_free(image->v1, image->v1_count);
	*image = (struct image){ 0 };
}

char *signature_format(const struct image *image, char text[static SIGNATURE_TEXT_MAX])
{
	static const char *const names[] = {
		[SIGNATURE_NONE] = "",
		[SIGNATURE_UNSIGNED] = "unsigned",
		[SIGNATURE_VALID] = "valid",
		[SIGNATURE_INVALID] = "invalid",
		[SIGNATURE_MALFORMED] = "malformed",
	};
	const char *id = image->signature == SIGNATURE_VALID ? image->signature_key_id : "";

	(void)snprintf(
		text, SIGNATURE_TEXT_MAX, "%s%s%s", names[image->signature], *id ? " " : "", id);
	return text;
}

const struct history_entry *image_layer_history(const struct image *image, size_t layer)
{
	const struct image_config *config = &image->parsed;

	if (layer >= image->layer_count)
		return NULL;
	for (size_t i = 0; i < config->history_count; i++)
		if (!config->history[i].is_empty_layer && layer-- == 0)
			return &config->history[i];
	return NULL;
}

/* config.md, "Layer ChainID": over the texts, not over the bytes they name. */
int chain_id_extend(struct digest *chain, const struct digest *diff_id, struct error *err)
{
	char above[DIGEST_TEXT_MAX], below[DIGEST_TEXT_MAX], text[2 * DIGEST_TEXT_MAX];
	int len;

	len = snprintf(text, sizeof text, "%s %s", digest_format(chain, below),
		digest_format(diff_id, above));
	return digest_of(chain, DIGEST_SHA256, text, (size_t)len, err);
}

int image_chain_id(struct digest *ret, const struct image *image, size_t layer, struct error *err)
{
	const struct image_config *config = &image->parsed;
	struct digest chain;

	if (layer >= config->diff_id_count)
		return error_set(err, EINVAL, "layer %zu has no diff_id: the config names %zu",
			layer + 1, config->diff_id_count);
	chain = config->diff_ids[0];
	for (size_t i = 1; i <= layer; i++) {
		int rc = chain_id_extend(&chain, &config->diff_ids[i], err);

		if (rc)
			return rc;
	}
	*ret = chain;
	return 0;
}
