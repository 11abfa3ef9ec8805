/* SPDX-License-Identifier: MIT
 *
 * field.c: the receptive field of a network.
 *
 * The tokens that the last one depends on are found by going back through the layers: what the last
 * layer looks at from there, what the layer below looks at from all of these, and so on. Where every
 * layer looks at the same distances from everywhere, these add up, and nothing is gone through.
 */
#include <stdlib.h>
#include <string.h>

#include <heed/abi/field.h>

#include "base/error.h"
#include "model/field.h"

#define RUNS (2 * HEED_FIELD_RUNS)     /* of an op, cut by a mask into two */
#define ENDLESS ((int64_t)1 << 42)     /* tokens of a text that is longer than any window */
#define FAR ((int64_t)1 << 40)         /* what is as far as this has no end */
#define WALKED_MOST ((int64_t)1 << 22) /* tokens of a text that is gone through to find its end */
#define EACH_LAYER_MOST ((int64_t)1 << 28) /* queries looked at so that every layer has its reach */

typedef struct keys {
    uint32_t flags, runs;
    int64_t longest, loose;
    heed_field_run run[RUNS];
} keys;

typedef struct span {
    int64_t first, last;
} span;

/* ---- one query of one op ---- */

/* The keys that the mask leaves: near ones, and the first of all, as mask.h has it. */
static void mask_spans(const heed_mask *m, int64_t at, int64_t tokens, span *near, span *sinks)
{
    int64_t end = tokens;
    *sinks = (span){0, 0};
    if (m->kinds & HEED_MASK_CAUSAL) {
        const int64_t prefix = m->kinds & HEED_MASK_PREFIX ? m->prefix : 0;
        end = at + 1 > prefix ? at + 1 : prefix;
        if (end > tokens) end = tokens;
    }
    *near = (span){0, end};
    if (!(m->kinds & HEED_MASK_WINDOW)) return;
    if (at - m->left > 0) near->first = at - m->left;
    if (at + m->right + 1 < end) near->last = at + m->right + 1;
    if (m->kinds & HEED_MASK_SINKS) sinks->last = m->sinks < end ? m->sinks : end;
    if (sinks->last > near->first) sinks->last = near->first;
}

static void add_cut(keys *k, const heed_field_run *run, const span *s)
{
    heed_field_run cut = *run;
    if (s->first > cut.first) cut.first = s->first;
    if (s->last < cut.last) cut.last = s->last;
    if (cut.last > cut.first) k->run[k->runs++] = cut;
}

static int32_t ask(const resolved *op, const heed_fielder *fielder, int64_t begin, int64_t at,
                   heed_field *told, heed_error *error)
{
    int64_t axis[HEED_AXES];
    char text[256] = "";
    heed_sink sink = {sizeof sink, sizeof text, text};
    for (int a = 0; a < HEED_AXES; a++) axis[a] = -1;
    resolve_axes(op, axis, 1);
    const heed_open open = {.size = sizeof open, .value = op->value, .axis = axis, .sink = &sink};
    const int32_t failed = fielder->field(&open, &op->mask, begin, at, told);
    if (failed) return error_set(error, failed, "%s: %s", op->entry->op.id, text);
    int right = told->runs <= HEED_FIELD_RUNS && told->longest >= 0 && told->loose >= 0;
    for (uint32_t i = 0; right && i < told->runs; i++)
        right = told->run[i].step > 0 && told->run[i].length > 0 &&
                told->run[i].length <= told->run[i].step;
    if (right) return HEED_OK;
    return error_set(error, HEED_E_UNSUPPORTED, "%s tells a field that makes no sense",
                     op->entry->op.id);
}

/* What the query at `at` looks at, in a text of so many tokens, in a call that begins at `begin`. */
static int32_t keys_of(const resolved *op, int64_t begin, int64_t at, int64_t tokens, keys *k,
                       heed_error *error)
{
    const heed_op *o = &op->entry->op;
    const heed_fielder *fielder = o->get_extension ? o->get_extension(HEED_FIELD_ID) : NULL;
    const int windowed = op->mask.kinds & HEED_MASK_WINDOW,
              prefixed = op->mask.kinds & HEED_MASK_PREFIX;
    heed_field told = {
        .size = sizeof told,
        .flags = HEED_FIELD_MOVES,
        .runs = 1,
        .run = {{.size = sizeof told.run[0], .last = INT64_MAX, .step = 1, .length = 1}}};
    span near, sinks;
    if (fielder) {
        told = (heed_field){.size = sizeof told};
        TRY(ask(op, fielder, begin, at, &told, error));
    } else if (windowed) told.loose = op->mask.left + 1 + op->mask.right;
    *k = (keys){.flags = told.flags, .longest = told.longest, .loose = told.loose};
    if (prefixed) k->flags &= ~HEED_FIELD_MOVES;
    mask_spans(&op->mask, at, tokens, &near, &sinks);
    for (uint32_t i = 0; i < told.runs; i++) {
        if (told.run[i].first < 0) told.run[i].first = 0;
        add_cut(k, &told.run[i], &near);
    }
    for (uint32_t i = 0; i < told.runs; i++) add_cut(k, &told.run[i], &sinks);
    return HEED_OK;
}

/* The keys below `end` that would be in step, from some multiple of the step on. */
static int64_t in_step_below(const heed_field_run *r, int64_t end)
{
    int64_t turn = (end - r->phase) / r->step, rest = (end - r->phase) % r->step;
    if (rest < 0) turn--, rest += r->step;
    return turn * r->length + (rest < r->length ? rest : r->length);
}

static int64_t count_keys(const keys *k)
{
    int64_t n = 0;
    for (uint32_t i = 0; i < k->runs; i++)
        n += in_step_below(&k->run[i], k->run[i].last) - in_step_below(&k->run[i], k->run[i].first);
    return n;
}

/* ---- one layer ---- */

static const resolved *attention_of(const stack_plan *p, int64_t layer)
{
    return stack_plan_op(p, STACK_DECODER, STACK_PART_ATTENTION, layer);
}

/* Where the call of a query begins: texts are read in calls as long as they may be. */
static int64_t call_of(int64_t at, int64_t longest) { return longest ? at - at % longest : 0; }

/* Distances in a text without end, from the last query of a call. */
static int32_t measure_distances(const resolved *op, field_layer *l, keys *k, heed_error *error)
{
    int64_t at = ENDLESS / 2;
    TRY(keys_of(op, at, at, ENDLESS, k, error));
    l->loose = k->loose;
    if (k->longest) {
        at = (at / k->longest + 1) * k->longest - 1;
        TRY(keys_of(op, call_of(at, k->longest), at, ENDLESS, k, error));
    }
    l->bound = (k->flags & HEED_FIELD_BOUND) != 0;
    for (uint32_t i = 0; i < k->runs; i++) {
        const heed_field_run *r = &k->run[i];
        if (r->last <= FAR) {
            if (r->last > l->first) l->first = r->last;
            continue;
        }
        if (r->first < FAR) l->back = FIELD_ALL;
        else if (l->back >= 0 && at - r->first > l->back) l->back = at - r->first;
        if (r->last - 1 - at >= FAR) l->ahead = FIELD_ALL;
        else if (l->ahead >= 0 && r->last - 1 - at > l->ahead) l->ahead = r->last - 1 - at;
    }
    return HEED_OK;
}

static int32_t measure_touched(const resolved *op, int64_t tokens, field_layer *l,
                               heed_error *error)
{
    keys k;
    double sum = 0;
    int64_t longest = 0;
    for (int64_t at = 0; at < tokens; at++) {
        TRY(keys_of(op, call_of(at, longest), at, tokens, &k, error));
        if (k.longest != longest) {
            longest = k.longest;
            TRY(keys_of(op, call_of(at, longest), at, tokens, &k, error));
        }
        const int64_t n = count_keys(&k);
        sum += (double)n;
        if (n > l->most) l->most = n;
    }
    l->mean = sum / (double)tokens;
    return HEED_OK;
}

/* ---- the way back ---- */

/* Text positions: which are reached, and what is looked at from them. */
typedef struct walk {
    const stack_plan *plan;
    int64_t tokens;
    uint8_t *reached;
    int64_t *change; /* [tokens + 1]: runs that begin at a key, less those that have ended */
    heed_error *error;
} walk;

/* Marks the keys of a run, block by block where they are apart. */
static void mark_run(walk *w, const heed_field_run *r)
{
    const int64_t rest = ((r->first - r->phase) % r->step + r->step) % r->step;
    for (int64_t block = r->first - rest; block < r->last; block += r->step) {
        const int64_t first = block > r->first ? block : r->first,
                      behind = r->length == r->step ? r->last : block + r->length,
                      last = behind < r->last ? behind : r->last;
        if (last > first) w->change[first]++, w->change[last]--;
        if (r->length == r->step) return;
    }
}

/* One layer back; *grown: something was reached. */
static int32_t step_back(walk *w, const resolved *op, int *grown)
{
    keys k = {0};
    memset(w->change, 0, sizeof *w->change * (size_t)(w->tokens + 1));
    TRY(keys_of(op, 0, 0, w->tokens, &k, w->error));
    const int64_t longest = k.longest;
    for (int64_t at = 0; at < w->tokens; at++) {
        if (!w->reached[at]) continue;
        TRY(keys_of(op, call_of(at, longest), at, w->tokens, &k, w->error));
        for (uint32_t i = 0; i < k.runs; i++) mark_run(w, &k.run[i]);
    }
    int64_t looked = 0;
    *grown = 0;
    for (int64_t j = 0; j < w->tokens; j++) {
        looked += w->change[j];
        if (looked > 0 && !w->reached[j]) w->reached[j] = 1, *grown = 1;
    }
    return HEED_OK;
}

/* Through so many layers from the first on, from the last token of the text: how many are reached,
 * and the first of them. */
static int32_t walk_back(walk *w, int64_t layers, int64_t *reach, int64_t *first)
{
    memset(w->reached, 0, (size_t)w->tokens);
    w->reached[w->tokens - 1] = 1;
    for (int64_t l = layers; l--;) {
        int grown;
        TRY(step_back(w, attention_of(w->plan, l), &grown));
        if (w->reached[0] && !memchr(w->reached, 0, (size_t)w->tokens)) break;
    }
    *reach = 0, *first = w->tokens - 1;
    for (int64_t j = w->tokens; j--;)
        if (w->reached[j]) ++*reach, *first = j;
    return HEED_OK;
}

static int32_t walk_open(walk *w, const stack_plan *plan, int64_t tokens, heed_error *error)
{
    *w = (walk){.plan = plan, .tokens = tokens, .error = error};
    w->reached = malloc((size_t)tokens);
    w->change = malloc(sizeof *w->change * (size_t)(tokens + 1));
    return w->reached && w->change ? HEED_OK : error_memory(error);
}

static void walk_close(walk *w)
{
    free(w->reached);
    free(w->change);
}

/* ---- the network ---- */

/* Distances that are the same everywhere add up. */
static void add_distances(network_field *f)
{
    int64_t back = 0, first = 0;
    for (int64_t l = 0; l < f->layers; l++) {
        field_layer *x = &f->layer[l];
        if (x->back < 0) back = f->tokens;
        else if (back < f->tokens) back += x->back;
        if (x->first > first) first = x->first;
        x->reach = back + 1 < f->tokens ? back + 1 : f->tokens;
        const int64_t left = f->tokens - x->reach;
        x->reach += first < left ? first : left;
        if (x->reach == f->tokens && !f->needed) f->needed = l + 1;
    }
    f->reach = f->layer[f->layers - 1].reach;
}

/* The first layer through which the whole text is seen: more layers never see less. */
static int32_t find_needed(network_field *f, walk *w)
{
    int64_t low = 1, high = f->layers, first;
    if (f->reach < f->tokens) return HEED_OK;
    while (low < high) {
        const int64_t mid = low + (high - low) / 2;
        int64_t reach;
        TRY(walk_back(w, mid, &reach, &first));
        if (reach == f->tokens) high = mid;
        else low = mid + 1;
    }
    f->needed = low;
    return HEED_OK;
}

static int32_t walk_text(network_field *f, const stack_plan *plan, heed_error *error)
{
    walk w;
    int64_t first;
    int32_t failed = walk_open(&w, plan, f->tokens, error);
    if (!failed) failed = walk_back(&w, f->layers, &f->reach, &first);
    if (!failed) failed = find_needed(f, &w);
    const int64_t each = f->needed ? f->needed : f->layers;
    for (int64_t l = 1; l <= f->layers && !failed; l++) {
        int64_t *reach = &f->layer[l - 1].reach;
        if (f->needed && l >= f->needed) *reach = f->tokens;
        else if (each * each / 2 * f->tokens < EACH_LAYER_MOST)
            failed = walk_back(&w, l, reach, &first);
    }
    if (!failed) f->layer[f->layers - 1].reach = f->reach;
    walk_close(&w);
    return failed;
}

/* A field that has an end, but not the same distances everywhere: in longer and longer texts of
 * whole calls, until the first tokens are not reached. */
static int32_t walk_far(network_field *f, const stack_plan *plan, int64_t least, heed_error *error)
{
    int64_t longest;
    TRY(field_longest(plan, &longest, error));
    for (int64_t tokens = 2 * (least + 1); tokens <= WALKED_MOST; tokens *= 2) {
        walk w;
        int64_t first = 0;
        if (longest) tokens = (tokens + longest - 1) / longest * longest;
        int32_t failed = walk_open(&w, plan, tokens, error);
        if (!failed) failed = walk_back(&w, f->layers, &f->far, &first);
        walk_close(&w);
        if (failed || first > 0) return failed;
    }
    f->far = FIELD_ALL;
    return HEED_OK;
}

static int32_t add_up(network_field *f, const stack_plan *plan, int moves, heed_error *error)
{
    int64_t back = 0, first = 0;
    int ruled = 1;
    for (int64_t l = 0; l < f->layers; l++) {
        const field_layer *x = &f->layer[l];
        if (x->back < 0) back = FIELD_ALL;
        else if (back >= 0) back += x->back;
        if (x->ahead < 0) f->ahead = FIELD_ALL;
        else if (f->ahead >= 0) f->ahead += x->ahead;
        if (x->first > first) first = x->first;
        ruled = ruled && x->loose > 0;
        f->loose += x->loose;
        f->bound |= x->bound;
    }
    if (!ruled) f->loose = 0;
    if (f->ahead && first) moves = 0;
    f->far = back < 0 ? FIELD_ALL : back + 1 + first;
    if (back >= 0 && !moves) TRY(walk_far(f, plan, back, error));
    if (!moves) return walk_text(f, plan, error);
    add_distances(f);
    return HEED_OK;
}

int32_t field_longest(const stack_plan *plan, int64_t *longest, heed_error *error)
{
    *longest = 0;
    for (int64_t l = 0; l < plan->number[STACK_LAYERS]; l++) {
        keys k;
        TRY(keys_of(attention_of(plan, l), 0, 0, 1, &k, error));
        if (k.longest && (!*longest || k.longest < *longest)) *longest = k.longest;
    }
    return HEED_OK;
}

int32_t field_reached(const stack_plan *plan, int64_t tokens, uint8_t *reached, heed_error *error)
{
    walk w;
    int64_t reach, first;
    int32_t failed = walk_open(&w, plan, tokens, error);
    if (!failed) failed = walk_back(&w, plan->number[STACK_LAYERS], &reach, &first);
    if (!failed) memcpy(reached, w.reached, (size_t)tokens);
    walk_close(&w);
    return failed;
}

int32_t field_of_network(network_field *f, const stack_plan *plan, int64_t tokens,
                         heed_error *error)
{
    const stack_part *part = stack_plan_part(plan, STACK_DECODER, STACK_PART_ATTENTION);
    const int64_t context = plan->number[STACK_CONTEXT];
    int moves = 1;
    *f = (network_field){.tokens = context > 0 && context < tokens ? context : tokens,
                         .layers = plan->number[STACK_LAYERS]};
    field_layer *kinds = calloc(part->count, sizeof *kinds);
    f->layer = calloc((size_t)f->layers, sizeof *f->layer);
    if (!f->layer || !kinds) return free(kinds), error_memory(error);
    int32_t failed = HEED_OK;
    for (uint32_t i = 0; i < part->count && !failed; i++) {
        keys k = {0};
        kinds[i].op = part->text[i];
        failed = measure_distances(part->op[i], &kinds[i], &k, error);
        if (!failed) failed = measure_touched(part->op[i], f->tokens, &kinds[i], error);
        moves = moves && k.flags & HEED_FIELD_MOVES;
    }
    for (int64_t l = 0; l < f->layers; l++) f->layer[l] = kinds[part->of_layer[l]];
    free(kinds);
    return failed ? failed : add_up(f, plan, moves, error);
}

void field_free(network_field *f) { free(f->layer); }
