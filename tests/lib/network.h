/* SPDX-License-Identifier: MIT
 *
 * network.h: networks of files, held against what another program has recorded of them: NAME.tokens,
 * NAME.logits, which heed's must be near, and NAME.greedy, the tokens that follow.
 */
#ifndef HEED_TESTS_NETWORK_H
#define HEED_TESTS_NETWORK_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/harness.h"

#define NETWORK_MADE 32 /* tokens that greedy decoding goes on with */

/* Opens an engine, and models/NAME/reference.safetensors; where models/NAME is goes to `models`. 0 if
 * all is there. */
static inline int network_begin(const char *name, char models[4096], heed_engine **engine,
                                heed_weights **reference)
{
    char path[4200], *real = realpath(getenv("SRC") ? getenv("SRC") : ".", NULL);
    heed_options o = {.size = sizeof o, .threads = 2};
    snprintf(models, 4096, "%.3900s/models/%s", real ? real : ".", name);
    free(real);
    snprintf(path, sizeof path, "%s/reference.safetensors", models);
    *reference = heed_weights_open(path, NULL);
    *engine = heed_engine_new(&o, NULL);
    return !*reference || !*engine;
}

static inline void network_end(heed_engine *engine, heed_weights *reference)
{
    heed_weights_close(reference);
    heed_engine_free(engine);
    harness_end();
}

typedef struct network {
    heed_weights *weights;
    heed_stack *stack;
    heed_session *session;
} network;

static inline network network_open(heed_engine *engine, const char *path)
{
    heed_error e;
    network n;
    n.weights = heed_weights_open(path, &e);
    n.stack = n.weights ? heed_stack_open(engine, NULL, n.weights, &e) : NULL;
    n.session = n.stack ? heed_session_new(n.stack, &e) : NULL;
    if (!n.session) fail_msg("%s: %s", path, e.text);
    return n;
}

static inline void network_close(network *n)
{
    heed_session_free(n->session);
    heed_stack_close(n->stack);
    heed_weights_close(n->weights);
}

static inline const heed_tensor *network_recorded(const heed_weights *from, const char *name,
                                                  const char *what)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", name, what);
    const heed_tensor *t = heed_weights_find(from, key);
    if (!t) fail_msg("%s is not in the reference", key);
    return t;
}

static inline void network_feed(network *n, const int32_t *tokens, int64_t count, float *to,
                                int64_t rows)
{
    heed_error e;
    if (heed_session_feed(n->session, tokens, count, to, rows, &e)) fail_msg("%s", e.text);
}

/* Within 1e-4 of the largest. */
static inline void network_compare(const char *name, const heed_tensor *right, const float *got)
{
    double most = 0, worst = 0;
    for (int64_t i = 0; i < right->dim[0] * right->dim[1]; i++) {
        const double x = ((const float *)right->data)[i], off = fabs(x - (double)got[i]);
        most = fmax(most, fabs(x));
        worst = off > worst || isnan(off) ? off : worst;
    }
    if (!(worst <= 1e-4 * most)) fail_msg("%s: %g off transformers, of %g", name, worst, most);
}

/* The network of a path against what was recorded of `name`. */
static inline void network_check(heed_engine *engine, const char *path, const heed_weights *from,
                                 const char *name)
{
    heed_error e;
    const heed_tensor *tokens = network_recorded(from, name, "tokens"),
                      *right = network_recorded(from, name, "logits"),
                      *greedy = network_recorded(from, name, "greedy");
    char key[96];
    snprintf(key, sizeof key, "%s.source", name);
    const heed_tensor *source = heed_weights_find(from, key); /* what an encoder reads */
    network n = network_open(engine, path);
    const int64_t count = tokens->dim[0], width = heed_stack_outputs(n.stack);
    assert_int_equal(right->dim[1], width);
    if (source && heed_session_encode(n.session, source->data, source->dim[0], &e))
        fail_msg("%s: %s", name, e.text);
    float *got = calloc((size_t)(count * width), sizeof *got);
    network_feed(&n, tokens->data, count, got, count);
    network_compare(name, right, got);
    float *row = got + (count - 1) * width;
    for (int i = 0; greedy->dim[0] && i < NETWORK_MADE; i++) {
        int32_t best = 0;
        for (int32_t v = 1; v < width; v++)
            if (row[v] > row[best]) best = v;
        if (best != ((const int32_t *)greedy->data)[i])
            fail_msg("%s: token %d is %d, not %d", name, i, best,
                     ((const int32_t *)greedy->data)[i]);
        network_feed(&n, &best, 1, row, 1);
    }
    free(got);
    network_close(&n);
}

#endif
