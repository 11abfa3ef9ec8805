/* SPDX-License-Identifier: MIT
 *
 * heed/oracle.h: for formulas that are written once and compiled twice, in double (the truth) and in float (the naive
 * loop that a kernel's error is measured against). A file of formulas begins with this header and ends with
 * <heed/oracle_next.h>, which makes the file read itself again:
 *
 *     #include <heed/oracle.h>
 *     static void OF(twice)(const heed_oracle_call *c)
 *     {
 *         const REAL *x = OF(get)(c, "x"), factor = (REAL)oracle_param(c, "factor", 2);
 *         REAL *out = OF(get)(c, "out");
 *         for (int64_t i = 0; i < c->rows * AXIS('M'); i++) out[i] = factor * MATH(tanh)(x[i]);
 *     }
 *     #include <heed/oracle_next.h>
 *     #ifdef ORACLE_AGAIN
 *     #include __FILE_NAME__
 *     #else
 *     HEED_ORACLES(HEED_ORACLE("example/twice", twice))
 *     #endif
 *
 *     cc -shared -fPIC -O2 $(pkg-config --cflags heed-plugin) twice_oracle.c -o twice_oracle.so -lm
 *     heed check twice.so --oracle twice_oracle.so
 *
 * Write the formula as the paper has it, and look at no kernel. An index is a REAL too: (int64_t)tokens[r].
 */
#ifndef HEED_ORACLE_H
#define HEED_ORACLE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <heed/abi/abi.h>
#include <heed/abi/oracle.h>

#define ORACLE_UNUSED __attribute__((unused))
#define ORACLE_JOIN_(a, b) a##b
#define ORACLE_JOIN(a, b) ORACLE_JOIN_(a, b)

#define OF(name) ORACLE_JOIN(name, ORACLE_SUFFIX)    /* this reading's copy of a function                    */
#define MATH(name) ORACLE_JOIN(name, ORACLE_MATHS)   /* exp or expf                                          */
#define AXIS(letter) (c->axis[(letter) - 'A'])       /* size of an axis, in a function whose call is named c */

#define HEED_ORACLE(id, name) {sizeof(heed_oracle), 0, id, name##_f64, name##_f32}

/* The entry of an oracle, from rows HEED_ORACLE(id, name). */
#define HEED_ORACLES(...)                                                                                             \
    __attribute__((visibility("default"))) int32_t heed_oracle_v0(const heed_offer *offer, heed_oracle_reply *reply); \
    int32_t heed_oracle_v0(const heed_offer *offer, heed_oracle_reply *reply)                                         \
    {                                                                                                                 \
        static const heed_oracle rows[] = {__VA_ARGS__};                                                              \
        if (HEED_ABI_VERSION < offer->abi_min || HEED_ABI_VERSION > offer->abi_max) return HEED_E_ABI;                \
        reply->abi = HEED_ABI_VERSION;                                                                                \
        reply->oracles = (heed_table){rows, sizeof rows / sizeof *rows, sizeof *rows};                                \
        return HEED_OK;                                                                                               \
    }

/* Where a port is in the call; -1: the op has none of that name. */
ORACLE_UNUSED static int oracle_port(const heed_oracle_call *c, const char *name)
{
    for (uint32_t i = 0; i < c->ports; i++)
        if (strcmp(c->port[i], name) == 0) return (int)i;
    return -1;
}

/* The value of a param: a number, or the index of a choice; `otherwise` where it was left to the op. */
ORACLE_UNUSED static double oracle_param(const heed_oracle_call *c, const char *key, double otherwise)
{
    for (uint32_t i = 0; i < c->params; i++)
        if (strcmp(c->param[i], key) == 0) return isnan(c->value[i]) ? otherwise : c->value[i];
    return otherwise;
}

/* Keys that the call brings: axis S, or T of an op for which queries and keys are one axis. */
ORACLE_UNUSED static int64_t oracle_keys(const heed_oracle_call *c) { return AXIS('S') < 0 ? AXIS('T') : AXIS('S'); }

/* The position of query t in a sequence with `valid` keys: abi/mask.h. */
ORACLE_UNUSED static int64_t oracle_position(const heed_oracle_call *c, int64_t valid, int64_t t)
{
    const int64_t T = AXIS('T');
    return c->past                                   ? c->past + oracle_keys(c) - T + t
           : c->mask->align == HEED_ALIGN_BOTTOM_RIGHT ? valid - T + t
           : c->mask->align == HEED_ALIGN_OFFSET       ? t + c->mask->offset
                                                       : t;
}

#define ORACLE_SUFFIX _f64
#define ORACLE_MATHS
#define REAL double
#define ORACLE_ARRAYS d

#else /* the second reading */

#undef ORACLE_SUFFIX
#undef ORACLE_MATHS
#undef REAL
#undef ORACLE_ARRAYS
#define ORACLE_SUFFIX _f32
#define ORACLE_MATHS f
#define REAL float
#define ORACLE_ARRAYS f

#endif

/* ---- from here on: once in double, once in float ---- */

/* The numbers of a port; NULL if it is absent. */
ORACLE_UNUSED static REAL *OF(get)(const heed_oracle_call *c, const char *name)
{
    int i = oracle_port(c, name);
    return i < 0 ? NULL : c->ORACLE_ARRAYS[i];
}

/* Whether query t of sequence b, at position `at`, may attend to key j: the formula of abi/mask.h, for one pair.
 * `documents` and `asked` are the inputs documents and query_documents, or NULL; `valid` the keys of the sequence. */
ORACLE_UNUSED static int OF(live)(const heed_oracle_call *c, const REAL *documents, const REAL *asked, int64_t b,
                                  int64_t t, int64_t at, int64_t valid, int64_t j)
{
    const heed_mask *m = c->mask;
    const int64_t S = oracle_keys(c), T = AXIS('T');
    if (j >= valid) return 0;
    if (m->kinds & HEED_MASK_CAUSAL && j > at && !(m->kinds & HEED_MASK_PREFIX && j < m->prefix)) return 0;
    if (m->kinds & HEED_MASK_WINDOW && (j < at - m->left || j > at + m->right) &&
        !(m->kinds & HEED_MASK_SINKS && j < m->sinks))
        return 0;
    if (m->kinds & HEED_MASK_BLOCKS) {
        const REAL *lists = OF(get)(c, "key_blocks");
        const int64_t I = AXIS('I'), Y = AXIS('Y'), list = at < 0 ? I : at / m->block_queries;
        int listed = 0;
        for (int64_t i = 0; list < I && i < Y; i++)
            listed |= lists[(b * I + list) * Y + i] == (REAL)(j / m->block_keys);
        if (!listed) return 0;
    }
    if (!documents) return 1;
    if (!asked && (at < 0 || at >= S)) return 0; /* a query of no document */
    return documents[b * S + j] == (asked ? asked[b * T + t] : documents[b * S + at]);
}
