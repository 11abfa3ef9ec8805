/* SPDX-License-Identifier: MIT
 *
 * heed/abi/base.h: what every other header of the contract stands on: versions, error codes, growth.
 *
 * Law of growth: every struct starts with `uint32_t size`, set by whoever fills it; fields are only ever appended; a
 * reader touches a field that was not in 0.1 through HEED_HAS alone; arrays between binaries have a stride
 * (heed_table). No enum, bool, long, size_t, bit-field or varargs stands in a struct.
 *
 * Thread tags used in these headers:
 *   [open]    one thread at a time for one instance, while it is opened or closed
 *   [any]     any thread, any number at once
 *   [lane]    called inside parallel_for, on one lane
 */
#ifndef HEED_ABI_BASE_H
#define HEED_ABI_BASE_H

#include <stddef.h>
#include <stdint.h>

/* The version of the contract that these headers state. 0.x changes freely until a tag says 1.0. */
#define HEED_ABI_MAJOR 0
#define HEED_ABI_MINOR 1
#define HEED_ABI_VERSION ((uint32_t)HEED_ABI_MAJOR << 16 | HEED_ABI_MINOR)

/* True if the struct that p points at was written by a side that knew `field`. */
#define HEED_HAS(p, field) ((p)->size >= offsetof(__typeof__(*(p)), field) + sizeof((p)->field))

/* Results: 0 or one of these, always with a sentence in the call's sink. */
#define HEED_OK 0
#define HEED_E_ARGUMENT (-1)    /* a param or argument is wrong                    */
#define HEED_E_SHAPE (-2)       /* tensors do not bind                             */
#define HEED_E_UNSUPPORTED (-3) /* right in itself, but not offered here           */
#define HEED_E_MEMORY (-4)      /* an allocation failed; nothing was changed       */
#define HEED_E_ABI (-5)         /* the two sides speak no common version           */
#define HEED_E_DATA (-6)        /* a file, plugin or state is not what it says     */
#define HEED_E_CANCELLED (-7)   /* host->cancelled said so                         */
#define HEED_E_SYSTEM (-8)      /* the operating system refused                    */

/* An array that crosses the boundary: element i is at data + i * stride. */
typedef struct heed_table {
    const void *data;
    uint32_t count;
    uint32_t stride;
} heed_table;

/* Where an error's sentence goes. The caller owns the text; a writer never passes `capacity`, NUL included. */
typedef struct heed_sink {
    uint32_t size;
    uint32_t capacity;
    char *text;
} heed_sink;

#endif
