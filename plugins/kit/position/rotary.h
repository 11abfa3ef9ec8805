/* SPDX-License-Identifier: MIT
 *
 * heed/kit/position/rotary.h: the frequencies of rotary positions, by each of the rules that stretch
 * a network over longer texts than it was trained on. Pair k of `width` channels turns by position
 * times theta[k]; with t_k = base^(-2k/width), d = width, s = factor, L = original:
 *
 *   none      t_k                                               RoFormer, arXiv 2104.09864, 3.2.2
 *   linear    t_k / s                                           arXiv 2306.15595, 2.3
 *   ntk       t_k of base s^(d/(d-2))                           arXiv 2309.00071, 3.1
 *   dynamic   t_k of base (s N / L - (s - 1))^(d/(d-2)), N = max(length, L)
 *                                                               arXiv 2309.00071, 3.3
 *   yarn      t_k (1 - r_k) + t_k / s r_k, r_k = (k - p(high)) / (p(low) - p(high)) within [0, 1],
 *             p(turns) = d ln(L / (2 pi turns)) / (2 ln base), the pair that turns so often within L
 *             tokens                                            arXiv 2309.00071, 3.2
 *   llama3    t_k where its wave w = 2 pi / t_k is shorter than L / high, t_k / s where it is longer
 *             than L / low, and (1 - m) t_k / s + m t_k between, m = (L / w - low) / (high - low)
 *                                                               Llama 3.1's code
 *   longrope  t_k / list[k], the long list if length > L, else the short one
 *                                                               arXiv 2402.13753, 3.2 and its code
 *
 * yarn and longrope multiply cosines and sines as well, which kit_rotary_amplitude tells. All is
 * float64, within 1e-14 of the formula, and has the same bits on every machine. Where papers and
 * code differ it is the code's: floor and ceil of yarn's ends, and 0.001 between equal ones.
 */
#ifndef HEED_KIT_ROTARY_H
#define HEED_KIT_ROTARY_H
#include <heed/kit.h>
#include <heed/kit/core/sleef.h>

double Sleef_cinz_logd1_u10purec(double);

/* The rules; the words are the choices of a param, from KIT_ROTARY_LINEAR on. */
enum {
    KIT_ROTARY_NONE,
    KIT_ROTARY_LINEAR,
    KIT_ROTARY_NTK,
    KIT_ROTARY_DYNAMIC,
    KIT_ROTARY_YARN,
    KIT_ROTARY_LLAMA3,
    KIT_ROTARY_LONGROPE
};
#define KIT_ROTARY_SCALINGS "linear|ntk|dynamic|yarn|llama3"

typedef struct kit_rotary {
    int64_t rule;
    double base, factor;
    double original, length; /* tokens trained on; tokens it is used for */
    double low, high;        /* turns within `original`: slower than low, s; faster, 1 */
    int64_t truncate;        /* yarn's ends are whole numbers */
    double attention_factor; /* 0: what the rule says */
    const double *list;      /* longrope's: the one for `length` */
} kit_rotary;

#define KIT_TWO_PI 0x1.921fb54442d18p2

/* Base that makes the slowest pair turn `stretch` times slower, and the first as fast as ever. */
static inline double kit_rotary_base(double base, double stretch, int64_t width)
{
    return base * Sleef_cinz_powd1_u10purec(stretch, (double)width / (double)(width - 2));
}

/* The pair that turns `turns` times within the text that was trained on. */
static inline double kit_rotary_pair(const kit_rotary *r, double turns, int64_t width)
{
    return (double)width * Sleef_cinz_logd1_u10purec(r->original / (turns * KIT_TWO_PI)) /
           (2 * Sleef_cinz_logd1_u10purec(r->base));
}

static inline void kit_rotary_yarn(const kit_rotary *r, double *theta, int64_t width)
{
    double from = kit_rotary_pair(r, r->high, width), to = kit_rotary_pair(r, r->low, width);
    if (r->truncate) from = floor(from), to = ceil(to);
    if (from < 0) from = 0;
    if (to > (double)(width - 1)) to = (double)(width - 1);
    if (from == to) to += 0.001;
    for (int64_t k = 0; k < width / 2; k++) {
        double ramp = ((double)k - from) / (to - from);
        ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
        theta[k] = theta[k] / r->factor * ramp + theta[k] * (1 - ramp);
    }
}

static inline void kit_rotary_llama3(const kit_rotary *r, double *theta, int64_t width)
{
    const double low = r->low, high = r->high;
    for (int64_t k = 0; k < width / 2; k++) {
        const double wave = KIT_TWO_PI / theta[k], slow = theta[k] / r->factor;
        const double mix = (r->original / wave - low) / (high - low);
        if (wave > r->original / low) theta[k] = slow;
        else if (wave >= r->original / high) theta[k] = (1 - mix) * slow + mix * theta[k];
    }
}

/* theta[k], k in [0, width / 2), then zeros up to whole vectors. */
static __attribute__((unused)) void kit_rotary_frequencies(const kit_rotary *r, double *theta,
                                                           int64_t width)
{
    const int64_t n = width / 2;
    double base = r->base;
    if (r->rule == KIT_ROTARY_NTK) base = kit_rotary_base(base, r->factor, width);
    if (r->rule == KIT_ROTARY_DYNAMIC && r->length > r->original)
        base = kit_rotary_base(base, r->factor * r->length / r->original - (r->factor - 1), width);
    kit_frequencies(theta, n, base, 2, (double)width);
    if (r->rule == KIT_ROTARY_LINEAR)
        for (int64_t k = 0; k < n; k++) theta[k] /= r->factor;
    if (r->rule == KIT_ROTARY_YARN) kit_rotary_yarn(r, theta, width);
    if (r->rule == KIT_ROTARY_LLAMA3) kit_rotary_llama3(r, theta, width);
    if (r->rule == KIT_ROTARY_LONGROPE)
        for (int64_t k = 0; k < n; k++) theta[k] /= r->list[k];
}

/* What cosines and sines are multiplied with. */
static __attribute__((unused)) double kit_rotary_amplitude(const kit_rotary *r)
{
    if (r->attention_factor > 0) return r->attention_factor;
    if (r->factor <= 1) return 1;
    if (r->rule == KIT_ROTARY_YARN) return 0.1 * Sleef_cinz_logd1_u10purec(r->factor) + 1;
    if (r->rule == KIT_ROTARY_LONGROPE)
        return sqrt(1 +
                    Sleef_cinz_logd1_u10purec(r->factor) / Sleef_cinz_logd1_u10purec(r->original));
    return 1;
}
#endif
