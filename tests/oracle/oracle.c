/* SPDX-License-Identifier: MIT
 *
 * oracle.c: the formulas, compiled twice.
 */
#include "oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int oracle_port(const oracle_call *c, const char *name)
{
    for (uint32_t i = 0; i < c->ports; i++)
        if (strcmp(c->port[i], name) == 0) return (int)i;
    return -1;
}

double oracle_param(const oracle_call *c, const char *key, double otherwise)
{
    for (uint32_t i = 0; i < c->params; i++)
        if (strcmp(c->param[i], key) == 0) return isnan(c->value[i]) ? otherwise : c->value[i];
    return otherwise;
}

#define AXIS(letter) (c->axis[(letter) - 'A'])

#define REAL double
#define OF(name) name##_f64
#define ARRAY(c, i) ((c)->d[i])
#define MATH(name) name
#include "formulas.h"
#undef REAL
#undef OF
#undef ARRAY
#undef MATH

#define REAL float
#define OF(name) name##_f32
#define ARRAY(c, i) ((c)->f[i])
#define MATH(name) name##f
#include "formulas.h"

#define ROW(id, name) {id, name##_f64, name##_f32}
static const oracle oracles[] = {
    ROW("attention/gau", gau),
    ROW("attention/softmax", softmax),
    ROW("attention/synthesizer_dense", synthesizer_dense),
    ROW("attention/synthesizer_factorized_dense", synthesizer_factorized_dense),
    ROW("attention/synthesizer_factorized_random", synthesizer_factorized_random),
    ROW("attention/synthesizer_random", synthesizer_random),
    ROW("attention/window", window),
    ROW("embed/table", embed),
    ROW("feedforward/gelu", gelu),
    ROW("feedforward/swiglu", swiglu),
    ROW("linear/projection", projection),
    ROW("loss/cross_entropy", cross_entropy),
    ROW("merge/attention", merge),
    ROW("norm/batch", batch_norm),
    ROW("norm/layer", layer_norm),
    ROW("norm/rms", rms_norm),
    ROW("position/rope", rope),
    ROW("position/sinusoidal", sinusoidal),
    ROW("residual/add", add),
};

const oracle *oracle_find(const char *id)
{
    for (size_t i = 0; i < sizeof oracles / sizeof *oracles; i++)
        if (strcmp(oracles[i].id, id) == 0) return &oracles[i];
    return NULL;
}
