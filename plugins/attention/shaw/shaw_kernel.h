/* SPDX-License-Identifier: MIT
 *
 * attention/shaw, the maths: kit/flash/flash.h with a table of keys and one of values by distance
 * (kit/flash/relative.h and flash/relative_values.h), which clip where the tables end.
 */
#include <heed/kit.h>
#include <heed/kit/flash/type.h>

#ifdef KIT_FIRST
typedef struct shaw {
    kit_flash_table keys, values; /* of distances from -k to k; values perhaps without numbers */
    float room[] __attribute__((aligned(64)));
} shaw;
#endif
#define SHAW(f) ((const shaw *)(f)->variant)
#define FLASH_RELATIVE(f) &SHAW(f)->keys
#define FLASH_RELATIVE_VALUES(f) &SHAW(f)->values
#include <heed/kit/flash/flash.h>
#include <heed/kit/flash/partial.h>

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(flash_forward)(instance, call);
}

/* ---- backward ---- */

#include <heed/kit/flash/relative_backward.h>

#ifdef KIT_FIRST
enum { RELATIVE_KEYS = FLASH_PORT_COUNT, RELATIVE_VALUES };

/* Tables and sums lie behind what every backward has in the workspace. */
static uint64_t shaw_place(kit_flash *f, kit_flash_back_relative *r)
{
    const shaw *self = f->variant;
    char *room = f->call->workspace;
    *r = (kit_flash_back_relative){.keys = &self->keys,
                                   .values = self->values.rows ? &self->values : NULL,
                                   .heads = 1,
                                   .lines = self->keys.entries};
    f->per_head = 1;
    const uint64_t before = kit_flash_back_workspace(f);
    const int64_t floats =
        kit_flash_back_relative_place(f, r, room ? (float *)(void *)(room + before) : NULL);
    return before + sizeof(float) * (uint64_t)floats;
}

static int32_t measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    kit_flash f = kit_flash_call(instance, g->call);
    kit_flash_back_relative r;
    size->workspace = shaw_place(&f, &r);
    size->scratch = kit_flash_back_relative_scratch(&f);
    return HEED_OK;
}
#endif

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    kit_flash_backward w = KIT(flash_backward_call)(instance, g);
    kit_flash_back_relative r;
    shaw_place(&w.f, &r);
    w.relative = &r;
    int32_t failed = kit_flash_back_child(g, FLASH_POSITION);
    if (!failed) failed = kit_flash_setup(&w.f);
    if (!failed) failed = KIT(flash_back_relative_run)(&w);
    if (!failed) failed = KIT(flash_backward_sinks)(&w, g);
    if (failed) return failed;
    KIT(flash_back_table)(g->gradient[RELATIVE_KEYS], r.sum, r.width, w.f.scale, 1);
    KIT(flash_back_table)(g->gradient[RELATIVE_VALUES], r.value_sum, r.value_width, 1, 1);
    return HEED_OK;
}

static const void *KIT(extension)(const char *id)
{
    static const heed_grad grad = {sizeof grad,
                                   HEED_GRAD_INNER,
                                   KIT_FLASH_GIVES | KIT_PORT(RELATIVE_KEYS) |
                                       KIT_PORT(RELATIVE_VALUES),
                                   KIT_FLASH_TAKES,
                                   KIT_FLASH_TAKES,
                                   0,
                                   measure_backward,
                                   KIT(backward)};
    static const heed_partial partial = KIT_FLASH_PARTIAL;
    return strcmp(id, HEED_GRAD_ID) == 0      ? (const void *)&grad
           : strcmp(id, HEED_PARTIAL_ID) == 0 ? (const void *)&partial
                                              : NULL;
}
#undef SHAW

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
