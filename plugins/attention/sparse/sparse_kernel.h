/* SPDX-License-Identifier: MIT
 *
 * attention/sparse, the maths: kit/flash.h, told of each cell of 16 rows x 16 keys whether the pattern leaves anything
 * of it; within a cell that it leaves in part, pair by pair. For a row both patterns are one rule: it sees the keys
 * from `from` on, and before them those whose position modulo the stride lies in [low, high).
 */
#include <heed/kit.h>
#include <heed/kit/flash_type.h>

#ifdef KIT_FIRST
enum { SPARSE_MERGED, SPARSE_LOCAL, SPARSE_COLUMNS, SPARSE_HEADS };
typedef struct sparse {
    int64_t stride, columns, blocks; /* columns of a block are seen ever after; heads take turns in such sets */
    int64_t near;                    /* strided: keys of the first factor, the query's own among them */
    int fixed, factor;
} sparse;
typedef struct sparse_row { int64_t from, low, high; } sparse_row;

/* `rest` is `at` modulo the stride. */
KIT_INLINE sparse_row sparse_row_at(const sparse *s, int64_t h, int64_t at, int64_t rest)
{
    const int factor = s->factor == SPARSE_HEADS ? h % 2 ? SPARSE_COLUMNS : SPARSE_LOCAL : s->factor;
    const int64_t set = s->stride - s->columns * (1 + (s->blocks > 1 ? h % s->blocks : 0));
    sparse_row x = {at - s->near + 1, rest, rest + 1};
    if (s->fixed) x = (sparse_row){at - rest, set, set + s->columns};
    if (factor == SPARSE_LOCAL) x.low = x.high = 0;
    if (factor == SPARSE_COLUMNS) x.from = at + 1;
    return x;
}

KIT_INLINE sparse_row sparse_row_of(const sparse *s, int64_t h, int64_t at) { return sparse_row_at(s, h, at, at % s->stride); }

KIT_INLINE void sparse_range(const sparse *s, int64_t h, int64_t at, kit_flash_live *x)
{
    const sparse_row row = at < 0 ? (sparse_row){0, 0, 0} : sparse_row_of(s, h, at);
    if (at + 1 < x->last) x->last = at + 1;
    if (row.low == row.high && row.from > x->first) x->first = row.from;
}

/* Keys below n whose residue is in [low, high). */
KIT_INLINE int64_t sparse_residues(const sparse *s, const sparse_row *x, int64_t n)
{
    const int64_t rest = n % s->stride - x->low, width = x->high - x->low;
    return n / s->stride * width + (rest < 0 ? 0 : rest < width ? rest : width);
}
KIT_INLINE int64_t sparse_count(const sparse *s, int64_t h, int64_t at, const kit_flash_live *x)
{
    if (x->last <= x->first) return 0;
    const sparse_row row = sparse_row_of(s, h, at);
    const int64_t from = row.from < x->first ? x->first : row.from < x->last ? row.from : x->last;
    return x->last - from + sparse_residues(s, &row, from) - sparse_residues(s, &row, x->first);
}

/* What of 16 keys, the first of which has residue `rest`, rows of one head see at positions from `at` on, `wide` more than
 * that at the last, as far as the keys are not after them. */
KIT_INLINE int sparse_cell(const sparse *s, const sparse_row *first, const sparse_row *last, int64_t wide, int64_t key,
                           int64_t rest)
{
    const int64_t to = rest + KIT_FLASH_CELL;
    if (last->from <= key) return FLASH_WHOLE;
    const int some = first->from < key + KIT_FLASH_CELL;
    if (first->low == first->high) return some ? FLASH_MIXED : FLASH_DEAD;
    if (!s->fixed) { /* whether a row's residue, from first->low on, meets a key's, from `rest` on */
        const int64_t apart = rest - first->low + (rest < first->low ? s->stride : 0);
        return some || apart <= wide || apart + KIT_FLASH_CELL > s->stride ? FLASH_MIXED : FLASH_DEAD;
    }
    if (rest >= first->low && to <= first->high) return FLASH_WHOLE;
    const int hit = (rest < first->high && to > first->low) || (to > s->stride && to - s->stride > first->low);
    return some || hit ? FLASH_MIXED : FLASH_DEAD;
}

/* The cells of a group of rows; where its heads see other keys than each other, all that are not dead for one are mixed. */
static void sparse_cells(const sparse *s, kit_flash_rows *r, int g, int64_t group, int64_t start)
{
    kit_flash_span *span = &r->span[g];
    const int64_t *position = r->position + g * KIT_FLASH_CELL, at = position[0] < 0 ? 0 : position[0];
    const int64_t end = position[KIT_FLASH_CELL - 1], rest = at % s->stride, residue = (start + span->begin) % s->stride;
    const int heads = s->factor != SPARSE_HEADS && s->blocks == 1 ? 1 : group < KIT_FLASH_CELL ? (int)group : KIT_FLASH_CELL;
    uint32_t dead = ~0u, whole = ~0u;
    for (int i = 0; i < heads; i++) {
        const int64_t h = r->head[g * KIT_FLASH_CELL + i];
        const sparse_row first = sparse_row_at(s, h, at, rest), last = sparse_row_of(s, h, end);
        int64_t m = residue;
        for (int k = span->begin; k < span->end; k += KIT_FLASH_CELL) {
            const int cell = sparse_cell(s, &first, &last, end - at, start + k, m);
            if (cell != FLASH_DEAD) dead &= ~(1u << k / KIT_FLASH_CELL);
            if (cell != FLASH_WHOLE) whole &= ~(1u << k / KIT_FLASH_CELL);
            for (m += KIT_FLASH_CELL; m >= s->stride;) m -= s->stride;
        }
    }
    const uint32_t cells = (1u << span->end / KIT_FLASH_CELL) - (1u << span->begin / KIT_FLASH_CELL);
    span->dead = dead & cells, span->mixed = ~(dead | whole) & cells;
}
#endif

/* Scores of the pairs that the pattern does not have become -inf in mixed cells. */
static void KIT(sparse_scores)(const kit_flash *f, const kit_flash_rows *r, float *P, int ks, int rs, int64_t start)
{
    static const float order[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const sparse *s = f->variant;
    float residue[KIT_FLASH_KEYS], from[KIT_FLASH_CELL], low[KIT_FLASH_CELL], high[KIT_FLASH_CELL];
    for (int64_t k = 0, m = start % s->stride; k < KIT_FLASH_KEYS; k++, m = m + 1 == s->stride ? 0 : m + 1)
        residue[k] = (float)m;
    for (int g = 0; g < r->groups; g++) {
        const int row = g * KIT_FLASH_CELL, rows = r->rows - row < KIT_FLASH_CELL ? r->rows - row : KIT_FLASH_CELL;
        int64_t last = r->position[row] < 0 ? 0 : r->position[row], rest = last % s->stride;
        for (int l = 0; l < KIT_FLASH_CELL && r->span[g].mixed; l++) { /* positions rise by 1 at most */
            const int64_t at = r->position[row + l] < 0 ? 0 : r->position[row + l];
            rest = rest + at - last == s->stride ? 0 : rest + at - last, last = at;
            const sparse_row x = sparse_row_at(s, r->head[row + l], at, rest);
            from[l] = kit_flash_inside(x.from - start), low[l] = (float)x.low, high[l] = (float)x.high;
        }
        for (int k = r->span[g].begin; k < r->span[g].end; k += KIT_FLASH_CELL)
            for (int i = 0; r->span[g].mixed >> k / KIT_FLASH_CELL & 1 && i < (rs == 1 ? KIT_FLASH_CELL : rows); i++) {
                float *p = rs == 1 ? P + (k + i) * ks + row : P + (row + i) * rs + k;
                const vf key = rs == 1 ? v_set((float)(k + i)) : v_add(v_load(order), v_set((float)k));
                const vf m = rs == 1 ? v_set(residue[k + i]) : v_load(residue + k);
                const vf a = rs == 1 ? v_load(from) : v_set(from[i]), b = rs == 1 ? v_load(low) : v_set(low[i]);
                const vf c = rs == 1 ? v_load(high) : v_set(high[i]);
                v_store(p, v_select(v_or(v_ge(key, a), v_and(v_ge(m, b), v_lt(m, c))), v_load(p), v_set(-INFINITY)));
            }
    }
}
#define FLASH_PER_HEAD 1
#define FLASH_RANGE(f, b, t, h, at, x) sparse_range((f)->variant, h, at, x)
#define FLASH_CELL(f, r, g, start) sparse_cells((f)->variant, r, g, (f)->group, start)
#define FLASH_COUNT(f, h, at, x) sparse_count((f)->variant, h, at, x)
#define FLASH_SCORES(f, r, P, ks, rs, start, keys, padded) KIT(sparse_scores)(f, r, P, ks, rs, start)
#define FLASH_CHANGES(f, r, start, keys) kit_flash_uneven(r)
#include <heed/kit/flash.h>

static int32_t KIT(forward)(const void *instance, const heed_call *call) { return KIT(flash_forward)(instance, call); }

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
