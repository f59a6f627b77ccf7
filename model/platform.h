/* SPDX-License-Identifier: Apache-2.0 */
/*
 * platform -- what an image runs on.
 *
 * Text is kept as it was written; the normal form (containerd's rules:
 * x86_64 is amd64, arm without a variant is v7, ...) is made only for names and
 * comparison.  All strings are owned and never NULL once initialised: "" is absent.
 */
#ifndef MODEL_PLATFORM_H
#define MODEL_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>

struct error;
struct buf;

struct platform {
	char *os, *architecture, *variant, *os_version;
	char **os_features; /* NULL-terminated, or NULL */
	char **features;    /* CPU features: exist in manifest lists only */
};

enum { PLATFORM_NAME_MAX = 256 };

int platform_init(struct platform *platform, const char *os, const char *architecture,
	const char *variant, const char *os_version, struct error *err);
int platform_copy(struct platform *ret, const struct platform *platform, struct error *err);
void platform_release(struct platform *platform);

/* "linux/arm/v7"; also "native" (this machine).  The result is normalised. */
int platform_parse(struct platform *platform, const char *text, struct error *err);
/* In place. */
int platform_normalize(struct platform *platform, struct error *err);

/* "linux_arm_v7" of the normal form, without os.version; characters that are
 * no file name or that we never use in names are escaped as %XX.  Returns name. */
char *platform_directory_name(const struct platform *platform, char name[static PLATFORM_NAME_MAX]);
/* "linux/arm/v7" of the normal form. */
char *platform_format(const struct platform *platform, char text[static PLATFORM_NAME_MAX]);

/* How well have serves want: 0 not at all, else the higher the better (the
 * same variant before lower ones: formats of containerd's match order). */
unsigned platform_match(const struct platform *want, const struct platform *have);

#endif
