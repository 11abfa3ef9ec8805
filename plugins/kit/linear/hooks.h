/* SPDX-License-Identifier: MIT
 *
 * heed/kit/linear/hooks.h: where a variant changes kit/linear/linear.h: macros that it defines before it includes that
 * file.
 */
#ifndef KIT_HAS_LINEAR_HOOKS
#define KIT_HAS_LINEAR_HOOKS
#include <heed/kit/linear/type.h>

/* Features of r->n rows: of row i from x + i * l->D16, float32 with zeros behind D, to to + i * l->pitch, which has room
 * for whole vectors. r->own is l->op->own floats with anything in them. */
#ifndef LINEAR_FEATURES
#define LINEAR_FEATURES(l, r, x, to) KIT(linear_map)(l, r, x, to)
#endif

/* Log decays of r->n tokens, float64, to to[i]; k is their features, which may be changed. It is asked where there is a
 * gate, and where l->op->decays. -inf: what was before is forgotten. */
#ifndef LINEAR_DECAY
#define LINEAR_DECAY(l, r, k, to) KIT(linear_gate)(l, r, to)
#endif

/* Strengths of r->n tokens, b; asked where there is a beta, and where l->op->eta is not 1. */
#ifndef LINEAR_STRENGTH
#define LINEAR_STRENGTH(l, r, to) KIT(linear_beta)(l, r, to)
#endif
#endif
