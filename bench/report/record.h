/* SPDX-License-Identifier: MIT
 *
 * record.h: records read and checked.
 */
#ifndef HEED_BENCH_RECORD_H
#define HEED_BENCH_RECORD_H

#include <jansson.h>

#include "base/local.h"

#define RECORD_FILES 26 /* they are called A to Z */

/* A line of the table. Texts belong to the records. NAN, NULL = not told. */
typedef struct record_row {
    uint32_t file, index;     /* index: in the order read */
    uint32_t group;           /* index of the first row with the same spec, shape and dtype */
    /* of a peer: heed's row that it was measured beside; else its own index */
    uint32_t owner;
    const char *spec, *shape, *dtype, *path;
    int64_t threads;
    double seconds, spread, fraction, instructions;
    int noisy;
    const char *limit, *hash; /* hash NULL: there is none, or it need not agree */
} record_row;

/* Starts with nothing but `error`; whoever adds to paths and files calls record_free. */
typedef struct record_set {
    const char *paths[RECORD_FILES];
    json_t *records[RECORD_FILES];
    uint32_t files, n_rows;
    record_row *rows;
    heed_error *error;
} record_set;

/* Reads the file, and appends its rows. */
int32_t record_read(record_set *all, uint32_t file);
void record_free(record_set *all);

#endif
