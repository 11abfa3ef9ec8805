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

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const linformer *self = instance;
    linformer_call c;
    linformer_begin(&c, self, call);
    const int64_t B = c.made[0].dim[0], S = HEED_AXIS(call->axis, 'S'),
                  tiles = c.tiles[0] + c.tiles[1];
    const double D = (double)c.made[0].dim[3];
    for (int64_t b = 0; b < B; b++)
        if (linformer_keys(call, b) < 0 || linformer_keys(call, b) > S)
            return kit_fail(call->sink, HEED_E_ARGUMENT,
                            "key_lengths[%lld] is %lld, but k has %lld keys", (long long)b,
                            (long long)linformer_keys(call, b), (long long)S);
    kit_flash f = {.call = &c.inner,
                   .q = call->tensor[Q],
                   .k = &c.made[0],
                   .v = &c.made[1],
                   .out = call->tensor[OUT],
                   .scale = self->scale != 0.0f ? self->scale : (float)(1 / sqrt(D > 0 ? D : 1))};
    int32_t failed = kit_flash_setup(&f);
    if (!failed) failed = call->host->parallel_for(call->host, B * f.G * tiles, KIT(project), &c);
    return failed ? failed : KIT(flash_run)(&f);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
