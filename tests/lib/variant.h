/* SPDX-License-Identifier: MIT
 *
 * variant.h: what every attention variant is asked besides harness_sweep: equal bits in whole calls, chunks and decode,
 * nothing from the future, NaNs that stay where they are seen, golden values, and a sentence for what is wrong.
 */
#ifndef HEED_VARIANT_H
#define HEED_VARIANT_H

#include "harness.h"

/* NaNs in every `step`th element of a port, from `first` on, reach what they reach in the oracle, which is not all. */
void variant_nan(const call_case *how, const char *port, int64_t first, int64_t step);

/* A causal call, T = S, with sequences: in chunks of each size, on all paths, the bits of the call without any. */
void variant_phases(const call_case *how);

/* A causal call, T = S: q, k and v changed from token j on, outputs before keep their bits; and some behind do not. */
void variant_causality(const call_case *how, int64_t j);

/* Two calls of the same tensors have the same `out`, bit by bit, on all paths; `zero`: weights of the first to be 0. */
void variant_equals(const call_case *how, const char *zero, const call_case *other);

/* In a network of random weights, "attention=..." and more keys: tokens at once and one by one give the same logits. */
void variant_network(const char *keys);

/* The generator of golden values: element (a, b) of matrix s is variant_g(s, a * columns + b). */
double variant_g(uint32_t s, uint32_t i);
void variant_fill(const call *c, const char *port, uint32_t s);

/* `out` of a call, [T, E] of one head, from `row` on: n numbers within 2e-6 of these, on all paths. */
void variant_golden(const call *c, int64_t row, const double *right, int n);

/* The call is refused, when it is opened or when it runs, with a sentence that has `text` in it. */
void variant_refuses(const call_case *how, const char *text);

#endif
