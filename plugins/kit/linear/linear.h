/* SPDX-License-Identifier: MIT
 *
 * heed/kit/linear/linear.h: attention in linear time with a state of constant size, in chunks of 32
 * tokens. Include it in a kernel file; a variant sets hooks before (linear/hooks.h).
 *
 *     S <- e^g S + k u^T      u = b v, or, by the delta rule, b (v - e^g S^T k)      o = S^T q
 *
 * k and q are rows of F features, g is a log decay, b a strength. Token by token each S is read and
 * written once; here that is done once a chunk, and what the tokens of a chunk have to do with each
 * other are products of their rows:
 *
 *             e ->                                     j ->
 *          +--------+                               +--------+
 *        d |   S   |  at the chunk's first token   | \   0  | i   P[i][j] = q_i . k_j e^(G_i - G_j)
 *        | |        |                              |   \    | |   A[i][j] = k_i . k_j e^(G_i - G_j)
 *        v |        |                               | P   \  | v   G: log decays, summed
 *          +--------+                               +--------+
 *
 *     o_i  = e^G_i (q_i S)  + sum over j <= i of P[i][j] u_j
 *                                                           G_i - G_j <= 0: no exponent is positive
 *     u_i  = b_i (v_i - [e^G_i (k_i S) + sum over j < i of A[i][j] u_j])
 *                                                                     the delta rule: row after row
 *     S'   = e^G_32 S + sum over j of k_j (e^(G_32 - G_j) u_j)^T
 *
 * The one invariant: chunks stand at multiples of 32 of the sequence, not of the call, and every
 * number is one chain of fma: over d, then over j ascending. A state is S at the open chunk's first
 * token and that chunk's rows; so a text as a whole, in any parts, and token by token has the same
 * bits, on every path, and at any number of threads, for channels of values never meet: a tile is
 * some channels of a head, and all tokens.
 *
 * A state keeps the chunk before the open one too: a sequence can be cut back to that one's first
 * token, or later.
 *
 * Where every query sees every key, S is summed over blocks of 1024 keys, and these in order.
 *
 * Error: that of float32 sums of length F, of 32, and of T / 32; exponentials within 2 ulp.
 *
 * Parts: type.h types and sizes; hooks.h; features.h; tile.h products in registers; chunk.h; run.h
 * from chunks to a call; op.h.
 */
#include <heed/kit/linear/hooks.h>
#include <heed/kit/linear/features.h>
#include <heed/kit/linear/tile.h>
#include <heed/kit/linear/chunk.h>
#include <heed/kit/linear/run.h>
#include <heed/kit/linear/op.h>

/* A whole forward. */
static __attribute__((unused)) int32_t KIT(linear_forward)(const void *instance,
                                                           const heed_call *call)
{
    kit_linear l = kit_linear_call(instance, call);
    const int32_t failed = kit_linear_setup(&l);
    return failed ? failed : KIT(linear_run)(&l);
}
#undef LINEAR_FEATURES
#undef LINEAR_DECAY
#undef LINEAR_STRENGTH
