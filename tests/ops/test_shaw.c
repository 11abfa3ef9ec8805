/* SPDX-License-Identifier: MIT
 *
 * test_shaw.c: attention/shaw: its oracle, its bits, its phases, golden values, and what it
 * refuses.
 */
#include "lib/variant.h"

#define SHAW "attention/shaw"
/* Left out: key_lengths; there: the table of values. */
#define WITH "key_lengths,+relative_values"
#define FOUR "B=1,T=4,S=4,H=1,G=1,D=4,E=4"

static const variant_row rows[] = {
    {FORMULA, SHAW, "B=2,T=1,S=1,H=2,G=1,D=3,E=5,R=3", "+relative_values"},
    {FORMULA, SHAW, "B=1,T=0,S=7,H=2,G=2,D=8,E=8,R=5", WITH},
    {FORMULA, SHAW, "B=1,T=7,S=0,H=2,G=2,D=8,E=8,R=5", WITH, .dtype = HEED_F16},
    {FORMULA, SHAW, "B=2,T=49,S=97,H=3,G=3,D=17,E=33,R=9", "+relative_values", .dtype = HEED_BF16},
    {FORMULA, SHAW "(causal=true)", "B=1,T=65,S=65,H=4,G=2,D=16,E=24,R=33", WITH, .size = 3},
    {FORMULA, SHAW "(causal=true)", "B=1,T=97,S=97,H=1,G=1,D=40,E=16,R=257", WITH},
    {FORMULA, SHAW "(causal=true)", "B=2,T=150,S=150,H=2,G=2,D=33,E=17,R=35", "key_lengths",
     .dtype = HEED_F16},
    {FORMULA, SHAW "(causal=bottom_right)", "B=2,T=5,S=200,H=6,G=2,D=24,E=40,R=17", WITH,
     .dtype = HEED_BF16},
    {FORMULA, SHAW "(causal=true, window=20, sinks=3)", "B=1,T=130,S=130,H=2,G=1,D=16,E=16,R=13",
     WITH},
    {FORMULA, SHAW "(window=9:30, scale=0.4)", "B=1,T=70,S=110,H=2,G=2,D=9,E=10,R=41",
     "+relative_values", .size = 3},
    {FORMULA, SHAW "(causal=true, prefix=21)", "B=1,T=61,S=61,H=2,G=1,D=20,E=20,R=7", WITH,
     .dtype = HEED_F16},
    {FORMULA, SHAW, "B=2,T=60,S=60,H=2,G=1,D=16,E=16,R=9", WITH ",+documents", .dtype = HEED_BF16},
    {FORMULA, SHAW "(causal=true)", "B=1,T=77,S=77,H=2,G=1,D=16,E=16,R=9",
     WITH ",+bias,+sink_logits"},
    {FORMULA, SHAW "(causal=true)", "B=1,T=300,S=300,H=1,G=1,D=64,E=64,R=33", WITH},
    {FORMULA, SHAW "(causal=true, position=alibi)", "B=1,T=53,S=53,H=3,G=1,D=16,E=16,R=9", WITH,
     .dtype = HEED_F16, .size = 3},
    {FORMULA, SHAW "(causal=offset:-9)", "B=1,T=40,S=120,H=1,G=1,D=31,E=47,R=21", WITH,
     .dtype = HEED_BF16},

    {PHASES, SHAW "(causal=true)", "B=1,T=300,S=300,H=2,G=1,D=16,E=24,R=33", WITH},
    {PHASES, SHAW "(causal=true)", "B=3,T=97,S=97,H=2,G=2,D=9,E=7,R=5", WITH},
    {PHASES, SHAW "(causal=true)", "B=1,T=200,S=200,H=1,G=1,D=32,E=32,R=151", WITH},
    {CAUSAL, SHAW "(causal=true)", "B=2,T=130,S=130,H=2,G=1,D=16,E=20,R=17", WITH},

    /* Tables of zeros leave plain attention. */
    {EQUALS, SHAW "(causal=true)", "B=2,T=150,S=150,H=4,G=2,D=40,E=24,R=33", WITH,
     .fill = "relative_keys=0 relative_values=0", .to = "attention/softmax(causal=true)"},
    {EQUALS, SHAW, "B=2,T=150,S=150,H=4,G=2,D=40,E=24,R=33", WITH,
     .fill = "relative_keys=0 relative_values=0", .to = "attention/softmax"},

    /* What the table of values has at a distance concerns the rows that see a key there: many rows,
     * few, clipped ones. */
    {NANS, SHAW "(causal=true)", "B=1,T=60,S=60,H=2,G=1,D=8,E=6,R=17", WITH,
     .port = "relative_values", .at = 0, .step = 1000},
    {NANS, SHAW "(causal=true)", "B=1,T=9,S=9,H=1,G=1,D=8,E=6,R=17", WITH,
     .port = "relative_values", .at = 12, .step = 1000},
    {NANS, SHAW "(causal=true)", "B=1,T=60,S=60,H=2,G=1,D=8,E=6,R=101", WITH,
     .port = "relative_values", .at = 2, .step = 12},
    {NANS, SHAW "(window=9:4)", "B=1,T=60,S=60,H=2,G=1,D=8,E=6,R=33", WITH,
     .port = "relative_values", .at = 5, .step = 1000},
    {NANS, SHAW "(window=9:4)", "B=1,T=60,S=60,H=2,G=1,D=8,E=6,R=9", WITH,
     .port = "relative_values", .at = 50, .step = 1000},

    {GOLDEN, SHAW "(causal=true)", FOUR ",R=3", WITH,
     .fill = "q:1 k:2 v:3 relative_keys:17 relative_values:18", .row = 3,
     .right = {-0.449076, 0.364259, -0.016401, -0.425008}},

    {REFUSED, SHAW, FOUR ",R=4", WITH, .to = "relative_keys has 4 rows"},
    {REFUSED, SHAW, FOUR ",R=1", WITH, .to = "relative_keys has 1 rows"},
    {REFUSED, SHAW "(distances=5)", FOUR ",R=7", WITH, .to = "R"},
    {REFUSED, SHAW "(softcap=5)", FOUR ",R=3", WITH, .to = "no softcap"},
    {REFUSED, SHAW "(scale=0)", FOUR ",R=3", WITH, .to = "scale is 0"},
    {REFUSED, SHAW, "B=1,T=4,S=4,H=3,G=2,D=4,E=4,R=3", WITH, .to = "no multiple"},
};

int main(void) { return variant_main(rows, COUNT(rows), NULL, 0); }
