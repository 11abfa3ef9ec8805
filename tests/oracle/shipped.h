/* SPDX-License-Identifier: MIT
 *
 * shipped.h: the oracles of the ops that come with heed. They are linked into the command and into the tests.
 */
#ifndef HEED_SHIPPED_H
#define HEED_SHIPPED_H

#include <heed/abi/oracle.h>

/* NULL if there is none for that id. */
const heed_oracle *oracle_find(const char *id);

/* The backward of an op by the chain rule, in float64 and as the naive float32 loop: gradients.h. NULL if
 * there is none. */
typedef struct oracle_gradient {
    const char *id;
    void (*f64)(const heed_oracle_call *call, double *const *gradient);
    void (*f32)(const heed_oracle_call *call, float *const *gradient);
} oracle_gradient;
const oracle_gradient *oracle_gradient_find(const char *id);

#endif
