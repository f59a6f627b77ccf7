/* SPDX-License-Identifier: Apache-2.0 */
/*
 *	{ ..., "signatures": [ {
 *		"header": { "jwk": { "crv", "kid", "kty", "x", "y" }, "alg", "x5c"? },
 *		"signature": base64url,
 *		"protected": base64url of { "formatLength", "formatTail", "time" } } ] }
 *
 * The payload is the first formatLength bytes of the text, and formatTail
 * behind them.  What is signed is the text of "protected", a point, and the payload in
 * base64url (RFC 7515, 5.1).
 *
 * A key's id is the SHA-256 of its SubjectPublicKeyInfo, cut to 240 bits, in
 * base32, in groups of four.  One that is written in the manifest is not
 * looked at: nothing depends on it.
 *
 * Sources: RFC 7515, 7517, 7518; distribution manifest-v2-1.md; libtrust.
 */
#include "model/jws.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "model/base64.h"
#include "model/cleanup.h"
#include "model/error.h"
#include "model/internal.h"
#include "model/json.h"

enum {
	COORDINATE_MAX = 66, /* bytes: P-521 */
	KEY_ID_BYTES = 30,
	BASE64_LINE = 48 << 10, /* bytes encoded at a time; a multiple of 3 */
};

CLEANUP_POINTER(key_freep, EVP_PKEY, EVP_PKEY_free)
CLEANUP_POINTER(key_context_freep, EVP_PKEY_CTX, EVP_PKEY_CTX_free)
CLEANUP_POINTER(digest_context_freep, EVP_MD_CTX, EVP_MD_CTX_free)
CLEANUP_POINTER(builder_freep, OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)
CLEANUP_POINTER(params_freep, OSSL_PARAM, OSSL_PARAM_free)
CLEANUP_POINTER(number_freep, BIGNUM, BN_free)
CLEANUP_POINTER(ecdsa_freep, ECDSA_SIG, ECDSA_SIG_free)
CLEANUP_POINTER(certificate_freep, X509, X509_free)

/* Bytes that came in base64. */
struct bytes {
	uint8_t *data;
	size_t len;
};

static void bytes_release(struct bytes *bytes)
{
	free(bytes->data);
}

/* RFC 7518, 3.1: the curve or key is bound to the hash. */
static const struct algorithm {
	const char *name;
	const EVP_MD *(*md)(void);
	const char *curve;      /* OpenSSL's name; NULL: RSA */
	const char *jwk_curve;  /* RFC 7518, 6.2.1.1 */
	size_t coordinate_size; /* bytes of x, y, r and s */
} algorithms[] = {
	{ "ES256", EVP_sha256, "prime256v1", "P-256", 32 },
	{ "ES384", EVP_sha384, "secp384r1", "P-384", 48 },
	{ "ES512", EVP_sha512, "secp521r1", "P-521", 66 },
	{ "RS256", EVP_sha256, NULL, NULL, 0 },
	{ "RS384", EVP_sha384, NULL, NULL, 0 },
	{ "RS512", EVP_sha512, NULL, NULL, 0 },
};

static int out_of_memory(struct error *err)
{
	return error_set(err, ENOMEM, "signature: out of memory");
}

static int decode(struct bytes *ret, const char *text, const char *last_two, struct error *err)
{
	size_t len = strlen(text);
	char *data = malloc(len / 4 * 3 + 2);

	if (!data)
		return out_of_memory(err);
	if (!base64_decode_to(data, &len, text, len, last_two)) {
		free(data);
		return error_set(err, EIO, "not base64");
	}
	*ret = (struct bytes){ (uint8_t *)data, len };
	return 0;
}

static int decode_url(struct bytes *ret, const char *text, struct error *err)
{
	return decode(ret, text, BASE64_URL, err);
}

/* A member that must be there, in base64url. */
static int get_bytes(
	struct bytes *ret, struct json_object *object, const char *name, struct error *err)
{
	CLEANUP(freep) char *text = NULL;
	int rc;

	rc = json_get_string(object, name, &text, err);
	if (!rc && !text)
		rc = error_set(err, EIO, "missing");
	if (!rc)
		rc = decode_url(ret, text, err);
	return rc ? error_prefix(err, rc, "'%s'", name) : 0;
}

/* What one signature says of the payload. */
struct format {
	uint64_t length;
	struct bytes tail;
};

static void format_release(struct format *format)
{
	bytes_release(&format->tail);
}

static int parse_protected(struct format *ret, struct json_object *object, struct error *err)
{
	int rc;

	if (!json_object_is_type(object, json_type_object))
		return error_set(err, EIO, "'protected' is not an object");
	rc = json_check_spelling(object, "formatLength", err);
	if (!rc)
		rc = json_check_spelling(object, "formatTail", err);
	if (!rc)
		rc = json_get_size(object, "formatLength", &ret->length, err);
	if (!rc)
		rc = get_bytes(&ret->tail, object, "formatTail", err);
	if (!rc && ret->tail.len > SIGNATURE_TAIL_MAX)
		rc = error_set(err, EIO, "'formatTail' of %zu bytes", ret->tail.len);
	return rc;
}

static int parse_format(struct format *ret, struct json_object *signature, struct error *err)
{
	CLEANUP(bytes_release) struct bytes text = { 0 };
	CLEANUP(json_putp) struct json_object *object = NULL;
	int rc;

	if (!json_object_is_type(signature, json_type_object))
		return error_set(err, EIO, "not an object");
	rc = json_check_spelling(signature, "protected", err);
	if (!rc)
		rc = get_bytes(&text, signature, "protected", err);
	if (!rc)
		rc = json_parse(&object, (const char *)text.data, text.len, err);
	return rc ? rc : parse_protected(ret, object, err);
}

/* What all signatures agree upon. */
static int find_format(struct format *ret, struct json_object *signatures, struct error *err)
{
	size_t count = json_object_array_length(signatures);
	int rc;

	if (count > SIGNATURES_MAX)
		return error_set(err, EFBIG, "more than %d signatures", SIGNATURES_MAX);
	rc = parse_format(ret, json_object_array_get_idx(signatures, 0), err);
	for (size_t i = 1; i < count && !rc; i++) {
		CLEANUP(format_release) struct format other = { 0 };

		rc = parse_format(&other, json_object_array_get_idx(signatures, i), err);
		if (!rc && (other.length != ret->length || other.tail.len != ret->tail.len ||
				   memcmp(other.tail.data, ret->tail.data, other.tail.len)))
			rc = error_set(err, EIO, "signatures of different payloads");
	}
	return rc;
}

static int make_payload(struct jws *jws, const struct format *format, const char *bytes, size_t len,
	struct error *err)
{
	CLEANUP(json_members_release) struct json_members members = { 0 };
	CLEANUP(freep) char *payload = NULL;
	int rc;

	if (!format->length || format->length > len)
		return error_set(err, EIO, "a signature of %" PRIu64 " bytes in a text of %zu",
			format->length, len);
	payload = malloc(format->length + format->tail.len);
	if (!payload)
		return out_of_memory(err);
	memcpy(payload, bytes, format->length);
	memcpy(payload + format->length, format->tail.data, format->tail.len);
	rc = json_members_parse(&members, payload, format->length + format->tail.len, err);
	/* Its digest is the body's.  If it were anything else, a body could pass for that. */
	if (!rc && !json_members_find(&members, "fsLayers"))
		rc = error_set(err, EIO, "no 'fsLayers'");
	if (rc)
		return error_prefix(err, rc, "payload");
	jws->payload = TAKE(payload);
	jws->payload_len = format->length + format->tail.len;
	return 0;
}

/* Sets jws->state, or finds the payload. */
static int read_signatures(struct jws *jws, const char *bytes, size_t len, struct error *err)
{
	CLEANUP(json_members_release) struct json_members members = { 0 };
	CLEANUP(format_release) struct format format = { 0 };
	const struct json_member *value;
	int rc;

	rc = json_members_parse(&members, bytes, len, err);
	if (rc)
		return rc;
	value = json_members_find(&members, "signatures");
	if (!value || !json_members_find(&members, "fsLayers") ||
		(value->len == 4 && !memcmp(value->value, "null", 4))) {
		jws->state = SIGNATURE_UNSIGNED;
		return 0;
	}
	for (const struct json_member *m = value + 1; m < members.items + members.count; m++)
		if (!strcmp(m->name, "signatures"))
			return error_set(err, EIO, "'signatures' stands twice");
	rc = json_parse(&jws->signatures, value->value, value->len, err);
	if (rc)
		return rc;
	if (!json_object_is_type(jws->signatures, json_type_array))
		return error_set(err, EIO, "'signatures' is not an array");
	if (!json_object_array_length(jws->signatures)) {
		jws->state = SIGNATURE_UNSIGNED;
		return 0;
	}
	rc = find_format(&format, jws->signatures, err);
	return rc ? rc : make_payload(jws, &format, bytes, len, err);
}

int jws_open(struct jws *ret, const char *bytes, size_t len, struct error *err)
{
	static const char mark[] = "\"signatures\"", shape[] = "\"fsLayers\"";
	CLEANUP(jws_release) struct jws jws = { 0 };
	int rc = 0;

	if (len > DOCUMENT_MAX || !memmem(bytes, len, mark, strlen(mark)) ||
		!memmem(bytes, len, shape, strlen(shape)))
		jws.state = SIGNATURE_UNSIGNED;
	else
		rc = read_signatures(&jws, bytes, len, err);
	if (rc == -ENOMEM)
		return rc;
	if (rc)
		jws.state = SIGNATURE_MALFORMED;
	*ret = jws;
	jws = (struct jws){ 0 };
	return 0;
}

void jws_release(struct jws *jws)
{
	free(jws->payload);
	if (jws->signatures)
		json_object_put(jws->signatures);
	*jws = (struct jws){ 0 };
}

/* Whatever libcrypto does not take is what somebody sent us: malformed. */
static int build_key(EVP_PKEY **ret, const char *type, OSSL_PARAM_BLD *builder, struct error *err)
{
	CLEANUP(key_context_freep)
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	CLEANUP(params_freep) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);

	if (!context || !params)
		return out_of_memory(err);
	if (EVP_PKEY_fromdata_init(context) != 1 ||
		EVP_PKEY_fromdata(context, ret, EVP_PKEY_PUBLIC_KEY, params) != 1)
		return error_set(err, EIO, "not a key of type %s", type);
	return 0;
}

static const struct algorithm *find_curve(const char *jwk_curve)
{
	for (size_t i = 0; jwk_curve && i < ARRAY_SIZE(algorithms); i++)
		if (algorithms[i].jwk_curve && !strcmp(algorithms[i].jwk_curve, jwk_curve))
			return &algorithms[i];
	return NULL;
}

/* RFC 7518, 6.2.  The point is checked to be on the curve where the key is made of it. */
static int parse_ec_key(EVP_PKEY **ret, struct json_object *jwk, struct error *err)
{
	CLEANUP(builder_freep) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	CLEANUP(bytes_release) struct bytes x = { 0 };
	CLEANUP(bytes_release) struct bytes y = { 0 };
	CLEANUP(freep) char *name = NULL;
	uint8_t point[1 + 2 * COORDINATE_MAX] = { POINT_CONVERSION_UNCOMPRESSED };
	const struct algorithm *curve;
	size_t size;
	int rc;

	rc = json_get_string(jwk, "crv", &name, err);
	curve = find_curve(name);
	if (!rc && !curve)
		rc = error_set(err, EIO, "'crv' is no curve that is known here");
	if (!rc)
		rc = get_bytes(&x, jwk, "x", err);
	if (!rc)
		rc = get_bytes(&y, jwk, "y", err);
	if (rc)
		return rc;
	size = curve->coordinate_size;
	if (x.len != size || y.len != size)
		return error_set(err, EIO, "coordinates of %zu and %zu bytes", x.len, y.len);
	memcpy(point + 1, x.data, size);
	memcpy(point + 1 + size, y.data, size);
	if (!builder ||
		!OSSL_PARAM_BLD_push_utf8_string(
			builder, OSSL_PKEY_PARAM_GROUP_NAME, curve->curve, 0) ||
		!OSSL_PARAM_BLD_push_octet_string(
			builder, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * size))
		return out_of_memory(err);
	return build_key(ret, "EC", builder, err);
}

/* RFC 7518, 6.3. */
static int parse_rsa_key(EVP_PKEY **ret, struct json_object *jwk, struct error *err)
{
	CLEANUP(builder_freep) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	CLEANUP(bytes_release) struct bytes n = { 0 };
	CLEANUP(bytes_release) struct bytes e = { 0 };
	CLEANUP(number_freep) BIGNUM *modulus = NULL;
	CLEANUP(number_freep) BIGNUM *exponent = NULL;
	int rc;

	rc = get_bytes(&n, jwk, "n", err);
	if (!rc)
		rc = get_bytes(&e, jwk, "e", err);
	if (rc)
		return rc;
	if (n.len > RSA_BITS_MAX / 8 || e.len > RSA_EXPONENT_MAX)
		return error_set(err, EIO, "an RSA key of %zu bytes", n.len);
	modulus = BN_bin2bn(n.data, (int)n.len, NULL);
	exponent = BN_bin2bn(e.data, (int)e.len, NULL);
	if (!builder || !modulus || !exponent ||
		!OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) ||
		!OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent))
		return out_of_memory(err);
	return build_key(ret, "RSA", builder, err);
}

static int parse_jwk(EVP_PKEY **ret, struct json_object *jwk, struct error *err)
{
	CLEANUP(freep) char *type = NULL;
	int rc;

	rc = json_get_string(jwk, "kty", &type, err);
	if (rc)
		return rc;
	if (type && !strcmp(type, "EC"))
		return parse_ec_key(ret, jwk, err);
	if (type && !strcmp(type, "RSA"))
		return parse_rsa_key(ret, jwk, err);
	return error_set(err, EIO, "no key of a type that is known here");
}

/* The first certificate is the signer's (RFC 7515, 4.1.6); nobody here trusts what is above it. */
static int parse_certificate(EVP_PKEY **ret, struct json_object *chain, struct error *err)
{
	struct json_object *first = json_object_array_get_idx(chain, 0);
	CLEANUP(certificate_freep) X509 *certificate = NULL;
	CLEANUP(bytes_release) struct bytes der = { 0 };
	const uint8_t *at;
	int rc;

	if (!json_object_is_type(first, json_type_string) ||
		json_object_get_string_len(first) > CERTIFICATE_MAX)
		return error_set(err, EIO, "'x5c' holds no certificate");
	rc = decode(&der, json_object_get_string(first), BASE64_STANDARD, err);
	if (rc)
		return error_prefix(err, rc, "'x5c'");
	at = der.data;
	certificate = d2i_X509(NULL, &at, (long)der.len);
	if (certificate && at == der.data + der.len)
		*ret = X509_get_pubkey(certificate);
	return *ret ? 0 : error_set(err, EIO, "'x5c' holds no certificate");
}

static int parse_key(EVP_PKEY **ret, struct json_object *header, struct error *err)
{
	struct json_object *chain = NULL, *jwk = NULL;
	int rc;

	rc = json_get_array(header, "x5c", &chain, err);
	if (!rc)
		rc = json_get_object(header, "jwk", &jwk, err);
	if (rc)
		return rc;
	return chain ? parse_certificate(ret, chain, err) : parse_jwk(ret, jwk, err);
}

static int make_key_id(char ret[static KEY_ID_MAX], EVP_PKEY *key, struct error *err)
{
	static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"; /* RFC 4648 */
	uint8_t *der = NULL;
	int len = i2d_PUBKEY(key, &der), bits = 0, rc;
	struct digest digest;
	uint32_t word = 0;
	size_t n = 0;

	static_assert(KEY_ID_MAX == KEY_ID_BYTES * 8 / 5 / 4 * 5, "groups of four and a separator");
	if (len < 0)
		return error_set(err, EIO, "a key that cannot be encoded");
	rc = digest_of(&digest, DIGEST_SHA256, der, (size_t)len, err);
	OPENSSL_free(der);
	if (rc)
		return rc;
	for (size_t i = 0; i < KEY_ID_BYTES; i++) {
		word = word << 8 | digest.bytes[i];
		for (bits += 8; bits >= 5; bits -= 5) {
			ret[n++] = base32[word >> (bits - 5) & 31];
			if (n % 5 == 4)
				ret[n++] = ':';
		}
	}
	ret[n - 1] = '\0';
	return 0;
}

static int check_key(const struct algorithm *algorithm, EVP_PKEY *key, struct error *err)
{
	char curve[32];
	size_t len;

	if (!algorithm->curve) {
		if (EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= RSA_BITS_MIN &&
			EVP_PKEY_get_bits(key) <= RSA_BITS_MAX)
			return 0;
	} else if (EVP_PKEY_is_a(key, "EC") &&
		   EVP_PKEY_get_group_name(key, curve, sizeof curve, &len) == 1 &&
		   !strcmp(curve, algorithm->curve)) {
		return 0;
	}
	return error_set(err, EIO, "'%s' does not fit the key", algorithm->name);
}

/* libcrypto takes r and s in DER. */
static int encode_ecdsa(struct bytes *ret, const struct bytes *raw, size_t size, struct error *err)
{
	CLEANUP(ecdsa_freep) ECDSA_SIG *signature = ECDSA_SIG_new();
	CLEANUP(number_freep) BIGNUM *r = NULL;
	CLEANUP(number_freep) BIGNUM *s = NULL;
	unsigned char *der = NULL;
	int len;

	if (raw->len != 2 * size)
		return error_set(err, EIO, "a signature of %zu bytes", raw->len);
	r = BN_bin2bn(raw->data, (int)size, NULL);
	s = BN_bin2bn(raw->data + size, (int)size, NULL);
	if (!signature || !r || !s || !ECDSA_SIG_set0(signature, r, s))
		return out_of_memory(err);
	r = s = NULL; /* the signature frees them */
	len = i2d_ECDSA_SIG(signature, NULL);
	if (len > 0)
		ret->data = der = malloc((size_t)len);
	if (!der)
		return out_of_memory(err);
	ret->len = (size_t)i2d_ECDSA_SIG(signature, &der);
	return 0;
}

/* base64url without padding, in pieces that leave none. */
static bool update_base64(EVP_MD_CTX *context, const char *bytes, size_t len)
{
	CLEANUP(freep) uint8_t *text = malloc(BASE64_LINE / 3 * 4 + 1);

	if (!text)
		return false;
	while (len) {
		size_t step = len < BASE64_LINE ? len : BASE64_LINE;
		size_t n = (size_t)EVP_EncodeBlock(text, (const uint8_t *)bytes, (int)step);

		while (text[n - 1] == '=')
			n--;
		for (size_t i = 0; i < n; i++)
			if (text[i] == '+' || text[i] == '/')
				text[i] = text[i] == '+' ? '-' : '_';
		if (EVP_DigestVerifyUpdate(context, text, n) != 1)
			return false;
		bytes += step;
		len -= step;
	}
	return true;
}

static int check_signature(const struct jws *jws, const struct algorithm *algorithm, EVP_PKEY *key,
	const char *protected, const struct bytes *signature, struct error *err)
{
	CLEANUP(digest_context_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();

	if (!context)
		return out_of_memory(err);
	if (EVP_DigestVerifyInit(context, NULL, algorithm->md(), NULL, key) != 1 ||
		EVP_DigestVerifyUpdate(context, protected, strlen(protected)) != 1 ||
		EVP_DigestVerifyUpdate(context, ".", 1) != 1 ||
		!update_base64(context, jws->payload, jws->payload_len) ||
		EVP_DigestVerifyFinal(context, signature->data, signature->len) != 1)
		return error_set(err, EIO, "does not hold");
	return 0;
}

static int find_algorithm(
	const struct algorithm **ret, struct json_object *header, struct error *err)
{
	CLEANUP(freep) char *name = NULL;
	int rc;

	rc = json_get_string(header, "alg", &name, err);
	if (rc)
		return rc;
	for (size_t i = 0; name && i < ARRAY_SIZE(algorithms); i++)
		if (!strcmp(algorithms[i].name, name)) {
			*ret = &algorithms[i];
			return 0;
		}
	return error_set(err, EIO, "'alg' is none that is known here");
}

static int verify(struct jws *jws, struct json_object *object, struct error *err)
{
	CLEANUP(bytes_release) struct bytes signature = { 0 };
	CLEANUP(bytes_release) struct bytes der = { 0 };
	const struct algorithm *algorithm = NULL;
	CLEANUP(freep) char *protected = NULL;
	struct json_object *header = NULL;
	CLEANUP(key_freep) EVP_PKEY *key = NULL;
	int rc;

	rc = json_get_object(object, "header", &header, err);
	if (!rc)
		rc = parse_key(&key, header, err);
	if (!rc && !*jws->key_id)
		rc = make_key_id(jws->key_id, key, err);
	if (!rc)
		rc = find_algorithm(&algorithm, header, err);
	if (!rc)
		rc = check_key(algorithm, key, err);
	if (!rc)
		rc = json_get_string(object, "protected", &protected, err);
	if (!rc)
		rc = get_bytes(&signature, object, "signature", err);
	if (!rc && algorithm->curve)
		rc = encode_ecdsa(&der, &signature, algorithm->coordinate_size, err);
	if (rc)
		return rc;
	return check_signature(
		jws, algorithm, key, protected, algorithm->curve ? &der : &signature, err);
}

int jws_verify(struct jws *jws, struct error *err)
{
	size_t count = json_object_array_length(jws->signatures);
	int rc = 0;

	assert(jws->payload);
	for (size_t i = 0; i < count && !rc; i++)
		rc = verify(jws, json_object_array_get_idx(jws->signatures, i), err);
	ERR_clear_error(); /* libcrypto's queue, which libcurl may look into */
	if (rc == -ENOMEM)
		return rc;
	jws->state = rc ? SIGNATURE_INVALID : SIGNATURE_VALID;
	return 0;
}
