/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http, inside: who owns what.
 *
 * A transfer belongs to its caller, who may free it once is_detached is set.
 * Until then the http thread works on it.  Fields are of three kinds: the
 * request (never changed after the start), the shared ones (under http->lock) and
 * the thread's own.  The ring's bytes are copied outside the lock: there is
 * one writer, which only moves head, and one reader, which only moves tail.
 *
 * A transfer is a row of attempts; an attempt is one request on the wire:
 *
 *	QUEUED --attempt_start()--> ACTIVE --attempt_done()--> detached
 *	   ^                          |
 *	   |        next hop, or      |
 *	   +------- continued --------+
 *	   |                          |
 *	   +-- wake_sleepers() -- SLEEPING (transfer_fail(): tried again later)
 */
#ifndef FETCH_HTTP_INTERNAL_H
#define FETCH_HTTP_INTERNAL_H

#include <curl/curl.h>
#include <pthread.h>

#include "fetch/clock.h"
#include "fetch/http/http.h"

enum {
	HTTP_LISTED_HEADERS_MAX = 64, /* Link or WWW-Authenticate headers kept of one answer */
	HTTP_BACKOFF_MS = 500,        /* before the first retry; doubles */
	HTTP_BACKOFF_MAX_MS = 30000,
	HTTP_PROGRESS_MIN = 64 << 10,   /* bytes that make up for earlier failures */
	HTTP_COOKIES_MAX = 64,          /* kept in all; RFC 6265 6.1 asks for 50 a domain */
	HTTP_COOKIE_MAX = 4096,         /* bytes of a name and its value, by the same */
	HTTP_AUTHORITIES_MAX = 4 << 20, /* bytes of all of them; browsers trust 220 KB */
};

/* head.c: an answer's header section, from its bytes. */
struct header_list {
	char **values; /* NULL-terminated, or NULL */
	size_t count;
};

struct head {
	long status;
	/* First occurrences, or NULL. */
	char *content_type, *content_digest, *content_encoding, *content_length, *content_range;
	char *date, *location, *retry_after, *transfer_encoding, *docker_standalone;
	struct header_list links, challenges, cookies, docker_tokens, docker_endpoints;
};

/* Takes the lines of one section, status line first. */
int head_parse(struct head *ret, const char *text, size_t len, struct error *err);
void head_release(struct head *head);
bool head_length(const struct head *head, uint64_t *ret);

struct content_range {
	uint64_t start, end; /* end is the first byte after */
	bool has_total;
	uint64_t total;
};

/* RFC 9110 14.4, one range of bytes. */
bool content_range_parse(struct content_range *ret, const char *text);
/* Seconds or a date (against the answer's Date), at most HTTP_RETRY_AFTER_MAX_MS. */
bool retry_after_parse(uint64_t *ret_ms, const char *text, const char *date);

/* url.c */
/* "scheme://host:port", lower case, port always given; the caller's. */
int url_origin(char **ret, const char *url, struct error *err);
/* The host as libcurl reads it: brackets and a last dot off, odd IPv4 spellings made plain.
 * -EPROTO. */
int url_host(char text[static 256], const char *url);
/* Replaces what does not print by '?'. */
void make_printable(char *text);
struct sockaddr;
enum http_zone address_zone(const struct sockaddr *address);
/* The port of a proxy's URL as libcurl reads it; 0: there is none. */
unsigned proxy_port(const char *url);

/* cookies.c: what servers asked to be told again; the http thread's own. */
struct cookie {
	struct cookie *next;
	char *origin, *pair; /* "name=value" */
};

/* Takes one Set-Cookie value.  -ENOMEM; what is no cookie is ignored. */
int cookies_take(struct cookie **jar, const char *origin, const char *value);
/* "a=1; b=2" for the origin, appended; a failure is the buf's status. */
void cookies_write(const struct cookie *jar, const char *origin, struct buf *ret);
void cookies_free(struct cookie *jar);

/* authorities.c: those of the file (NULL: the system's), and extra ones behind them; to be
 * released whatever comes of it. */
int authorities_join(struct buf *ret, const char *file, const char *extra, struct error *err);

/* ring.c: bytes between the thread and the reader. */
struct ring {
	unsigned char *bytes;
	size_t capacity;
	uint64_t head, tail; /* bytes ever put, ever taken */
};

size_t ring_used(const struct ring *ring);
size_t ring_room(const struct ring *ring);
int ring_allocate(struct ring *ring, size_t capacity);
void ring_put(struct ring *ring, const void *bytes, size_t len);
/* Copies without taking: at most one of len and what is there. */
size_t ring_peek(const struct ring *ring, uint64_t head, void *bytes, size_t len);
void ring_clear(struct ring *ring);
void ring_release(struct ring *ring);

enum transfer_state { STATE_QUEUED, STATE_ACTIVE, STATE_SLEEPING };

/* What is done with the body of the answer at hand. */
enum plan {
	PLAN_NONE,     /* its head is not complete */
	PLAN_DELIVER,  /* for the reader */
	PLAN_REDIRECT, /* the rest are dropped: on to another URL, */
	PLAN_AGAIN,    /* or at once again from the first one, */
	PLAN_LATER,    /* or later: failure says why */
};

/* How many further attempts a failure is worth, if configured at all. */
enum patience { PATIENCE_NONE, PATIENCE_ONCE, PATIENCE_TWICE, PATIENCE_FULL };

struct failure {
	int code; /* a positive errno; 0: none */
	enum patience patience;
	uint64_t wait_ms; /* the server's wish, 0: none */
	struct error err;
};

struct http_transfer {
	struct http *http;

	/* The request. */
	enum http_method method;
	char *first_url, *first_origin;
	struct curl_slist *headers, *foreign_headers; /* all of them; without the secret ones */
	char *form;
	uint64_t range_offset, range_len;
	bool may_resume, no_redirects, no_retries, no_secrets_on_redirects, is_elsewhere,
		is_referred, is_secret;
	bool is_whole; /* the head is held back until the body is here, or fills the ring */
	struct cancel *cancel;

	/* Under http->lock. */
	pthread_cond_t changed;
	struct ring ring;
	bool has_response, is_released; /* head known; reader may have seen it */
	bool is_paused;
	bool is_cancelled;
	bool is_finished, is_detached;
	int result;
	struct error err;
	bool wants_start, wants_unpause, wants_abort, is_poked;
	struct http_transfer *next_poked;
	struct http_response response; /* written by the thread while !is_released */

	/* The http thread's own. */
	struct http_transfer *next;
	enum transfer_state state;
	CURL *easy;
	char message[CURL_ERROR_SIZE];
	char *url, *origin; /* of this hop */
	unsigned hops;
	/* How far inside a peer may send us: of who was asked first, by its URL, or, once it has
	 * been reached, by its address. */
	enum http_zone reach;
	enum http_zone zone;   /* of the peer at hand */
	bool is_range_refused; /* Range gave nonsense once: never again */
	bool lacks_memory;     /* for what the attempt was to be told */
	bool has_asked_again;  /* a refused redirect target was started over */
	unsigned failures;     /* since the last real progress */
	uint64_t progress;     /* bytes delivered since the last failure */
	uint64_t wake_at;      /* SLEEPING, ms */
	uint64_t give_up_at;   /* ms: so long we try to get the next byte; 0: not begun */
	uint64_t reached;      /* the highest position ever */
	uint64_t base;         /* offset in the object where the reader's body starts */
	uint64_t position;     /* offset of the next byte for the reader */
	uint64_t end;          /* offset where its body ends, or UINT64_MAX */
	uint64_t wanted_end;   /* offset up to which was asked, or UINT64_MAX */
	bool has_total;
	uint64_t total; /* bytes of the object */

	/* Of the attempt at hand. */
	struct buf head_text;
	struct head head;
	enum plan plan;
	struct failure failure;
	bool has_asked_range, is_connected, is_flowing; /* a byte of its body has come */
	uint64_t cursor;                                /* offset of the next byte to arrive */
	uint64_t part_end;   /* offset where this answer ends, or UINT64_MAX */
	uint64_t part_start; /* position when it began */
	uint64_t discarded;
	uint64_t arrived_at; /* ms, of the last sign of life */
};

struct http {
	/* Never changed. */
	struct http_config config;
	char *proxy, *user_agent, *ca_file, *ca_path, *client_cert, *client_key;
	struct buf authorities;  /* the usual and the extra ones, where there are extra ones */
	char *plain_proxy;       /* $HTTP_PROXY, which libcurl does not look at */
	unsigned proxy_ports[2]; /* for http and https URLs; 0: no proxy */
	char *unix_socket;
	struct observer *observer;
	CURLM *multi;
	pthread_t thread;

	pthread_mutex_t lock;
	bool is_stopping;            /* under lock */
	struct http_transfer *poked; /* under lock: want the thread's attention */

	struct http_transfer *transfers; /* the thread's own, as the next */
	struct cookie *cookies;
};

/* http.c */
void http_poke(struct http_transfer *transfer); /* under http->lock */
void transfer_finish(struct http_transfer *transfer, int result, const struct error *err);

/* attempt.c */
int attempt_start(struct http_transfer *transfer);
void attempt_stop(struct http_transfer *transfer);
bool attempt_is_own_origin(const struct http_transfer *transfer);
/* The reader got something, or did not want any more so far. */
void transfer_be_patient(struct http_transfer *transfer);

/* outcome.c */
void attempt_done(struct http_transfer *transfer, CURLcode code);
void transfer_fail(struct http_transfer *transfer);
/* After wait_ms. */
bool transfer_may_retry(
	const struct http_transfer *transfer, enum patience patience, uint64_t wait_ms);
uint64_t transfer_backoff_ms(const struct http_transfer *transfer);
__attribute__((format(printf, 4, 5))) void failure_set(
	struct http_transfer *transfer, int code, enum patience patience, const char *fmt, ...);

/* answer.c: what to do with an answer, once its head is complete. */
void answer_decide(struct http_transfer *transfer);

void response_release(struct http_response *response);

#endif
