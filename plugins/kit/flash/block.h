/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/block.h: what both algorithms do with a block of keys: the register tile and its
 * chains of products, weights from scores, and the running maxima and sums. A part of
 * kit/flash/flash.h.
 */
#ifndef KIT_HAS_FLASH_BLOCK
#define KIT_HAS_FLASH_BLOCK
#include <heed/kit/flash/mask.h>

/* The register tile: FLASH_N broadcast elements x FLASH_WIDE registers. */
#undef FLASH_N
#undef FLASH_WIDE
#undef FLASH_AT_ONCE /* registers whose exp2 are computed side by side */
#if defined KIT_AVX512
#define FLASH_N 8
#define FLASH_WIDE 3
#define FLASH_AT_ONCE 4
#elif defined KIT_AVX2
#define FLASH_N 4
#define FLASH_WIDE 3
#define FLASH_AT_ONCE 2
#else
#define FLASH_N 4
#define FLASH_WIDE 1
#define FLASH_AT_ONCE 2
#endif

/* Prefetches a line of the next block in step k, in every `every`-th step: so a core never has more
 * misses under way than it can bear, and each line is there before it is read. Line i is that of
 * key i, or, `across`, those of a few keys in turn and then the line beside them. */
KIT_INLINE void KIT(flash_prefetch_line)(const int across, const int every, kit_flash_prefetch next,
                                         int64_t k)
{
    const int64_t i = k / every, keys = KIT_FLASH_CELL / every;
    if (k % every == 0 && next.pitch)
        __builtin_prefetch(
            next.at + (across ? i % keys * next.pitch + i / keys * 64 : i * next.pitch), 0, 2);
}

/* Below 0 where a weight stands for a masked key. (A NaN may have a sign too: a softmax has it in
 * its sum in any case; for a squared ReLU the sign is made clear first.) */
KIT_INLINE vr KIT(flash_mask_sign)(vr weight)
{
    return FLASH_SQUARED_RELU ? vr_below_zero(weight) : weight;
}

/* acc[n][nv] += a[i][k] b[k], over k in [0, depth): one chain of fused multiply-adds for each
 * element. */
KIT_INLINE void KIT(flash_multiply_add)(const int n, const int nv, const int masked,
                                        vr (*acc)[FLASH_WIDE], const float *a, int64_t a_row,
                                        int64_t a_step, const float *b, int64_t b_step,
                                        int64_t depth, const int across, const int every,
                                        kit_flash_prefetch next)
{
    KIT_UNROLL_4 for (int64_t k = 0; k < depth; k++) {
        KIT(flash_prefetch_line)(across, every, next, k);
        vr x[FLASH_WIDE];
        KIT_UNROLL for (int j = 0; j < nv; j++)
            x[j] = vr_pin(vr_load(b + k * b_step + j * VR_LANES));
        KIT_UNROLL for (int i = 0; i < n; i++) {
            const vr s = vr_set(a[i * a_row + k * a_step]);
            KIT_UNROLL for (int j = 0; j < nv; j++)
                acc[i][j] = masked == FLASH_ALL ? vr_fma(s, x[j], acc[i][j])
                            : masked == FLASH_UNLESS_B
                                ? vr_fma_unless(KIT(flash_mask_sign)(x[j]), s, x[j], acc[i][j])
                                : vr_fma_unless(KIT(flash_mask_sign)(s), s, x[j], acc[i][j]);
        }
    }
}

/* Weights of n registers of scores whose row has the maximum `max`, in log2 units; and of a
 * vector. */
KIT_INLINE void KIT(flash_weight_registers)(const int n, vr *w, vr max)
{
    if (FLASH_SQUARED_RELU) {
        KIT_UNROLL for (int i = 0; i < n; i++) w[i] = vr_max(vr_set(0.0f), w[i]); /* a NaN stays */
        KIT_UNROLL for (int i = 0; i < n; i++) w[i] = vr_mul(w[i], w[i]);
        return;
    }
    KIT_UNROLL for (int i = 0; i < n; i++) w[i] = vr_sub(w[i], max);
    vr_exp2_each(n, w, w);
}
KIT_INLINE vf KIT(flash_weight)(vf x, vf max)
{
    if (!FLASH_SQUARED_RELU) return v_exp2(v_sub(x, max));
    x = v_max(v_set(0.0f), x);
    return v_mul(x, x);
}

/* The rows' maxima after this block, and alpha: what the sums and outputs so far are worth then. */
KIT_INLINE void KIT(flash_update_max)(kit_flash_rows *r)
{
    for (int i = 0; i < KIT_FLASH_CELL * r->groups; i += 16) {
        const vf before = v_load(r->max + i);
        const vf max = v_max(before, v_add(v_load(r->block_max + i), v_load(r->lift + i)));
        v_store(r->alpha + i, FLASH_SQUARED_RELU ? v_set(1.0f) : v_exp2(v_sub(before, max)));
        v_store(r->max + i, max);
    }
}
KIT_INLINE void KIT(flash_update_sum)(kit_flash_rows *r)
{
    for (int i = 0; i < KIT_FLASH_CELL * r->groups; i += 16)
        v_store(r->sum + i,
                v_fma(v_load(r->sum + i), v_load(r->alpha + i), v_load(r->block_sum + i)));
}

/* A block of keys and values, as the algorithms get it: whole cells of rows, read from now on. */
typedef struct KIT(flash_keys) {
    const float *K, *V;
    int64_t ldk, ldc, ldv; /* floats from key to key and channel to channel of K; key to key of V */
    int turned;            /* K lies by channels, [D][96], for any number of rows */
    int64_t start; /* position of key 0 */
    int keys;
    kit_flash_prefetch_block next_K, next_V;
    kit_flash_prefetch next_turned; /* of a page: a line for each channel of K */
    heed_kv_block K_block, V_block; /* in the place of K or V: what their codec reads itself */
    const void *next_K_block, *next_V_block;
} KIT(flash_keys);

/* Rows become columns: to[width][48] = factor from[row][width], 16 rows at a time. */
static void KIT(flash_load_columns)(const char *const *from, uint32_t dtype, int64_t stride,
                                    int rows, int64_t width, float factor, float *to)
{
    const int64_t step = stride * kit_width(dtype);
    for (int i = 0; i < rows; i += 16)
        for (int64_t d = 0; d < width; d += 16) {
            const int m = width - d < 16 ? (int)(width - d) : 16;
            vf x[16];
            if (dtype == HEED_F32 && stride == 1 && m == 16)
                KIT_UNROLL for (int l = 0; l < 16; l++) x[l] =
                    v_load((const float *)from[i + l] + d);
            else
                for (int l = 0; l < 16; l++)
                    x[l] = v_read(from[i + l] + d * step, dtype, stride, m);
            v_transpose(x);
            if (m == 16)
                KIT_UNROLL for (int l = 0; l < 16; l++)
                    v_store(to + (d + l) * KIT_FLASH_ROWS + i, v_mul(x[l], v_set(factor)));
            else
                for (int l = 0; l < m; l++)
                    v_store(to + (d + l) * KIT_FLASH_ROWS + i, v_mul(x[l], v_set(factor)));
        }
}
#endif
