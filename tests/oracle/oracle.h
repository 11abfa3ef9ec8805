/* SPDX-License-Identifier: MIT
 *
 * oracle.h: what every op should give, from its formula, in float64 and slow on purpose. The same text compiled in
 * float32 is the naive loop that a kernel's error is measured against. Nothing here looks at a kernel.
 */
#ifndef HEED_ORACLE_H
#define HEED_ORACLE_H

#include <heed/abi/abi.h>

#define ORACLE_PORTS 16

/* One call in plain arrays: contiguous, row-major, indices as doubles too. */
typedef struct oracle_call {
    int64_t axis[HEED_AXES];
    int64_t rows;                 /* product of the leading axes, "..." */
    uint32_t ports, params;
    const char *port[ORACLE_PORTS];
    double *d[ORACLE_PORTS];      /* NULL: absent */
    float *f[ORACLE_PORTS];
    const char *param[32];
    double value[32];             /* NaN: left to the op */
    heed_mask mask;
    int64_t past;                 /* keys of an earlier call that stand before k's and v's */
    int skip_key;                 /* test of the test: this key is left out; -1 = none */
    double scale_factor;          /* test of the test: 1, or a scale that is a little off */
    const char *position;         /* id of the score op inside, or NULL */
} oracle_call;

typedef struct oracle {
    const char *id;
    void (*f64)(const oracle_call *c);
    void (*f32)(const oracle_call *c);
} oracle;

/* NULL if there is none for that id. */
const oracle *oracle_find(const char *id);

int oracle_port(const oracle_call *c, const char *name); /* index, -1 */
double oracle_param(const oracle_call *c, const char *key, double otherwise);

#endif
