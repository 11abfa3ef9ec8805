/* SPDX-License-Identifier: MIT
 *
 * attention/flash_linear, what lies where: blocks of a chunk, in a call's workspace or in the pages
 * of a state, the steps of the sums over them, and the runs of chunks that kit/flash takes. A part
 * of flash_linear_kernel.h; nothing here depends on the path.
 *
 * A block is, for H heads of D and E channels and a chunk of c tokens, all float32: the sums before
 * it [H][E / 16][D][16]; then [H][c] rows of keys, of keys for the sums, and of values, these in
 * whole vectors.
 */
enum {
    Q,
    V,
    GATE,
    KEY_LENGTHS,
    Q_GAIN,
    Q_OFFSET,
    K_GAIN,
    K_OFFSET,
    LINEAR_Q_GAIN,
    LINEAR_Q_OFFSET,
    LINEAR_K_GAIN,
    LINEAR_K_OFFSET,
    OUT
};
enum { BASE, WIDTH, CHUNK };
enum {
    FLASH_LINEAR_WEIGHTS = LINEAR_K_OFFSET - Q_GAIN + 1,
    FLASH_LINEAR_TOKENS = 16, /* of a tile of the preparation */
    FLASH_LINEAR_PIECE = 256, /* rows whose values are packed at a time */
    FLASH_LINEAR_PAGE = 96,   /* tokens of a page, at least */
};

typedef struct flash_linear {
    int64_t chunk;
    const float *weight[FLASH_LINEAR_WEIGHTS]; /* [D padded]; NULL: absent */
    _Alignas(64) float room[];
} flash_linear;

typedef struct flash_linear_call {
    const flash_linear *self;
    const heed_call *call;
    const heed_tensor *base, *v, *gate, *out, *key_lengths;
    int64_t B, T, H, D, E, E16, chunk;
    int64_t rows, blocks; /* of a block, and of a sequence, where they lie in the workspace */
    float *q, *q_linear;  /* [B T H D] */
    float *total;         /* of each sequence, where no mask is causal: its sums of all tokens */
    float *block;         /* [B][blocks], where there is no state */
} flash_linear_call;

/* Floats of the sums of a block, and of a block with so many rows; -1 if memory can not hold it. */
static int64_t flash_linear_sum_floats(int64_t H, int64_t D, int64_t E)
{
    return H * D * kit_lanes(E);
}
static int64_t flash_linear_block_floats(int64_t H, int64_t D, int64_t E, int64_t rows)
{
    int64_t sums, row, all;
    if (__builtin_mul_overflow(D, kit_lanes(E), &sums) ||
        __builtin_mul_overflow(rows, 2 * D + kit_lanes(E), &row) ||
        __builtin_add_overflow(sums, row, &all) || __builtin_mul_overflow(all, H, &all) ||
        all > (int64_t)1 << 40)
        return -1;
    return all;
}

/* Chunks of a page: as many as make it long enough for cuts that lead back a little. */
static int64_t flash_linear_page_chunks(int64_t chunk)
{
    return (FLASH_LINEAR_PAGE + chunk - 1) / chunk;
}

static int64_t flash_linear_past(const flash_linear_call *c, int64_t b)
{
    return c->call->state ? c->call->state[b]->length : 0;
}
/* Keys of a sequence, the position of its query 0, and whether later ones are hidden. */
static int64_t flash_linear_keys(const flash_linear_call *c, int64_t b)
{
    return c->key_lengths ? kit_index(c->key_lengths, kit_at(c->key_lengths, &b, 1))
                          : flash_linear_past(c, b) + c->T;
}
static int64_t flash_linear_origin(const flash_linear_call *c, int64_t b)
{
    const heed_mask *m = c->call->mask;
    return c->call->state                        ? flash_linear_past(c, b)
           : m->align == HEED_ALIGN_BOTTOM_RIGHT ? flash_linear_keys(c, b) - c->T
           : m->align == HEED_ALIGN_OFFSET       ? m->offset
                                                 : 0;
}
static int flash_linear_is_causal(const flash_linear_call *c)
{
    return c->call->mask->kinds & HEED_MASK_CAUSAL;
}

/* Sizes, and where things lie in the workspace, which may be NULL; its bytes too, if wanted. */
static int32_t flash_linear_begin(flash_linear_call *c, const flash_linear *self,
                                  const heed_call *call)
{
    const heed_tensor *const *t = call->tensor;
    const int64_t *axis = call->axis;
    *c = (flash_linear_call){.self = self,
                             .call = call,
                             .base = t[Q],
                             .v = t[V],
                             .gate = t[GATE],
                             .out = t[OUT],
                             .key_lengths = t[KEY_LENGTHS],
                             .chunk = self->chunk};
    c->B = HEED_AXIS(axis, 'B'), c->T = HEED_AXIS(axis, 'T'), c->H = HEED_AXIS(axis, 'H');
    c->D = HEED_AXIS(axis, 'D'), c->E = HEED_AXIS(axis, 'E'), c->E16 = kit_lanes(c->E);
    c->rows = call->state ? c->chunk : c->T < c->chunk ? c->T : c->chunk;
    c->blocks = call->state ? 0 : c->T / c->chunk + 1;
    const int64_t queries = kit_lanes(c->B * c->T * c->H * c->D);
    c->q = call->workspace, c->q_linear = c->q, c->total = c->q, c->block = c->q;
    if (c->q) c->q_linear += queries, c->total += 2 * queries, c->block += 2 * queries;
    if (c->q && !flash_linear_is_causal(c))
        c->block += c->B * flash_linear_sum_floats(c->H, c->D, c->E);
    for (int64_t b = 0; c->q && c->key_lengths && b < c->B; b++)
        if (flash_linear_keys(c, b) < 0 || flash_linear_keys(c, b) > c->T)
            return kit_fail(call->sink, HEED_E_ARGUMENT,
                            "key_lengths[%lld] is %lld, but v has %lld keys", (long long)b,
                            (long long)flash_linear_keys(c, b), (long long)c->T);
    return HEED_OK;
}

/* Workspace and scratch of a forward. */
static int32_t flash_linear_measure(const void *instance, const heed_call *call,
                                    heed_call_size *size)
{
    flash_linear_call c;
    const int32_t failed = flash_linear_begin(&c, instance, call);
    const int64_t block = flash_linear_block_floats(c.H, c.D, c.E, c.rows),
                  queries = kit_lanes(c.B * c.T * c.H * c.D);
    uint64_t floats = 2 * (uint64_t)queries;
    if (failed) return failed;
    if (block < 0)
        return kit_fail(call->sink, HEED_E_MEMORY,
                        "the sums of a chunk would have more than 2^40 numbers");
    if (!flash_linear_is_causal(&c))
        floats += (uint64_t)(c.B * flash_linear_sum_floats(c.H, c.D, c.E));
    size->workspace = sizeof(float) * (floats + (uint64_t)(c.B * c.blocks * block));
    size->scratch = kit_flash_scratch(c.D, c.E, c.chunk) +
                    kit_flash_own(c.D, c.E, KIT_FLASH_ROWS * kit_lanes(c.D));
    if (size->scratch < FLASH_LINEAR_PIECE * 32 * sizeof(float))
        size->scratch = FLASH_LINEAR_PIECE * 32 * sizeof(float);
    return HEED_OK;
}

/* ---- a block ---- */

static float *flash_linear_block(const flash_linear_call *c, int64_t b, int64_t g)
{
    const int64_t floats = flash_linear_block_floats(c->H, c->D, c->E, c->rows),
                  m = flash_linear_page_chunks(c->chunk);
    return c->call->state ? (float *)c->call->state[b]->page[g / m] + g % m * floats
                          : c->block + (b * c->blocks + g) * floats;
}
static float *flash_linear_k(const flash_linear_call *c, float *block, int64_t h, int64_t row)
{
    return block + flash_linear_sum_floats(c->H, c->D, c->E) + (h * c->rows + row) * c->D;
}
static float *flash_linear_k_linear(const flash_linear_call *c, float *block, int64_t h,
                                    int64_t row)
{
    return flash_linear_k(c, block, h, row) + c->H * c->rows * c->D;
}
static float *flash_linear_v(const flash_linear_call *c, float *block, int64_t h, int64_t row)
{
    return flash_linear_k(c, block, 0, 0) + 2 * c->H * c->rows * c->D +
           (h * c->rows + row) * c->E16;
}

/* Sums of one head that the queries of a chunk take, and of how many tokens they are. */
static const float *flash_linear_sums(const flash_linear_call *c, int64_t b, int64_t g, int64_t h,
                                      int64_t *m)
{
    const int64_t all = flash_linear_keys(c, b), full = all / c->chunk,
                  before = g < 0      ? 0
                           : g < full ? g
                                      : full;
    const int64_t head = h * c->D * c->E16;
    *m = flash_linear_is_causal(c) ? before * c->chunk : all;
    if (*m == 0) return NULL;
    return flash_linear_is_causal(c)
               ? flash_linear_block(c, b, before) + head
               : c->total + b * flash_linear_sum_floats(c->H, c->D, c->E) + head;
}

/* ---- the steps of the sums: to = from + the first rows of a block ---- */

typedef struct flash_linear_step {
    int64_t g, rows; /* g: the chunk that was added; -1 before the first */
    const float *block, *from;
    float *to;
    int last;
} flash_linear_step;

/* Sums before each chunk, kept in it, if queries look from there or a state wants them; then those
 * of all tokens. */
static int flash_linear_next(const flash_linear_call *c, int64_t b, flash_linear_step *s)
{
    const int64_t past = flash_linear_past(c, b), all = flash_linear_keys(c, b), chunk = c->chunk;
    const int64_t end = flash_linear_origin(c, b) + c->T; /* nobody looks from there on */
    const int causal = flash_linear_is_causal(c);
    float *total = c->total + b * flash_linear_sum_floats(c->H, c->D, c->E);
    if (s->last) return 0;
    /* The chunk before the first open one is added when this one begins, by the call that brings
     * its first token. */
    s->g = s->g < 0 ? (past == 0 ? 0 : (past - 1) / chunk) : s->g + 1;
    s->block = flash_linear_block(c, b, s->g);
    s->rows = chunk;
    s->last = (s->g + 1) * chunk > all || (s->g + 1) * chunk >= end;
    if (causal || c->call->state) {
        s->from = s->g > 0 ? s->block : NULL;
        if (!s->last) s->to = flash_linear_block(c, b, s->g + 1);
        if (!s->last || causal) return !s->last;
    } else {
        s->from = s->g > 0 ? total : NULL;
        s->last = (s->g + 1) * chunk >= all;
    }
    s->to = total;
    if (s->last) s->rows = all - s->g * chunk;
    return s->rows > 0;
}

/* ---- runs of chunks ---- */

/* Queries of one sequence from `first` on, that are in chunk g, or in so many chunks from there on,
 * each in whole. */
typedef struct flash_linear_run {
    const flash_linear_call *c;
    int64_t b, g, first, queries;
    heed_call call; /* for kit/flash, with these */
    heed_mask mask;
    int64_t axis[HEED_AXES];
    heed_tensor q, k, v, out;
} flash_linear_run;

static int64_t flash_linear_query(const flash_linear_run *run, const kit_flash_rows *r, int i)
{
    return run->first + r->batch * run->c->chunk + r->query[i];
}

static heed_tensor flash_linear_view(void *data, uint32_t dtype, const int64_t *dim,
                                     const int64_t *stride)
{
    heed_tensor t = {.size = sizeof t, .dtype = dtype, .rank = 4, .data = data};
    memcpy(t.dim, dim, sizeof *dim * 4), memcpy(t.stride, stride, sizeof *stride * 4);
    return t;
}

/* Moves on to the next one; 0: there is none. */
static int flash_linear_run_next(flash_linear_run *run)
{
    const flash_linear_call *c = run->c;
    const int64_t H = c->H, D = c->D, E = c->E, chunk = c->chunk, *o = c->out->stride;
    run->first += run->queries;
    if (run->first >= c->T) run->first = 0, run->b++;
    if (run->b >= c->B || c->T == 0) return 0;
    const int64_t b = run->b, all = flash_linear_keys(c, b),
                  at = flash_linear_origin(c, b) + run->first;
    const int64_t g = run->g = at >= 0 ? at / chunk : -((chunk - 1 - at) / chunk),
                  offset = at - g * chunk;
    int64_t rows = chunk - offset < c->T - run->first ? chunk - offset : c->T - run->first,
            count = 1;
    int64_t keys = g < 0 || all < g * chunk ? 0 : all - g * chunk < chunk ? all - g * chunk : chunk;
    if (!c->call->state && rows == chunk && keys == chunk)
        while ((g + count + 1) * chunk <= all && run->first + (count + 1) * chunk <= c->T) count++;
    run->queries = count * rows;

    const int64_t block = flash_linear_block_floats(H, D, E, c->rows);
    float *q = c->q + (b * c->T + run->first) * H * D,
          *from = keys ? flash_linear_block(c, b, g) : q;
    run->q = flash_linear_view(q, HEED_F32, (int64_t[]){count, rows, H, D},
                               (int64_t[]){chunk * H * D, H * D, D, 1});
    run->k =
        flash_linear_view(keys ? flash_linear_k(c, from, 0, 0) : q, HEED_F32,
                          (int64_t[]){count, keys, H, D}, (int64_t[]){block, D, c->rows * D, 1});
    run->v = flash_linear_view(keys ? flash_linear_v(c, from, 0, 0) : q, HEED_F32,
                               (int64_t[]){count, keys, H, E},
                               (int64_t[]){block, c->E16, c->rows * c->E16, 1});
    run->out = flash_linear_view(kit_at(c->out, (int64_t[]){b, run->first}, 2), c->out->dtype,
                                 (int64_t[]){count, rows, H, E},
                                 (int64_t[]){chunk * o[1], o[1], o[2], o[3]});
    run->mask = (heed_mask){.size = sizeof run->mask,
                            .kinds = c->call->mask->kinds & HEED_MASK_CAUSAL,
                            .align = HEED_ALIGN_OFFSET,
                            .offset = offset};
    memcpy(run->axis, c->call->axis, sizeof run->axis);
    HEED_AXIS(run->axis, 'B') = count, HEED_AXIS(run->axis, 'T') = rows,
                         HEED_AXIS(run->axis, 'S') = keys;
    HEED_AXIS(run->axis, 'G') = H;
    run->call = *c->call;
    run->call.axis = run->axis, run->call.mask = &run->mask, run->call.state = NULL;
    return 1;
}
