/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which library inflates: the first of a list that is settled when this is built.
 */
#include "fetch/layer/internal.h"

const struct inflate_ops *const inflate_engines[] = {
#ifdef HAVE_ISAL
	&inflate_isal_ops,
#endif
	&inflate_zlib_ops,
	NULL,
};

static const struct inflate_ops *const *chosen = inflate_engines;

const struct inflate_ops *inflate_engine(void)
{
	return *chosen;
}

void inflate_choose(const struct inflate_ops *const *engine)
{
	chosen = engine;
}
