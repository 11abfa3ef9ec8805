/* SPDX-License-Identifier: MIT
 *
 * resolve.h: a spec to an op with values, mask and children.
 */
#ifndef HEED_OP_RESOLVE_H
#define HEED_OP_RESOLVE_H

#include "op/entry.h"

struct registry;
struct spec;
struct spec_node;

typedef struct resolved resolved;
struct resolved {
    const entry *entry;
    heed_value *value;   /* [params], defaults filled in */
    resolved **child;    /* [params], NULL where the param is no op or left out */
    heed_mask mask;      /* from the engine's keys causal, window, prefix, sinks, blocks */
    uint32_t fast;       /* from its key accuracy: a path that gives other bits may be chosen */
    size_t at;           /* its place in the text of the spec */
};

/* `kind` ("attention") completes a name without one; NULL: the id must be whole. NULL and a
 * sentence with a caret under the place for an unknown op, key or word, a wrong type, a value out
 * of range, a mask kind that the op does not honour. */
HEED_LOCAL resolved *resolve(const struct registry *r, const struct spec *s,
                             const struct spec_node *n, const char *kind, heed_error *error);
/* The same from the text of one op's spec. */
HEED_LOCAL resolved *resolve_text(const struct registry *r, const char *text, heed_error *error);
HEED_LOCAL void resolve_free(resolved *op);
/* Canonical: the whole id, then what differs from defaults: params in table order, mask keys,
 * accuracy. malloc'ed. */
HEED_LOCAL char *resolve_print(const resolved *op);
/* The i-th of the words in "interleaved|half" and its length; NULL behind the last. */
HEED_LOCAL const char *resolve_choice(const char *choices, int64_t i, size_t *length);
/* Sizes that params fix: hidden=1376 is axis F. `over` 0: only those that are not known yet. */
HEED_LOCAL void resolve_axes(const resolved *op, int64_t *axis, int over);

#endif
