/* SPDX-License-Identifier: MIT
 *
 * tensors.c: numbers for tests, and tensors in awkward places.
 */
#include "call.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <heed/kit/core/half.h>

uint64_t harness_random(uint64_t *seed) /* splitmix64 */
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* The sum of twelve uniform numbers, which is as good as normal here and, in integers, the same on every machine. */
float harness_normal(uint64_t *seed)
{
    int64_t sum = -6 * ((int64_t)1 << 20);
    for (int i = 0; i < 4; i++) {
        uint64_t r = harness_random(seed);
        sum += (int64_t)(r & 0xfffff) + (int64_t)(r >> 20 & 0xfffff) + (int64_t)(r >> 40 & 0xfffff);
    }
    return (float)((double)sum * 0x1p-20);
}

double tensor_get(const heed_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case HEED_F32: return ((float *)t->data)[i];
    case HEED_F16: return kit_from_f16(((uint16_t *)t->data)[i]);
    case HEED_BF16: return kit_from_bf16(((uint16_t *)t->data)[i]);
    case HEED_I64: return (double)((int64_t *)t->data)[i];
    default: return ((int32_t *)t->data)[i];
    }
}

void tensor_put(const heed_tensor *t, int64_t i, double value)
{
    switch (t->dtype) {
    case HEED_F32: ((float *)t->data)[i] = (float)value; return;
    case HEED_F16: ((uint16_t *)t->data)[i] = kit_to_f16((float)value); return;
    case HEED_BF16: ((uint16_t *)t->data)[i] = kit_to_bf16((float)value); return;
    case HEED_I64: ((int64_t *)t->data)[i] = (int64_t)value; return;
    default: ((int32_t *)t->data)[i] = (int32_t)value;
    }
}

/* ---- awkward places ---- */

#define BEFORE 0x5a /* all bytes of new memory */

placed place(const heed_tensor *shape, int layout)
{
    placed p = {.view = *shape};
    int64_t stride = layout == STRIDED ? 3 : 1, width = heed_dtype_bytes(shape->dtype);
    for (int i = shape->rank - 1; i >= 0; i--) {
        p.view.stride[i] = stride;
        stride *= shape->dim[i] > 0 ? shape->dim[i] : 1;
        if (layout == STRIDED) stride += 5 + i;
    }
    int64_t last = 0, empty = 0;
    for (int i = 0; i < shape->rank; i++) {
        last += (shape->dim[i] - 1) * p.view.stride[i];
        empty |= shape->dim[i] == 0;
    }
    size_t bytes = empty ? 0 : (size_t)((last + 1) * width), page = (size_t)sysconf(_SC_PAGESIZE);
    p.map_bytes = (bytes + 64 + page - 1) / page * page + 2 * page;
    p.map = mmap(NULL, p.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p.map == MAP_FAILED) harness_fail("no memory");
    p.inside = (unsigned char *)p.map + page;
    p.inside_bytes = p.map_bytes - 2 * page;
    /* qemu's AVX2 masked loads read all lanes: a run on it says HEED_TEST_GUARD=no */
    if (!getenv("HEED_TEST_GUARD")) {
        mprotect(p.map, page, PROT_NONE);
        mprotect(p.inside + p.inside_bytes, page, PROT_NONE);
    }
    memset(p.inside, BEFORE, p.inside_bytes);
    size_t end = p.inside_bytes - bytes;
    if (layout != SHIFTED)
        end &= ~(size_t)63; /* aligned; else the last element touches the page that can not be read */
    p.view.data = p.inside + end;
    p.view.bytes = bytes;
    return p;
}

void unplace(placed *p) { munmap(p->map, p->map_bytes); }

char *tensor_at(const heed_tensor *t, int64_t i)
{
    int64_t offset = 0;
    for (int a = t->rank - 1; a >= 0; i /= t->dim[a--]) offset += i % t->dim[a] * t->stride[a];
    return (char *)t->data + offset * heed_dtype_bytes(t->dtype);
}

int placed_untouched(const heed_tensor *t, int64_t i)
{
    const unsigned char *at = (unsigned char *)tensor_at(t, i);
    for (uint32_t b = 0; b < heed_dtype_bytes(t->dtype); b++)
        if (at[b] != BEFORE) return 0;
    return 1;
}

int64_t placed_stray(placed *p)
{
    for (int64_t i = 0; i < heed_tensor_elements(&p->view); i++)
        memset(tensor_at(&p->view, i), BEFORE, heed_dtype_bytes(p->view.dtype));
    for (size_t i = 0; i < p->inside_bytes; i++)
        if (p->inside[i] != BEFORE) return (int64_t)i;
    return -1;
}

heed_tensor tensor_slice(const heed_tensor *t, int axis, int64_t from, int64_t n)
{
    heed_tensor s = *t;
    uint64_t offset = (uint64_t)(from * t->stride[axis]) * heed_dtype_bytes(t->dtype);
    s.dim[axis] = n;
    s.data = (char *)t->data + offset;
    s.bytes = offset < t->bytes ? t->bytes - offset : 0;
    return s;
}

void tensor_copy(const heed_tensor *to, const heed_tensor *from)
{
    int64_t n = heed_tensor_elements(from), width = heed_dtype_bytes(from->dtype);
    for (int64_t i = 0; i < n; i++) {
        int64_t rest = i, a = 0, b = 0;
        for (int d = from->rank - 1; d >= 0; d--) {
            a += rest % from->dim[d] * to->stride[d];
            b += rest % from->dim[d] * from->stride[d];
            rest /= from->dim[d];
        }
        memcpy((char *)to->data + a * width, (char *)from->data + b * width, (size_t)width);
    }
}
