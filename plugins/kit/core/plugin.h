/* SPDX-License-Identifier: MIT
 *
 * heed/kit/core/plugin.h: what the tables and the glue of a plugin use: writing tables, failing
 * with a sentence, walking tensors. Nothing here depends on the path.
 */
#ifndef HEED_KIT_PLUGIN_H
#define HEED_KIT_PLUGIN_H
#include <heed/kit/core/base.h>

#define KIT_COUNT(array) ((uint32_t)(sizeof(array) / sizeof *(array)))
#define KIT_TABLE(array) {array, KIT_COUNT(array), sizeof *(array)}
#define KIT_FLOATS (HEED_BIT(HEED_F32) | HEED_BIT(HEED_F16) | HEED_BIT(HEED_BF16))

/* Rows of the tables of ports and params. */
#define KIT_IN(name, axes, doc)                                                                    \
    {                                                                                              \
        sizeof(heed_port), HEED_INPUT, 0, KIT_FLOATS, 0, 0, name, axes, doc                        \
    }
#define KIT_IN_OPTIONAL(name, axes, doc)                                                           \
    {                                                                                              \
        sizeof(heed_port), HEED_INPUT, HEED_PORT_OPTIONAL, KIT_FLOATS, 0, 0, name, axes, doc       \
    }
#define KIT_IN_REPEATS(name, axes, doc)                                                            \
    {                                                                                              \
        sizeof(heed_port), HEED_INPUT, HEED_PORT_OPTIONAL | HEED_PORT_REPEATS, KIT_FLOATS, 0, 0,   \
            name, axes, doc                                                                        \
    }
#define KIT_IN_INDEX(name, axes, flags, doc)                                                       \
    {                                                                                              \
        sizeof(heed_port), HEED_INPUT, flags, HEED_BIT(HEED_I64) | HEED_BIT(HEED_I32), 0, 0, name, \
            axes, doc                                                                              \
    }
#define KIT_OUT(name, axes, doc)                                                                   \
    {                                                                                              \
        sizeof(heed_port), HEED_OUTPUT, 0, KIT_FLOATS, 0, 0, name, axes, doc                       \
    }
#define KIT_OUT_OPTIONAL(name, axes, dtypes, doc)                                                  \
    {                                                                                              \
        sizeof(heed_port), HEED_OUTPUT, HEED_PORT_OPTIONAL, dtypes, 0, 0, name, axes, doc          \
    }
#define KIT_OUT_OF(name, axes, dtypes, doc)                                                        \
    {                                                                                              \
        sizeof(heed_port), HEED_OUTPUT, 0, dtypes, 0, 0, name, axes, doc                           \
    }
#define KIT_OUT_IN_PLACE(name, axes, doc)                                                          \
    {                                                                                              \
        sizeof(heed_port), HEED_OUTPUT, HEED_PORT_IN_PLACE, KIT_FLOATS, 0, 0, name, axes, doc      \
    }
#define KIT_OUT_OPTIONAL_IN_PLACE(name, axes, doc)                                                 \
    {                                                                                              \
        sizeof(heed_port), HEED_OUTPUT, HEED_PORT_OPTIONAL | HEED_PORT_IN_PLACE, KIT_FLOATS, 0, 0, \
            name, axes, doc                                                                        \
    }
#define KIT_WEIGHT(name, axes, init, doc)                                                          \
    {                                                                                              \
        sizeof(heed_port), HEED_WEIGHT, 0, KIT_FLOATS, HEED_SCOPE_LAYER, init, name, axes, doc     \
    }
/* A matrix that may be in blocks (kit/core/blocks.h). */
#define KIT_MATRIX(name, axes, init, doc)                                                          \
    {                                                                                              \
        sizeof(heed_port), HEED_WEIGHT, 0, KIT_FLOATS | HEED_BIT(HEED_Q8_0) | HEED_BIT(HEED_Q4_0), \
            HEED_SCOPE_LAYER, init, name, axes, doc                                                \
    }
#define KIT_WEIGHT_OPTIONAL(name, axes, init, doc)                                                 \
    {                                                                                              \
        sizeof(heed_port), HEED_WEIGHT, HEED_PORT_OPTIONAL, KIT_FLOATS, HEED_SCOPE_LAYER, init,    \
            name, axes, doc                                                                        \
    }

#define KIT_INT(key, standard, min, max, doc)                                                      \
    {                                                                                              \
        sizeof(heed_param), HEED_PARAM_INT, 0, 0, min, max, standard, key, NULL, doc               \
    }
#define KIT_INT_AXIS(key, standard, axis, min, max, doc)                                           \
    {                                                                                              \
        sizeof(heed_param), HEED_PARAM_INT, 0, axis, min, max, standard, key, NULL, doc            \
    }
#define KIT_INT_AUTO(key, axis, min, max, doc)                                                     \
    {                                                                                              \
        sizeof(heed_param), HEED_PARAM_INT, HEED_PARAM_AUTO, axis, min, max, 0, key, NULL, doc     \
    }
#define KIT_INT_REQUIRED(key, axis, min, max, doc)                                                 \
    {                                                                                              \
        sizeof(heed_param), HEED_PARAM_INT, HEED_PARAM_REQUIRED, axis, min, max, 0, key, NULL, doc \
    }
#define KIT_FLOAT(key, standard, min, max, doc)                                                    \
    {                                                                                              \
        sizeof(heed_param), HEED_PARAM_FLOAT, 0, 0, min, max, standard, key, NULL, doc             \
    }
#define KIT_FLOAT_AUTO(key, min, max, doc)                                                         \
    {                                                                                              \
        sizeof(heed_param), HEED_PARAM_FLOAT, HEED_PARAM_AUTO, 0, min, max, 0, key, NULL, doc      \
    }
#define KIT_FLOAT_RUNTIME(key, standard, min, max, doc)                                            \
    {                                                                                              \
        sizeof(heed_param), HEED_PARAM_FLOAT, HEED_PARAM_RUNTIME, 0, min, max, standard, key,      \
            NULL, doc                                                                              \
    }
#define KIT_BOOL(key, standard, doc)                                                               \
    {                                                                                              \
        sizeof(heed_param), HEED_PARAM_BOOL, 0, 0, 0, 1, standard, key, NULL, doc                  \
    }
#define KIT_CHOICE(key, standard, choices, doc)                                                    \
    {                                                                                              \
        sizeof(heed_param), HEED_PARAM_CHOICE, 0, 0, 0, 0, standard, key, choices, doc             \
    }
#define KIT_CHOICE_COUPLES(key, standard, choices, doc)                                            \
    {                                                                                              \
        sizeof(heed_param), HEED_PARAM_CHOICE, HEED_PARAM_COUPLES, 0, 0, 0, standard, key,         \
            choices, doc                                                                           \
    }
#define KIT_OP(key, kind, doc)                                                                     \
    {                                                                                              \
        sizeof(heed_param), HEED_PARAM_OP, HEED_PARAM_AUTO, 0, 0, 0, 0, key, kind, doc             \
    }

/* The paths of this architecture, for functions named by KIT(). `extension` may be NULL. */
#if defined __x86_64__
#define KIT_EACH_PATH(row)                                                                         \
    row(scalar, 0), row(avx2, HEED_CPU_AVX2), row(avx512, HEED_CPU_AVX2 | HEED_CPU_AVX512)
#elif defined __aarch64__
#define KIT_EACH_PATH(row) row(scalar, 0), row(neon, HEED_CPU_NEON)
#else
#define KIT_EACH_PATH(row) row(scalar, 0)
#endif
#define KIT_FORWARD_ROW_(path, needs) {sizeof(heed_path), 0, needs, #path, forward_##path, NULL}
#define KIT_EXTENSION_ROW_(path, needs) {sizeof(heed_path), 0, needs, #path, NULL, extension_##path}
#define KIT_BOTH_ROW_(path, needs)                                                                 \
    {                                                                                              \
        sizeof(heed_path), 0, needs, #path, forward_##path, extension_##path                       \
    }
#define KIT_PATHS_FORWARD KIT_EACH_PATH(KIT_FORWARD_ROW_)     /* functions forward_<path>   */
#define KIT_PATHS_EXTENSION KIT_EACH_PATH(KIT_EXTENSION_ROW_) /* functions extension_<path> */
#define KIT_PATHS_BOTH KIT_EACH_PATH(KIT_BOTH_ROW_)

/* An op's get_extension that has heed.cost/1 and nothing else, from its cost function. */
#define KIT_COST(name, function)                                                                   \
    static const void *name(const char *id)                                                        \
    {                                                                                              \
        static const heed_coster coster = {sizeof coster, 0, function};                            \
        return strcmp(id, HEED_COST_ID) == 0 ? &coster : NULL;                                     \
    }

/* The entry of a plugin: KIT_PLUGIN("name", "MIT", table of heed_op) */
#define KIT_PLUGIN(plugin_name, plugin_licence, ops_table)                                         \
    __attribute__((visibility("default"))) int32_t heed_plugin_v0(const heed_offer *offer,         \
                                                                  heed_reply *reply);              \
    int32_t heed_plugin_v0(const heed_offer *offer, heed_reply *reply)                             \
    {                                                                                              \
        if (HEED_ABI_VERSION < offer->abi_min || HEED_ABI_VERSION > offer->abi_max)                \
            return HEED_E_ABI;                                                                     \
        reply->abi = HEED_ABI_VERSION;                                                             \
        reply->name = plugin_name;                                                                 \
        reply->licence = plugin_licence;                                                           \
        reply->ops = (heed_table)KIT_TABLE(ops_table);                                             \
        return HEED_OK;                                                                            \
    }

/* Writes the sentence, returns the code. */
__attribute__((format(printf, 3, 4), unused)) static int32_t
kit_fail(const heed_sink *sink, int32_t code, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    if (sink && sink->capacity) vsnprintf(sink->text, sink->capacity, format, list);
    va_end(list);
    return code;
}

/* Refuses a position op, the child of that param, which does not act on scores. */
static __attribute__((unused)) int32_t kit_score_child(const heed_open *open, int param)
{
    const heed_child *child = &open->child[param];
    if (!child->op || (child->path->get_extension && child->path->get_extension(HEED_SCORE_ID)))
        return HEED_OK;
    return kit_fail(open->sink, HEED_E_UNSUPPORTED,
                    "position=%s does not act on scores; a stack applies it elsewhere",
                    child->op->id);
}

/* The measure and init of an op whose instance holds nothing. */
static __attribute__((unused)) int32_t kit_no_measure(const heed_open *open, uint64_t *bytes)
{
    (void)open;
    *bytes = 0;
    return HEED_OK;
}
static __attribute__((unused)) int32_t kit_no_init(void *memory, const heed_open *open)
{
    (void)memory, (void)open;
    return HEED_OK;
}

/* How many keys, from the first on, query t sees in a call without a state, for an op that honours
 * CAUSAL alone. */
KIT_INLINE int64_t kit_causal(const heed_call *call, int64_t t)
{
    const int64_t S = HEED_AXIS(call->axis, 'S'), T = HEED_AXIS(call->axis, 'T');
    const heed_mask *m = call->mask;
    const int64_t at = t + (m->align == HEED_ALIGN_BOTTOM_RIGHT ? S - T
                            : m->align == HEED_ALIGN_OFFSET     ? m->offset
                                                                : 0);
    return !(m->kinds & HEED_MASK_CAUSAL) || at >= S ? S : at < 0 ? 0 : at + 1;
}

/* Bytes of one element. */
KIT_INLINE int64_t kit_width(uint32_t dtype)
{
    return dtype == HEED_F32 || dtype == HEED_I32   ? 4
           : dtype == HEED_I64 || dtype == HEED_F64 ? 8
           : dtype == HEED_I8 || dtype == HEED_U8   ? 1
                                                    : 2;
}

/* n rounded up to whole vectors of 16, or to 64-byte lines. */
KIT_INLINE int64_t kit_lanes(int64_t n) { return (n + 15) & ~(int64_t)15; }
KIT_INLINE uint64_t kit_line(uint64_t bytes) { return (bytes + 63) & ~(uint64_t)63; }

/* Address of the element at `index` of the leading axes. */
KIT_INLINE char *kit_at(const heed_tensor *t, const int64_t *index, int n)
{
    int64_t offset = 0;
    for (int i = 0; i < n; i++) offset += index[i] * t->stride[i];
    return (char *)t->data + offset * kit_width(t->dtype);
}

/* Rows of a tensor [..., M]: how many, and where row r is. */
KIT_INLINE int64_t kit_rows(const heed_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank - 1; i++) n *= t->dim[i];
    return n;
}
KIT_INLINE char *kit_row(const heed_tensor *t, int64_t row)
{
    int64_t offset = 0;
    for (int i = t->rank - 2; i > 0; i--) {
        offset += row % t->dim[i] * t->stride[i];
        row /= t->dim[i];
    }
    if (t->rank > 1) offset += row * t->stride[0];
    return (char *)t->data + offset * kit_width(t->dtype);
}

/* Rows of float32 with unit stride: kernels read and write them where they are. */
KIT_INLINE int kit_is_plain(const heed_tensor *t)
{
    return t->dtype == HEED_F32 && t->stride[t->rank - 1] == 1;
}

/* Whether rows of an output go around the caches: of so many bytes, the first are in no cache any
 * more when the last are written. By the output's size alone, whatever the machine; no bit depends
 * on it. */
#define KIT_STREAM_BYTES ((int64_t)16 << 20)
#define KIT_PIECE 512 /* floats that are computed before they are written */
KIT_INLINE int kit_streams(const heed_tensor *t)
{
    return kit_is_plain(t) &&
           kit_rows(t) * t->dim[t->rank - 1] * (int64_t)sizeof(float) >= KIT_STREAM_BYTES;
}

/* Floats since the last 64-byte line began. */
KIT_INLINE int64_t kit_past_line(const void *p)
{
    return (int64_t)((uintptr_t)p / sizeof(float) % 16);
}

/* Asks for what is read soon, into the second-level cache. */
KIT_INLINE void kit_prefetch(const char *p, int64_t bytes)
{
    for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(p + b, 0, 2);
}

/* Address of element i, counted over all axes. */
KIT_INLINE char *kit_element(const heed_tensor *t, int64_t i)
{
    int64_t offset = 0;
    for (int a = t->rank - 1; a >= 0; a--) {
        offset += i % t->dim[a] * t->stride[a];
        i /= t->dim[a];
    }
    return (char *)t->data + offset * kit_width(t->dtype);
}

/* One integer of an index tensor. */
KIT_INLINE int64_t kit_index(const heed_tensor *t, const char *at)
{
    return t->dtype == HEED_I64 ? *(const int64_t *)at : *(const int32_t *)at;
}

#endif
