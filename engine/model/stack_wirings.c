/* SPDX-License-Identifier: MIT
 *
 * stack_wirings.c: the wirings of a stack as a table: for each, what is done around a sublayer f, an
 * attention or a feed-forward, at the end of a layer, and behind the last one.
 *
 * A new wiring is a row. Invariant: a row reads only roles that an earlier wire has written, x being
 * there from the beginning.
 */
#include <stddef.h>

#include "model/stack_wirings.h"

enum { X = STACK_ROLE_X, H = STACK_ROLE_H, Y = STACK_ROLE_Y, R = STACK_ROLE_R };

/* clang-format off */
#define NORM(from, to) {WIRE_NORM, from, 0, to}
#define OUT_NORM(from, to) {WIRE_OUT_NORM, from, 0, to}
#define APPLY(from) {WIRE_APPLY, from, 0, Y}
#define ADD(from, with, to) {WIRE_ADD, from, with, to}
#define ADD_SCALED(from, with, to) {WIRE_ADD_SCALED, from, with, to}
#define SWAP(from, to) {WIRE_SWAP, from, 0, to}

static const stack_wires wirings[] = {
    /* arXiv 2002.04745: x = x + f(norm x); out = norm x */
    {"pre", WIRED_NEVER, {{0}}, {NORM(X, H), APPLY(H), ADD(X, Y, X)}, {{0}}, {NORM(X, X)}},
    /* arXiv 1706.03762: x = norm(x + f(x)) */
    {"post", WIRED_NEVER, {{0}}, {APPLY(X), ADD(X, Y, X), NORM(X, X)}, {{0}}, {{0}}},
    /* ResiDual, arXiv 2304.14802: y = f(x); r = r + y; x = norm(x + y); out = x + norm r. The second
     * stream begins with x, so the first r is the first sum. */
    {"dual",
     WIRED_OF_STACK,
     {APPLY(X), ADD(X, Y, R), NORM(R, X)},
     {APPLY(X), ADD(R, Y, R), ADD(X, Y, X), NORM(X, X)},
     {{0}},
     {NORM(R, H), ADD(X, H, X)}},
    /* arXiv 2105.13290, section 2.4: x = x + norm(f(norm x)); out = norm x */
    {"sandwich",
     WIRED_NEVER,
     {{0}},
     {NORM(X, H), APPLY(H), OUT_NORM(Y, Y), ADD(X, Y, X)},
     {{0}},
     {NORM(X, X)}},
    /* arXiv 2204.06745, section 2.1: x = x + attention(norm x) + feedforward(norm' x); out = norm x */
    {"parallel",
     WIRED_OF_LAYER,
     {NORM(X, H), APPLY(H), ADD(X, Y, R)},
     {NORM(X, H), APPLY(H), ADD(R, Y, R)},
     {SWAP(X, R)},
     {NORM(X, X)}},
    /* DeepNorm, arXiv 2203.00555: x = norm(alpha x + f(x)) */
    {"deepnorm", WIRED_NEVER, {{0}}, {APPLY(X), ADD_SCALED(X, Y, X), NORM(X, X)}, {{0}}, {{0}}},
};
/* clang-format on */

const stack_wires *stack_wires_at(uint32_t wiring)
{
    return wiring < sizeof wirings / sizeof *wirings ? &wirings[wiring] : NULL;
}

const char *stack_wires_name(uint32_t wiring)
{
    const stack_wires *w = stack_wires_at(wiring);
    return w ? w->name : NULL;
}
