/* SPDX-License-Identifier: MIT
 *
 * entry.h: an op as the engine keeps it: the vetted copy of its descriptor, its axes compiled, and
 * the path that was chosen for this machine.
 */
#ifndef HEED_OP_ENTRY_H
#define HEED_OP_ENTRY_H

#include <string.h>

#include "base/local.h"

#define PORT_MAX 32 /* of one op */
#define REPEATS_MAX 4 /* ports that repeat */
#define PARAM_MAX 64
#define PATH_MAX_COUNT 16

/* A port's axes, compiled: letters in order, after any leading ones. */
typedef struct port_axes {
    int8_t leading;       /* 1: starts with "..." */
    int8_t count;
    char letter[HEED_MAX_RANK];
} port_axes;

typedef struct entry {
    heed_op op;           /* tables packed with stride sizeof */
    const char *plugin;   /* path of the .so */
    port_axes axes[PORT_MAX];
    uint32_t letters;      /* of the axes that its ports and params have; bit 0 is A */
    const heed_path *path; /* chosen under the engine's mask */
    uint64_t rank;         /* of ops with one id the lowest counts */
    /* a plugin that is named after the op, whose place it has taken; or NULL */
    const char *over;
    _Atomic int used;      /* a spec has named it */
} entry;

static inline const heed_port *entry_port(const entry *e, uint32_t i)
{
    return (const heed_port *)e->op.ports.data + i;
}
static inline const heed_param *entry_param(const entry *e, uint32_t i)
{
    return (const heed_param *)e->op.params.data + i;
}
static inline const heed_path *entry_path(const entry *e, uint32_t i)
{
    return (const heed_path *)e->op.paths.data + i;
}
/* Whether a port has the axis of that letter. */
static inline int entry_has_axis(const entry *e, uint32_t port, char letter)
{
    const port_axes *a = &e->axes[port];
    return a->count > 0 && memchr(a->letter, letter, (size_t)a->count) != NULL;
}

#endif
