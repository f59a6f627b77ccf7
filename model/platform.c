/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The normal form follows containerd's platforms package.  It is computed as
 * a view: each part is the text as written or the constant of an alias table,
 * still to be lowered; so comparing and naming allocate nothing.
 */
#include "model/platform.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "model/internal.h"
#include "model/json.h"

struct normal {
	const char *os, *architecture, *variant;
};

static const struct {
	const char *os, *normal;
} os_aliases[] = {
	{ "", "unknown" },
	{ "macos", "darwin" },
};

static const struct {
	const char *architecture, *normal;
	const char *variant; /* what it implies; NULL: the variant stays */
} architecture_aliases[] = {
	{ "", "unknown", NULL },
	{ "x86_64", "amd64", NULL },
	{ "x86-64", "amd64", NULL },
	{ "i386", "386", "" },
	{ "aarch64", "arm64", NULL },
	{ "armhf", "arm", "v7" },
	{ "armel", "arm", "v6" },
};

static const struct {
	const char *architecture, *variant, *normal;
} variant_aliases[] = {
	{ "amd64", "v1", "" },
	{ "arm64", "8", "" },
	{ "arm64", "v8", "" },
	{ "arm64", "v8.0", "" },
	{ "arm64", "9", "v9" },
	{ "arm64", "9.0", "v9" },
	{ "arm64", "v9.0", "v9" },
	{ "arm", "", "v7" },
	{ "arm", "5", "v5" },
	{ "arm", "6", "v6" },
	{ "arm", "7", "v7" },
	{ "arm", "8", "v8" },
};

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

static struct normal normal_form(const struct platform *platform)
{
	struct normal n = {
		.os = or_empty(platform->os),
		.architecture = or_empty(platform->architecture),
		.variant = or_empty(platform->variant),
	};

	for (size_t i = 0; i < ARRAY_SIZE(os_aliases); i++)
		if (!strcasecmp(n.os, os_aliases[i].os)) {
			n.os = os_aliases[i].normal;
			break;
		}
	for (size_t i = 0; i < ARRAY_SIZE(architecture_aliases); i++)
		if (!strcasecmp(n.architecture, architecture_aliases[i].architecture)) {
			n.architecture = architecture_aliases[i].normal;
			if (architecture_aliases[i].variant)
				n.variant = architecture_aliases[i].variant;
			break;
		}
	for (size_t i = 0; i < ARRAY_SIZE(variant_aliases); i++)
		if (!strcasecmp(n.architecture, variant_aliases[i].architecture) &&
			!strcasecmp(n.variant, variant_aliases[i].variant)) {
			n.variant = variant_aliases[i].normal;
			break;
		}
	return n;
}

/* Of ASCII only: the locale has no say. */
static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static char *lower_copy(const char *text)
{
	char *copy = strdup(text);

	for (char *p = copy; p && *p; p++)
		*p = lower(*p);
	return copy;
}

static bool is_complete(const struct platform *platform)
{
	return platform->os && platform->architecture && platform->variant && platform->os_version;
}

int platform_init(struct platform *platform, const char *os, const char *architecture,
	const char *variant, const char *os_version, struct error *err)
{
	struct platform made = {
		.os = strdup(or_empty(os)),
		.architecture = strdup(or_empty(architecture)),
		.variant = strdup(or_empty(variant)),
		.os_version = strdup(or_empty(os_version)),
	};

	if (!is_complete(&made)) {
		platform_release(&made);
		return error_set(err, ENOMEM, "platform: out of memory");
	}
	*platform = made;
	return 0;
}

int platform_copy(struct platform *ret, const struct platform *platform, struct error *err)
{
	CLEANUP(platform_release) struct platform copy = { 0 };
	int rc;

	rc = platform_init(&copy, platform->os, platform->architecture, platform->variant,
		platform->os_version, err);
	if (!rc)
		rc = strings_copy(&copy.os_features, platform->os_features, err);
	if (!rc)
		rc = strings_copy(&copy.features, platform->features, err);
	if (rc)
		return rc;
	*ret = copy;
	copy = (struct platform){ 0 };
	return 0;
}

void platform_release(struct platform *platform)
{
	free(platform->os);
	free(platform->architecture);
	free(platform->variant);
	free(platform->os_version);
	strings_free(platform->os_features);
	strings_free(platform->features);
	*platform = (struct platform){ 0 };
}

int platform_normalize(struct platform *platform, struct error *err)
{
	struct normal n = normal_form(platform);
	CLEANUP(freep) char *os = lower_copy(n.os);
	CLEANUP(freep) char *architecture = lower_copy(n.architecture);
	CLEANUP(freep) char *variant = lower_copy(n.variant);

	if (!os || !architecture || !variant)
		return error_set(err, ENOMEM, "platform: out of memory");
	/* n may point into these: they go only now. */
	free(platform->os);
	free(platform->architecture);
	free(platform->variant);
	platform->os = TAKE(os);
	platform->architecture = TAKE(architecture);
	platform->variant = TAKE(variant);
	return 0;
}

/* What this program was built for, as Go's GOARCH would say: it is what the
 * kernel surely runs. */
#if defined(__x86_64__)
#define NATIVE "linux/amd64"
#elif defined(__i386__)
#define NATIVE "linux/386"
#elif defined(__aarch64__)
#define NATIVE "linux/arm64"
#elif defined(__arm__) && __ARM_ARCH >= 7
#define NATIVE "linux/arm/v7"
#elif defined(__arm__) && __ARM_ARCH == 6
#define NATIVE "linux/arm/v6"
#elif defined(__arm__)
#define NATIVE "linux/arm/v5"
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE "linux/ppc64le"
#elif defined(__powerpc64__)
#define NATIVE "linux/ppc64"
#elif defined(__s390x__)
#define NATIVE "linux/s390x"
#elif defined(__riscv) && __riscv_xlen == 64
#define NATIVE "linux/riscv64"
#elif defined(__loongarch64)
#define NATIVE "linux/loong64"
#elif defined(__mips64) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE "linux/mips64le"
#else
#define NATIVE "linux/unknown"
#endif

int platform_parse(struct platform *platform, const char *text, struct error *err)
{
	CLEANUP(platform_release) struct platform parsed = { 0 };
	CLEANUP(freep) char *copy = strdup(strcmp(text, "native") ? text : NATIVE);
	const char *parts[3] = { "", "", "" };
	char *rest = copy, *part;
	size_t count = 0;
	int rc;

	if (!copy)
		return error_set(err, ENOMEM, "platform: out of memory");
	while ((part = strsep(&rest, "/"))) {
		size_t len = strspn(part, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					  "0123456789_.-");

		if (count == ARRAY_SIZE(parts) || len == 0 || part[len])
			return error_set(err, EINVAL,
				"platform '%.100s': expected OS/ARCH[/VARIANT] or native", text);
		parts[count++] = part;
	}
	if (count < 2)
		return error_set(err, EINVAL,
			"platform '%.100s': expected OS/ARCH[/VARIANT] or native", text);

	rc = platform_init(&parsed, parts[0], parts[1], parts[2], NULL, err);
	if (!rc)
		rc = platform_normalize(&parsed, err);
	if (rc)
		return rc;
	*platform = parsed;
	parsed = (struct platform){ 0 };
	return 0;
}

/* Directory names stop short of NAME_MAX, so that what tells equal platforms
 * apart (a digest, an os.version) still fits behind. */
enum { DIRECTORY_NAME_MAX = 200 };

static bool is_name_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

/* Joins the parts of the normal form; what does not fit is cut, never in the
 * middle of an escape. */
static char *join(
	const struct platform *platform, char separator, bool escape, size_t max, char *text)
{
	static const char digits[] = "0123456789ABCDEF";
	struct normal n = normal_form(platform);
	const char *parts[] = { n.os, n.architecture, n.variant };
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts) && (i < 2 || *parts[i]); i++) {
		if (i && len < max)
			text[len++] = separator;
		for (const char *p = parts[i]; *p; p++) {
			char c = lower(*p);

			if (!escape || is_name_character(c)) {
				if (len + 1 > max)
					break;
				text[len++] = c;
				continue;
			}
			if (len + 3 > max)
				break;
			text[len++] = '%';
			text[len++] = digits[(uint8_t)c >> 4];
			text[len++] = digits[(uint8_t)c & 15];
		}
	}
	text[len] = '\0';
	return text;
}

char *platform_directory_name(const struct platform *platform, char name[static PLATFORM_NAME_MAX])
{
	static_assert((int)DIRECTORY_NAME_MAX < (int)PLATFORM_NAME_MAX, "room for the NUL");
	return join(platform, '_', true, DIRECTORY_NAME_MAX, name);
}

char *platform_format(const struct platform *platform, char text[static PLATFORM_NAME_MAX])
{
	return join(platform, '/', false, PLATFORM_NAME_MAX - 1, text);
}

/* "v8.5" is 8 and 5, "v9" is 9 and 0.  Numbers of more than two digits are no version. */
static bool parse_version(const char *variant, unsigned *major, unsigned *minor)
{
	unsigned *part = major;
	size_t digits = 0;

	*major = *minor = 0;
	if (lower(*variant) != 'v')
		return false;
	for (const char *p = variant + 1; *p; p++) {
		if (*p == '.' && part == major && digits) {
			part = minor;
			digits = 0;
		} else if (*p >= '0' && *p <= '9' && digits < 2) {
			*part = *part * 10 + (unsigned)(*p - '0');
			digits++;
		} else {
			return false;
		}
	}
	return digits > 0;
}

/*
 * Puts what a machine can run in one order, the better the higher, so that a
 * wanted platform accepts an interval of it.  Below 300:
 *
 *	amd64/vN   100 + N, no variant is v1     386                1
 *	arm64/v9.m 200 + m                       arm/v8 .. arm/v5   8 .. 5
 *	arm64/v8.m 100 + m, no variant is v8.0
 *
 * 0: not one of these, only an equal platform serves.
 */
static unsigned level(const struct normal *n)
{
	unsigned major, minor;
	bool is_versioned = parse_version(n->variant, &major, &minor);

	if (!strcasecmp(n->architecture, "386"))
		return *n->variant ? 0 : 1;
	if (!strcasecmp(n->architecture, "amd64"))
		return !*n->variant ? 101 : is_versioned && !minor ? 100 + major : 0;
	if (!strcasecmp(n->architecture, "arm"))
		return is_versioned && !minor && major >= 5 && major <= 8 ? major : 0;
	if (!strcasecmp(n->architecture, "arm64")) {
		if (!*n->variant)
			return 100;
		if (is_versioned && (major == 8 || major == 9))
			return (major - 7) * 100 + minor;
	}
	return 0;
}

/* The architecture whose code the wanted one also runs. */
static const char *fallback(const struct normal *want)
{
	if (!strcasecmp(want->architecture, "amd64"))
		return "386";
	if (!strcasecmp(want->architecture, "arm64"))
		return "arm";
	return NULL;
}

static bool is_served(const struct normal *want, const struct normal *have)
{
	unsigned wanted = level(want), given = level(have);
	const char *other = fallback(want);

	if (!wanted || !given)
		return false;
	if (other && !strcasecmp(have->architecture, other))
		return true;
	if (strcasecmp(want->architecture, have->architecture))
		return false;
	/* Armv9.m holds all of Armv8.(m+5), not of later ones. */
	if (!strcasecmp(want->architecture, "arm64") && wanted >= 200 && given < 200)
		return given - 100 <= wanted - 200 + 5;
	return given <= wanted;
}

/* Every feature that have needs is among those wanted. */
static bool has_features(const struct platform *want, const struct platform *have)
{
	for (char **need = have->os_features; need && *need; need++) {
		char **offer = want->os_features;

		while (offer && *offer && strcmp(*offer, *need))
			offer++;
		if (!offer || !*offer)
			return false;
	}
	return true;
}

/* "10.0.20348" wants any "10.0.20348.x"; without a wish or a statement all fit. */
static bool has_os_version(const char *want, const char *have)
{
	size_t len = strlen(want);

	return !len || !*have || (!strncmp(have, want, len) && (!have[len] || have[len] == '.'));
}

unsigned platform_match(const struct platform *want, const struct platform *have)
{
	enum { IS_EQUAL = 400, HAS_FEATURES = 1000 };
	struct normal w = normal_form(want), h = normal_form(have);
	unsigned score;

	if (strcasecmp(w.os, h.os) ||
		!has_os_version(or_empty(want->os_version), or_empty(have->os_version)))
		return 0;
	if (!strcasecmp(w.architecture, h.architecture) && !strcasecmp(w.variant, h.variant))
		score = IS_EQUAL;
	else if (is_served(&w, &h))
		score = level(&h);
	else
		return 0;
	/* Something that needs what was not asked for (a lazy format, a kernel
	 * interface) still serves, but after all that do not. */
	return score + (has_features(want, have) ? HAS_FEATURES : 0);
}
