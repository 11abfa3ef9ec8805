/* SPDX-License-Identifier: MIT
 *
 * oracle.c: the formulas of the shipped ops, as anybody would write them (heed/oracle.h), without an entry.
 */
#include <heed/oracle.h>
#include <heed/oracle_attention.h>

typedef heed_oracle_call oracle_call;

#include "formulas.h"

#include <heed/oracle_next.h>
#ifdef ORACLE_AGAIN
#include __FILE_NAME__
#else

#include "shipped.h"

#define ROW HEED_ORACLE
static const heed_oracle oracles[] = {
    ROW("attention/softmax", softmax),
    ROW("embed/table", embed),
    ROW("feedforward/gelu", gelu),
    ROW("feedforward/swiglu", swiglu),
    ROW("linear/projection", projection),
    ROW("loss/cross_entropy", cross_entropy),
    ROW("merge/attention", merge),
    ROW("norm/layer", layer_norm),
    ROW("norm/rms", rms_norm),
    ROW("position/rope", rope),
    ROW("position/sinusoidal", sinusoidal),
    ROW("residual/add", add),
};

const heed_oracle *oracle_find(const char *id)
{
    for (size_t i = 0; i < sizeof oracles / sizeof *oracles; i++)
        if (strcmp(oracles[i].id, id) == 0) return &oracles[i];
    return NULL;
}
#endif
