/* SPDX-License-Identifier: MIT
 * The oracle of attention/@NAME@: its formula, read once in double and once in float. */
#include <heed/oracle.h>
#include <heed/oracle_attention.h>

/* The score of key j for head h of a query at position `at`: s is scale q k; -INFINITY: the key is
 * not seen. */
static REAL OF(score)(const heed_oracle_call *c, int64_t h, int64_t at, int64_t j, REAL s)
{
    (void)c, (void)h, (void)at, (void)j;
    return s;
}
static void OF(formula)(const heed_oracle_call *c) { OF(attention)(c, OF(score)); }

#include <heed/oracle_next.h>
#ifdef ORACLE_AGAIN
#include __FILE_NAME__
#else
HEED_ORACLES(HEED_ORACLE("attention/@NAME@", formula))
#endif
