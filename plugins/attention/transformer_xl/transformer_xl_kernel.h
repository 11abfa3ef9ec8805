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
    float *u, *v;  /* [heads][ld] */
    int64_t first; /* while the table is made: the distance from which on sinusoids are at hand */
    float *encodings;
    double *theta; /* [width / 2] */
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

#ifdef KIT_FIRST
enum { RELATIVE_WEIGHT = FLASH_PORT_COUNT, CONTENT_BIAS, POSITION_BIAS };

static int32_t xl_fits(const kit_flash *f, const heed_call *call)
{
    const xl *s = f->variant;
    if (f->G / f->share != f->H)
        return kit_fail(call->sink, HEED_E_UNSUPPORTED,
                        "q has %lld heads and k has %lld: each head here has keys of its own",
                        (long long)f->H, (long long)(f->G / f->share));
    if (f->T > s->memory && !s->same_length)
        return kit_fail(call->sink, HEED_E_ARGUMENT,
                        "a segment of %lld tokens is longer than the memory of %lld; give at most "
                        "that many at a time, "
                        "a larger memory, or same_length=true",
                        (long long)f->T, (long long)s->memory);
    return HEED_OK;
}

/* Floats of a sinusoid, with its sines and cosines behind it. */
static int64_t xl_encoding_room(int64_t M) { return 2 * kit_lanes(M / 2) + kit_lanes(M); }

/* The sinusoid of distance first + i, one of those at hand. */
static void xl_encode(void *arg, int64_t i, uint32_t lane)
{
    const xl *s = arg;
    const int64_t n = s->width / 2;
    float *to = s->encodings + i * xl_encoding_room(s->width);
    float *sine = to + kit_lanes(s->width), *cosine = sine + kit_lanes(n);
    (void)lane;
    kit_angles_scalar(sine, cosine, s->theta, n, s->first + i);
    for (int64_t k = 0; k < n; k++)
        to[s->interleaved ? 2 * k : k] = sine[k],
                                    to[s->interleaved ? 2 * k + 1 : n + k] = cosine[k];
}
#endif

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    kit_flash f = kit_flash_call(instance, call);
    int32_t failed = kit_flash_setup(&f);
    if (!failed) failed = xl_fits(&f, call);
    return failed ? failed : KIT(flash_run)(&f);
}

/* ---- backward ---- */

struct kit_flash_backward;
struct kit_flash_back_rows;
static void KIT(xl_begin_back)(const struct kit_flash_backward *w, struct kit_flash_back_rows *t,
                               float *to);
#define FLASH_BACK_RELATIVE_BEGIN(w, t, to) KIT(xl_begin_back)(w, t, to)
#include <heed/kit/flash/relative_backward.h>

/* q + u and q + v by rows. */
static void KIT(xl_begin_back)(const kit_flash_backward *w, kit_flash_back_rows *t, float *to)
{
    const xl *s = XL(&w->f);
    const int64_t width = w->width_q, head = t->r.head[0] * s->ld;
    KIT(xl_begin)(&w->f, &t->r);
    for (int i = 0; i < t->r.rows; i++)
        for (int64_t d = 0; d < width; d += 16) {
            float *q = t->queries + i * width + d;
            v_store(to + i * width + d, v_add(v_load(q), v_load(s->v + head + d)));
            v_store(q, v_add(v_load(q), v_load(s->u + head + d)));
        }
}

#ifdef KIT_FIRST
/* One call: the sums over the rows by distance become the gradient of W, r = W R, with all
 * sinusoids R at hand. */
typedef struct xl_backward {
    xl self;
    kit_flash_back_relative r;
    const heed_call *call;
    const heed_tensor *to;
    float scale;
} xl_backward;

static uint64_t xl_place(xl_backward *b, kit_flash *f)
{
    const xl *self = f->variant;
    char *room = f->call->workspace;
    b->self = *self, b->self.first = 0, b->call = f->call;
    b->r = (kit_flash_back_relative){
        .keys = &self->r, .heads = self->heads, .lines = self->r.entries, .own_queries = 1};
    f->per_head = 1;
    const uint64_t before = kit_flash_back_workspace(f);
    float *at = room ? (float *)(void *)(room + before) : NULL;
    const int64_t floats = kit_flash_back_relative_place(f, &b->r, at);
    b->self.encodings = at ? at + floats : NULL;
    return before +
           sizeof(float) * (uint64_t)(floats + self->r.entries * xl_encoding_room(self->width));
}

static int32_t measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    kit_flash f = kit_flash_call(instance, g->call);
    xl_backward b;
    size->workspace = xl_place(&b, &f);
    size->scratch = kit_flash_back_relative_scratch(&f);
    const uint64_t strip = sizeof(float) * (uint64_t)(KIT_FLASH_CELL * kit_lanes(b.self.width));
    if (size->scratch < strip) size->scratch = strip;
    return HEED_OK;
}
#endif

/* 16 rows of W of a head: dW += scale times the sum over distances of dr R. */
static void KIT(xl_weight_back)(void *arg, int64_t task, uint32_t lane)
{
    const xl_backward *b = arg;
    const int64_t cells = b->r.width / KIT_FLASH_CELL, head = task / cells,
                  first = task % cells * KIT_FLASH_CELL, all = b->r.keys->entries,
                  M = b->self.width, ld = kit_lanes(M), apart = xl_encoding_room(M);
    const float *sum = b->r.sum + head * kit_flash_back_chunk_floats(&b->r) + first;
    float X[KIT_FLASH_CELL * KIT_FLASH_ROWS] __attribute__((aligned(64)));
    float *C = (float *)(void *)(b->call->scratch + lane * b->call->scratch_stride);
    memset(C, 0, sizeof(float) * (size_t)(KIT_FLASH_CELL * ld));
    for (int64_t e = 0; e < all; e += KIT_FLASH_ROWS) {
        const int64_t n = all - e < KIT_FLASH_ROWS ? all - e : KIT_FLASH_ROWS;
        for (int64_t i = 0; i < n; i += 16) {
            vf x[16];
            for (int l = 0; l < 16; l++) x[l] = v_load(sum + (e + i + l) * b->r.width);
            v_transpose(x);
            for (int l = 0; l < 16; l++) v_store(X + l * KIT_FLASH_ROWS + i, x[l]);
        }
        for (int64_t m = 0, wide; m < ld; m += wide * VR_LANES) {
            wide = (ld - m) / VR_LANES < FLASH_WIDE ? (ld - m) / VR_LANES : FLASH_WIDE;
            for (int k = 0; k < KIT_FLASH_CELL; k += FLASH_N) KIT(flash_back_key_table)
            [wide - 1][0](C + k * ld + m, ld, X + k * KIT_FLASH_ROWS, X,
                          b->self.encodings + e * apart + m, apart, n);
        }
    }
    for (int64_t l = 0; l < KIT_FLASH_CELL && first + l < b->self.D; l++) {
        const heed_tensor *to = b->to;
        const heed_tensor row = {.size = sizeof row,
                                 .dtype = HEED_F32,
                                 .rank = 2,
                                 .data = kit_at(to, (const int64_t[]){head, first + l}, 2),
                                 .dim = {1, M},
                                 .stride = {0, to->stride[2]}};
        KIT(flash_back_table)(&row, C + l * ld, ld, b->scale, 0);
    }
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const heed_call *call = g->call;
    const heed_tensor *const *d = g->gradient;
    kit_flash_backward w = KIT(flash_backward_call)(instance, g);
    xl_backward b;
    xl_place(&b, &w.f);
    w.relative = &b.r, b.to = d[RELATIVE_WEIGHT], b.scale = w.f.scale;
    int32_t failed = kit_flash_back_child(g, FLASH_POSITION);
    if (!failed) failed = kit_flash_setup(&w.f);
    if (!failed) failed = xl_fits(&w.f, call);
    if (!failed) failed = KIT(flash_back_relative_run)(&w);
    if (!failed) failed = KIT(flash_backward_sinks)(&w, g);
    if (failed) return failed;
    const float *biases = b.r.sum + b.r.lines * b.r.width;
    const int64_t apart = kit_flash_back_chunk_floats(&b.r);
    KIT(flash_back_table)(d[CONTENT_BIAS], biases, apart, w.f.scale, 0);
    KIT(flash_back_table)(d[POSITION_BIAS], biases + b.r.width, apart, w.f.scale, 0);
    if (!b.to) return HEED_OK;
    failed = call->host->parallel_for(call->host, b.r.keys->entries, xl_encode, &b.self);
    return failed
               ? failed
               : call->host->parallel_for(call->host, b.self.heads * (b.r.width / KIT_FLASH_CELL),
                                          KIT(xl_weight_back), &b);
}
KIT_BACKWARD_WITH(HEED_GRAD_INNER,
                  KIT_FLASH_GIVES | KIT_PORT(RELATIVE_WEIGHT) | KIT_PORT(CONTENT_BIAS) |
                      KIT_PORT(POSITION_BIAS),
                  KIT_FLASH_TAKES, KIT_FLASH_TAKES, measure_backward)
#undef XL

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
