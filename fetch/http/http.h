/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http -- one thread that drives all transfers of a mount (curl_multi), and
 * blocking calls for those who need bytes.
 *
 * A request is a GET, HEAD or POST of one URL.  Retries, redirects (followed
 * here, headers built anew per hop, at most HTTP_REDIRECTS_MAX, never from
 * https to http, never to anything but http(s)), stall detection and
 * connection reuse happen inside; bodies are read piece by piece through
 * http_read(), with at most HTTP_WINDOW bytes waiting in memory, after which
 * the connection is paused.  A body that breaks off is continued by Range
 * from the last byte when the server allows it.
 *
 * However many attempts that takes, connect_timeout_ms and stall_timeout_ms together are all that
 * passes without a byte for the reader: counted from the last one, or from when its wait began
 * (cancel.h).  Who waited for their turn while others got bytes counts from then on; and whatever
 * was lost before, a transfer has connect_timeout_ms to begin with.  When the time is over, or
 * would be before the next attempt, the last failure stands.
 *
 * Headers marked secret, and the client certificate, go only to the origin (scheme, host, port) of
 * the first URL.  Where a peer chose the URL, by a redirect or in what is_referred says, it may
 * lead no further inside than the peer itself was found: checked in the URL, at each address that
 * its name turns out to have before a connection is made, and again before a connection is used.
 * Behind a proxy only the URL is checked: what a name means the proxy alone knows.  Cookies are
 * kept when asked for, each for the origin that set it, and never sent or taken behind a redirect.
 * Nothing is decoded: Accept-Encoding is identity and a Content-Encoding is refused (-EPROTO).
 *
 * Thread-safe.  Errors: -EHOSTUNREACH (DNS, refused, no route), -ETIMEDOUT,
 * -EPROTO (TLS, malformed HTTP), -EPROTONOSUPPORT (no TLS handshake came about: perhaps the peer
 * speaks plain http), -EIO (connection lost, redirect refused, body short), -EACCES (a body cannot
 * be continued without new credentials), -EINTR (cancelled), -EFBIG (headers over
 * HTTP_HEADERS_MAX). Answers with an error status are answers: callers look at the status.  429 and
 * 5xx are retried (Retry-After honoured up to HTTP_RETRY_AFTER_MAX_MS) before they are handed out.
 */
#ifndef FETCH_HTTP_HTTP_H
#define FETCH_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/buf.h"
#include "model/error.h"

struct cancel;
struct observer;

enum {
	HTTP_WINDOW = 4 << 20,       /* bytes of one body held in memory */
	HTTP_HEADERS_MAX = 64 << 10, /* bytes of one response's headers */
	HTTP_REDIRECTS_MAX = 5,
	HTTP_ERROR_BODY_MAX = 64 << 10,
	HTTP_RETRY_AFTER_MAX_MS = 30000,
};

/* Where an address belongs, each further inside than the one before. */
enum http_zone {
	HTTP_ZONE_PUBLIC,
	HTTP_ZONE_PRIVATE, /* RFC 1918, 4193, 6598 */
	HTTP_ZONE_LINK,    /* RFC 3927, 4291 2.5.6; multicast */
	HTTP_ZONE_HOST,    /* this machine */
};

struct http_config {
	const char *proxy; /* NULL: from the environment */
	const char *user_agent;
	/* Authorities as PEM that are trusted besides the usual ones, which are those of
	 * $SSL_CERT_FILE and $SSL_CERT_DIR, else the system's; or NULL. */
	const char *extra_ca;
	const char *client_cert, *client_key; /* paths, or NULL */
	bool verify_tls;
	/* No address of this machine, the link or a private network is spoken to; a proxy, if one
	 * is configured, is used for everything. */
	bool stays_outside;
	unsigned connect_timeout_ms;
	unsigned stall_timeout_ms; /* without a byte for so long: the attempt has failed */
	unsigned retries;          /* further attempts after the first */
	unsigned max_connections;  /* per host */
	const char *unix_socket;   /* or NULL: all requests go there, without proxy and TLS */
	bool keeps_cookies;        /* for as long as this lives */
};

struct http;
/* Copies the configuration; starts the thread.  Call after fork. */
int http_new(struct http **ret, const struct http_config *config, struct observer *observer,
	struct error *err);
/* Ends all transfers with -EINTR, joins the thread.  No request may be left unreleased. */
void http_free(struct http *http);

struct http_header {
	const char *line; /* "Name: value" */
	bool is_secret;
};

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST };

struct http_request {
	enum http_method method;
	const char *url;
	const struct http_header *headers;
	size_t header_count;
	const char *form;             /* POST: x-www-form-urlencoded body */
	uint64_t range_offset;        /* GET: bytes=offset- ; 0 and no length: no Range is sent */
	uint64_t range_len;           /* 0: to the end */
	bool may_resume;              /* a broken body may be continued: content does not change */
	bool no_redirects;            /* hand 3xx to the caller */
	bool no_retries;              /* one attempt: the caller has another way to try */
	bool no_secrets_on_redirects; /* not even within the origin */
	bool is_elsewhere;            /* not the configured host: no client certificate */
	bool is_secret;               /* its bodies are: wiped wherever they were */
	bool is_referred;             /* the URL was chosen by a peer in referrer_zone */
	enum http_zone referrer_zone;
};

/* What is known when the headers are complete. */
struct http_response {
	long status;
	char *content_type;   /* or NULL */
	char *content_digest; /* Docker-Content-Digest, or NULL */
	char *location;       /* or NULL */
	char **links;         /* each Link header, NULL-terminated; or NULL */
	char **challenges;    /* each WWW-Authenticate header, or NULL */
	/* Of the V1 protocol: each X-Docker-Token and X-Docker-Endpoints header, or NULL. */
	char **docker_tokens, **docker_endpoints;
	char *docker_standalone; /* X-Docker-Registry-Standalone, or NULL */
	char *final_url;         /* after redirects */
	/* Of the peer's address; where a proxy stands between: as far as the URL tells. */
	enum http_zone zone;
	bool has_length;
	uint64_t length;      /* of this body */
	uint64_t range_start; /* 206: from Content-Range, as it was asked for; else 0 */
	bool has_total;
	uint64_t total; /* 206: size of the whole object, from Content-Range */
};

struct http_transfer;

/* Sends and waits for the headers.  The response belongs to the transfer. */
int http_open(struct http_transfer **ret, struct http *http, const struct http_request *request,
	struct cancel *cancel, struct error *err);
const struct http_response *http_response(const struct http_transfer *transfer);
/* The next bytes of the body; 0 at its end; -EIO when it ended short of its Content-Length
 * after all attempts. */
ssize_t http_read(struct http_transfer *transfer, void *bytes, size_t len, struct error *err);
void http_close(struct http_transfer *transfer); /* aborts what is left; NULL is fine */

/* open, read all of it into body (its ceiling applies: -EFBIG), and give the response;
 * http_close() it as ever. */
int http_fetch(struct http_transfer **ret, struct http *http, const struct http_request *request,
	struct buf *body, struct cancel *cancel, struct error *err);

/* URLs, for those who may not include curl. */

/* Copies url without userinfo, query and fragment, for messages; returns text. */
char *http_url_for_log(const char *url, char *text, size_t len);
/* The absolute form of an http(s) URL, relative to base (NULL: it must be absolute), without
 * userinfo and fragment.  *ret is the caller's.  -EPROTO. */
int http_url_join(char **ret, const char *base, const char *url, struct error *err);
/* Is its host the one that host ("host", "host:port") names, or does it belong to the same owner:
 * are both names below one that can be registered, or this machine? */
bool http_url_is_of_site(const char *url, const char *host);
/* Does host name its host, and its port if it names one? */
bool http_url_is_at(const char *url, const char *host);
/* Do both have one scheme, host and port? */
bool http_url_same_origin(const char *a, const char *b);
bool http_url_is_https(const char *url);
/* Is the host an address of, or a name for, this machine, the link or a private network?
 * "host" or "host:port". */
bool http_host_is_internal(const char *host);
bool http_host_is_loopback(const char *host);
/* As the URL has it: a name other than of this machine is public.  No URL: HTTP_ZONE_HOST. */
enum http_zone http_url_zone(const char *url);

#endif
