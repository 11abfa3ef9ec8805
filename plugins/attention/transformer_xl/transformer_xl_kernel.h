/* SPDX-License-Identifier: MIT
 *
 * attention/transformer_xl, the maths: kit/flash/flash.h with q + u in the place of q, and a table
 * by distance, r, that q + v is multiplied with (kit/flash/relative.h). The table is made when the
 * op is opened.
 */
#include <heed/kit.h>
#include <heed/kit/flash/type.h>
#include <heed/kit/core/sleef.h>

#ifdef KIT_FIRST
typedef struct xl {
    int64_t memory, same_length;
    int64_t heads, D, ld, width; /* floats from head to head of u and v; of an encoding */
    int interleaved;
    const heed_tensor *relative_weight;
    float *u, *v; /* [heads][ld] */
    int64_t first; /* while the table is made: the distance from which on sinusoids are at hand */
    float *encodings;
    double *theta;    /* [width / 2] */
    kit_flash_table r;
    float room[] __attribute__((aligned(64)));
} xl;

/* A segment's queries see `memory` tokens before the segment, or each before itself, and nothing
 * behind themselves. */
KIT_INLINE void xl_range(const xl *s, int64_t t, int64_t at, kit_flash_live *x)
{
    const int64_t first = (s->same_length ? at : at - t) - s->memory;
    if (first > x->first) x->first = first;
    if (at + 1 < x->last) x->last = at + 1;
}
#endif

static void KIT(xl_begin)(const kit_flash *f, kit_flash_rows *r);
#define XL(f) ((const xl *)(f)->variant)
#define FLASH_RANGE(f, b, t, h, at, x) xl_range(XL(f), t, at, x)
#define FLASH_BEGIN(f, r) KIT(xl_begin)(f, r)
#define FLASH_RELATIVE(f) &XL(f)->r
#define FLASH_RELATIVE_QUERY(r) (r)->own
#include <heed/kit/flash/flash.h>

/* q + u in the place of q, and q + v. */
static void KIT(xl_begin)(const kit_flash *f, kit_flash_rows *r)
{
    const float *u = XL(f)->u + r->head[0] * XL(f)->ld, *v = XL(f)->v + r->head[0] * XL(f)->ld;
    const vf scale = v_set((float)((double)f->scale * KIT_LOG2E));
    for (int64_t d = 0; d < f->D; d++)
        for (int i = 0; i < KIT_FLASH_CELL * r->groups; i += 16) {
            float *q = r->Q + d * KIT_FLASH_ROWS + i;
            v_store(r->own + d * KIT_FLASH_ROWS + i, v_fma(v_set(v[d]), scale, v_load(q)));
            v_store(q, v_fma(v_set(u[d]), scale, v_load(q)));
        }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    kit_flash f = kit_flash_call(instance, call);
    int32_t failed = kit_flash_setup(&f);
    if (failed) return failed;
    if (f.G / f.share != f.H)
        return kit_fail(call->sink, HEED_E_UNSUPPORTED,
                        "q has %lld heads and k has %lld: each head here has keys of its own",
                        (long long)f.H, (long long)(f.G / f.share));
    if (f.T > XL(&f)->memory && !XL(&f)->same_length)
        return kit_fail(call->sink, HEED_E_ARGUMENT,
                        "a segment of %lld tokens is longer than the memory of %lld; give at most "
                        "that many at a time, "
                        "a larger memory, or same_length=true",
                        (long long)f.T, (long long)XL(&f)->memory);
    return KIT(flash_run)(&f);
}
#undef XL

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
