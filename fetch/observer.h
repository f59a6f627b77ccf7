/* SPDX-License-Identifier: Apache-2.0 */
/*
 * observer -- where fetch tells what it does: counters and log lines.
 *
 * fetch never prints.  It counts in struct counters (any thread, relaxed
 * atomics) and hands sentences to log(), which the owner escapes and writes
 * where it likes; log() may be called from any thread.  Sentences hold no
 * secrets: URLs without userinfo and query, never a header's value.
 */
#ifndef FETCH_OBSERVER_H
#define FETCH_OBSERVER_H

#include <stdatomic.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_TRACE
};

struct counters {
	_Atomic uint64_t http_requests; /* sent, retries and redirects included */
	_Atomic uint64_t http_retries;
	_Atomic uint64_t http_retries_429; /* of these, by cause: too many requests, ... */
	_Atomic uint64_t http_retries_5xx;
	_Atomic uint64_t http_retries_timeout;
	_Atomic uint64_t http_retries_connect;
	_Atomic uint64_t http_retries_broken; /* cut off, or no HTTP */
	_Atomic uint64_t http_failures;       /* given up on */
	_Atomic uint64_t http_resumes;        /* continued by Range after a cut */
	_Atomic uint64_t http_redirects;
	_Atomic uint64_t net_dns; /* attempts that failed, by cause: names, ... */
	_Atomic uint64_t net_connect;
	_Atomic uint64_t net_tls;
	_Atomic uint64_t net_stall;
	_Atomic uint64_t net_redirect;         /* refused ones */
	_Atomic uint64_t range_ignored;        /* 200 where 206 was asked for */
	_Atomic uint64_t range_refused;        /* 206 with something else */
	_Atomic uint64_t auth_tokens;          /* fetched */
	_Atomic uint64_t auth_failures;        /* 401 and 403 that were final */
	_Atomic uint64_t fetched_bytes;        /* of bodies */
	_Atomic uint64_t fetch_coalesced;      /* waits for what was under way for somebody else */
	_Atomic uint64_t mirror_requests;      /* questions to mirrors, retries not counted */
	_Atomic uint64_t mirror_failures;      /* those that a mirror did not do its work for */
	_Atomic uint64_t verify_failures;      /* digest or size mismatches */
	_Atomic uint64_t verify_failures_size; /* of these, too few or too many bytes */
	_Atomic uint64_t tag_moves; /* tags that pointed at something else when asked again */
	_Atomic uint64_t cache_hits, cache_misses;
	_Atomic uint64_t cache_corrupt;     /* entries dropped because they were damaged */
	_Atomic uint64_t cache_full;        /* writes that there was no room for */
	_Atomic uint64_t cache_errors;      /* what its disk refused or failed to do else */
	_Atomic uint64_t cache_waits;       /* for a blob that another writer was at */
	_Atomic uint64_t cache_tmp_removed; /* files that dead writers left */
	_Atomic uint64_t layers_indexed;
	_Atomic uint64_t spans_decoded;
	_Atomic uint64_t oom; /* requests that failed for want of memory */
};

struct observer {
	void (*log)(struct observer *observer, enum log_level level, const char *text);
	struct counters counters;
	_Atomic uint64_t arrived_ms; /* now_ms() when bytes of a body came last, for whomever */
};

#define observer_count(observer, counter, n)                                                       \
	((void)atomic_fetch_add_explicit(&(observer)->counters.counter, (n), memory_order_relaxed))

__attribute__((format(printf, 3, 4))) void observer_log(
	struct observer *observer, enum log_level level, const char *fmt, ...);

/* One blob on its way: written by the worker, read by whoever shows status. */
struct progress {
	_Atomic uint64_t done;  /* bytes */
	_Atomic uint64_t total; /* bytes, 0 when unknown */
};

#endif
