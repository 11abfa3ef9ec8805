/* SPDX-License-Identifier: MIT
 *
 * heed/abi/oracle.h: what an op should give, from its formula, as `heed check` and the tests ask for it. An oracle is a
 * shared object of its own beside a plugin, slow on purpose; <heed/oracle.h> is the easy way to write one.
 *
 * One call of an op as plain arrays: contiguous, row-major, whatever the tensors' strides and dtypes were; indices are
 * numbers too. A formula is there twice: in float64, which is the truth, and in float32, the naive loop. An op's error
 * on a call may be 4 times the largest error of the naive loop, plus one unit in the last place; a loop that is exact by
 * luck is taken to be half a unit off.
 *
 * Bound by: outputs are written in whole; nothing else is; memory of its own is freed before it returns.
 */
#ifndef HEED_ABI_ORACLE_H
#define HEED_ABI_ORACLE_H

#include "op.h"

typedef struct heed_oracle_call {
    uint32_t size;
    uint32_t ports;
    uint32_t params;
    uint32_t reserved;
    int64_t axis[HEED_AXES];   /* -1: not in this call */
    int64_t rows;              /* product of the leading axes, "..."; 1 without */
    const char *const *port;   /* [ports] names in the op's order; behind them, with a state, past_k and past_v */
    double *const *d;          /* [ports]; NULL: absent */
    float *const *f;           /* [ports]; the same numbers */
    const char *const *param;  /* [params] keys */
    const double *value;       /* [params]; a choice is its index; NaN: left to the op */
    const heed_mask *mask;     /* never NULL */
    const char *position;      /* id of the score op that is the param `position`, or NULL */
    int64_t past;              /* tokens of earlier calls, which stand before this one's; past_k is [B past G D] */
} heed_oracle_call;

typedef struct heed_oracle {
    uint32_t size;
    uint32_t reserved;
    const char *id; /* of the op: "attention/softmax" */
    void (*f64)(const heed_oracle_call *call); /* reads and writes d */
    void (*f32)(const heed_oracle_call *call); /* reads and writes f */
} heed_oracle;

typedef struct heed_oracle_reply {
    uint32_t size; /* set by the host: how much it can read */
    uint32_t abi;  /* the version that the oracle chose, within the offer */
    heed_table oracles; /* of heed_oracle, in static storage */
} heed_oracle_reply;

/* The one exported symbol of an oracle. Pure. Returns HEED_OK, or HEED_E_ABI if it speaks no version of the offer. */
typedef int32_t heed_oracle_fn(const heed_offer *offer, heed_oracle_reply *reply);
#define HEED_ORACLE_ENTRY_NAME "heed_oracle_v0"

#endif
