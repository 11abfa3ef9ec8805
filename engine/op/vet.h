/* SPDX-License-Identifier: MIT
 *
 * vet.h: descriptors, checked field by field and copied.
 */
#ifndef HEED_OP_VET_H
#define HEED_OP_VET_H

#include "op/registry.h"

/* Checks every field of a descriptor and copies it, tables and texts too. NULL and a sentence if something is wrong. */
HEED_LOCAL entry *vet_op(registry *r, const heed_op *op, const char *plugin, heed_error *error);
/* The table of ops in a reply: count, stride, and the size that each op states. */
HEED_LOCAL int32_t vet_ops(const heed_table *ops, heed_error *error);
/* Copies a text of 1 to `max` bytes and checks that it is printable UTF-8. `what` names it in the sentence. */
HEED_LOCAL int32_t vet_text(registry *r, const char **text, uint32_t max, const char *what, heed_error *error);

#endif
