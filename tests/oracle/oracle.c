/* SPDX-License-Identifier: MIT
 *
 * oracle.c: the formulas of the shipped ops, as anybody would write them (heed/oracle.h), without an entry. There is no
 * list to keep: KIND_NAME.h here is the oracle of the op KIND/NAME, in its function OF(KIND_NAME), and make writes
 * include/oracles.h from the names of the files. Other files here are shared by several of them.
 */
#include <heed/oracle.h>
#include <heed/oracle_attention.h>

typedef heed_oracle_call oracle_call;

#include "activation.h"
#include "norms.h"
#include "product.h"
#include "recurrent.h"
#include "convolution.h"
#include "relative.h"
#include "rotary.h"
#include "span.h"
#include "synthesizer.h"
#include <oracles.h>

#include <heed/oracle_next.h>
#ifdef ORACLE_AGAIN
#include __FILE_NAME__
#else

#include "shipped.h"

static const heed_oracle oracles[] = {
#define ORACLE_ROW HEED_ORACLE
#include <oracles.h>
};

const heed_oracle *oracle_find(const char *id)
{
    for (size_t i = 0; i < sizeof oracles / sizeof *oracles; i++)
        if (strcmp(oracles[i].id, id) == 0) return &oracles[i];
    return NULL;
}
#endif
