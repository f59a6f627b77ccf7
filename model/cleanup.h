/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleanup -- ownership that shows in the declaration.
 *
 *	CLEANUP(freep) char *text = NULL;
 *	...
 *	*ret_text = TAKE(text);		the caller owns it from here on
 *
 * Initialise every CLEANUP variable where it is declared.  The helpers keep
 * errno.
 */
#ifndef MODEL_CLEANUP_H
#define MODEL_CLEANUP_H

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))

#define TAKE(p)                                                                                    \
	({                                                                                         \
		__typeof__(p) taken_ = (p);                                                        \
		(p) = NULL;                                                                        \
		taken_;                                                                            \
	})

#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int taken_ = (fd);                                                                 \
		(fd) = -1;                                                                         \
		taken_;                                                                            \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof(a)[0])

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* For CLEANUP: declares NAMEp(), which calls fn on the pointer. */
#define CLEANUP_POINTER(name, type, fn)                                                            \
	static inline void name(type **p)                                                          \
	{                                                                                          \
		if (*p)                                                                            \
			fn(*p);                                                                    \
	}

static inline void freep(void *p)
{
	int saved = errno;

	free(*(void **)p);
	errno = saved;
}

static inline void closep(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd); /* read-only or already fsynced: nothing to learn here */
	errno = saved;
}

#endif
