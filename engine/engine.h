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
 *   npy, weights, dlpack   tensors from and to elsewhere      merge   an op as a function
 *   sequence_saved, session_saved, saved   bytes to keep or send (saved.h)
 *   stack, session         a network from a spec, and a text that runs through it (stack.h)
 *   stack_plan, stack_weights, stack_step, stack_position   the parts that stack is built from
 */
#ifndef HEED_ENGINE_H
#define HEED_ENGINE_H

#include "heed.h"

#define HEED_LOCAL __attribute__((visibility("hidden")))

/* ---- error.c ---- */

/* Writes the sentence and returns the code. `error` may be NULL. */
HEED_LOCAL int32_t error_set(heed_error *error, int32_t code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
HEED_LOCAL int32_t error_memory(heed_error *error); /* "out of memory" */
/* Of the names given, the nearest to `word` by edit distance, or NULL if none is near. */
HEED_LOCAL const char *error_nearest(const char *word, const char *const *names, uint32_t count);

/* ---- cpu.c ---- */

HEED_LOCAL uint64_t cpu_detect(void);                 /* set of HEED_CPU_* that can run here, XCR0 included */
/* Lowers `features` to those of a named path: "scalar", "avx2", "avx512", "avx512_bf16", "neon", "neon_bf16"; "all", ""
 * and NULL leave them. A name that needs what `features` lack is an error, and so is one that does not exist. */
HEED_LOCAL int32_t cpu_mask(const char *isa, uint64_t *features, heed_error *error);
/* Features of which an op has paths that give other bits than the rest. */
#define CPU_INEXACT ((uint64_t)(HEED_CPU_AVX512_BF16 | HEED_CPU_NEON_BF16))
/* Name of the index-th path that `features` can run, lowest first; NULL behind the last. */
HEED_LOCAL const char *cpu_path(uint64_t features, uint32_t index);
/* The processor's name as it tells it, into buffer; returns buffer. */
HEED_LOCAL const char *cpu_brand(char *buffer, size_t n);
/* Sets the calling thread to IEEE arithmetic (round to nearest, subnormals kept, no traps), whatever the application
 * chose; returns the former mode, for cpu_float_restore. Some 5 ns. */
HEED_LOCAL uint64_t cpu_float_plain(void);
HEED_LOCAL void cpu_float_restore(uint64_t former);

/* ---- trust.c ---- */

/* HEED_OK if the open file and all folders above it can be written by root or the user alone. `path` is absolute and
 * free of links (realpath). */
HEED_LOCAL int32_t trust_check(int fd, const char *path, heed_error *error);

/* ---- registry.c: vetted copies of descriptors ---- */

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
    const heed_path *path; /* chosen under the engine's mask */
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
/* The path that `features` run: the last one, but one that gives other bits (HEED_PATH_INEXACT) only if `isa` is its
 * very name or `fast` is set. `isa` may be NULL. */
HEED_LOCAL const heed_path *registry_path(const entry *e, uint64_t features, const char *isa, int fast);
HEED_LOCAL int32_t registry_refuse(registry *r, const char *path, const char *reason);
/* Takes back all that a plugin that is refused after all has left: its entries (`plugin` is compared as a pointer), and
 * the blocks above `block_count`. */
HEED_LOCAL void registry_forget(registry *r, const char *plugin, uint32_t block_count);
HEED_LOCAL void registry_free(registry *r);
/* Zeroed memory that lives as long as the registry; NULL if there is none. */
HEED_LOCAL void *registry_alloc(registry *r, size_t bytes);

/* ---- vet.c ---- */

/* Checks every field of a descriptor and copies it, tables and texts too. NULL and a sentence if something is wrong. */
HEED_LOCAL entry *vet_op(registry *r, const heed_op *op, const char *plugin, heed_error *error);
/* The table of ops in a reply: count, stride, and the size that each op states. */
HEED_LOCAL int32_t vet_ops(const heed_table *ops, heed_error *error);
/* Copies a text of 1 to `max` bytes and checks that it is printable UTF-8. `what` names it in the sentence. */
HEED_LOCAL int32_t vet_text(registry *r, const char **text, uint32_t max, const char *what, heed_error *error);

/* ---- load.c ---- */

/* Loads all ops of a plugin or none; a refusal is recorded too. `path` is absolute. */
HEED_LOCAL int32_t load_plugin(heed_engine *engine, const char *path, heed_error *error);
/* Every *.so of the folders (separated by ':') and of their subfolders, in order of names. NULL = the installed
 * ones, which may be absent. Refused plugins are no error; a folder that was asked for and cannot be read is one. */
HEED_LOCAL int32_t load_folders(heed_engine *engine, const char *folders, heed_error *error);
/* An environment variable, or NULL where the environment is not to be believed (setuid, setgid, capabilities). Every
 * variable that the engine reads goes through here. */
HEED_LOCAL const char *load_environment(const char *name);

/* ---- topology.c: the machine and the plan ---- */

struct hwloc_topology; /* hwloc_topology_t and hwloc_bitmap_t point at these; hwloc.h stays out of here */
struct hwloc_bitmap_s;

/* Where one worker goes. Numbers are hwloc's logical ones; -1 = the machine does not tell, or it is not pinned. */
typedef struct topology_place {
    struct hwloc_bitmap_s *cpus; /* a whole core, or with SMT a hardware thread; NULL = not to be pinned */
    int32_t core, package, node;
} topology_place;

typedef struct topology_plan {
    uint32_t workers;
    uint32_t slots;  /* cores, or with SMT hardware threads, that this process may use */
    uint32_t crowd;  /* most workers on one slot; above 1 the plan is oversubscribed */
    uint32_t pinning, smt;
    topology_place *place; /* [workers]; 0 is the calling thread's, which nobody binds to it unasked */
} topology_plan;

/* This machine, as far as this process may use it (taskset, containers, mpirun); or hwloc's synthetic one. Takes
 * milliseconds. */
HEED_LOCAL struct hwloc_topology *topology_open(const char *synthetic, heed_error *error);
HEED_LOCAL void topology_close(struct hwloc_topology *t);
/* workers 0 = one a slot. Binds nothing. t NULL = an unknown machine: nothing is pinned. */
HEED_LOCAL topology_plan *topology_plan_make(struct hwloc_topology *t, uint32_t workers, uint32_t pinning, uint32_t smt,
                                             heed_error *error);
HEED_LOCAL void topology_plan_free(topology_plan *plan);
/* Binds the calling thread to a worker's place. 0, or the errno for which it is not pinned. */
HEED_LOCAL int topology_bind(struct hwloc_topology *t, const topology_plan *plan, uint32_t worker);
/* Whether the plan can be had: binds the calling thread to every place in turn, and back. 0, or the first errno. */
HEED_LOCAL int topology_try(struct hwloc_topology *t, const topology_plan *plan);

/* ---- pool.c: threads ---- */

#define POOL_LANES_MAX 4096

typedef struct pool pool;

/* The pool's host service. Threads start at the first parallel work. threads 0 = one a core of the cpuset. The calling
 * thread is lane 0 and keeps its own affinity; the others are pinned. A child of fork() runs serially once its parent
 * has done parallel work. [any], pool_free [one] */
HEED_LOCAL pool *pool_new(uint32_t threads, uint32_t pinning, uint32_t smt, heed_error *error);
HEED_LOCAL void pool_free(pool *p);
HEED_LOCAL uint32_t pool_lanes(pool *p); /* with threads 0 the first call reads the topology */
HEED_LOCAL const heed_host *pool_host(pool *p);
/* How many lanes have run at least one tile so far. */
HEED_LOCAL uint32_t pool_ran(pool *p);
/* Binds the calling thread to lane 0's place: for a command's main thread, never for an application's. 0 or an errno.
 * These two not from inside a tile. */
HEED_LOCAL int pool_pin_caller(pool *p);
/* "not pinned: <reason>" if a worker could not be bound as planned (or none was to be), else NULL. */
HEED_LOCAL const char *pool_unpinned(pool *p, char *buffer, size_t n);

int cmd_topo(int argc, char **argv); /* cmd_topo.c: heed topo */

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
HEED_LOCAL int32_t spec_error(const spec *s, size_t at, heed_error *error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
HEED_LOCAL int32_t spec_int(const spec *s, const spec_node *n, const char *what, int64_t min, int64_t max, int64_t *out,
                            heed_error *error);
HEED_LOCAL int32_t spec_float(const spec *s, const spec_node *n, const char *what, double min, double max, double *out,
                              heed_error *error);
HEED_LOCAL int32_t spec_bool(const spec *s, const spec_node *n, const char *what, int64_t *out, heed_error *error);
/* The error "<what> takes <right>, not <the node>". */
HEED_LOCAL int32_t spec_takes(const spec *s, const spec_node *n, const char *what, const char *right,
                              heed_error *error);
/* The shortest text that reads back as the same finite number, in any locale. */
HEED_LOCAL void spec_number(char text[32], double f);
/* A tree in canonical spacing, "a(b=1, c)", "[a x5, b]"; malloc'ed, NULL if there is no memory. */
HEED_LOCAL char *spec_print_node(const spec_node *n);
/* A word of a spec inside a sentence: in quotes, and cut if it is endless. */
#define SPEC_QUOTE "\"%.48s%s\""
#define SPEC_QUOTED(word) (word), (strlen(word) > 48 ? "..." : "")

/* ---- resolve.c: tree to op ---- */

typedef struct resolved resolved;
struct resolved {
    const entry *entry;
    heed_value *value;   /* [params], defaults filled in */
    resolved **child;    /* [params], NULL where the param is no op or left out */
    heed_mask mask;      /* from the engine's keys causal, window, prefix, sinks */
    uint32_t fast;       /* from its key accuracy: a path that gives other bits may be chosen */
};

/* `kind` ("attention") completes a name without one; NULL: the id must be whole. NULL and a sentence with a caret under
 * the place for an unknown op, key or word, a wrong type, a value out of range, a mask kind that the op does not
 * honour. */
HEED_LOCAL resolved *resolve(const registry *r, const spec *s, const spec_node *n, const char *kind, heed_error *error);
HEED_LOCAL void resolve_free(resolved *op);
/* Canonical: the whole id, then what differs from defaults: params in table order, mask keys, accuracy. malloc'ed. */
HEED_LOCAL char *resolve_print(const resolved *op);

/* ---- bind.c ---- */

/* The tensors and sizes of one call while they are put together. Not to be moved: `tensor` may point at `repeated`. */
typedef struct binding_set {
    const entry *entry;
    const heed_tensor *tensor[PORT_MAX]; /* by port */
    int64_t axis[HEED_AXES];             /* -1: not known yet */
    const char *axis_port[HEED_AXES];    /* the port that fixed it, for errors */
    int64_t leading[HEED_MAX_RANK];      /* the sizes behind "..." */
    int n_leading;                       /* -1: not known yet */
    heed_tensor repeated[REPEATS_MAX];   /* views of inputs that repeat, with the call's sizes */
} binding_set;

HEED_LOCAL void bind_start(binding_set *set, const entry *e, const int64_t *known);
/* Binds tensors to the ports of one role; checks names, dtypes, ranks, sizes, strides, valid bytes (`with_data`), and
 * that no port is missing. */
HEED_LOCAL int32_t bind_role(binding_set *set, uint32_t role, const heed_binding *b, uint32_t n, int with_data,
                             heed_error *error);
/* The shape of an output, from what is bound. */
HEED_LOCAL int32_t bind_infer(const binding_set *set, uint32_t port, heed_tensor *tensor, heed_error *error);

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
HEED_LOCAL heed_instance *instance_make(heed_engine *engine, const resolved *op, const heed_opening *opening,
                                        heed_error *error);

HEED_LOCAL heed_open instance_opening(const heed_instance *i, const heed_tensor *const *weight, heed_sink *sink);

/* ---- arena.c: the workspace of a call, kept by the thread that calls ---- */

HEED_LOCAL void *arena_take(size_t bytes); /* 64-byte aligned, not zeroed; NULL if there is none */
HEED_LOCAL void arena_give(void *memory);

/* ---- weights.c: tensors that are in no file ---- */

HEED_LOCAL heed_weights *weights_new(heed_error *error); /* none yet */
/* One more of float32, zeroed; tensors found before may move. The name must be new. */
HEED_LOCAL heed_tensor *weights_add(heed_weights *w, const char *name, int32_t rank, const int64_t *dim,
                                    heed_error *error);

HEED_LOCAL uint64_t weights_checksum(const heed_weights *w); /* of all of them, those of a file too */

/* ---- sequence.c ---- */

/* What an instance remembers of a sequence, for the sizes of axes that are known. */
HEED_LOCAL int32_t sequence_measure(const heed_instance *i, const int64_t *axes, heed_state_size *size,
                                    heed_error *error);
/* Makes the pages that a call with n new tokens may write, and fills the view. The sequence's length stays. */
HEED_LOCAL int32_t sequence_prepare(heed_sequence *s, const heed_instance *i, const int64_t *axis, int64_t n,
                                    heed_error *error);
HEED_LOCAL const heed_state *sequence_view(const heed_sequence *s);
/* Whether an op that remembers may be fed a text in parts, as far as it says so itself. */
HEED_LOCAL int sequence_is_causal(const heed_instance *i);
HEED_LOCAL void sequence_advance(heed_sequence *s, int64_t n);

/* ---- the engine ---- */

struct heed_engine {
    registry registry;
    uint64_t features; /* after the mask */
    char isa[16];      /* the path that was asked for; "" = none */
    const heed_host *host;
    pool *pool;        /* NULL with an application's own host */
    uint32_t lanes;    /* of an application's own host */
    heed_instance *_Atomic merge; /* merge/attention, once it has been asked for */
};

#endif
