/* SPDX-License-Identifier: MIT
 *
 * heed/kit/linear/tile.h: the products of a chunk in registers. A part of kit/linear/linear.h.
 *
 * Everything is sums of a broadcast number times a line of numbers, and each sum is one chain of
 * fma from its first link to its last. A tile of rows x registers is held while the links pass by:
 * so many rows are a lane's worth of work that the loads of lines and numbers keep up with the
 * multiply-adds. Which rows lie in one tile changes no bit.
 *
 *     scores    P[i][j] = k_i . k_j or q_i . k_j           rows i, lanes j, links d
 *     write     u_i = b_i (v_i - read by k_i)     rows i, lanes e, links d of S, then the u_j above
 *     read      o_i = read by q_i                          the same
 *     update    S[d] = e^G S[d] + sum_j k_j[d] u_j         rows d, lanes e, links j
 */
#ifndef KIT_HAS_LINEAR_TILE
#define KIT_HAS_LINEAR_TILE
#include <heed/kit/linear/type.h>

/* Tiles (rows, registers). Strips are so many registers wide, or half of it where 16 lanes are
 * left. */
#undef LINEAR_SHAPES
#undef LINEAR_WIDE
#if defined KIT_AVX512
#define LINEAR_SHAPES(S) S(8, 2) S(4, 2) S(2, 2) S(1, 2) S(8, 1) S(4, 1) S(2, 1) S(1, 1)
#define LINEAR_WIDE(rows) 2
#elif defined KIT_AVX2
#define LINEAR_SHAPES(S) S(6, 2) S(4, 2) S(2, 4) S(1, 4) S(2, 2) S(1, 2)
#define LINEAR_WIDE(rows) ((rows) > 2 ? 2 : 4)
#elif defined KIT_NEON
#define LINEAR_SHAPES(S) S(6, 1) S(4, 1) S(2, 2) S(1, 2) S(2, 1) S(1, 1)
#define LINEAR_WIDE(rows) ((rows) > 2 ? 1 : 2)
#else
#define LINEAR_SHAPES(S) S(1, 1)
#define LINEAR_WIDE(rows) 1
#endif

#undef LINEAR_TALL
#define LINEAR_TALL (VR_LANES == 8 ? 6 : 8) /* about */

#ifndef HEED_KIT_LINEAR_TILE_ONCE
#define HEED_KIT_LINEAR_TILE_ONCE
/* A tensor that a chunk reads or writes. */
typedef struct kit_linear_stream {
    const heed_tensor *t; /* NULL: it does not */
    int queries;          /* rows of each head of queries, else of the head of keys */
    int values;           /* the channels of values that a tile has, else all */
    int write;
} kit_linear_stream;
enum { KIT_LINEAR_STREAMS = 8, KIT_LINEAR_PIECE = 128 };

/* What the next chunk reads and writes, asked for line by line between the tiles of this one: rows
 * of a head lie far apart, and no machine guesses where the next one is. */
typedef struct kit_linear_ahead {
    const struct kit_linear *l;
    int64_t b, g, e, columns;
    int64_t token, query; /* of row 0 */
    kit_linear_stream stream[KIT_LINEAR_STREAMS];
    const float *s; /* and at last so many pieces of KIT_LINEAR_PIECE floats from here on */
    int64_t pieces;
    int next, head;       /* the next stream, and head of queries */
    int at_once;          /* rows */
    int write;
    int64_t rows, step, bytes; /* of this one, behind `row` */
    const char *row;
} kit_linear_ahead;

/* What a row of a panel of channels reads: S, if there is a past, and the values that rows above it
 * wrote. */
typedef struct kit_linear_reading {
    const float *x;      /* row i at x + i * pitch: its key or query */
    int64_t pitch, F;
    const float *s;      /* [F][line]; NULL: there is no past */
    const float *growth; /* factor of what S gives, for each row; NULL: 1 */
    const float *p;      /* [32][32]: weight of row j for row i; NULL: there are no rows */
    float *u;            /* [32][line]; written by `write`, which finds the values there */
    int64_t line, columns;
    int64_t from;        /* rows before it are forgotten */
    int64_t row, end;    /* of the rows that read */
    int before;          /* not the own row */
    const float *factor; /* of the outputs, or the strengths of the values; NULL: 1 */
    const float *first;  /* ... and another before it; NULL: 1 */
    kit_linear_ahead *ahead;
    float *to;           /* outputs: row i at to + (i - row) * to_pitch */
    int64_t to_pitch;
} kit_linear_reading;
#endif

/* ---- what comes next ---- */

/* The first row of the next stream; 0: there is none. */
KIT_KERNEL int KIT(linear_next_stream)(kit_linear_ahead *a)
{
    while (a->next < KIT_LINEAR_STREAMS && !a->stream[a->next].t) a->next++;
    if (a->next == KIT_LINEAR_STREAMS) {
        a->rows = a->pieces, a->pieces = 0, a->row = (const char *)a->s, a->write = 0;
        a->step = a->bytes = KIT_LINEAR_PIECE * (int64_t)sizeof(float);
        return a->rows > 0;
    }
    const kit_linear_stream *s = &a->stream[a->next];
    const heed_tensor *t = s->t;
    const int64_t heads = s->queries ? a->l->heads : 1, head = a->g * heads + a->head,
                  token = s->queries ? a->query : a->token, e = s->values ? a->e : 0,
                  left = t->dim[3] - e, n = s->values && a->columns < left ? a->columns : left;
    if (++a->head == heads) a->head = 0, a->next++;
    a->rows = t->dim[1] - token < KIT_LINEAR_CHUNK ? t->dim[1] - token : KIT_LINEAR_CHUNK;
    if (token < 0 || t->stride[3] != 1) a->rows = 0;
    a->step = t->stride[1] * kit_width(t->dtype), a->bytes = n * kit_width(t->dtype);
    a->write = s->write;
    a->row = (const char *)t->data + a->b * t->stride[0] * kit_width(t->dtype) + token * a->step +
             (head * t->stride[2] + e) * kit_width(t->dtype);
    return 1;
}

/* Called before each tile: some rows more. */
KIT_KERNEL void KIT(linear_look_ahead)(kit_linear_ahead *a)
{
    for (int i = 0; i < a->at_once; i++, a->rows--, a->row += a->step) {
        while (a->rows <= 0)
            if (!KIT(linear_next_stream)(a)) return;
        if (a->write)
            for (int64_t n = 0; n < a->bytes; n += 64) __builtin_prefetch(a->row + n, 1, 2);
        else
            for (int64_t n = 0; n < a->bytes; n += 64) __builtin_prefetch(a->row + n, 0, 2);
    }
}

/* ---- tiles ---- */

/* a[r][w] goes on with x(r, i) * y(i, w), i in [0, n): x(r, i) is x[r * down + i * across], y a
 * line of registers. */
KIT_INLINE void KIT(linear_links)(const int rows, const int wide, vr *a, const float *x,
                                  int64_t down, int64_t across, const float *y, int64_t line,
                                  int64_t n)
{
    const float *from[8];
    KIT_UNROLL for (int r = 0; r < rows; r++) from[r] = x + r * down;
    for (int64_t i = 0, at = 0; i < n; i++, at += across, y += line) {
        vr b[4];
        KIT_UNROLL for (int w = 0; w < wide; w++)
        {
            if (rows == 1)
                __builtin_prefetch(y + 48 * line + w * VR_LANES, 0,
                                   2); /* a token alone waits for S */
            b[w] = vr_load(y + w * VR_LANES);
            if (rows > 1) b[w] = vr_pin(b[w]); /* or the compiler loads it again for each row */
        }
        KIT_UNROLL for (int r = 0; r < rows; r++)
        {
            const vr s = vr_set(from[r][at]);
            KIT_UNROLL for (int w = 0; w < wide; w++) a[r * wide + w] =
                vr_fma(s, b[w], a[r * wide + w]);
        }
    }
}

/* p[rows][32], lanes [lane, ...), of the keys in kt [F][32]. */
KIT_INLINE void KIT(linear_scores)(const int rows, const int wide, const float *x, int64_t pitch,
                                   int64_t F, const float *kt, float *p)
{
    vr a[16];
    KIT_UNROLL for (int i = 0; i < rows * wide; i++) a[i] = vr_set(0.0f);
    KIT(linear_links)(rows, wide, a, x, pitch, 1, kt, KIT_LINEAR_CHUNK, F);
    KIT_UNROLL for (int r = 0; r < rows; r++)
        KIT_UNROLL for (int w = 0; w < wide; w++)
            vr_store(p + r * KIT_LINEAR_CHUNK + w * VR_LANES, a[r * wide + w]);
}

/* What rows [row, row + rows) read of channels [e, ...), up to row `row`: the rows of the tile
 * itself come after. */
KIT_INLINE void KIT(linear_past)(const int rows, const int wide, vr *a, const kit_linear_reading *c,
                                 int64_t row, int64_t e)
{
    KIT_UNROLL for (int i = 0; i < rows * wide; i++) a[i] = vr_set(0.0f);
    if (c->s)
        KIT(linear_links)
        (rows, wide, a, c->x + row * c->pitch, c->pitch, 1, c->s + e, c->line, c->F);
    if (c->s && c->growth)
        KIT_UNROLL for (int r = 0; r < rows; r++)
            KIT_UNROLL for (int w = 0; w < wide; w++)
                a[r * wide + w] = vr_mul(a[r * wide + w], vr_set(c->growth[row + r]));
    if (c->p)
        KIT(linear_links)
        (rows, wide, a, c->p + row * KIT_LINEAR_CHUNK + c->from, KIT_LINEAR_CHUNK, 1,
         c->u + c->from * c->line + e, c->line, row - c->from);
}

/* Forward substitution: each row's value is final before the rows below it take it up. */
KIT_INLINE void KIT(linear_write)(const int rows, const int wide, const kit_linear_reading *c,
                                  int64_t row, int64_t e)
{
    vr a[16];
    KIT(linear_past)(rows, wide, a, c, row, e);
    KIT_UNROLL for (int j = 0; j < rows; j++)
        KIT_UNROLL for (int w = 0; w < wide; w++) {
            float *at = c->u + (row + j) * c->line + e + w * VR_LANES;
            vr u = vr_sub(vr_load(at), a[j * wide + w]);
            if (c->factor) u = vr_mul(vr_set(c->factor[row + j]), u);
            vr_store(at, u);
            KIT_UNROLL for (int i = j + 1; i < rows; i++)
                a[i * wide + w] = vr_fma(vr_set(c->p[(row + i) * KIT_LINEAR_CHUNK + row + j]), u,
                                         a[i * wide + w]);
        }
}

KIT_INLINE void KIT(linear_read)(const int rows, const int wide, const kit_linear_reading *c,
                                 int64_t row, int64_t e)
{
    vr a[16];
    KIT(linear_past)(rows, wide, a, c, row, e);
    if (c->p) KIT_UNROLL for (int j = 0; j < rows; j++) {
        const float *p = c->p + row * KIT_LINEAR_CHUNK + row + j;
        KIT_UNROLL for (int w = 0; w < wide; w++) {
            const vr u = vr_load(c->u + (row + j) * c->line + e + w * VR_LANES);
            if (!c->before)
                a[j * wide + w] = vr_fma(vr_set(p[j * KIT_LINEAR_CHUNK]), u, a[j * wide + w]);
            KIT_UNROLL for (int i = j + 1; i < rows; i++)
                a[i * wide + w] = vr_fma(vr_set(p[i * KIT_LINEAR_CHUNK]), u, a[i * wide + w]);
        }
    }
    KIT_UNROLL for (int r = 0; r < rows; r++)
        KIT_UNROLL for (int w = 0; w < wide; w++) {
            vr y = a[r * wide + w];
            if (c->first) y = vr_mul(y, vr_set(c->first[row + r]));
            if (c->factor) y = vr_mul(y, vr_set(c->factor[row + r]));
            vr_store(c->to + (row + r - c->row) * c->to_pitch + e + w * VR_LANES, y);
        }
}

/* to[d] = growth * s[d] + sum over rows j of k_j[d] u_j; s NULL: 0. `to` may be s. */
KIT_INLINE void KIT(linear_update)(const int rows, const int wide, const float *k, int64_t down,
                                   int64_t across, const float *u, int64_t line, int64_t n,
                                   const float *s, float growth, float *to)
{
    vr a[16];
    KIT_UNROLL for (int r = 0; r < rows; r++)
        KIT_UNROLL for (int w = 0; w < wide; w++)
            a[r * wide + w] =
                s ? vr_mul(vr_load(s + r * line + w * VR_LANES), vr_set(growth)) : vr_set(0.0f);
    KIT(linear_links)(rows, wide, a, k, down, across, u, line, n);
    KIT_UNROLL for (int r = 0; r < rows; r++)
        KIT_UNROLL for (int w = 0; w < wide; w++)
            vr_store(to + r * line + w * VR_LANES, a[r * wide + w]);
}

/* ---- any number of rows and lanes, by tiles ---- */

/* The tallest tile, and the widest strip of it. */
KIT_INLINE int KIT(linear_tall)(int64_t rows)
{
#define LINEAR_TRY(R, W) if (rows >= R) return R;
    LINEAR_SHAPES(LINEAR_TRY)
#undef LINEAR_TRY
    return 0;
}
KIT_INLINE int KIT(linear_wide)(int rows, int64_t lanes)
{
    const int wide = LINEAR_WIDE(rows);
    (void)rows;
    return lanes < wide * VR_LANES ? wide / 2 : wide;
}

/* CALL(rows, wide) with numbers that the compiler knows. */
#define LINEAR_SWITCH(rows, wide, CALL)                                                            \
    switch ((rows)*16 + (wide)) {                                                                  \
        LINEAR_SHAPES(CALL)                                                                        \
    }

/* Lanes of keys that lie behind the last row of a tile are left out, 16 at a time. */
KIT_KERNEL void KIT(linear_all_scores)(const float *x, int64_t pitch, int64_t F, const float *kt,
                                       float *p, int64_t row, int64_t end, kit_linear_ahead *ahead)
{
#define LINEAR_CASE(R, W)                                                                          \
    case R * 16 + W:                                                                               \
        KIT(linear_scores)                                                                         \
        (R, W, x + row * pitch, pitch, F, kt + lane, p + row * KIT_LINEAR_CHUNK + lane);           \
        break;
    for (int tall; row < end; row += tall) {
        tall = KIT(linear_tall)(end - row);
        const int64_t lanes = row + tall > 16 ? 32 : 16;
        for (int64_t lane = 0, wide; lane < lanes; lane += wide * VR_LANES) {
            wide = KIT(linear_wide)(tall, lanes - lane);
            KIT(linear_look_ahead)(ahead);
            LINEAR_SWITCH(tall, wide, LINEAR_CASE)
        }
    }
#undef LINEAR_CASE
}

KIT_KERNEL void KIT(linear_all_writes)(const kit_linear_reading *c)
{
#define LINEAR_CASE(R, W) case R * 16 + W: KIT(linear_write)(R, W, c, row, e); break;
    for (int64_t row = c->row, tall; row < c->end; row += tall) {
        tall = KIT(linear_tall)(c->end - row);
        for (int64_t e = 0, wide; e < c->columns; e += wide * VR_LANES) {
            wide = KIT(linear_wide)((int)tall, c->columns - e);
            KIT(linear_look_ahead)(c->ahead);
            LINEAR_SWITCH(tall, wide, LINEAR_CASE)
        }
    }
#undef LINEAR_CASE
}

KIT_KERNEL void KIT(linear_all_reads)(const kit_linear_reading *c)
{
#define LINEAR_CASE(R, W) case R * 16 + W: KIT(linear_read)(R, W, c, row, e); break;
    for (int64_t row = c->row, tall; row < c->end; row += tall) {
        tall = KIT(linear_tall)(c->end - row);
        for (int64_t e = 0, wide; e < c->columns; e += wide * VR_LANES) {
            wide = KIT(linear_wide)((int)tall, c->columns - e);
            KIT(linear_look_ahead)(c->ahead);
            LINEAR_SWITCH(tall, wide, LINEAR_CASE)
        }
    }
#undef LINEAR_CASE
}

KIT_KERNEL void KIT(linear_all_updates)(const float *k, int64_t down, int64_t across, int64_t F,
                                        const float *u, int64_t line, int64_t n, const float *s,
                                        float growth, float *to, kit_linear_ahead *ahead)
{
#define LINEAR_CASE(R, W)                                                                          \
    case R * 16 + W:                                                                               \
        KIT(linear_update)                                                                         \
        (R, W, k + d * down, down, across, u + e, line, n, s ? s + d * line + e : NULL, growth,    \
         to + d * line + e);                                                                       \
        break;
    for (int64_t d = 0, tall; d < F; d += tall) {
        tall = KIT(linear_tall)(F - d);
        for (int64_t e = 0, wide; e < line; e += wide * VR_LANES) {
            wide = KIT(linear_wide)((int)tall, line - e);
            KIT(linear_look_ahead)(ahead);
            LINEAR_SWITCH(tall, wide, LINEAR_CASE)
        }
    }
#undef LINEAR_CASE
}

#endif
