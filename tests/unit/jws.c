/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signatures were made by Python's cryptography module, and so were the
 * key ids; the recorded ones (IMGFS_FIXTURES) by Docker and by a registry, and are judged in
 * schema1/EXPECTED.json by an independent program.
 */
#include "model/jws.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "tests/unit/fixture.h"

/* What is signed; its last character is the tail. */
#define PAYLOAD "{\"schemaVersion\":1,\"fsLayers\":[],\"history\":[]}"
#define BODY    "{\"schemaVersion\":1,\"fsLayers\":[],\"history\":[]"
/* As long, and another document. */
#define OTHER_BODY     "{\"schemaVersion\":2,\"layers\":[],\"manifests\":[]"
#define PAYLOAD_DIGEST "sha256:5b41321bd508a125702d2d43cdba2bd2df5bda46524f14b54dd712a32d56eead"
#define PROTECTED      "eyJmb3JtYXRMZW5ndGgiOjQ1LCJmb3JtYXRUYWlsIjoiZlEifQ"

#define KEY_ID "J3MG:TDSI:2YWV:H73R:GRAJ:6G7L:5HZB:JA4H:Q3PB:LGHL:UAOM:EWF6"
#define ES256                                                                                      \
	"{\"header\":{\"alg\":\"ES256\",\"jwk\":{\"crv\":\"P-256\",\"kid\":\"J3MG"                 \
	":TDSI:2YWV:H73R:GRAJ:6G7L:5HZB:JA4H:Q3PB:LGHL:UAOM:EWF6\",\"kty\":\"EC\""                 \
	",\"x\":\"Blxr1TtUCyrOKbaK7teeBk7rKn9KcZsv0r_CtR-N17o\",\"y\":\"f7qIvBQi0"                 \
	"lu0TJq0oVm1BPOORSCQWHw8W4bAeO8ibi4\"}},\"signature\":\"xaFCZeb1eRSxP6lRa"                 \
	"oRIAKrXvyiaDFghOGm8NU8POM4AiKhuyIu8OCOR0VmrKi9Afoe5Xtj5OYUG_25Q3QVQAA\","                 \
	"\"protected\":\"eyJmb3JtYXRMZW5ndGgiOjQ1LCJmb3JtYXRUYWlsIjoiZlEifQ\"}"

static const struct signed_case {
	const char *name, *signature, *key_id;
} signed_cases[] = {
	{ "ES256", ES256, KEY_ID },
	{ "ES384",
		"{\"header\":{\"alg\":\"ES384\",\"jwk\":{\"crv\":\"P-384\",\"kid\":\"5IEZ"
		":5QX6:WS3A:QECS:2GCU:4FCE:DCNI:VFSO:TW5J:7GQI:3V7Q:22NE\",\"kty\":\"EC\""
		",\"x\":\"6lA8f1aapT_viScoWZfMUewZVDyZgSXljhhvJiDEhSYpwCVQKwkzHyJzq_tl2aD"
		"h\",\"y\":\"BrGmKgTk_QyGy7n_mO9pBMDkpb_4Mr3iWWgJlTqZCqTI4dUBoXQ8ovffJLTd"
		"rDbT\"}},\"signature\":\"P52lVp8Qf7CSiAe_uzUN8Pudqq4MCsJEgSM88sAEVlSpzd7"
		"QsQteMjYTf1JIqhzxYU2ZRKKCl6GYOJYSaxScdUiDDK3z8I-2UE-BfOr3MrkpUtralHV799h"
		"pCOwRcXSN\",\"protected\":\"eyJmb3JtYXRMZW5ndGgiOjQ1LCJmb3JtYXRUYWlsIjoi"
		"ZlEifQ\"}",
		"5IEZ:5QX6:WS3A:QECS:2GCU:4FCE:DCNI:VFSO:TW5J:7GQI:3V7Q:22NE" },
	{ "ES512",
		"{\"header\":{\"alg\":\"ES512\",\"jwk\":{\"crv\":\"P-521\",\"kid\":\"H27Q"
		":XPXG:HOS5:OZHN:UTTR:NIJ2:J2SO:XPI2:A6EK:IJXB:2YAU:USYI\",\"kty\":\"EC\""
		",\"x\":\"AJ0ZO-9PQJMnu3LvF7PhT6RAXPpBy1IAbwfvQd0NtQbJuzmspNl0512gYoZB0hW"
		"mUVlvfLPzODw8TB7KJr7yKhDQ\",\"y\":\"ARPZOuT0TNaeA62gb7sgqmmfQ2WppDfND_EI"
		"ZweZjGOTdURUzgC8zosDsrdP0QwnIZHbKr0slaCcqhRcJs4Qp6lO\"}},\"signature\":"
		"\"AEWK-jRU5uqmyWpq0QD15weT20b5Sgymr4HDN6DumQjTo6QUXyfl7pJ04CkIkLLy0B-7rR"
		"RAo_10rfb5m7LWIWn2AA4R0EErXZrD7_l80z5rtYQN8-FIksrgB_dsV1nB4rWU0YkBoY2Whr"
		"q9JZ1xVQ2eo6B1StrGG-2ZXFc_bHAtLEP-\",\"protected\":\"eyJmb3JtYXRMZW5ndGg"
		"iOjQ1LCJmb3JtYXRUYWlsIjoiZlEifQ\"}",
		"H27Q:XPXG:HOS5:OZHN:UTTR:NIJ2:J2SO:XPI2:A6EK:IJXB:2YAU:USYI" },
	{ "RS256",
		"{\"header\":{\"alg\":\"RS256\",\"jwk\":{\"e\":\"AQAB\",\"kid\":\"C4E4:5X"
		"K7:KQPO:67DX:NJCD:Y5EY:XN5W:SI4R:LZ6M:CMWG:GXI5:MV3B\",\"kty\":\"RSA\","
		"\"n\":\"v3doG7uw0ZjxV-pTbKzSgYJmajFJiwWaHn8H6qRq8QPybWfWxEFwAs5JnT2mwGct"
		"4haIel389KhX53J3WBKTlzGzHlCRnEqkvglDRIQwVZTTqYaEeNbR4cjZWtZ2KaaY2Rvhq3wS"
		"7tAAYQoD_7Nbmfn3L8Vgzfl9eXqE5Pjt8u0\"}},\"signature\":\"en93GexGpk70xeJB"
		"RR7FKDqX5JDkFYIVwLTeL7iE7vMtk9udD32XfGt3VXo89BXGDrXutZMHz-HojoedLFOkzYaT"
		"mNZgN_kAV9Dnum11gMyp5LRqdSVedt_2WCtFnsEApm_SxpwYz7_NOnldDfaUa4qK0PUzDRqu"
		"xZV-CUlMREc\",\"protected\":\"eyJmb3JtYXRMZW5ndGgiOjQ1LCJmb3JtYXRUYWlsIj"
		"oiZlEifQ\"}",
		"C4E4:5XK7:KQPO:67DX:NJCD:Y5EY:XN5W:SI4R:LZ6M:CMWG:GXI5:MV3B" },
	{ "RS384",
		"{\"header\":{\"alg\":\"RS384\",\"jwk\":{\"e\":\"AQAB\",\"kid\":\"C4E4:5X"
		"K7:KQPO:67DX:NJCD:Y5EY:XN5W:SI4R:LZ6M:CMWG:GXI5:MV3B\",\"kty\":\"RSA\","
		"\"n\":\"v3doG7uw0ZjxV-pTbKzSgYJmajFJiwWaHn8H6qRq8QPybWfWxEFwAs5JnT2mwGct"
		"4haIel389KhX53J3WBKTlzGzHlCRnEqkvglDRIQwVZTTqYaEeNbR4cjZWtZ2KaaY2Rvhq3wS"
		"7tAAYQoD_7Nbmfn3L8Vgzfl9eXqE5Pjt8u0\"}},\"signature\":\"ttzJtiouBgBnhJLz"
		"XffT525M6PqSx1VCtQlQmzbTHHeGNZIQTnk6KTd26kLYfYbO40O4-Fxqp27m3MxNbfzXSJaU"
		"EpFQzZjfd8vaAHlUryfzrrK4g9siXLzms3j1129T2cvpXCPZZeU4ZIgvwGSVF6ytFLkVq8qA"
		"g7OotdT2zcw\",\"protected\":\"eyJmb3JtYXRMZW5ndGgiOjQ1LCJmb3JtYXRUYWlsIj"
		"oiZlEifQ\"}",
		"C4E4:5XK7:KQPO:67DX:NJCD:Y5EY:XN5W:SI4R:LZ6M:CMWG:GXI5:MV3B" },
	{ "RS512",
		"{\"header\":{\"alg\":\"RS512\",\"jwk\":{\"e\":\"AQAB\",\"kid\":\"C4E4:5X"
		"K7:KQPO:67DX:NJCD:Y5EY:XN5W:SI4R:LZ6M:CMWG:GXI5:MV3B\",\"kty\":\"RSA\","
		"\"n\":\"v3doG7uw0ZjxV-pTbKzSgYJmajFJiwWaHn8H6qRq8QPybWfWxEFwAs5JnT2mwGct"
		"4haIel389KhX53J3WBKTlzGzHlCRnEqkvglDRIQwVZTTqYaEeNbR4cjZWtZ2KaaY2Rvhq3wS"
		"7tAAYQoD_7Nbmfn3L8Vgzfl9eXqE5Pjt8u0\"}},\"signature\":\"KA_wPcShc5x2EBuK"
		"QeYZiRY-OBrC6_zcd8js1ugAxGPVWqo9Cn5P7aFxBns6Z31zuKOWCsifMatbXKGz5MCjgDxZ"
		"a4vHEV_PwpJTG2thwUE9CMra-1PvLHJduCImY_rKj2cCkGRShrJjun-Fwkwo8o31SuNSoH0C"
		"d1m5UiS3NIU\",\"protected\":\"eyJmb3JtYXRMZW5ndGgiOjQ1LCJmb3JtYXRUYWlsIj"
		"oiZlEifQ\"}",
		"C4E4:5XK7:KQPO:67DX:NJCD:Y5EY:XN5W:SI4R:LZ6M:CMWG:GXI5:MV3B" },
	{ "a certificate of P-256",
		"{\"header\":{\"alg\":\"ES256\",\"x5c\":[\"MIIBBTCBq6ADAgECAgEBMAoGCCqGSM"
		"49BAMCMAwxCjAIBgNVBAMMAXQwHhcNMjAwMTAxMDAwMDAwWhcNMjEwMTAxMDAwMDAwWjAMMQ"
		"owCAYDVQQDDAF0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEBlxr1TtUCyrOKbaK7teeBk"
		"7rKn9KcZsv0r/CtR+N17p/uoi8FCLSW7RMmrShWbUE845FIJBYfDxbhsB47yJuLjAKBggqhk"
		"jOPQQDAgNJADBGAiEA/6KpHbM7y/aSNYn7azaAeysy2/DXI4eX/cBAHA/BiQkCIQDyZV+d6I"
		"SymCtoO282lxPTisTSgAW1Z4qiTGlc0apaPg==\"]},\"signature\":\"LS2qhF6LWV8iC"
		"vj0oV1WH4TSgl1cz4wUGYCfxNaxp__RHm9u3A_bUV7Rywh97TDZw8ffPS1BMnhyTFmGcDfZ1"
		"A\",\"protected\":\"eyJmb3JtYXRMZW5ndGgiOjQ1LCJmb3JtYXRUYWlsIjoiZlEifQ\""
		"}",
		"J3MG:TDSI:2YWV:H73R:GRAJ:6G7L:5HZB:JA4H:Q3PB:LGHL:UAOM:EWF6" },
	{ "a certificate of RSA",
		"{\"header\":{\"alg\":\"RS256\",\"x5c\":[\"MIIBizCB9aADAgECAgEBMA0GCSqGSI"
		"b3DQEBCwUAMAwxCjAIBgNVBAMMAXQwHhcNMjAwMTAxMDAwMDAwWhcNMjEwMTAxMDAwMDAwWj"
		"AMMQowCAYDVQQDDAF0MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC/d2gbu7DRmPFX6l"
		"NsrNKBgmZqMUmLBZoefwfqpGrxA/JtZ9bEQXACzkmdPabAZy3iFoh6Xfz0qFfncndYEpOXMb"
		"MeUJGcSqS+CUNEhDBVlNOphoR41tHhyNla1nYpppjZG+GrfBLu0ABhCgP/s1uZ+fcvxWDN+X"
		"15eoTk+O3y7QIDAQABMA0GCSqGSIb3DQEBCwUAA4GBAE/ifpajJi1DFWLVWeT+OdLldkRPCy"
		"w1Se4Y72IIpDLv64c4WJvRlZmVNg4Aj8TYCBXbhW9XnR7nfZLCdefLwF6SOA34EhyHs7fM/K"
		"lQBvzoJjbi3rWx4lWVz4zZQCInODMxhKFfDDugmKi4OMT/4dZurWFVcQFA6xro8fDKu0Wc\""
		"]},\"signature\":\"en93GexGpk70xeJBRR7FKDqX5JDkFYIVwLTeL7iE7vMtk9udD32Xf"
		"Gt3VXo89BXGDrXutZMHz-HojoedLFOkzYaTmNZgN_kAV9Dnum11gMyp5LRqdSVedt_2WCtFn"
		"sEApm_SxpwYz7_NOnldDfaUa4qK0PUzDRquxZV-CUlMREc\",\"protected\":\"eyJmb3J"
		"tYXRMZW5ndGgiOjQ1LCJmb3JtYXRUYWlsIjoiZlEifQ\"}",
		"C4E4:5XK7:KQPO:67DX:NJCD:Y5EY:XN5W:SI4R:LZ6M:CMWG:GXI5:MV3B" },
};

static void open_text(struct jws *jws, const char *before, const char *signatures,
	const char *after, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { .max = DOCUMENT_MAX };

	assert_int_equal(buf_printf(&text, "%s%s%s", before, signatures, after), 0);
	assert_int_equal(jws_open(jws, text.data, text.len, err), 0);
	if (jws->payload)
		assert_int_equal(jws_verify(jws, err), 0);
}

static void holds(void **state)
{
	const struct signed_case *c = *state;
	CLEANUP(jws_release) struct jws jws = { 0 };
	struct error err = { "" };

	open_text(&jws, BODY ",\"signatures\":[", c->signature, "]}", &err);
	assert_string_equal(err.text, "");
	assert_int_equal(jws.state, SIGNATURE_VALID);
	assert_string_equal(jws.key_id, c->key_id);
	assert_int_equal(jws.payload_len, strlen(PAYLOAD));
	assert_memory_equal(jws.payload, PAYLOAD, strlen(PAYLOAD));
}

/* The signature by P-256 with one text in place of another; where to is NULL, with the
 * character behind from changed. */
static const struct changed_case {
	const char *name, *from, *to;
	enum signature_state state;
	const char *error;
} changed_cases[] = {
	{ "nothing changed", "", "", SIGNATURE_VALID, "" },
	{ "another key id", "\"kid\":\"", NULL, SIGNATURE_VALID, "" },
	{ "no key id", "\"kid\"", "\"other\"", SIGNATURE_VALID, "" },
	{ "padding", PROTECTED, PROTECTED "==", SIGNATURE_INVALID, "does not hold" },
	{ "another signature", "\"signature\":\"", NULL, SIGNATURE_INVALID, "does not hold" },
	{ "a long signature", "\"signature\":\"", "\"signature\":\"AAAA", SIGNATURE_INVALID,
		"a signature of 67 bytes" },
	{ "no signature", "\"signature\"", "\"none\"", SIGNATURE_INVALID, "'signature': missing" },
	{ "a signature of one character too many", "\"signature\":\"", "\"signature\":\"AAA",
		SIGNATURE_INVALID, "base64" },
	{ "a signature that is standard base64", "\"signature\":\"", "\"signature\":\"+AAA",
		SIGNATURE_INVALID, "not base64" },
	{ "no header", "\"header\"", "\"none\"", SIGNATURE_INVALID, "no key" },
	{ "no key", "\"jwk\"", "\"none\"", SIGNATURE_INVALID, "no key" },
	{ "no algorithm", "\"alg\"", "\"none\"", SIGNATURE_INVALID, "'alg'" },
	{ "no signature at all, by name", "ES256", "none", SIGNATURE_INVALID, "'alg'" },
	{ "an algorithm for a secret", "ES256", "HS256", SIGNATURE_INVALID, "'alg'" },
	{ "another curve's algorithm", "ES256", "ES384", SIGNATURE_INVALID, "does not fit" },
	{ "another key's algorithm", "ES256", "RS256", SIGNATURE_INVALID, "does not fit" },
	{ "another curve", "P-256", "P-384", SIGNATURE_INVALID, "coordinates of 32" },
	{ "an unknown curve", "P-256", "secp256k1", SIGNATURE_INVALID, "'crv'" },
	{ "an unknown kind of key", "\"EC\"", "\"OKP\"", SIGNATURE_INVALID, "no key" },
	{ "a point beside the curve", "\"x\":\"", NULL, SIGNATURE_INVALID, "not a key" },
	{ "a long coordinate", "\"y\":\"", "\"y\":\"AAAA", SIGNATURE_INVALID,
		"coordinates of 32 and 35" },
	{ "a certificate that is none", "\"jwk\"", "\"x5c\":[\"AAAA\"],\"jwk\"", SIGNATURE_INVALID,
		"no certificate" },
	{ "a certificate with something behind it", "\"jwk\"",
		"\"x5c\":[\""
		"MIIBBTCBq6ADAgECAgEBMAoGCCqGSM49BAMCMAwxCjAIBgNVBAMMAXQwHhcNMjAwMTAxMD"
		"AwMDAwWhcNMjEwMTAxMDAwMDAwWjAMMQowCAYDVQQDDAF0MFkwEwYHKoZIzj0CAQYIKoZI"
		"zj0DAQcDQgAEBlxr1TtUCyrOKbaK7teeBk7rKn9KcZsv0r/CtR+N17p/uoi8FCLSW7RMmr"
		"ShWbUE845FIJBYfDxbhsB47yJuLjAKBggqhkjOPQQDAgNJADBGAiEA/6KpHbM7y/aSNYn7"
		"azaAeysy2/DXI4eX/cBAHA/BiQkCIQDyZV+d6ISymCtoO282lxPTisTSgAW1Z4qiTGlc0a"
		"paPgA="
		"\"],\"jwk\"",
		SIGNATURE_INVALID, "no certificate" },
	{ "no certificate in the chain", "\"jwk\"", "\"x5c\":[],\"jwk\"", SIGNATURE_INVALID,
		"no certificate" },
	{ "a chain that is text", "\"jwk\"", "\"x5c\":\"AAAA\",\"jwk\"", SIGNATURE_INVALID,
		"'x5c'" },

	{ "no protected part", "\"protected\"", "\"none\"", SIGNATURE_MALFORMED, NULL },
	{ "another protected part by case", "\"protected\"", "\"Protected\":\"\",\"protected\"",
		SIGNATURE_MALFORMED, NULL },
	{ "another length by case", PROTECTED,
		"eyJmb3JtYXRMZW5ndGgiOjQ1LCJmb3JtYXRUYWlsIjoiZlEiLCJGb3JtYXRMZW5ndGgiOjQ0fQ",
		SIGNATURE_MALFORMED, NULL },
	{ "a protected number", "\"" PROTECTED "\"", "7", SIGNATURE_MALFORMED, NULL },
	{ "a protected part of 1 mod 4", PROTECTED, PROTECTED "AAA", SIGNATURE_MALFORMED, NULL },
	{ "a protected text", PROTECTED, "dGV4dA", SIGNATURE_MALFORMED, NULL },
	{ "a protected list", PROTECTED, "W10", SIGNATURE_MALFORMED, NULL },
	{ "a length of text", PROTECTED, "eyJmb3JtYXRMZW5ndGgiOiI0NSIsImZvcm1hdFRhaWwiOiJmUSJ9",
		SIGNATURE_MALFORMED, NULL },
	{ "no length", PROTECTED, "eyJmb3JtYXRUYWlsIjoiZlEifQ", SIGNATURE_MALFORMED, NULL },
	{ "no tail", PROTECTED, "eyJmb3JtYXRMZW5ndGgiOjQ1fQ", SIGNATURE_MALFORMED, NULL },
	{ "a tail of 1 mod 4", PROTECTED, "eyJmb3JtYXRMZW5ndGgiOjQ1LCJmb3JtYXRUYWlsIjoiZlF4eCJ9AAA",
		SIGNATURE_MALFORMED, NULL },
	{ "a length of 0", PROTECTED, "eyJmb3JtYXRMZW5ndGgiOjAsImZvcm1hdFRhaWwiOiJmUSJ9",
		SIGNATURE_MALFORMED, NULL },
	{ "a length beyond the text", PROTECTED,
		"eyJmb3JtYXRMZW5ndGgiOjEwMDAwMDAsImZvcm1hdFRhaWwiOiJmUSJ9", SIGNATURE_MALFORMED,
		NULL },
	{ "a length that cuts the JSON", PROTECTED,
		"eyJmb3JtYXRMZW5ndGgiOjQ0LCJmb3JtYXRUYWlsIjoiZlEifQ", SIGNATURE_MALFORMED, NULL },
	{ "an empty tail", PROTECTED, "eyJmb3JtYXRMZW5ndGgiOjQ1LCJmb3JtYXRUYWlsIjoiIn0",
		SIGNATURE_MALFORMED, NULL },
	{ "a long tail", PROTECTED,
		"eyJmb3JtYXRMZW5ndGgiOjQ1LCJmb3JtYXRUYWlsIjoiSUNBZ0lDQWdJQ0FnSUNBZ0lDQWdJQ0FnSUNBZ0lD"
		"QWdJQ0FnSUNBZ0lDQWdJQ0FnSUNBZ0lDQWdJQ0FnSUNBZ0lDQWdJQ0FnSUNBZ0lDQWdJQ0FnSUgwIn0",
		SIGNATURE_MALFORMED, NULL },
	/* The payload is what the signature says, and that is not what was signed. */
	{ "another tail", PROTECTED, "eyJmb3JtYXRMZW5ndGgiOjQ1LCJmb3JtYXRUYWlsIjoiSUgwIn0",
		SIGNATURE_INVALID, "does not hold" },
};

/* ES256 with the change. */
static char *change(const struct changed_case *c)
{
	static const char original[] = ES256;
	CLEANUP(buf_release) struct buf text = { .max = DOCUMENT_MAX };
	const char *at = strstr(original, c->from), *rest;

	assert_non_null(at);
	rest = at + strlen(c->from);
	(void)buf_append(&text, original, (size_t)(at - original));
	if (c->to) {
		(void)buf_append_text(&text, c->to);
	} else {
		(void)buf_append_text(&text, c->from);
		(void)buf_append_text(&text, *rest++ == 'A' ? "B" : "A");
	}
	assert_int_equal(buf_append_text(&text, rest), 0);
	return buf_take(&text, NULL);
}

static void changes(void **state)
{
	const struct changed_case *c = *state;
	CLEANUP(jws_release) struct jws jws = { 0 };
	CLEANUP(freep) char *signature = change(c);
	struct error err = { "" };

	open_text(&jws, BODY ",\"signatures\":[", signature, "]}", &err);
	assert_int_equal(jws.state, c->state);
	assert_int_equal(!jws.payload, c->state == SIGNATURE_MALFORMED);
	if (c->error && !strstr(err.text, c->error))
		fail_msg("'%s' does not hold '%s'", err.text, c->error);
}

#define SHORT_RSA                                                                                     \
	"{\"header\":{\"alg\":\"RS256\",\"jwk\":{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" MODULUS_512 \
	"\"}},\"signature\":\"AA\",\"protected\":\"" PROTECTED "\"}"
#define LONG_EXPONENT                                                                              \
	"{\"header\":{\"alg\":\"RS256\",\"jwk\":{\"kty\":\"RSA\",\"n\":\"" MODULUS_512             \
	"\",\"e\":\"AQABAQABAQAB\"}},\"signature\":\"AA\",\"protected\":\"" PROTECTED "\"}"
#define MODULUS_512                                                                                \
	"wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww"
#define TEN(text) text text text text text text text text text text

static const struct body_case {
	const char *name, *before, *signatures, *after;
	enum signature_state state;
} body_cases[] = {
	{ "no signatures", PAYLOAD, "", "", SIGNATURE_UNSIGNED },
	{ "signatures of null", BODY ",\"signatures\":", "null", "}", SIGNATURE_UNSIGNED },
	{ "an empty list", BODY ",\"signatures\":[", "", " ]}", SIGNATURE_UNSIGNED },
	{ "no schema 1", "{\"layers\":[],\"signatures\":[", ES256, "]}", SIGNATURE_UNSIGNED },
	{ "the words in a string", "{\"a\":\"\\\"signatures\\\" \\\"fsLayers\\\"\"", "", "}",
		SIGNATURE_UNSIGNED },
	{ "two signatures", BODY ",\"signatures\":[", ES256 "," ES256, "]}", SIGNATURE_VALID },
	{ "members behind them", BODY ",\"signatures\":[", ES256, "],\"fsLayers\":[1]}",
		SIGNATURE_VALID },
	{ "fsLayers behind them alone", OTHER_BODY ",\"signatures\":[", ES256, "],\"fsLayers\":[]}",
		SIGNATURE_MALFORMED },
	{ "one of two that is none", BODY ",\"signatures\":[", ES256 ",{}", "]}",
		SIGNATURE_MALFORMED },
	{ "one of two of another payload", BODY ",\"signatures\":[",
		ES256 ",{\"protected\":"
		      "\"eyJmb3JtYXRMZW5ndGgiOjQ1LCJmb3JtYXRUYWlsIjoiSUgwIn0\"}",
		"]}", SIGNATURE_MALFORMED },
	{ "one of two that does not hold", BODY ",\"signatures\":[",
		ES256 ",{\"protected\":\"" PROTECTED "\"}", "]}", SIGNATURE_INVALID },
	{ "an RSA key of 512 bits", BODY ",\"signatures\":[", SHORT_RSA, "]}", SIGNATURE_INVALID },
	{ "an RSA exponent of 72 bits", BODY ",\"signatures\":[", LONG_EXPONENT, "]}",
		SIGNATURE_INVALID },
	{ "a number", BODY ",\"signatures\":", "1", "}", SIGNATURE_MALFORMED },
	{ "an object", BODY ",\"signatures\":", ES256, "}", SIGNATURE_MALFORMED },
	{ "a list of text", BODY ",\"signatures\":[", "\"x\"", "]}", SIGNATURE_MALFORMED },
	{ "signatures twice", BODY ",\"signatures\":[", ES256, "],\"signatures\":[]}",
		SIGNATURE_MALFORMED },
	{ "too many", BODY ",\"signatures\":[", ES256, TEN("," ES256) TEN("," ES256) "]}",
		SIGNATURE_MALFORMED },
	{ "a text without end", BODY ",\"signatures\":[", ES256, "]", SIGNATURE_MALFORMED },
};

static void judges(void **state)
{
	const struct body_case *c = *state;
	CLEANUP(jws_release) struct jws jws = { 0 };

	open_text(&jws, c->before, c->signatures, c->after, NULL);
	assert_int_equal(jws.state, c->state);
}

/* schema1/EXPECTED.json */
static const struct recorded_case {
	const char *file;
	enum signature_state state;
	const char *digest;
	size_t payload_len;
	const char *key_id;
} recorded_cases[] = {
	{ "containers-image/detect/v2s1-invalid-signatures.manifest.json", SIGNATURE_MALFORMED,
		"sha256:dc6d2c1a204b02b1ed4d0a9b29f075d24317a37da08041f89a88a2ebffbe46d8", 0, "" },
	{ "containers-image/detect/v2s1-unsigned.manifest.json", SIGNATURE_UNSIGNED,
		"sha256:7364fea9d84ee548ab67d4c46c6006289800c98de3fbf8c0a97138dfcc23f000", 0, "" },
	{ "containers-image/detect/v2s1.manifest.json", SIGNATURE_INVALID,
		"sha256:7364fea9d84ee548ab67d4c46c6006289800c98de3fbf8c0a97138dfcc23f000", 5480,
		"OZ45:U3IG:TDOI:PMBD:NGP2:LDIW:II2U:PSBI:MMCZ:YZUP:TUUO:XPZT" },
	{ "containers-image/schema1.json", SIGNATURE_VALID,
		"sha256:5a26403ca5f91c7f04300e397efc83960afbfe2d2b34314383a53e267a604455", 6815,
		"DB2X:GSG2:72H3:AE3R:KCMI:Y77E:W7TF:ERHK:V5HR:JJ2Y:YMS6:HFGJ" },
	{ "conversions/basic.from-oci.v2s1.manifest.json", SIGNATURE_VALID,
		"sha256:9eb489463f429773ac9711cc70877c556b34ef1cad1362ac5fb9f5c07f577c32", 2399,
		"GLRY:FQ5I:EWQV:FWNC:JDAX:YABZ:W2JY:RZRQ:Z63V:SJFO:YLTX:7V2G" },
	{ "conversions/basic.registry-rewrite.v2s1.manifest.json", SIGNATURE_VALID,
		"sha256:63417abfe757d38daa84e86845c99dea7eb211584cc976c61f4d0aadae90f7f1", 2688,
		"GLRY:FQ5I:EWQV:FWNC:JDAX:YABZ:W2JY:RZRQ:Z63V:SJFO:YLTX:7V2G" },
	{ "conversions/schema1-legacy/src/throwaway/manifest.json", SIGNATURE_UNSIGNED,
		"sha256:60d33094384076b03e86bbe8ecf533844f86339dc3c5030501ae4c91d271de8b", 0, "" },
	{ "schema1/moby_bad_manifest.json", SIGNATURE_INVALID,
		"sha256:4e99582254b60272e49b2fd1f01e834a038a575eb542e46fba0662f1e74b3927", 3199,
		"OIH7:HQFS:44FK:45VB:3B53:OIAG:TPL4:ATF5:6PNE:MGHN:NHQX:2GE4" },
	{ "schema1/moby_extra_data_manifest.json", SIGNATURE_VALID,
		"sha256:02fee8c3220ba806531f606525eceb83f4feb654f62b207191b1c9209188dedd", 3199,
		"OIH7:HQFS:44FK:45VB:3B53:OIAG:TPL4:ATF5:6PNE:MGHN:NHQX:2GE4" },
	{ "schema1/moby_good_manifest.json", SIGNATURE_VALID,
		"sha256:02fee8c3220ba806531f606525eceb83f4feb654f62b207191b1c9209188dedd", 3199,
		"OIH7:HQFS:44FK:45VB:3B53:OIAG:TPL4:ATF5:6PNE:MGHN:NHQX:2GE4" },
	{ "seed/01-schema1-hello-world.invalid-json.json", SIGNATURE_MALFORMED,
		"sha256:ace2a443f772946be83a33dad7e8079559ed64de62cde3cebb2e68e7cb3f845f", 0, "" },
};

static void judges_recorded(void **state)
{
	const struct recorded_case *c = *state;
	CLEANUP(jws_release) struct jws jws = { 0 };
	struct digest digest;
	char text[DIGEST_TEXT_MAX];
	size_t len = 0;
	CLEANUP(freep) char *bytes = fixture(c->file, &len);

	assert_int_equal(jws_open(&jws, bytes, len, NULL), 0);
	if (jws.payload)
		assert_int_equal(jws_verify(&jws, NULL), 0);
	assert_int_equal(jws.state, c->state);
	assert_int_equal(jws.payload_len, c->payload_len);
	assert_string_equal(jws.key_id, c->key_id);
	assert_int_equal(document_digest(&digest, DIGEST_SHA256, bytes, len, NULL), 0);
	assert_string_equal(digest_format(&digest, text), c->digest);
}

static void digests_payloads(void **state)
{
	static const char body[] = BODY ",\"signatures\":[" ES256 "]}";
	static const char *const whole[] = { "{\"signatures\":[]}",
		OTHER_BODY ",\"signatures\":[" ES256 "],\"fsLayers\":[]}" };
	struct digest digest, wanted;
	char text[DIGEST_TEXT_MAX];

	(void)state;
	assert_int_equal(document_digest(&digest, DIGEST_SHA256, body, sizeof body - 1, NULL), 0);
	assert_string_equal(digest_format(&digest, text), PAYLOAD_DIGEST);
	for (size_t i = 0; i < ARRAY_SIZE(whole); i++) {
		size_t len = strlen(whole[i]);

		assert_int_equal(document_digest(&digest, DIGEST_SHA512, whole[i], len, NULL), 0);
		assert_int_equal(digest_of(&wanted, DIGEST_SHA512, whole[i], len, NULL), 0);
		assert_true(digest_equal(&digest, &wanted));
	}
}

#define ADD(cases, function)                                                                       \
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)                                             \
		tests[n++] = (struct CMUnitTest)                                                   \
		{                                                                                  \
			.name = *(const char *const *)&cases[i], .test_func = function,            \
			.initial_state = (void *)&cases[i]                                         \
		}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(signed_cases) + ARRAY_SIZE(changed_cases) +
				ARRAY_SIZE(body_cases) + ARRAY_SIZE(recorded_cases) + 1];
	size_t n = 0;

	ADD(signed_cases, holds);
	ADD(changed_cases, changes);
	ADD(body_cases, judges);
	ADD(recorded_cases, judges_recorded);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(digests_payloads);
	return cmocka_run_group_tests_name("jws", tests, NULL, NULL);
}
