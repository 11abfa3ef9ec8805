/* SPDX-License-Identifier: MIT
 *
 * engine.h: what the engine's files share. A function's prefix is the name of the file it is in.
 *
 *   error     sentences                     spec      a config string to a tree, and back
 *   cpu       what this processor can do    resolve   a tree to an op with values, mask and children
 *   trust     may this file be loaded       bind      tensors to ports, axes to sizes
 *   load      dlopen and negotiation        instance  open and close
 *   vet       descriptors, checked, copied  call      one run
 *   registry  all ops                       sequence  pages
 *   topology  the machine and the plan      pool      threads
 *   npy, weights   files                    stack     a network from a spec
 */
#ifndef HEED_ENGINE_H
#define HEED_ENGINE_H

#include "heed.h"

#define HEED_LOCAL __attribute__((visibility("hidden")))

/* ---- error.c ---- */

/* Writes the sentence and returns the code. `error` may be NULL. */
HEED_LOCAL int32_t error_set(heed_error *error, int32_t code, const char *format, ...) __attribute__((format(printf, 3, 4)));
HEED_LOCAL int32_t error_memory(heed_error *error); /* "out of memory" */
/* Of the names given, the nearest to `word` by edit distance, or NULL if none is near. */
HEED_LOCAL const char *error_nearest(const char *word, const char *const *names, uint32_t count);

/* ---- cpu.c ---- */

HEED_LOCAL uint64_t cpu_detect(void);                 /* set of HEED_CPU_* that can run here, XCR0 included */
/* Lowers `features` to those of a named path; a name above what the machine has is an error. */
HEED_LOCAL int32_t cpu_mask(const char *isa, uint64_t *features, heed_error *error);

/* ---- trust.c ---- */

/* HEED_OK if the open file and all folders above it can be written by root or the user alone. */
HEED_LOCAL int32_t trust_check(int fd, const char *path, heed_error *error);

/* ---- registry.c: vetted copies of descriptors ---- */

#define PORT_MAX 32 /* of one op */
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
    const heed_path *path; /* chosen under the engine's mask, NULL if none runs here */
} entry;

static inline const heed_port *entry_port(const entry *e, uint32_t i) { return (const heed_port *)e->op.ports.data + i; }
static inline const heed_param *entry_param(const entry *e, uint32_t i) { return (const heed_param *)e->op.params.data + i; }
static inline const heed_path *entry_path(const entry *e, uint32_t i) { return (const heed_path *)e->op.paths.data + i; }

typedef struct refusal {
    char *path, *reason;
} refusal;

typedef struct registry {
    entry **entries; /* sorted by id */
    uint32_t count;
    refusal *refusals;
    uint32_t refusal_count;
    void **blocks; /* memory of the copies */
    uint32_t block_count;
} registry;

HEED_LOCAL int32_t registry_add(registry *r, entry *e, heed_error *error); /* refuses a second op of the same id */
HEED_LOCAL const entry *registry_find(const registry *r, const char *id);
HEED_LOCAL int32_t registry_refuse(registry *r, const char *path, const char *reason);
HEED_LOCAL void registry_free(registry *r);
/* Zeroed memory that lives as long as the registry; NULL if there is none. */
HEED_LOCAL void *registry_alloc(registry *r, size_t bytes);

/* ---- vet.c ---- */

/* Checks every field of a descriptor and copies it, tables and texts too. NULL and a sentence if something is wrong. */
HEED_LOCAL entry *vet_op(registry *r, const heed_op *op, const char *plugin, heed_error *error);

/* ---- load.c ---- */

HEED_LOCAL int32_t load_plugin(heed_engine *engine, const char *path, heed_error *error);
HEED_LOCAL int32_t load_folders(heed_engine *engine, const char *folders, heed_error *error);

/* ---- topology.c and pool.c ---- */

typedef struct pool pool;

/* The pool's host service. Threads start at the first parallel work. threads 0 = one a core of the cpuset. */
HEED_LOCAL pool *pool_new(uint32_t threads, uint32_t pinning, uint32_t smt, heed_error *error);
HEED_LOCAL void pool_free(pool *p);
HEED_LOCAL uint32_t pool_lanes(pool *p);
HEED_LOCAL const heed_host *pool_host(pool *p);

/* ---- spec.c: text to tree and back ---- */

#define SPEC_DEPTH 64 /* of nesting */

#define SPEC_WORD 0u /* softmax, 1e-5, true, offset:3; or an op with arguments: then args is not NULL */
#define SPEC_LIST 1u /* [a x5, b] */

typedef struct spec_node spec_node;

typedef struct spec_arg {
    char *key;         /* NULL: positional */
    size_t key_at;     /* offset of the key in the text */
    spec_node *value;
} spec_arg;

struct spec_node {
    uint32_t type;
    uint32_t has_args;  /* was written with parentheses */
    uint32_t n_args;
    uint32_t n_items;   /* of a list */
    size_t at;          /* offset in the text */
    char *word;
    spec_arg *args;
    spec_node **items;
    int64_t repeat;     /* "x5" behind it; 1 without */
};

typedef struct spec {
    char *text;      /* own copy */
    spec_node *op;   /* an op's spec; NULL for a stack */
    spec_arg *keys;  /* a stack's key=value list */
    uint32_t n_keys;
} spec;

/* Parses an op's spec, "attention/softmax(causal=true)", or, with stack = 1, "layers=12; width=512; ...". `#` starts a
 * comment; blanks and newlines separate. NULL and a sentence with the place and a caret if it is malformed. */
HEED_LOCAL spec *spec_parse(const char *text, int stack, heed_error *error);
HEED_LOCAL void spec_free(spec *s);
/* An error at an offset of the text: "spec, line 1, column 18: <sentence>", the line, and a caret under the place. */
HEED_LOCAL int32_t spec_error(const spec *s, size_t at, heed_error *error, const char *format, ...) __attribute__((format(printf, 4, 5)));
HEED_LOCAL int32_t spec_int(const spec *s, const spec_node *n, const char *what, int64_t min, int64_t max, int64_t *out, heed_error *error);
HEED_LOCAL int32_t spec_float(const spec *s, const spec_node *n, const char *what, double min, double max, double *out, heed_error *error);
HEED_LOCAL int32_t spec_bool(const spec *s, const spec_node *n, const char *what, int64_t *out, heed_error *error);

/* ---- resolve.c: tree to op ---- */

typedef struct resolved resolved;
struct resolved {
    const entry *entry;
    heed_value *value;   /* [params], defaults filled in */
    resolved **child;    /* [params], NULL where the param is no op or left out */
    heed_mask mask;      /* from the engine's keys causal, window, prefix, sinks */
};

/* `kind` ("attention") completes a name without one; NULL: the id must be whole. NULL and a sentence with a caret under
 * the place for an unknown op, key or word, a wrong type, a value out of range, a mask kind that the op does not honour. */
HEED_LOCAL resolved *resolve(const registry *r, const spec *s, const spec_node *n, const char *kind, heed_error *error);
HEED_LOCAL void resolve_free(resolved *op);
/* Canonical: the whole id, then what differs from the defaults, params in table order, then mask keys. malloc'ed. */
HEED_LOCAL char *resolve_print(const resolved *op);

/* ---- bind.c ---- */

/* Fills tensor[ports] and axis[26] from bindings of one role set, checking presence, dtype, rank, axes, strides and bytes.
 * `what` is the set of roles (1 << HEED_INPUT ...) that the bindings may name. axis holds what is known before. */
HEED_LOCAL int32_t bind_ports(const entry *e, const heed_binding *b, uint32_t n, uint32_t roles, int need_data,
                              const heed_tensor **tensor, int64_t *axis, int64_t *leading, int *n_leading, heed_error *error);

/* ---- instance.c ---- */

struct heed_instance {
    heed_engine *engine;
    const entry *entry;
    const heed_path *path;
    void *memory;
    heed_value *value;
    heed_child *child;
    heed_instance **children; /* [params], NULL where there is none */
    heed_mask mask;
    int64_t axis[HEED_AXES];  /* known when opened */
    char *spec;
};

/* From a resolved op; children are opened with the same axes. */
HEED_LOCAL heed_instance *instance_make(heed_engine *engine, const resolved *op, const heed_opening *opening, heed_error *error);

/* ---- the engine ---- */

struct heed_engine {
    registry registry;
    uint64_t features; /* after the mask */
    const heed_host *host;
    pool *pool;        /* NULL with an application's own host */
    uint32_t lanes;
};

#endif
