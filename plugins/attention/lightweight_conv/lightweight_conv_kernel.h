/* SPDX-License-Identifier: MIT
 *
 * attention/lightweight_conv, the maths: kit/conv.h with one table of taps, normalised when the
 * instance is made.
 */
#include <heed/kit.h>
#include <heed/kit/conv/conv.h>

#ifdef KIT_FIRST
enum { W = CONV_PORT_COUNT };
typedef struct lightweight_conv {
    int64_t K;
    const float *offset; /* [H][E padded], or NULL */
    float table[] __attribute__((aligned(64))); /* taps [K][H padded], then the offset */
} lightweight_conv;

static kit_conv conv_begin(const lightweight_conv *self, const heed_call *call)
{
    kit_conv c = kit_conv_call(call, self->offset);
    c.table = self->table;
    return c;
}
#endif

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const lightweight_conv *self = instance;
    kit_conv c = conv_begin(self, call);
    const int32_t failed = kit_conv_setup(&c, self->K);
    return failed ? failed : KIT(conv_run)(&c);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
