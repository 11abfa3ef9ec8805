/* SPDX-License-Identifier: MIT
 *
 * describe.h: the two halves of heed describe.
 */
#ifndef HEED_COMMAND_DESCRIBE_H
#define HEED_COMMAND_DESCRIBE_H

#include "command/shape.h"

/* What of a network is asked for. */
typedef struct network_request {
    heed_options options;
    const char *path, *spec; /* of a file, of a spec (path NULL), or of both */
    const call_shape *shape; /* NULL, or what it costs to read so many tokens too */
    const char *save;        /* NULL, or where the weights go that a spec has by chance */
    int64_t seed;            /* of these */
    int json;
} network_request;

/* The parts of a network. The exit status. */
int describe_network(const network_request *request);

/* Networks side by side while they read: specs, with weights of chance, or files. */
#define PROBE_NETWORKS 7
typedef struct probe_request {
    heed_options options;
    const char *const *word;
    uint32_t count;
    const call_shape *shape; /* NULL, or how many tokens they read */
    const char *svg;         /* NULL, or where a picture goes */
    int64_t seed;
    int json;
} probe_request;
int describe_probe(const probe_request *request);

/* Of weights that are a checkpoint's; nothing, or null, of others. */
struct json_t;
void describe_checkpoint(const heed_weights *w);
struct json_t *describe_checkpoint_json(const heed_weights *w);

#endif
