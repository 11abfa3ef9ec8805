/* SPDX-License-Identifier: MIT
 *
 * tensors.h: the tensors of an op for one shape.
 */
#ifndef HEED_BENCH_TENSORS_H
#define HEED_BENCH_TENSORS_H

#include "bench/case/shape.h"

/* The tensors of an op for one shape, filled with numbers that are the same everywhere. */
typedef struct bench_call {
    const entry *entry;
    bench_shape shape;            /* nothing left to defaults */
    uint32_t dtype;
    int stateful;                 /* decodes with a sequence */
    heed_tensor tensor[PORT_MAX]; /* rank -1 = absent */
    void *memory[PORT_MAX];       /* of the tensors */
    heed_tensor inner[PORT_MAX];  /* weights of the ops inside, "position.table" */
    char inner_name[PORT_MAX][64];
    uint32_t n_inner;
    heed_binding in[PORT_MAX], weights[2 * PORT_MAX], out[PORT_MAX];
    uint32_t n_in, n_weights, n_out;
    char text[BENCH_TEXT];        /* of the shape: reads back as the same one */
} bench_call;

/* Sizes that were left open follow from those given and from the op's params. With `whole` 0 only weights and indices
 * get memory: enough to open the op and to ask what a call costs. */
int32_t bench_call_make(bench_call *c, const resolved *op, const bench_shape *shape, uint32_t dtype, int whole,
                        heed_error *error);
void bench_call_free(bench_call *c);
/* The shapes of all tensors anew, without memory. */
void bench_call_shapes(bench_call *c);

#define BENCH_HASH_START 0xcbf29ce484222325u
uint64_t bench_hash(uint64_t hash, const void *bytes, uint64_t n); /* FNV-1a, 64 bits */
double bench_element(const heed_tensor *t, int64_t i);             /* of a dense tensor */

#endif
