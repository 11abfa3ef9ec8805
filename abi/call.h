/* SPDX-License-Identifier: MIT
 *
 * heed/abi/call.h: what an op gets when it is opened and when it runs.
 *
 * Tensors, weights, params and children come in the order of the op's own tables. The engine has already checked
 * presence, dtypes, ranks, sizes of axes, strides and valid bytes; axis['H' - 'A'] is the size of H, or -1.
 */
#ifndef HEED_ABI_CALL_H
#define HEED_ABI_CALL_H

#include "host.h"
#include "mask.h"
#include "state.h"
#include "tensor.h"

#define HEED_AXES 26
#define HEED_AXIS(array, letter) ((array)[(letter) - 'A'])

/* The value of one param. */
typedef struct heed_value {
    uint32_t size;
    uint32_t given; /* 0: left to its default */
    int64_t i;      /* INT, BOOL, CHOICE */
    double f;       /* FLOAT, and INT too */
} heed_value;

/* Another op's instance, handed to the op that has it as a param. */
typedef struct heed_child {
    uint32_t size;
    uint32_t reserved;
    const void *instance;         /* NULL: the param was left out */
    const struct heed_op *op;
    const struct heed_path *path; /* the one that the engine chose for it */
} heed_child;

typedef struct heed_open {
    uint32_t size;
    uint32_t reserved;
    const heed_value *value;           /* [params] */
    const heed_child *child;           /* [params]; instance NULL where the param is no op or left out */
    const heed_tensor *const *weight;  /* [ports]; NULL where the port is no weight or left out */
    const int64_t *axis;               /* [HEED_AXES], as far as known when opened; -1: not, or no axis of this op */
    const heed_host *host;
    heed_sink *sink;
} heed_open;

typedef struct heed_call_size {
    uint32_t size;
    uint32_t reserved;
    uint64_t workspace; /* bytes, shared by the lanes */
    uint64_t scratch;   /* bytes of each lane */
} heed_call_size;

typedef struct heed_call {
    uint32_t size;
    uint32_t lanes;                    /* scratch areas; parallel_for's lane is below it */
    const heed_tensor *const *tensor;  /* [ports]; NULL where absent. Weights are not here but in heed_open */
    const int64_t *axis;               /* [HEED_AXES] */
    const heed_value *value;           /* [params], RUNTIME ones as of this call */
    const heed_mask *mask;             /* never NULL; kinds 0 = every query sees every key */
    const heed_state *const *state;    /* [B], or NULL: a one-off call */
    void *workspace;                   /* 64-byte aligned; content undefined */
    char *scratch;                     /* lane i at scratch + i * scratch_stride, 64-byte aligned; content undefined */
    uint64_t scratch_stride;
    const heed_host *host;
    heed_sink *sink;
} heed_call;

#endif
