/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jws -- the signatures inside a schema 1 manifest: JSON Web Signatures in
 * libtrust's "pretty" form, which sign the text they stand in.
 *
 * Of a signed manifest only the payload may be believed: members behind it
 * are covered by nothing.  The keys come with the signatures, so a valid one tells
 * that nothing changed since somebody signed, not who that was.
 * Private to model/.
 */
#ifndef MODEL_JWS_H
#define MODEL_JWS_H

#include <stddef.h>

#include "model/image.h"

struct json_object;

enum {
	SIGNATURES_MAX = 16,        /* of one manifest: each may cost a verification by RSA */
	SIGNATURE_TAIL_MAX = 64,    /* what follows the signatures: "\n}" in all that exist */
	CERTIFICATE_MAX = 64 << 10, /* of x5c */
	RSA_BITS_MIN = 1024,
	RSA_BITS_MAX = 16384,
	RSA_EXPONENT_MAX = 8, /* bytes */
};

struct jws {
	enum signature_state state; /* SIGNATURE_NONE: there is a payload, see jws_verify() */
	char *payload;              /* what was signed; NULL when there is none */
	size_t payload_len;
	struct json_object *signatures;
	char key_id[KEY_ID_MAX]; /* after jws_verify(): of the first key, "" when that cannot be
				    read */
};

/* Finds the payload, which has the members of schema 1 itself.  Bytes that are no signed schema 1
 * manifest are SIGNATURE_UNSIGNED, signatures that do not agree upon such a payload
 * SIGNATURE_MALFORMED; neither is a failure.  Costs little when nothing in the bytes looks
 * signed. */
int jws_open(struct jws *ret, const char *bytes, size_t len, struct error *err);
/* Makes the state of a payload SIGNATURE_VALID or, when any signature does not hold for
 * whatever reason, SIGNATURE_INVALID. */
int jws_verify(struct jws *jws, struct error *err);
void jws_release(struct jws *jws);

#endif
