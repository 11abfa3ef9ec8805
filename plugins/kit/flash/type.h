/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/type.h: the constants and types of kit/flash/flash.h: a call, the rows that go
 * through it together, and the sizes of their memory. A variant includes it first where its hooks
 * need them. Nothing here depends on the path.
 */
#ifndef HEED_KIT_FLASH_TYPE_H
#define HEED_KIT_FLASH_TYPE_H
#include <heed/kit.h>
#include <heed/abi/grad.h>
#include <heed/abi/kv.h>

#define KIT_FLASH_ROWS 48  /* of a tile */
#define KIT_FLASH_KEYS                                                                             \
    96 /* of a block, and tokens of a page of the cache: weights and values share the first cache  \
        */
#define KIT_FLASH_SPAN (16 * KIT_FLASH_KEYS) /* keys that are summed in one chain (flash/spans.h) */
#define KIT_FLASH_TILES                                                                            \
    16 /* of a task, at most: keys and values that have to be packed are packed once for them */
#define KIT_FLASH_CELL 16  /* rows and keys of a cell */
#define KIT_FLASH_GROUPS (KIT_FLASH_ROWS / KIT_FLASH_CELL)
#define KIT_FLASH_CELLS (KIT_FLASH_KEYS / KIT_FLASH_CELL)
#define KIT_LOG2E 1.44269504088896341
#define KIT_LN2 0.693147180559945309

/* The keys and queries of one pass, where that is not all of them: keys in runs of `run`, `step`
 * from one run's first to the next's, and every `every`-th query from `query` on. step 0: all. A
 * row's live ranges count picked keys then; positions and queries are what they are. */
typedef struct kit_flash_pick { int64_t first, run, step, query, every; } kit_flash_pick;

/* How many picked keys lie before a position, and where key n lies. */
KIT_INLINE int64_t kit_flash_picked_before(const kit_flash_pick *p, int64_t position)
{
    const int64_t from = position - p->first;
    if (p->step == 0) return position;
    return from <= 0
               ? 0
               : from / p->step * p->run + (from % p->step < p->run ? from % p->step : p->run);
}
KIT_INLINE int64_t kit_flash_picked_position(const kit_flash_pick *p, int64_t n)
{
    return p->step == 0  ? n
           : p->run == 1 ? p->first + n * p->step
                         : p->first + n / p->run * p->step + n % p->run;
}

/* How the cache has keys, or values: by a codec, or, kv NULL, as float32. */
typedef struct kit_flash_codec {
    const heed_kv *kv;
    const void *instance;
} kit_flash_codec;

/* One call, set up by kit_flash_setup; read-only while tiles run. */
typedef struct kit_flash {
    const heed_call *call;

    /* The tensors. k NULL: scores are filled, and q may be NULL too. */
    const heed_tensor *q, *k, *v, *out, *lse;
    const heed_tensor *key_lengths;                 /* [B] */
    const heed_tensor *documents, *query_documents; /* [B, S], [B, T] */
    const heed_tensor *key_blocks;                  /* [B, I, Y], the lists of HEED_MASK_BLOCKS */
    const heed_tensor *bias;                        /* [B, H, T, S], added to the scores */
    const heed_tensor *sink_logits;                 /* [H], each a key without a value */

    /* A score op that changes scores; one that writes them, where k is NULL; or NULL. */
    const heed_score *score, *fill;
    const void *score_instance, *fill_instance;
    const heed_score_grad *score_grad; /* what the first of them wants for its weights, or NULL */
    const void *variant; /* what the variant keeps, for hooks */

    /* `out` and `lse` over other keys, from which rows go on; or NULL. */
    const heed_tensor *before, *before_lse;
    kit_flash_pick pick;
    float scale;   /* of q k, without log2 e */
    float softcap; /* 0 = none */

    /* Whether a row of q or k belongs to a position, whatever the sequence: q and k are weights
     * [1, positions, H, D] then, and no state remembers such keys. */
    int q_by_position, k_by_position;
    kit_flash_codec k_codec, v_codec;
    int rows_in_pages; /* the cache has keys as rows, for who picks some of them */
    int per_head; /* each head is a group of its own, though some share values */

    int64_t B, T, S, H, G, D, E;
    int64_t group; /* H / G: heads of queries that share keys and values; row n is that of query
                    * n / group and head n % group */
    int64_t share; /* groups that share a head of values: 1, unless per_head */
    int64_t rows;  /* of a group of heads: T group, or fewer if queries are picked */

    /* Tiles of a group of heads, the last one perhaps not full; rows behind them, for flash_few;
     * tasks, the few rows among them; tiles of a task. */
    int64_t tiles, few, tasks, per_task;
    uint64_t key_bytes, value_bytes; /* of a block of the cache */
    int64_t own; /* floats of each tile that are the variant's */
    int bf16;    /* tiles go to flash/bf16.h, in a kernel that has it */
    int begins;  /* FLASH_BEGIN writes to the outputs, and what it writes is a part of them */
    int64_t earlier, later; /* queries of the text that are elsewhere (flash/partial.h) */

    /* Where few rows see many keys: the spans that are tasks of their own, and a result for each of
     * them, in the workspace. 0, NULL: a task goes through all its keys. */
    int64_t spans;
    struct kit_flash_partial *partial;
    struct kit_flash_set
        *set; /* of sequences that share pages (flash/shared.h); there are `sets` */
    int64_t sets;

    /* Of each sequence from batch0 on: whether its documents come in rising order. */
    const uint8_t *sorted;
    int64_t batch0;
} kit_flash;

/* Live keys of one row: [first, last), and before them the sinks, [sink_first, sink_last); either
 * may be empty. */
typedef struct kit_flash_live { int64_t first, last, sink_first, sink_last; } kit_flash_live;

/* What a call costs, as it adds up over its passes. */
typedef struct kit_flash_tally {
    double pairs; /* of a row and a key that it sees */
    double cells; /* pairs of the cells that are computed */
    double keys;  /* that some row sees */
    double most;  /* keys that one row sees */
} kit_flash_tally;

/* The cells of this block for one group of 16 rows, as keys counted from its start, in multiples of
 * 16: some row sees a key of [begin, end), and all rows see all of [unmasked, masked_from). */
typedef struct kit_flash_cells {
    int begin, end, unmasked, masked_from;
} kit_flash_cells;

/* What to prefetch: a line of 64 bytes at `at`, and `pitch` bytes from key to key. Pitch 0: nothing
 * is. (Two words, which a call has in registers.) */
typedef struct kit_flash_prefetch { const char *at; int64_t pitch; } kit_flash_prefetch;
#define kit_flash_no_prefetch ((kit_flash_prefetch){NULL, 0})

/* The K or V of a whole block: `lines` lines of each key. */
typedef struct kit_flash_prefetch_block {
    kit_flash_prefetch first;
    int64_t lines;
} kit_flash_prefetch_block;

/* From a key and a line on; nothing if there is no such line, or somebody else asks for it. */
KIT_INLINE kit_flash_prefetch kit_flash_prefetch_from(const kit_flash_prefetch_block *next,
                                                      int64_t key, int64_t line, int otherwise)
{
    if (otherwise || line >= next->lines) return kit_flash_no_prefetch;
    return (kit_flash_prefetch){next->first.at + key * next->first.pitch + line * 64,
                                next->first.pitch};
}

/* Scores that a tile has for the first keys of the next block, which begins at `start`
 * (flash/relative.h). */
typedef struct kit_flash_carried {
    float S[KIT_FLASH_ROWS * KIT_FLASH_ROWS];
    int64_t start;
} kit_flash_carried;

typedef struct kit_flash_set kit_flash_set;

/* What rows have of some spans of keys (flash/spans.h). */
typedef struct kit_flash_partial {
    float max[KIT_FLASH_ROWS], sum[KIT_FLASH_ROWS];
    float has[KIT_FLASH_ROWS]; /* 1: the row sees some of these keys; 0: it has nothing of them */
    float *O;
    int64_t span; /* one of them */
} __attribute__((aligned(64))) kit_flash_partial;

/* A tile: rows that go through the registers together. Arrays are padded with copies of the last
 * row, whose results are dropped. */
typedef struct kit_flash_rows {
    /* Over the blocks of this span so far, the maximum in log2 units; of this block; and what the
     * sums so far are worth under the new maximum. */
    float max[KIT_FLASH_ROWS], sum[KIT_FLASH_ROWS], has[KIT_FLASH_ROWS];
    float block_max[KIT_FLASH_ROWS], block_sum[KIT_FLASH_ROWS], alpha[KIT_FLASH_ROWS];

    /* 0; or 32, which makes the row's weights 2^-32 of what they were (flash/task.h). */
    float lift[KIT_FLASH_ROWS];

    /* `live`, counted from the start of a block of which it is a part. */
    float low[KIT_FLASH_ROWS], high[KIT_FLASH_ROWS];
    float sink_low[KIT_FLASH_ROWS], sink_high[KIT_FLASH_ROWS];

    /* What each row sees, what some row and what all rows of a group see, and that as cells. */
    kit_flash_live live[KIT_FLASH_ROWS];
    kit_flash_live any[KIT_FLASH_GROUPS], all[KIT_FLASH_GROUPS];
    kit_flash_cells cells[KIT_FLASH_GROUPS];

    /* Where keys come in listed blocks (flash/lists.h): the call, and each row's list, -1 for none. */
    const kit_flash *lists;
    int64_t list[KIT_FLASH_ROWS];

    int64_t query[KIT_FLASH_ROWS], position[KIT_FLASH_ROWS];
    int32_t head[KIT_FLASH_ROWS];

    float *Q, *O;    /* Q [D][48], scaled; O [E][48], or [row][E padded] if few */
    float *given;    /* Q before a codec rotated it; Q itself if none does */
    float *own;      /* f->own floats, for hooks */
    float *spare;    /* room for the scores of a block, for hooks; one for the whole task */
    uint32_t *pairs; /* Q for flash/bf16.h */
    kit_flash_carried *carried; /* of variants with FLASH_RELATIVE */
    kit_flash_partial *stack;   /* of spans that wait to be merged */
    int64_t row0, batch, span;  /* span -1: no key yet */
    int rows, groups, few, depth;
} __attribute__((aligned(64))) kit_flash_rows;

static const float kit_flash_ones[KIT_FLASH_ROWS] __attribute__((unused)) = {
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

/* A vector for each distance from a query back to a key (flash/relative.h): entry e is of distance
 * first + e, and its channel d is columns[d * apart + e]. */
typedef struct kit_flash_table {
    int64_t first, entries, width;
    int64_t apart,
        head; /* floats from channel to channel, and from head to head: 0 if one serves all */
    float *columns;
    const float *rows;   /* [entries][width padded], for values */
} kit_flash_table;

/* Weights < 0 stand for masked keys, which a sum skips: there are none, or those of b (a lane's),
 * or those of a. */
enum { FLASH_ALL, FLASH_UNLESS_B, FLASH_UNLESS_A };

/* Floats between packed rows of this width: an odd number of lines, so rows never meet in a few
 * sets of a cache. */
KIT_INLINE int64_t kit_flash_pitch(int64_t width) { return 16 * (kit_lanes(width) / 16 | 1); }

/* Tiles of a task at most, so that their Q and O, 768 KiB, stay in a second cache of 1 MiB: keys
 * and values come from further away once for all of them. */
KIT_INLINE int64_t kit_flash_most(int64_t D, int64_t E)
{
    const int64_t most = KIT_FLASH_TILES * 256 / (D + E + 1);
    return most < 2 ? 2 : most < KIT_FLASH_TILES ? most : KIT_FLASH_TILES;
}

/* Pairs of bfloat16 in the K and V of a block, and in a tile's Q. */
KIT_INLINE int64_t kit_flash_block_pairs(int64_t D, int64_t E)
{
    return KIT_FLASH_KEYS / 2 * (kit_lanes(D) + kit_lanes(E));
}
KIT_INLINE int64_t kit_flash_query_pairs(int64_t D) { return KIT_FLASH_ROWS / 2 * kit_lanes(D); }

/* How many spans so many keys have, and how many of them wait at most while a row goes through
 * all. */
KIT_INLINE int64_t kit_flash_spans(int64_t keys)
{
    return (keys + KIT_FLASH_SPAN - 1) / KIT_FLASH_SPAN;
}
KIT_INLINE int64_t kit_flash_waiting(int64_t keys)
{
    int64_t n = 0;
    while ((int64_t)1 << n < kit_flash_spans(keys)) n++;
    return n;
}

/* Bytes of results, and of their outputs behind them. */
KIT_INLINE uint64_t kit_flash_partials(int64_t E, int64_t n)
{
    return (uint64_t)n *
           (sizeof(kit_flash_partial) + sizeof(float) * (uint64_t)(KIT_FLASH_ROWS * kit_lanes(E)));
}

/* The most keys that a sequence of the call has. */
KIT_INLINE int64_t kit_flash_most_keys(const heed_call *call)
{
    const int64_t S =
        HEED_AXIS(call->axis, 'S') < 0 ? HEED_AXIS(call->axis, 'T') : HEED_AXIS(call->axis, 'S');
    int64_t past = 0;
    for (int64_t b = 0; call->state && b < HEED_AXIS(call->axis, 'B'); b++)
        if (call->state[b]->length > past) past = call->state[b]->length;
    return past + S;
}

/* A lane's scratch: a block of weights, one of K and V packed, the rows of a task, a spare block of
 * scores, Q and O of the task; K, V and Q in pairs; and the results of spans that wait, and one
 * more. All of a task's memory is here and not on the stack, whose size nobody knows. */
KIT_INLINE uint64_t kit_flash_scratch(int64_t D, int64_t E, int64_t keys)
{
    return sizeof(float) *
               (uint64_t)(2 * KIT_FLASH_ROWS * KIT_FLASH_KEYS +
                          KIT_FLASH_KEYS * (kit_flash_pitch(D) + kit_flash_pitch(E)) +
                          kit_flash_most(D, E) * KIT_FLASH_ROWS * (kit_lanes(D) + kit_lanes(E)) +
                          kit_flash_block_pairs(D, E) +
                          kit_flash_most(D, E) * kit_flash_query_pairs(D)) +
           sizeof(kit_flash_rows) * (uint64_t)kit_flash_most(D, E) +
           kit_flash_partials(E, kit_flash_most(D, E) * kit_flash_waiting(keys) + 1);
}

/* What the variant's own floats of each tile add to it. */
KIT_INLINE uint64_t kit_flash_own(int64_t D, int64_t E, int64_t own)
{
    return sizeof(float) * (uint64_t)(kit_flash_most(D, E) * kit_lanes(own));
}
/* A key counted from the start of a block, within it. */
KIT_INLINE float kit_flash_clamp_key(int64_t x)
{
    return (float)(x < 0 ? 0 : x > KIT_FLASH_KEYS ? KIT_FLASH_KEYS : x);
}

/* A call's workspace. */
KIT_INLINE uint64_t kit_flash_workspace(const heed_tensor *documents, int64_t B)
{
    return documents ? (uint64_t)B : 0;
}

/* Bytes of a block of the cache: what a page has of one head's keys, by channels, or values. 0: it
 * can not have any. */
KIT_INLINE uint64_t kit_flash_block_bytes(const kit_flash_codec *codec, int64_t width,
                                          uint32_t by_channels)
{
    if (width < 0 || width > (int64_t)1 << 40) return 0;
    return codec->kv && width > 0
               ? kit_line(codec->kv->bytes(codec->instance, KIT_FLASH_KEYS, width, by_channels))
               : sizeof(float) * (uint64_t)(KIT_FLASH_KEYS * width);
}

/* Whether the codec of the keys that are remembered has queries rotated (heed_kv.rotate). */
KIT_INLINE int kit_flash_rotates(const kit_flash_codec *codec)
{
    return codec->kv && HEED_HAS(codec->kv, rotate) && codec->kv->rotate;
}

/* A page of the cache: the blocks of keys of all heads, then those of values. In float32 these are K
 * [G][D][96], which is the order in which flash/few.h reads it, or [G][96][D] where keys are picked;
 * and V [G][96][E]. 0 if a size is not known, or none that memory can hold. */
KIT_INLINE uint64_t kit_flash_page_of(int64_t G, uint64_t keys, uint64_t values)
{
    uint64_t bytes;
    return G < 0 || __builtin_mul_overflow(keys + values, (uint64_t)G, &bytes) ? 0 : bytes;
}
KIT_INLINE uint64_t kit_flash_page(int64_t G, int64_t D, int64_t E)
{
    const kit_flash_codec none = {NULL, NULL};
    if (D < 0 || E < 0) return 0;
    return kit_flash_page_of(G, kit_flash_block_bytes(&none, D, 1),
                             kit_flash_block_bytes(&none, E, 0));
}

/* Where a page has a head's keys and values. */
KIT_INLINE void *kit_flash_block_at(void *page, uint64_t keys, uint64_t values, int64_t G,
                                    int64_t head, int of_values)
{
    return (char *)page +
           (of_values ? (uint64_t)G * keys + (uint64_t)head * values : (uint64_t)head * keys);
}

/* The ports and params that every op on it has, before its own (flash/op.h). */
enum {
    FLASH_Q,
    FLASH_K,
    FLASH_V,
    FLASH_KEY_LENGTHS,
    FLASH_DOCUMENTS,
    FLASH_QUERY_DOCUMENTS,
    FLASH_BIAS,
    FLASH_SINK_LOGITS,
    FLASH_OUT,
    FLASH_LSE,
    FLASH_PORT_COUNT
};
enum {
    FLASH_SCALE,
    FLASH_SOFTCAP,
    FLASH_POSITION,
    FLASH_CACHE,
    FLASH_VALUE_CACHE,
    FLASH_PARAM_COUNT
};
#endif
