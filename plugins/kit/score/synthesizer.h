/* SPDX-License-Identifier: MIT
 *
 * heed/kit/score/synthesizer.h: what the synthesizers share (arXiv 2005.00743): attention over a
 * sequence itself whose logits are made from positions, or from each query alone, up to a longest
 * sequence of C positions. Include it after kit/flash/flash.h.
 *
 *     out_i = sum over j of softmax_j(B_i) v_j    B [T, T] of each head: no q k, and no 1 / sqrt(D)
 *
 * The ports that all have come first in their tables, SYNTHESIZER_FIRST on are an op's own;
 * likewise params. Queries and keys are one axis, T. A state remembers values only: logits are made
 * anew for any position.
 */
#ifndef HEED_KIT_SYNTHESIZER_ONCE
#define HEED_KIT_SYNTHESIZER_ONCE
#include <heed/kit/flash/task.h>

#define SYNTHESIZER_FN static __attribute__((unused))

enum {
    SYNTHESIZER_V,
    SYNTHESIZER_LENGTHS,
    SYNTHESIZER_DOCUMENTS,
    SYNTHESIZER_OUT,
    SYNTHESIZER_LSE,
    SYNTHESIZER_FIRST
};
enum { SYNTHESIZER_POSITION, SYNTHESIZER_OWN };

#define SYNTHESIZER_PORTS                                                                          \
    [SYNTHESIZER_V] = KIT_IN("v", "B T G E", "values; with a state, the new ones"),                \
    [SYNTHESIZER_LENGTHS] = KIT_IN_INDEX("key_lengths", "B", HEED_PORT_OPTIONAL,                   \
                                         "keys of each sequence that are valid; all if absent"),   \
    [SYNTHESIZER_DOCUMENTS] =                                                                      \
        KIT_IN_INDEX("documents", "B T", HEED_PORT_OPTIONAL,                                       \
                     "document of each token; a query sees its own document only"),                \
    [SYNTHESIZER_OUT] = KIT_OUT(                                                                   \
        "out", "B T H E", "for each query and head, the mean of the values under its weights"),    \
    [SYNTHESIZER_LSE] = KIT_OUT_OPTIONAL("lse", "B T H", HEED_BIT(HEED_F32),                       \
                                         "ln of the sum of exp(score), -inf where no key is left")

#define SYNTHESIZER_PARAMS                                                                         \
    [SYNTHESIZER_POSITION] =                                                                       \
        KIT_OP("position", "position", "a position op that acts on scores, beside the logits")
#define SYNTHESIZER_LONGEST                                                                        \
    KIT_INT_AUTO("longest", 'C', 1, 1 << 24,                                                       \
                 "positions that there are logits for; the weights tell")

#define SYNTHESIZER_MASKS                                                                          \
    (HEED_MASK_CAUSAL | HEED_MASK_KEY_LENGTHS | HEED_MASK_WINDOW | HEED_MASK_PREFIX |              \
     HEED_MASK_SINKS | HEED_MASK_DOCUMENTS)

/* An instance begins with it. */
typedef struct synthesizer {
    const heed_score *position; /* or NULL */
    const void *position_instance;
    const heed_score_grad *position_grad;
    int64_t longest, heads,
        width;       /* positions, heads (-1: any), width of queries (-1: none) that have logits */
    int by_position; /* rows of logits belong to positions too, not to queries alone */
} synthesizer;

/* What no synthesizer takes. */
SYNTHESIZER_FN int32_t synthesizer_measure(const heed_open *open)
{
    return kit_score_child(open, SYNTHESIZER_POSITION);
}

SYNTHESIZER_FN synthesizer synthesizer_init(const heed_open *open, int64_t longest, int64_t heads,
                                            int64_t width, int by_position)
{
    const heed_child *child = &open->child[SYNTHESIZER_POSITION];
    return (synthesizer){.position = child->op ? child->path->get_extension(HEED_SCORE_ID) : NULL,
                         .position_instance = child->instance,
                         .position_grad =
                             child->op ? child->path->get_extension(HEED_SCORE_GRAD_ID) : NULL,
                         .longest = longest,
                         .heads = heads,
                         .width = width,
                         .by_position = by_position};
}

SYNTHESIZER_FN kit_flash synthesizer_call(const synthesizer *s, const heed_call *call)
{
    const heed_tensor *const *t = call->tensor;
    return (kit_flash){.call = call,
                       .v = t[SYNTHESIZER_V],
                       .out = t[SYNTHESIZER_OUT],
                       .lse = t[SYNTHESIZER_LSE],
                       .key_lengths = t[SYNTHESIZER_LENGTHS],
                       .documents = t[SYNTHESIZER_DOCUMENTS],
                       .score = s->position,
                       .score_instance = s->position_instance,
                       .score_grad = s->position_grad,
                       .scale = 1};
}

/* As a filler (heed_score.fits); an instance begins with a synthesizer. */
SYNTHESIZER_FN int32_t synthesizer_fits(const void *instance, const heed_score_fit *x)
{
    const synthesizer *s = instance;
    if (x->positions > s->longest)
        return kit_fail(x->sink, HEED_E_ARGUMENT,
                        "there are logits for %lld positions, and %lld are needed",
                        (long long)s->longest, (long long)x->positions);
    if (x->first < 0 && s->by_position)
        return kit_fail(x->sink, HEED_E_ARGUMENT,
                        "there are logits from position 0 on, and the mask puts a query at %lld",
                        (long long)x->first);
    if (x->heads >= 0 && s->heads >= 0 && s->heads != x->heads)
        return kit_fail(x->sink, HEED_E_SHAPE,
                        "there are logits for %lld heads, and %lld are needed", (long long)s->heads,
                        (long long)x->heads);
    if (x->query_width >= 0 && s->width >= 0 && s->width != x->query_width)
        return kit_fail(x->sink, HEED_E_SHAPE,
                        "there are logits for queries %lld wide, and q is %lld%s",
                        (long long)s->width, (long long)x->query_width,
                        x->query_width ? "" : ": it is missing");
    return HEED_OK;
}

/* The scores of the position op, if there is one, on top of those that a filler wrote. */
KIT_INLINE void synthesizer_position(const synthesizer *s, const heed_score_tile *t)
{
    if (s->position) s->position->tile(s->position_instance, t);
}

/* A path's get_extension that has heed.score/1, filling by `function`. */
#define SYNTHESIZER_EXTENSION(name, function)                                                      \
    static const void *name(const char *id)                                                        \
    {                                                                                              \
        static const heed_score score = {sizeof score, 1, function, synthesizer_fits};             \
        return strcmp(id, HEED_SCORE_ID) == 0 ? &score : NULL;                                     \
    }

/* kit_flash_setup, and whether there are logits for all positions. */
SYNTHESIZER_FN int32_t synthesizer_setup(kit_flash *f, const synthesizer *s)
{
    int32_t failed = kit_flash_setup(f);
    if (!failed && s->heads >= 0 && s->heads != f->H)
        failed =
            kit_fail(f->call->sink, HEED_E_SHAPE,
                     "there are logits for %lld heads, and q has %lld; those of 1 would be for all",
                     (long long)s->heads, (long long)f->H);
    for (int64_t b = 0; !failed && f->T > 0 && b < f->B; b++) {
        const int64_t first = kit_flash_origin(f, b), keys = kit_flash_valid(f, b);
        if (keys > s->longest)
            return kit_fail(f->call->sink, HEED_E_ARGUMENT,
                            "sequence %lld has %lld tokens, and there are logits for %lld",
                            (long long)b, (long long)keys, (long long)s->longest);
        if (s->by_position && (first < 0 || first + f->T > s->longest))
            return kit_fail(f->call->sink, HEED_E_ARGUMENT,
                            "the mask puts queries of sequence %lld at positions %lld to %lld, and "
                            "there are logits "
                            "for 0 to %lld",
                            (long long)b, (long long)first, (long long)(first + f->T - 1),
                            (long long)s->longest - 1);
    }
    return failed;
}

SYNTHESIZER_FN int32_t synthesizer_state(const void *instance, const int64_t *axis,
                                         heed_state_size *size)
{
    (void)instance;
    size->format = "v/f32";
    size->version = 1;
    size->page_tokens = KIT_FLASH_KEYS;
    size->page_bytes =
        kit_flash_page(HEED_AXIS(axis, 'G'), 0, HEED_AXIS(axis, 'E')); /* 0: not known */
    return HEED_OK;
}

/* Scratch and workspace of an op with queries so wide, and so many floats of its own in a tile. */
KIT_INLINE int32_t synthesizer_size(const heed_call *call, int64_t width, int64_t own,
                                    heed_call_size *size)
{
    const int64_t E = HEED_AXIS(call->axis, 'E');
    size->scratch =
        kit_flash_scratch(width, E, kit_flash_most_keys(call)) + kit_flash_own(width, E, own);
    size->workspace =
        kit_flash_workspace(call->tensor[SYNTHESIZER_DOCUMENTS], HEED_AXIS(call->axis, 'B'));
    return HEED_OK;
}

/* A weight [heads, positions, width] as q or k by position; one head of it may be for all. */
KIT_INLINE heed_tensor synthesizer_rows(const heed_tensor *w)
{
    heed_tensor view = *w;
    const int64_t dim[] = {1, w->dim[1], w->dim[0], w->dim[2]};
    const int64_t stride[] = {0, w->stride[1], w->dim[0] == 1 ? 0 : w->stride[0], w->stride[2]};
    view.rank = 4;
    memcpy(view.dim, dim, sizeof dim), memcpy(view.stride, stride, sizeof stride);
    return view;
}

/* ---- fixed random weights, which are drawn and not stored ---- */

/* The param and the sentence of ops that have them. */
#define SYNTHESIZER_SEED(what)                                                                     \
    {                                                                                              \
        sizeof(heed_param), HEED_PARAM_INT, HEED_PARAM_AUTO, 0, 0, 0x1p53, 0, "fixed", NULL,       \
            "fixed random: " what " from this number, and no weight"                               \
    }

/* The bytes to draw a weight of H heads x `rows` x `width`, or 0 if given; a sentence if it is
 * neither or both. */
SYNTHESIZER_FN int32_t synthesizer_drawn(const heed_open *open, const heed_tensor *weight,
                                         const char *name, int fixed, int64_t rows, int64_t width,
                                         uint64_t *bytes)
{
    const int64_t heads = HEED_AXIS(open->axis, 'H');
    int64_t n;
    *bytes = 0;
    if (weight && fixed)
        return kit_fail(open->sink, HEED_E_ARGUMENT,
                        "the weight %s is given, and fixed= would draw it; leave one out", name);
    if (weight) return HEED_OK;
    if (!fixed)
        return kit_fail(open->sink, HEED_E_ARGUMENT,
                        "the weight %s is missing; fixed=N would draw it from the number N", name);
    if (heads < 1 || rows < 1 || width < 1)
        return kit_fail(open->sink, HEED_E_ARGUMENT,
                        "fixed= draws %s for a number of heads (axis H), of positions (longest=) "
                        "and of channels that "
                        "are known, and not all are",
                        name);
    if (__builtin_mul_overflow(heads, rows, &n) || __builtin_mul_overflow(n, width, &n) ||
        n > (int64_t)1 << 40)
        return kit_fail(open->sink, HEED_E_MEMORY, "%s would have more than 2^40 numbers", name);
    *bytes = kit_line((uint64_t)n * sizeof(float));
    return HEED_OK;
}

/* The weight as it is given, or drawn into `room`: uniform, of variance 1 / width (Glorot's, for a
 * square). */
SYNTHESIZER_FN heed_tensor synthesizer_weight(const heed_tensor *given, float *room,
                                              const heed_open *open, int64_t rows, int64_t width,
                                              uint64_t seed)
{
    if (given) return *given;
    const int64_t heads = HEED_AXIS(open->axis, 'H'), n = heads * rows * width;
    const double most = sqrt(3 / (double)width);
    for (int64_t i = 0; i < n; i++) { /* splitmix64 */
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        room[i] = (float)(most * ((double)((z ^ z >> 31) >> 40) * 0x1p-23 - 1));
    }
    return (heed_tensor){.size = sizeof(heed_tensor), .dtype = HEED_F32, .rank = 3, .data = room,
                         .bytes = (uint64_t)n * sizeof(float), .dim = {heads, rows, width},
                         .stride = {rows * width, width, 1}};
}
#endif
