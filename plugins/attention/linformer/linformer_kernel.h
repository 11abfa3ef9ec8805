/* SPDX-License-Identifier: MIT
 *
 * attention/linformer, the maths: E k and F v are products of kit/gemm/gemm.h, of which the tables
 * are the rows and a sequence's own keys and values the weights, packed a block of positions at a
 * time; then kit/flash/flash.h over the slots.
 *
 * Loop order of a tile, 64 channels of one head times 96 slots: blocks of 1024 positions, then the
 * slots, so that a packed block stays in the second cache. A slot is one chain over the positions,
 * whatever the blocks.
 *
 * Error: kit/gemm/gemm.h's of keys and values, and kit/flash/flash.h's over J slots.
 */
#include <heed/kit.h>
#include <heed/kit/flash/flash.h>
#include <heed/kit/gemm/gemm.h>

#ifdef KIT_FIRST
enum { Q, K, V, KEY_LENGTHS, TABLE_K, TABLE_V, OUT };
enum { SLOTS, LONGEST, MATRICES, SCALE, CAUSAL };
typedef struct linformer {
    const heed_tensor *table[2]; /* E and F [W, J, C], perhaps the same */
    float scale;                 /* 0: 1 / sqrt(D) */
} linformer;

typedef struct linformer_call {
    heed_call inner; /* of kit/flash: its keys are the slots */
    heed_mask none;
    int64_t axis[HEED_AXES];
    const heed_call *call;
    const linformer *self;
    const heed_tensor *from[2]; /* k and v */
    heed_tensor made[2]; /* [B, J, G, D] and [.., E], rows in whole vectors, in the workspace */
    int64_t J, tiles[2];        /* slots; tiles of a head of keys, and of one of values */
} linformer_call;

enum {
    LINFORMER_LINES = KIT_GEMM_BLOCK + 1
}; /* of a packed panel; line 0 is used by the first block alone */

/* A lane's scratch for the products: four panels, and rows of a table that has to be copied. */
static uint64_t linformer_scratch(void)
{
    return sizeof(float) * (uint64_t)(KIT_GEMM_STEP * kit_panel_stride(LINFORMER_LINES) +
                                      KIT_GEMM_ROWS * KIT_GEMM_COPY);
}

static void linformer_begin(linformer_call *c, const linformer *self, const heed_call *call)
{
    const heed_tensor *const *t = call->tensor;
    float *room = call->workspace;
    *c = (linformer_call){.inner = *call,
                          .none = {.size = sizeof c->none},
                          .call = call,
                          .self = self,
                          .from = {t[K], t[V]},
                          .made = {*t[K], *t[V]},
                          .J = self->table[0]->dim[1]};
    for (int i = 0; i < 2; i++) {
        const int64_t B = t[K]->dim[0], G = t[K]->dim[2], width = kit_lanes(c->made[i].dim[3]);
        const int64_t stride[4] = {G * c->J * width, width, c->J * width, 1};
        c->made[i].dtype = HEED_F32, c->made[i].data = room, c->made[i].dim[1] = c->J;
        memcpy(c->made[i].stride, stride, sizeof stride);
        if (room) room += B * stride[0];
        c->tiles[i] = (width / 16 + KIT_GEMM_STEP - 1) / KIT_GEMM_STEP *
                      ((c->J + KIT_GEMM_ROWS - 1) / KIT_GEMM_ROWS);
    }
    memcpy(c->axis, call->axis, sizeof c->axis);
    HEED_AXIS(c->axis, 'S') = c->J;
    c->inner.axis = c->axis, c->inner.mask = &c->none;
}

/* Positions of a sequence that count. */
static int64_t linformer_keys(const heed_call *call, int64_t b)
{
    const heed_tensor *lengths = call->tensor[KEY_LENGTHS];
    return lengths ? kit_index(lengths, kit_at(lengths, &b, 1)) : HEED_AXIS(call->axis, 'S');
}
#endif

#undef LINFORMER_TALL /* slots at once: kit/gemm's register tiles have no more */
#if defined KIT_SCALAR
#define LINFORMER_TALL 1
#else
#define LINFORMER_TALL 6
#endif

/* Rows of k or v from `at` on, to lines of panels of 16 channels, from line `line` on. */
static void KIT(pack)(const heed_tensor *x, const int64_t *at, int64_t n, int64_t panels,
                      float *room, int64_t line)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t p = 0; p < panels; p++) {
            const int64_t from[4] = {at[0], at[1] + i, at[2], at[3] + 16 * p};
            v_store(room + p * kit_panel_stride(LINFORMER_LINES) + 16 * (line + i), v_get(x, from));
        }
}

/* One head's slots of some channels: made[j] = sum over n of table[j][n] x[n]. */
static void KIT(project)(void *arg, int64_t tile, uint32_t lane)
{
    const linformer_call *c = arg;
    const int64_t both = c->tiles[0] + c->tiles[1], G = c->from[0]->dim[2], b = tile / both / G,
                  g = tile / both % G;
    const int i = tile % both >= c->tiles[0];
    const int64_t left = tile % both - (i ? c->tiles[0] : 0),
                  blocks = (c->J + KIT_GEMM_ROWS - 1) / KIT_GEMM_ROWS;
    const int64_t row = left % blocks * KIT_GEMM_ROWS, channel = left / blocks * KIT_GEMM_STEP * 16;
    const int64_t width = kit_lanes(c->made[i].dim[3]) - channel, keys = linformer_keys(c->call, b);
    const heed_tensor *table = c->self->table[i];
    float *room = (float *)(void *)(c->call->scratch + lane * c->call->scratch_stride);
    float *copy = room + KIT_GEMM_STEP * kit_panel_stride(LINFORMER_LINES);
    kit_weights w = {.data = room, .stride = kit_panel_stride(LINFORMER_LINES)};
    const heed_tensor out = {.rank = 1, .dim = {width}};
    const kit_gemm gemm = {.w = &w, .out = &out, .in_place = 1};
    kit_gemm_part part;
    part.panel = 0, part.panels = width < KIT_GEMM_STEP * 16 ? width / 16 : KIT_GEMM_STEP;
    part.rows = c->J - row < KIT_GEMM_ROWS ? c->J - row : KIT_GEMM_ROWS;
    for (int64_t r = 0; r < part.rows; r++) {
        const int64_t at[4] = {b, row + r, g, channel};
        part.to[r] = kit_at(&c->made[i], at, 4);
        if (keys == 0) memset(part.to[r], 0, sizeof(float) * 16 * (size_t)part.panels);
    }
    for (int64_t n = 0; n < keys; n += KIT_GEMM_BLOCK) {
        const int64_t at[4] = {b, n, g, channel};
        part.k = n > 0; /* the sums go on */
        part.depth = keys - n < KIT_GEMM_BLOCK ? keys - n : KIT_GEMM_BLOCK,
        w.depth = part.k + part.depth;
        KIT(pack)(c->from[i], at, part.depth, part.panels, room, part.k);
        for (int64_t r = 0; r < part.rows; r++) {
            const int64_t of[3] = {table->dim[0] == 1 ? 0 : g, row + r, n};
            part.x[r] = (const float *)(const void *)kit_at(table, of, 3);
            if (kit_is_plain(table)) continue;
            kit_read_row(copy + r * KIT_GEMM_COPY, part.x[r], table->dtype, table->stride[2],
                         part.depth);
            part.x[r] = copy + r * KIT_GEMM_COPY;
        }
        for (int64_t r = 0, tall; r < part.rows; r += tall) {
            tall = LINFORMER_TALL < part.rows - r ? LINFORMER_TALL : part.rows - r;
            KIT(kit_gemm_strip)(&gemm, &part, r, tall, 0, part.panels);
        }
    }
}

/* The slots, and attention over them set up: lengths are checked. */
static int32_t KIT(make_slots)(linformer_call *c, kit_flash *f)
{
    const heed_call *call = c->call;
    const int64_t B = c->made[0].dim[0], S = HEED_AXIS(call->axis, 'S'),
                  tiles = c->tiles[0] + c->tiles[1];
    const double D = (double)c->made[0].dim[3];
    const float scale = c->self->scale;
    for (int64_t b = 0; b < B; b++)
        if (linformer_keys(call, b) < 0 || linformer_keys(call, b) > S)
            return kit_fail(call->sink, HEED_E_ARGUMENT,
                            "key_lengths[%lld] is %lld, but k has %lld keys", (long long)b,
                            (long long)linformer_keys(call, b), (long long)S);
    *f = (kit_flash){.call = &c->inner,
                     .q = call->tensor[Q],
                     .k = &c->made[0],
                     .v = &c->made[1],
                     .out = call->tensor[OUT],
                     .scale = scale != 0.0f ? scale : (float)(1 / sqrt(D > 0 ? D : 1))};
    const int32_t failed = kit_flash_setup(f);
    return failed ? failed
                  : call->host->parallel_for(call->host, B * f->G * tiles, KIT(project), c);
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    linformer_call c;
    kit_flash f;
    linformer_begin(&c, instance, call);
    const int32_t failed = KIT(make_slots)(&c, &f);
    return failed ? failed : KIT(flash_run)(&f);
}

/* ---- backward ---- */

#include <heed/kit/flash/backward.h>

#ifdef KIT_FIRST
enum { LINFORMER_POSITIONS = 64 }; /* of a task */
typedef struct linformer_backward {
    linformer_call c;
    const heed_grad_call *g;
    heed_tensor out, lse, d_made[2]; /* of the slots' attention, made again; of slots */
    const heed_tensor *d[2], *d_table[2];
} linformer_backward;

static uint64_t linformer_place(linformer_backward *w, const linformer *self,
                                const heed_grad_call *g)
{
    const heed_call *call = g->call;
    const heed_tensor *const *d = g->gradient;
    const int64_t *axis = call->axis, B = HEED_AXIS(axis, 'B'), T = HEED_AXIS(axis, 'T'),
                  H = HEED_AXIS(axis, 'H'), E = HEED_AXIS(axis, 'E'), G = HEED_AXIS(axis, 'G');
    *w = (linformer_backward){.g = g, .d = {d[K], d[V]}, .d_table = {d[TABLE_K], d[TABLE_V]}};
    linformer_begin(&w->c, self, call);
    if (self->table[0] == self->table[1]) w->d_table[1] = d[TABLE_K];
    float *room = call->workspace;
    int64_t at = 0;
    for (int i = 0; i < 2; i++) at += B * G * w->c.J * kit_lanes(w->c.made[i].dim[3]);
    for (int i = 0; i < 2; i++) {
        w->d_made[i] = w->c.made[i], w->d_made[i].data = room ? room + at : NULL;
        at += B * G * w->c.J * kit_lanes(w->c.made[i].dim[3]);
    }
    w->out = (heed_tensor){.size = sizeof w->out,
                           .dtype = HEED_F32,
                           .rank = 4,
                           .data = room ? room + at : NULL,
                           .dim = {B, T, H, E},
                           .stride = {T * H * E, H * E, E, 1}};
    at += kit_lanes(B * T * H * E);
    w->lse = (heed_tensor){.size = sizeof w->lse,
                           .dtype = HEED_F32,
                           .rank = 3,
                           .data = room ? room + at : NULL,
                           .dim = {B, T, H},
                           .stride = {T * H, H, 1}};
    return (uint64_t)(at + kit_lanes(B * T * H)) * sizeof(float);
}

static int32_t measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    const linformer *self = instance;
    const int64_t *axis = g->call->axis, E = HEED_AXIS(axis, 'E'), D = HEED_AXIS(axis, 'D');
    linformer_backward w;
    size->workspace = linformer_place(&w, self, g);
    const kit_flash f = {
        .call = &w.c.inner, .q = g->call->tensor[Q], .k = &w.c.made[0], .v = &w.c.made[1]};
    const uint64_t need[] = {kit_flash_scratch(D, E, self->table[0]->dim[1]), linformer_scratch()};
    size->scratch = kit_flash_back_scratch(f);
    for (int i = 0; i < 2; i++)
        if (size->scratch < need[i]) size->scratch = need[i];
    return HEED_OK;
}
#endif

/* dk[n] = sum over slots of e[j][n] dmade[j], of some positions of a head; dv likewise. */
static void KIT(positions_back)(void *arg, int64_t task, uint32_t lane)
{
    const linformer_backward *w = arg;
    const int64_t S = HEED_AXIS(w->g->call->axis, 'S'), G = w->c.made[0].dim[2],
                  parts = (S + LINFORMER_POSITIONS - 1) / LINFORMER_POSITIONS, b = task / parts / G,
                  g = task / parts % G, keys = linformer_keys(w->c.call, b),
                  from = task % parts * LINFORMER_POSITIONS,
                  end = from + LINFORMER_POSITIONS < S ? from + LINFORMER_POSITIONS : S;
    (void)lane;
    for (int i = 0; i < 2; i++)
        for (int64_t n = from; w->d[i] && n < end; n++)
            for (int64_t d = 0; d < w->d[i]->dim[3]; d += 16) {
                const heed_tensor *table = w->c.self->table[i], *made = &w->d_made[i];
                const int m = w->d[i]->dim[3] - d < 16 ? (int)(w->d[i]->dim[3] - d) : 16;
                vf sum = v_set(0.0f);
                for (int64_t j = 0; n < keys && j < w->c.J; j++) {
                    const int64_t of[3] = {table->dim[0] == 1 ? 0 : g, j, n}, at[4] = {b, j, g, d};
                    float x[16];
                    v_store(x, v_read(kit_at(table, of, 3), table->dtype, 1, 1));
                    sum =
                        v_fma(v_set(x[0]), v_load((const float *)(void *)kit_at(made, at, 4)), sum);
                }
                const int64_t to[4] = {b, n, g, d};
                v_write(kit_at(w->d[i], to, 4), HEED_F32, w->d[i]->stride[3], sum, m);
            }
}

/* de[j][n] += sum over sequences, and heads that share the table, of dmade[j] . k[n]; df likewise. A
 * task is a slot of a table. */
static void KIT(tables_back)(void *arg, int64_t task, uint32_t lane)
{
    const linformer_backward *w = arg;
    const int64_t j = task % w->c.J, head = task / w->c.J, B = w->c.made[0].dim[0],
                  G = w->c.made[0].dim[2];
    (void)lane;
    for (int i = 0; i < 2; i++) {
        const heed_tensor *to = w->d_table[i], *x = w->c.from[i], *made = &w->d_made[i];
        for (int64_t b = 0; to && b < B; b++)
            for (int64_t g = to->dim[0] == 1 ? 0 : head; g < (to->dim[0] == 1 ? G : head + 1); g++)
                for (int64_t n = 0; n < linformer_keys(w->c.call, b); n++) {
                    const int64_t of[3] = {head, j, n}, slot[3] = {b, j, g}, at[3] = {b, n, g};
                    const float *d = (const float *)(void *)kit_at(made, slot, 3);
                    const char *from = kit_at(x, at, 3);
                    vf sum = v_set(0.0f);
                    for (int64_t e = 0; e < x->dim[3]; e += 16)
                        sum = v_fma(v_load(d + e),
                                    v_read(from + e * x->stride[3] * kit_width(x->dtype), x->dtype,
                                           x->stride[3],
                                           x->dim[3] - e < 16 ? (int)(x->dim[3] - e) : 16),
                                    sum);
                    *(float *)(void *)kit_at(to, of, 3) += v_sum(sum);
                }
    }
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const heed_host *host = g->call->host;
    linformer_backward b;
    kit_flash f;
    linformer_place(&b, instance, g);
    const int64_t S = HEED_AXIS(g->call->axis, 'S'),
                  parts = (S + LINFORMER_POSITIONS - 1) / LINFORMER_POSITIONS;
    int32_t failed = KIT(make_slots)(&b.c, &f);
    if (failed) return failed;
    f.out = &b.out, f.lse = &b.lse;
    failed = KIT(flash_run)(&f);
    kit_flash_backward w = {.f = f,
                            .d_out = g->gradient[OUT],
                            .d_q = g->gradient[Q],
                            .d_k = &b.d_made[0],
                            .d_v = &b.d_made[1]};
    memset(b.d_made[0].data, 0,
           (size_t)((char *)b.out.data - (char *)b.d_made[0].data)); /* whole vectors are read */
    if (!failed) failed = KIT(flash_backward_run)(&w);
    if (!failed) failed = host->parallel_for(host, f.B * f.G * parts, KIT(positions_back), &b);
    if (!failed && (b.d_table[0] || b.d_table[1]))
        failed = host->parallel_for(host, b.c.self->table[0]->dim[0] * b.c.J, KIT(tables_back), &b);
    return failed;
}
KIT_BACKWARD(KIT_PORT(Q) | KIT_PORT(K) | KIT_PORT(V) | KIT_PORT(TABLE_K) | KIT_PORT(TABLE_V),
             KIT_PORT(OUT), 0, measure_backward)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
