/* SPDX-License-Identifier: MIT
 *
 * heed/abi/op.h: how a plugin describes its operators, as data, and the one function that it exports.
 *
 * Everything that can be told without running is in tables: ports, params, paths. The engine vets and copies them,
 * and prints `heed list`, `heed describe`, validation and errors from them.
 */
#ifndef HEED_ABI_OP_H
#define HEED_ABI_OP_H

#include "call.h"

/* ---- ports: the tensors of an op ---- */

#define HEED_INPUT 0u
#define HEED_WEIGHT 1u
#define HEED_OUTPUT 2u

#define HEED_PORT_OPTIONAL 1u /* may be absent: its tensor is then NULL */
#define HEED_PORT_IN_PLACE 2u /* an output that may be the same memory as the first input with its axes */
#define HEED_PORT_REPEATS 4u  /* an input whose axes of size 1 stand for any size: they arrive with that and stride 0.
                               * It has no "...", and its axes are those of inputs that are neither optional nor such */

#define HEED_SCOPE_LAYER 0u /* a weight of one instance */
#define HEED_SCOPE_STACK 1u /* one tensor that the instances of all layers share, but those that have their own */

#define HEED_INIT_NORMAL 0u /* N(0, 1/fan-in), fan-in = its last axis */
#define HEED_INIT_ZEROS 1u
#define HEED_INIT_ONES 2u

/* Axes are single capital letters separated by blanks, "B T H D": the same letter is the same size in
 * every port of a call. "..." in front stands for any number of leading axes, the same in every port
 * that has it. The letters mean the same everywhere, B a batch, T queries, S keys: axes.h has them all.
 * A letter that is not there is an op's own, and named by the param that fixes it. Every axis of an
 * output occurs in an input, a weight or a param. */
typedef struct heed_port {
    uint32_t size;
    uint32_t role;   /* HEED_INPUT, HEED_WEIGHT, HEED_OUTPUT */
    uint32_t flags;  /* HEED_PORT_* */
    uint32_t dtypes; /* set of HEED_BIT(dtype); the lowest is what the engine makes an output of */
    uint32_t scope;  /* HEED_SCOPE_*, weights only */
    uint32_t init;   /* HEED_INIT_*, weights only */
    const char *name;
    const char *axes;
    const char *doc;
} heed_port;

/* ---- params: the settings of an op ---- */

#define HEED_PARAM_INT 0u
#define HEED_PARAM_FLOAT 1u
#define HEED_PARAM_BOOL 2u
#define HEED_PARAM_CHOICE 3u /* one word of `choices`; value.i is its index */
#define HEED_PARAM_OP 4u     /* another op, of the kind named by `choices` ("position"); arrives as a child */

#define HEED_PARAM_AUTO 1u     /* no default value: left alone, value.given is 0 and the op decides; doc says how */
#define HEED_PARAM_REQUIRED 2u /* must be given */
#define HEED_PARAM_RUNTIME 4u  /* may differ from call to call; arrives in heed_call.value */
#define HEED_PARAM_COUPLES 8u  /* with another value than the default, rows of a batch depend on one another */

typedef struct heed_param {
    uint32_t size;
    uint32_t type;
    uint32_t flags;
    uint32_t axis;       /* a capital letter: the param fixes the size of that axis; or 0 */
    double min, max;     /* of INT and FLOAT, both allowed */
    double standard;     /* the default: a number, 0 or 1, or the index of a choice */
    const char *key;
    const char *choices; /* "interleaved|half" */
    const char *doc;
} heed_param;

/* ---- paths: the compiled forms of an op ---- */

/* Feature bits of a CPU. A path runs where all its bits are present and the user has not masked them. */
#define HEED_CPU_AVX2 1u     /* x86-64-v3: AVX2, FMA, F16C, BMI, and the OS saves ymm */
#define HEED_CPU_AVX512 2u   /* x86-64-v4: AVX-512 F, BW, CD, DQ, VL, and the OS saves zmm */
#define HEED_CPU_NEON 4u     /* Armv8-A Advanced SIMD */
#define HEED_CPU_AVX512_BF16 8u
#define HEED_CPU_SVE 16u
#define HEED_CPU_NEON_BF16 32u /* Armv8.6-A bfloat16: bfdot, bfcvt */

#define HEED_PATH_INEXACT 1u /* gives other bits than the rest: chosen only by its name, or by accuracy=fast */

typedef struct heed_path {
    uint32_t size;
    uint32_t flags;   /* HEED_PATH_* */
    uint64_t needs;   /* set of HEED_CPU_*; 0 runs everywhere */
    const char *name; /* "scalar", "avx2", "avx512", "neon" */

    /* Computes every output of the call, or fails and says why in call->sink. NULL for an op that is only used through
     * an extension. Allocates nothing, keeps nothing. [any] */
    int32_t (*forward)(const void *instance, const heed_call *call);

    /* The extension of that id on this path ("heed.score/1"), in static storage, or NULL. [any] */
    const void *(*get_extension)(const char *id);
} heed_path;

/* ---- the operator ---- */

/* Where a position op acts. An attention whose own scores go by positions has HEED_ACTS_SCORES. */
#define HEED_ACTS_NOWHERE 0u /* it is no position op */
#define HEED_ACTS_INPUT 1u   /* x + p, before the first layer */
#define HEED_ACTS_QK 2u      /* on queries and keys of every layer */
#define HEED_ACTS_SCORES 3u  /* on score tiles, through heed.score/1 */

typedef struct heed_op {
    uint32_t size;
    uint32_t acts;         /* HEED_ACTS_* */
    uint32_t masks;        /* set of HEED_MASK_*: the kinds it honours */
    uint32_t reserved;
    const char *id;        /* "attention/softmax": kind/name, [a-z0-9_] */
    const char *version;   /* of the algorithm: "1.0" */
    const char *summary;   /* one line */
    const char *formula;   /* plain text */
    const char *reference; /* "arXiv 1706.03762, section 3.2.1" */
    heed_table ports;      /* of heed_port  */
    heed_table params;     /* of heed_param */
    heed_table paths;      /* of heed_path, slowest first: the last that runs here is chosen, if it is not INEXACT */

    /* Bytes of one instance, for these params and weight shapes (weights' data may be NULL). Relations that the
     * engine can not see (G divides H) are checked here and in measure_call. [any] */
    int32_t (*measure)(const heed_open *open, uint64_t *bytes);

    /* Builds the instance in `memory` (64-byte aligned, zeroed, of the measured size). The weights may be kept by
     * pointer: they outlive the instance. Afterwards the instance never changes. [open] */
    int32_t (*init)(void *memory, const heed_open *open);

    /* Ends an instance; NULL if there is nothing to do. The engine frees the memory. [open] */
    void (*fini)(void *memory);

    /* What a call of these shapes needs (tensors' data may be NULL); NULL: nothing. [any] */
    int32_t (*measure_call)(const void *instance, const heed_call *call, heed_call_size *size);

    /* The state for these axes; NULL: the op has none. [any] */
    int32_t (*measure_state)(const void *instance, const int64_t *axis, heed_state_size *size);

    /* An extension that does not depend on the path ("heed.cost/1"), or NULL. May itself be NULL. [any] */
    const void *(*get_extension)(const char *id);
} heed_op;

/* ---- the entry ---- */

typedef struct heed_offer {
    uint32_t size;
    uint32_t abi_min, abi_max; /* versions that the host speaks, HEED_ABI_VERSION of its headers the highest */
    uint32_t reserved;
    const heed_host *host; /* during this call; an instance's own host comes with heed_open */
} heed_offer;

typedef struct heed_reply {
    uint32_t size; /* set by the host: how much it can read */
    uint32_t abi;  /* the version that the plugin chose, within the offer */
    const char *name;
    const char *licence; /* SPDX: "MIT" */
    heed_table ops;      /* of heed_op; everything reachable from it in static storage */
} heed_reply;

/* The one exported symbol of a plugin. Pure and idempotent. Returns HEED_OK, or HEED_E_ABI if the offer has no version
 * that it speaks. [any] */
typedef int32_t heed_plugin_fn(const heed_offer *offer, heed_reply *reply);
#define HEED_ENTRY_NAME "heed_plugin_v0"

#endif
