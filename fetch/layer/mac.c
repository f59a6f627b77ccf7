/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What proves a span again that was proved before.
 *
 *	the cache's secret --HMAC-SHA256 of the index's salt--> key, check
 *	key --GMAC of a place and the stored bytes there--> the span's MAC
 *
 * SHA-256 proves bytes to anybody.  Who reads a span wants to know one thing only: are these the
 * bytes that were here when the digest of all was right?  A MAC tells those who have the secret, in
 * a fifth of the time where the processor has the instructions (PCLMULQDQ, PMULL).  Who has it not,
 * a registry or the owner of a layout, cannot find other bytes for a MAC, but by a chance of less
 * than 2^-100 (16 MiB are 2^20 blocks).
 *
 * GMAC must not see two messages with one key and one nonce.  Each index has a salt of its own, and
 * so a key; a nonce is the place where the bytes begin, in the blob or in the spool, and no two
 * stretches of either begin at the same.
 *
 * Source: NIST SP 800-38D, 3, 8 and appendix C; RFC 2104; EVP_MAC-GMAC(7).
 */
#include "fetch/layer/internal.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/random.h>

enum { KEY_SIZE = 16, NONCE_SIZE = 12 };

struct mac_key {
	EVP_MAC *algorithm;
	uint8_t bytes[KEY_SIZE];
};

void mac_key_free(struct mac_key *key)
{
	if (!key)
		return;
	EVP_MAC_free(key->algorithm);
	OPENSSL_cleanse(key->bytes, sizeof key->bytes);
	free(key);
}

CLEANUP_POINTER(mac_keyp, struct mac_key, mac_key_free)

static struct mac_key *derive(const struct secret *secret, const struct mac_origin *origin,
	uint8_t ret_check[static MAC_CHECK])
{
	CLEANUP(mac_keyp) struct mac_key *key = calloc(1, sizeof *key);
	CLEANUP(macp) EVP_MAC_CTX *trial = NULL;
	uint8_t derived[KEY_SIZE + MAC_CHECK];
	size_t len;

	if (!key)
		return NULL;
	key->algorithm = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_GMAC, NULL);
	if (!key->algorithm)
		return NULL;
	if (!EVP_Q_mac(NULL, OSSL_MAC_NAME_HMAC, NULL, OSSL_DIGEST_NAME_SHA2_256, NULL,
		    secret->bytes, sizeof secret->bytes, origin->salt, sizeof origin->salt, derived,
		    sizeof derived, &len))
		return NULL;
	memcpy(key->bytes, derived, KEY_SIZE);
	memcpy(ret_check, derived + KEY_SIZE, MAC_CHECK);
	OPENSSL_cleanse(derived, sizeof derived);
	trial = mac_new(key); /* a provider may have GMAC, and not AES */
	return trial ? TAKE(key) : NULL;
}

struct mac_key *mac_key_new(const struct secret *secret, struct mac_origin *ret_origin)
{
	if (getrandom(ret_origin->salt, sizeof ret_origin->salt, 0) != sizeof ret_origin->salt)
		return NULL;
	return derive(secret, ret_origin, ret_origin->check);
}

struct mac_key *mac_key_again(const struct secret *secret, const struct mac_origin *origin)
{
	uint8_t check[MAC_CHECK];
	CLEANUP(mac_keyp) struct mac_key *key = derive(secret, origin, check);

	return key && !CRYPTO_memcmp(check, origin->check, sizeof check) ? TAKE(key) : NULL;
}

EVP_MAC_CTX *mac_new(const struct mac_key *key)
{
	CLEANUP(macp) EVP_MAC_CTX *mac = EVP_MAC_CTX_new(key->algorithm);
	char cipher[] = "AES-128-GCM";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher, 0),
		OSSL_PARAM_construct_end(),
	};

	if (!mac || !EVP_MAC_init(mac, key->bytes, sizeof key->bytes, params))
		return NULL;
	return TAKE(mac);
}

int mac_begin(EVP_MAC_CTX *mac, bool in_spool, uint64_t place)
{
	uint8_t nonce[NONCE_SIZE] = { in_spool };
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_IV, nonce, sizeof nonce),
		OSSL_PARAM_construct_end(),
	};

	for (unsigned i = 0; i < sizeof place; i++)
		nonce[NONCE_SIZE - 1 - i] = (uint8_t)(place >> (8 * i));
	return EVP_MAC_init(mac, NULL, 0, params) ? 0 : -ENOMEM;
}

int mac_update(EVP_MAC_CTX *mac, const void *bytes, size_t len)
{
	return EVP_MAC_update(mac, bytes, len) ? 0 : -ENOMEM;
}

int mac_end(EVP_MAC_CTX *mac, uint8_t ret[static SPAN_MAC])
{
	size_t len;

	return EVP_MAC_final(mac, ret, &len, SPAN_MAC) && len == SPAN_MAC ? 0 : -ENOMEM;
}

bool mac_is(const uint8_t mac[static SPAN_MAC], const uint8_t expected[static SPAN_MAC])
{
	return !CRYPTO_memcmp(mac, expected, SPAN_MAC);
}
