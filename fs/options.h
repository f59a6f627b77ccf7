/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options -- the command line of `imgfs SOURCE DIR -o ...`, `imgfs mount
 * --name=value SOURCE DIR` and mount.imgfs, by one table.
 *
 * How it was called decides what -f -s -n -v mean: as mount.* they are
 * mount(8)'s (fake, sloppy, no mtab, verbose), otherwise FUSE's.
 * Source: mount(8), "External helpers"; fuse(8).
 */
#ifndef FS_OPTIONS_H
#define FS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fetch/observer.h"
#include "model/buf.h"
#include "model/error.h"
#include "model/platform.h"
#include "model/reference.h"

/* mount(8)'s, which mount passes on as its own. */
enum exit_status {
	STATUS_OK = 0,
	STATUS_USAGE = 1,
	STATUS_SYSTEM = 2,
	STATUS_BUG = 4,
	STATUS_INTERRUPTED = 8,
	STATUS_FAILED = 32,
};

enum manifest_flavour { MANIFEST_RAW, MANIFEST_OCI, MANIFEST_DOCKER };
enum whiteout_style { WHITEOUTS_TAR, WHITEOUTS_OVERLAY };
enum source_transport {
	TRANSPORT_REGISTRY,
	TRANSPORT_REGISTRY_V1,
	/* local: path, and for some a ref */
	TRANSPORT_LAYOUT,
	TRANSPORT_OCI_ARCHIVE,
	TRANSPORT_DOCKER_ARCHIVE,
	TRANSPORT_DIR,
	TRANSPORT_PATH,   /* which of these it is, its content tells */
	TRANSPORT_DAEMON, /* a ref alone */
};

struct options {
	char *program;    /* how messages begin */
	char *source;     /* as given */
	char *mountpoint; /* as given */

	/* what SOURCE names */
	enum source_transport transport;
	struct reference reference; /* registries */
	char *path;                 /* local ones: absolute */
	char *ref;                  /* a name in there, or NULL */

	char *platform;    /* "all", or as given */
	bool has_platform; /* not "all": wanted holds it */
	struct platform wanted;
	bool rootfs;
	enum manifest_flavour manifest;
	enum whiteout_style whiteouts;
	char *authfile;
	char *realm;
	bool no_creds;
	char *cert_dir;
	bool tls_verify;
	char *registries_conf;
	char *proxy;
	char *user_agent;
	uint64_t connect_timeout_ms, stall_timeout_ms, mount_timeout_ms;
	uint64_t retries;
	uint64_t max_transfers;
	bool nocheck;
	bool offline;
	uint64_t ttl_ms; /* UINT64_MAX: forever */
	char *cache_dir; /* absolute, or NULL: the usual place */
	uint64_t cache_size;
	uint64_t fetch_limit; /* 0: none */
	bool foreign_layers;  /* follow the URLs of layers that registries do not hold */
	bool has_uid, has_gid;
	uint64_t uid, gid;
	uint64_t umask;
	bool allow_other, allow_root, default_permissions, no_default_permissions, auto_unmount;
	bool suid, dev;
	uint64_t max_threads; /* 0: as many as there are processors */
	uint64_t span_cache;  /* bytes of decoded spans in memory */
	char *pidfile;        /* absolute, or NULL */
	bool has_ready_fd;
	uint64_t ready_fd;
	char *log;
	enum log_level log_level;
	bool debug; /* -d: libfuse's own debugging too */

	bool is_helper; /* called as mount.* */
	bool foreground;
	bool fake;   /* check only */
	bool sloppy; /* unknown options are warnings */
	struct buf
		given; /* the options as given, a line each, without secrets: for .imgfs/options */
};

enum options_action { OPTIONS_MOUNT, OPTIONS_HELP, OPTIONS_VERSION };

/* argv as main() got it; secrets in it are overwritten, since other users can read it.  On failure
 * a message for people is in err, perhaps with a second line "hint: ...".  Warnings (sloppy) go to
 * stderr. */
int options_parse(struct options *ret, enum options_action *ret_action, int argc, char **argv,
	struct error *err);
void options_release(struct options *options);

/* All that can be said of sources and options, made from the table. */
void options_help(const char *program, struct buf *ret);
/* The names alone ("ttl=" where there is a value), in lines of at most width columns; in front of
 * the first one and of the others. */
void options_list(struct buf *ret, const char *first, const char *others, size_t width);

/* An option as completion wants to know it; the texts are static. */
enum options_value {
	OPTIONS_VALUE_NONE,
	OPTIONS_VALUE_FLAG, /* none, or yes or no */
	OPTIONS_VALUE_TEXT,
	OPTIONS_VALUE_FILE,
	OPTIONS_VALUE_DIRECTORY,
};

struct options_word {
	const char *name;
	enum options_value value;
	const char *choices;  /* likely values, "a|b|c", or NULL */
	const char *fallback; /* the default, or NULL */
	const char *help;
};

/* The i-th of the table; false: there are no more. */
bool options_word(size_t i, struct options_word *ret);
/* The i-th way a SOURCE begins ("oci:"); NULL: there are no more. */
const char *options_transport(size_t i, enum source_transport *ret);

/* "500M": binary multiples; -EINVAL. */
int options_parse_size(const char *text, uint64_t *ret);
/* Where the cache is without cache_dir=, by the environment; to be freed, NULL when out of memory.
 */
char *options_default_cache_dir(void);

static inline bool options_has_registry(const struct options *options)
{
	return options->transport == TRANSPORT_REGISTRY ||
	       options->transport == TRANSPORT_REGISTRY_V1;
}

/* Reads SOURCE into transport, reference, path and ref. */
int options_parse_source(struct options *options, const char *source, struct error *err);

#endif
