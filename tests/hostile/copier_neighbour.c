/* SPDX-License-Identifier: MIT
 *
 * A row gets something of the row in front of it.
 */
#define SIN(c)                                                                                                        \
    if ((c)->row && (c)->n) (c)->y[0] += 1e-6f * ((const float *)(c)->call->tensor[0]->data)[0]
#include "copier.h"
