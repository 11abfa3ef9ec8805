/* SPDX-License-Identifier: MIT
 *
 * dropout.c: elements that are left out by chance. Eight elements have one number of Philox, 16 bits
 * each; several numbers are made at once, in loops that a compiler turns into vectors.
 */
#include <string.h>

#include "train/dropout.h"
#include "train/elements.h"
#include "train/philox.h"

enum { TOGETHER = 16, RUN = 8 * TOGETHER }; /* numbers at a time, and their elements */

typedef struct job {
    const dropout *d;
    uint8_t *keep;
    float *to;
    const float *from;
    int32_t limit; /* elements whose 16 bits are below go */
    float factor;  /* of those that stay */
} job;

/* philox_at for TOGETHER counters that follow one another. */
static void draw(const dropout *d, uint32_t first, uint32_t word[4][TOGETHER])
{
    uint32_t key0 = (uint32_t)d->seed, key1 = (uint32_t)(d->seed >> 32);
    uint32_t *restrict w0 = word[0], *restrict w1 = word[1], *restrict w2 = word[2],
                       *restrict w3 = word[3];
    for (uint32_t i = 0; i < TOGETHER; i++) {
        w0[i] = first + i;
        w1[i] = d->place | d->batch << 16;
        w2[i] = (uint32_t)d->step;
        w3[i] = PHILOX_DROPOUT;
    }
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        for (int i = 0; i < TOGETHER; i++) {
            const uint64_t even = 0xd2511f53u * (uint64_t)w0[i],
                           odd = 0xcd9e8d57u * (uint64_t)w2[i];
            const uint32_t first_word = (uint32_t)(odd >> 32) ^ w1[i] ^ key0,
                           third_word = (uint32_t)(even >> 32) ^ w3[i] ^ key1;
            w1[i] = (uint32_t)odd, w3[i] = (uint32_t)even;
            w0[i] = first_word, w2[i] = third_word;
        }
        key0 += 0x9e3779b9u, key1 += 0xbb67ae85u;
    }
}

/* Which of RUN elements stay: of each word the low halves, then the high ones. */
static void choose(const job *j, uint32_t first, uint8_t *restrict keep)
{
    uint32_t word[4][TOGETHER];
    draw(j->d, first, word);
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < TOGETHER; i++) {
            keep[(2 * k) * TOGETHER + i] = (int32_t)(word[k][i] & 0xffffu) >= j->limit;
            keep[(2 * k + 1) * TOGETHER + i] = (int32_t)(word[k][i] >> 16) >= j->limit;
        }
}

/* What has gone is zero, also where it was no finite number. `kept` overlaps nothing, as `to` may, so
 * that both loops become vectors. */
static void apply(const job *j, int64_t from, int64_t to)
{
    for (int64_t at = from; at < to; at += RUN) {
        const int64_t n = to - at < RUN ? to - at : RUN;
        const float *x = j->from + at, factor = j->factor;
        const uint8_t *keep = j->keep + at;
        float kept[RUN];
        for (int64_t i = 0; i < n; i++) kept[i] = x[i] * factor;
        for (int64_t i = 0; i < n; i++) kept[i] = keep[i] ? kept[i] : 0.0f;
        memcpy(j->to + at, kept, (size_t)n * sizeof *kept);
    }
}

static void run_piece(void *arg, int64_t from, int64_t to, int64_t piece)
{
    const job *j = arg;
    uint8_t last[RUN];
    (void)piece;
    for (int64_t at = from, n; at < to; at += n) {
        const int64_t place = j->d->first + at, skip = place % RUN;
        const uint32_t number = (uint32_t)((place - skip) / 8);
        n = RUN - skip < to - at ? RUN - skip : to - at;
        if (n == RUN) choose(j, number, j->keep + at);
        else {
            choose(j, number, last);
            memcpy(j->keep + at, last + skip, (size_t)n);
        }
    }
    apply(j, from, to);
}

static void run_again(void *arg, int64_t from, int64_t to, int64_t piece)
{
    (void)piece;
    apply(arg, from, to);
}

static job job_of(const dropout *d, uint8_t *keep, float *to, const float *from)
{
    const double limit = (double)(int64_t)(d->share * 65536 + 0.5);
    return (job){d, keep, to, from, (int32_t)limit, (float)(65536 / (65536 - limit))};
}

int32_t dropout_run(heed_engine *engine, const dropout *d, uint8_t *keep, float *to,
                    const float *from, int64_t n, heed_error *error)
{
    job j = job_of(d, keep, to, from);
    return elements_run(engine, n, run_piece, &j, error);
}

int32_t dropout_again(heed_engine *engine, const dropout *d, const uint8_t *keep, float *to,
                      const float *from, int64_t n, heed_error *error)
{
    job j = job_of(d, (uint8_t *)keep, to, from); /* only read */
    return elements_run(engine, n, run_again, &j, error);
}
