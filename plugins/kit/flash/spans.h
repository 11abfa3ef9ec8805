/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/spans.h: the order in which what a row has of its keys is added up, which is a
 * property of the keys' positions and of nothing else. A part of kit/flash/flash.h.
 *
 * Keys are cut into spans of 1536, at absolute multiples. Over the keys of one span a row's sums
 * are one chain (flash/flash.h); the spans' results are merged by a binary tree over their index:
 *
 *        span   0      1      2      3      4      5
 *                \    /        \    /        \    /          merge(a, b):  m = max(m_a, m_b)
 *                 (01)          (23)          (45)             sum = 2^(m_a - m) sum_a
 *                    \          /              |                     + 2^(m_b - m) sum_b,
 *                      (0 .. 3)                |               and so each channel of the output
 *                            \                 /
 *                              ( 0 .. 5 )
 *
 * So whoever has the keys of some spans - a thread, a later call, another machine - can finish
 * them alone, in any order, and the merged rows have the same bits. A span in which a row sees no
 * key takes no part in that row's arithmetic: the other operand is taken as it is. What is no key
 * of this pass, the rows of an earlier pass (f->before) and the sinks' scores, is merged last.
 *
 * A tile meets its spans in rising order, and keeps a stack of results that wait for their right
 * neighbour, at most one a level of the tree. Two neighbours of the stack are merged once the next
 * span lies outside of their common subtree.
 */
#ifndef KIT_HAS_FLASH_SPANS
#define KIT_HAS_FLASH_SPANS
#include <heed/kit/flash/block.h>

#ifndef HEED_KIT_FLASH_SPANS_ONCE
#define HEED_KIT_FLASH_SPANS_ONCE

/* The level of the tree at which two spans first lie in the same subtree: 0 for neighbours that are
 * merged with each other, and more for spans that meet nearer to the root. */
KIT_INLINE int kit_flash_level(int64_t span, int64_t other)
{
    return 63 - __builtin_clzll((unsigned long long)(span ^ other) | 1);
}

/* Whether row i sees a key of the span. */
KIT_INLINE int kit_flash_sees_span(const kit_flash_rows *r, int i, int64_t span)
{
    const kit_flash_live *x = &r->live[i];
    const int64_t first = span * KIT_FLASH_SPAN, last = first + KIT_FLASH_SPAN;
    if (r->lists) {
        const kit_flash_run run =
            kit_flash_next_run(r->lists, r->list[i], x->first > first ? x->first : first,
                               x->last < last ? x->last : last);
        return run.first < run.last;
    }
    return (x->first < x->last && x->first < last && x->last > first) ||
           (x->sink_first < x->sink_last && x->sink_first < last && x->sink_last > first);
}

/* Notes for each row whether it saw a key of the span that ends. Only then has the row a result that
 * may be merged: merging an empty one is not free of effects, since 0 + -0 is 0. */
static void kit_flash_note_span(const kit_flash *f, kit_flash_rows *r)
{
    const int begun = f->begins && r->depth == 0; /* the variant has begun the outputs itself */
    for (int i = 0; i < KIT_FLASH_CELL * r->groups; i++)
        r->has[i] = begun || (r->span >= 0 && kit_flash_sees_span(r, i, r->span)) ? 1.0f : 0.0f;
}
#endif

/* The rows become merge(a, rows), where a is of earlier keys. */
static void KIT(flash_merge)(const kit_flash *f, const kit_flash_partial *a, kit_flash_rows *r)
{
    const int64_t ld = kit_lanes(f->E);
    const vf none = v_set(0.0f);
    float wa[KIT_FLASH_ROWS] __attribute__((aligned(64))),
        wb[KIT_FLASH_ROWS] __attribute__((aligned(64)));
    for (int i = 0; i < KIT_FLASH_CELL * r->groups; i += 16) {
        const vf ma = v_load(a->max + i), mb = v_load(r->max + i), m = v_max(ma, mb);
        const vm no_a = v_eq(v_load(a->has + i), none), no_b = v_eq(v_load(r->has + i), none);
        const vf x = FLASH_SQUARED_RELU ? v_set(1.0f) : v_exp2(v_sub(ma, m)),
                 y = FLASH_SQUARED_RELU ? v_set(1.0f) : v_exp2(v_sub(mb, m));
        const vf sa = v_load(a->sum + i), sb = v_load(r->sum + i), sum = v_fma(sb, y, v_mul(sa, x));
        v_store(wa + i, x), v_store(wb + i, y);
        v_store(r->max + i, v_select(no_b, ma, v_select(no_a, mb, m)));
        v_store(r->sum + i, v_select(no_b, sa, v_select(no_a, sb, sum)));
        for (int64_t e = 0; e < f->E && !r->few; e++) {
            float *o = r->O + e * KIT_FLASH_ROWS + i;
            const vf oa = v_load(a->O + e * KIT_FLASH_ROWS + i), ob = v_load(o);
            v_store(o, v_select(no_b, oa, v_select(no_a, ob, v_fma(ob, y, v_mul(oa, x)))));
        }
    }
    for (int i = 0; i < r->rows && r->few; i++) {
        float *o = r->O + i * ld;
        const float *from = a->O + i * ld;
        if (r->has[i] == 0.0f) memcpy(o, from, sizeof(float) * (size_t)ld);
        else if (a->has[i] != 0.0f)
            for (int64_t e = 0; e < ld; e += 16)
                v_store(o + e,
                        v_fma(v_load(o + e), v_set(wb[i]), v_mul(v_load(from + e), v_set(wa[i]))));
    }
    for (int i = 0; i < KIT_FLASH_CELL * r->groups; i++)
        if (a->has[i] != 0.0f) r->has[i] = 1.0f;
}

/* Empty sums. */
static void KIT(flash_clear)(const kit_flash *f, kit_flash_rows *r)
{
    for (int i = 0; i < KIT_FLASH_ROWS; i++) r->max[i] = -FLT_MAX, r->sum[i] = r->has[i] = 0.0f;
    memcpy(r->alpha, kit_flash_ones, sizeof r->alpha);
    memset(r->O, 0,
           sizeof(float) * (size_t)((r->few ? r->rows : KIT_FLASH_ROWS) * kit_lanes(f->E)));
}

/* A tile goes on with another span: what it has of the last ones is put aside. */
static void KIT(flash_next_span)(const kit_flash *f, kit_flash_rows *r, int64_t next)
{
    if (r->span >= 0) {
        kit_flash_note_span(f, r);
        const int level = kit_flash_level(r->span, next);
        while (r->depth > 0 && kit_flash_level(r->stack[r->depth - 1].span, r->span) < level)
            KIT(flash_merge)(f, &r->stack[--r->depth], r);
        kit_flash_partial *x = &r->stack[r->depth++];
        float *spare = x->O;
        memcpy(x->max, r->max, sizeof x->max), memcpy(x->sum, r->sum, sizeof x->sum);
        memcpy(x->has, r->has, sizeof x->has);
        x->span = r->span, x->O = r->O, r->O = spare;
        KIT(flash_clear)(f, r);
    }
    r->span = next;
}

/* The outputs of an earlier pass as a result to merge: f->before stands for a sum of 1 at the
 * maximum lse, or for none. */
static void KIT(flash_load_before)(const kit_flash *f, const kit_flash_rows *r,
                                   kit_flash_partial *x)
{
    const char *from[KIT_FLASH_ROWS];
    const int lanes = KIT_FLASH_CELL * r->groups;
    for (int i = 0; i < lanes; i++) {
        const int64_t at[3] = {r->batch, r->query[i], r->head[i]};
        from[i] = kit_at(f->before, at, 3);
        x->max[i] = *(const float *)kit_at(f->before_lse, at, 3);
        if (r->few && i < r->rows)
            kit_read_row(x->O + i * kit_lanes(f->E), from[i], HEED_F32, 1, f->E);
    }
    for (int i = 0; i < lanes; i += 16) {
        const vf lse = v_in_units(v_load(x->max + i), (float)KIT_LOG2E),
                 any = v_add(v_set(1.0f), v_sub(lse, lse));
        const vm none = v_lt(lse, v_set(-FLT_MAX));
        v_store(x->max + i, v_select(v_ge(lse, v_set(-FLT_MAX)), lse, v_set(-FLT_MAX)));
        v_store(x->sum + i, v_select(none, v_set(0.0f), any)); /* NaN stays */
        v_store(x->has + i, v_select(none, v_set(0.0f), v_set(1.0f)));
    }
    if (!r->few) KIT(flash_load_columns)(from, HEED_F32, 1, lanes, f->E, 1.0f, x->O);
}

/* Merges the sinks' scores into the rows: keys without a value. */
static void KIT(flash_merge_sinks)(const kit_flash *f, kit_flash_rows *r)
{
    float w[KIT_FLASH_ROWS] __attribute__((aligned(64)));
    for (int i = 0; i < KIT_FLASH_CELL * r->groups; i++) {
        const int64_t h = r->head[i];
        kit_read_row(&w[i], kit_at(f->sink_logits, &h, 1), f->sink_logits->dtype, 1, 1);
    }
    for (int i = 0; i < KIT_FLASH_CELL * r->groups; i += 16) {
        const vf logit = v_in_units(v_load(w + i), (float)KIT_LOG2E), before = v_load(r->max + i);
        const vf max = v_max(before, v_max(v_add(logit, v_load(r->lift + i)), v_set(-FLT_MAX)));
        const vf alpha = v_exp2(v_sub(before, max));
        v_store(r->sum + i, v_fma(v_load(r->sum + i), alpha, v_exp2(v_sub(logit, max))));
        v_store(r->max + i, max), v_store(w + i, alpha);
        for (int64_t e = 0; e < f->E && !r->few; e++) {
            float *o = r->O + e * KIT_FLASH_ROWS + i;
            v_store(o, v_mul(v_load(o), alpha));
        }
    }
    for (int64_t e = 0; e < r->rows * kit_lanes(f->E) && r->few; e += 16)
        v_store(r->O + e, v_mul(v_load(r->O + e), v_set(w[e / kit_lanes(f->E)])));
}

/* The rows have met all their keys: merges what is on the stack, and what is no key. */
static void KIT(flash_end_spans)(const kit_flash *f, kit_flash_rows *r, float *room)
{
    kit_flash_note_span(f, r);
    while (r->depth > 0) KIT(flash_merge)(f, &r->stack[--r->depth], r);
    if (f->before) {
        kit_flash_partial x = {.O = room};
        KIT(flash_load_before)(f, r, &x);
        KIT(flash_merge)(f, &x, r);
    }
    if (f->sink_logits) KIT(flash_merge_sinks)(f, r);
}
#endif
