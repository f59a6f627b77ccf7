/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that verifying a gzip layer takes with the libraries that imgfs has: SHA-256 of the
 * stored bytes (OpenSSL), inflate and CRC-32 (ISA-L), SHA-256 of the plain bytes, in pieces that
 * stay in the processor's cache, on one thread.  No seek points, no tar, no index.
 *
 *	verify BLOB
 *
 * prints both digests, in hexadecimal.
 */
#include <isa-l/igzip_lib.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { PIECE = 64 << 10 };

static _Noreturn void give_up(const char *why)
{
	(void)fprintf(stderr, "verify: %s\n", why);
	exit(1);
}

static EVP_MD_CTX *sha256(void)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	if (!context || !EVP_DigestInit_ex(context, EVP_sha256(), NULL))
		give_up("no SHA-256");
	return context;
}

static void update(EVP_MD_CTX *context, const void *bytes, size_t len)
{
	if (!EVP_DigestUpdate(context, bytes, len))
		give_up("SHA-256 failed");
}

static void print(EVP_MD_CTX *context)
{
	unsigned char digest[32];

	if (!EVP_DigestFinal_ex(context, digest, NULL))
		give_up("SHA-256 failed");
	EVP_MD_CTX_free(context);
	for (size_t i = 0; i < sizeof digest; i++)
		(void)printf("%02x", digest[i]);
	(void)printf("\n");
}

/* What is in z->next_in; members may follow each other, and zeroes the last one. */
static void inflate_piece(struct inflate_state *z, EVP_MD_CTX *plain)
{
	static uint8_t out[PIECE];

	do {
		if (z->block_state == ISAL_BLOCK_FINISH) {
			if (!*z->next_in)
				return;
			isal_inflate_reset(z);
		}
		z->next_out = out;
		z->avail_out = sizeof out;
		if (isal_inflate(z) < 0)
			give_up("damaged data");
		update(plain, out, sizeof out - z->avail_out);
	} while (z->avail_in || !z->avail_out);
}

int main(int argc, char **argv)
{
	static struct inflate_state z;
	static uint8_t in[PIECE];
	EVP_MD_CTX *stored = sha256(), *plain = sha256();
	FILE *blob = argc == 2 ? fopen(argv[1], "rb") : NULL;
	size_t len;

	if (!blob)
		give_up("which file?");
	setbuf(blob, NULL);
	isal_inflate_init(&z);
	z.crc_flag = ISAL_GZIP; /* which checks it, too */
	while ((len = fread(in, 1, sizeof in, blob)) > 0) {
		update(stored, in, len);
		z.next_in = in;
		z.avail_in = (uint32_t)len;
		inflate_piece(&z, plain);
	}
	if (ferror(blob) || z.block_state != ISAL_BLOCK_FINISH)
		give_up("cannot be read to its end");
	(void)fclose(blob);
	print(stored);
	print(plain);
	return 0;
}
