/* SPDX-License-Identifier: MIT
 *
 * heed/kit/linear/hooks.h: what a variant of kit/linear/linear.h may define before it includes that
 * file, and what stands where it does not. Settings that need no code are fields of kit_linear_op.
 */
#ifndef KIT_HAS_LINEAR_HOOKS
#define KIT_HAS_LINEAR_HOOKS
#include <heed/kit/linear/type.h>

/* Features of r->n rows: of row i from r->x + i * r->pitch to to + i * l->pitch, which has room for
 * whole vectors. */
#undef LINEAR_SAME
#ifndef LINEAR_FEATURES
#define LINEAR_FEATURES(l, r, to) KIT(linear_map)(l, r, to)
#define LINEAR_SAME(l) kit_linear_same((l)->op) /* features are the rows themselves */
#else
#define LINEAR_SAME(l) 0
#endif

/* Log decays of r->n tokens, float64, to to[i]; k is their features, which may be changed. It is
 * asked where there is a gate, and where l->op->decays. -inf: what was before is forgotten. */
#ifndef LINEAR_DECAY
#define LINEAR_DECAY(l, r, k, to) KIT(linear_gate)(l, r, to)
#endif

/* Strengths of r->n tokens, b; asked where there is a beta, and where l->op->eta is not 1. */
#ifndef LINEAR_STRENGTH
#define LINEAR_STRENGTH(l, r, to) KIT(linear_beta)(l, r, to)
#endif

#endif
