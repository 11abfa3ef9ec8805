/* SPDX-License-Identifier: MIT
 *
 * schedule.h: the learning rate of a step.
 */
#ifndef HEED_TRAIN_SCHEDULE_H
#define HEED_TRAIN_SCHEDULE_H

#include "base/local.h"

enum {
    SCHEDULE_COSINE,  /* arXiv 1608.03983: along half a wave, from the rate to the floor */
    SCHEDULE_SLANTED, /* arXiv 1801.06146, section 3.2: a straight line up, and a longer one down */
    SCHEDULE_CONSTANT,
    SCHEDULES
};

typedef struct schedule {
    uint32_t kind;
    double rate;   /* the highest */
    double floor;  /* the lowest, as a share of it: that at the end, of slanted at both ends */
    double warmup; /* share of the steps in which it rises */
    int64_t steps;
} schedule;

HEED_LOCAL const char *schedule_name(uint32_t kind); /* NULL behind the last */
/* Of step 0, 1, ... The same float64 on every machine. */
HEED_LOCAL double schedule_rate(const schedule *s, int64_t step);

#endif
