/* SPDX-License-Identifier: MIT
 *
 * schedule.c: the learning rate of a step, by additions, multiplications and divisions alone: a
 * cosine of a C library may be rounded otherwise than another's.
 */
#include "train/schedule.h"

const char *schedule_name(uint32_t kind)
{
    static const char *const names[SCHEDULES] = {"cosine", "slanted", "constant"};
    return kind < SCHEDULES ? names[kind] : NULL;
}

/* 1 - z/2! + z^2/4! - ..., and the same of odd factorials: cos x and sin x / x of x^2 = z, up to
 * pi^2/16, where the first term that is left out is below 1e-17. */
static double series(double z, int odd)
{
    double sum = 1;
    for (int n = 18 + odd; n > 1; n -= 2) sum = 1 - z / (n * (n - 1)) * sum;
    return sum;
}

/* cos(pi x), 0 <= x <= 1. */
static double cosine(double x)
{
    const double pi = 3.14159265358979323846;
    if (x > 0.5) return -cosine(1 - x);
    if (x <= 0.25) return series(pi * x * (pi * x), 0);
    x = pi * (0.5 - x);
    return x * series(x * x, 1);
}

double schedule_rate(const schedule *s, int64_t step)
{
    const double at = (double)step + 1, all = (double)s->steps, rise = s->warmup * all,
                 low = s->floor * s->rate;
    const double from = s->kind == SCHEDULE_SLANTED ? low : 0;
    if (at < rise) return from + (s->rate - from) * (at / rise);
    double done = all > rise ? (at - rise) / (all - rise) : 1;
    if (done > 1) done = 1;
    switch (s->kind) {
    case SCHEDULE_COSINE: return low + (s->rate - low) * (0.5 * (1 + cosine(done)));
    case SCHEDULE_SLANTED: return low + (s->rate - low) * (1 - done);
    default: return s->rate;
    }
}
