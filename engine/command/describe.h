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

/* Of weights that are a checkpoint's; nothing, or null, of others. */
struct json_t;
void describe_checkpoint(const heed_weights *w);
struct json_t *describe_checkpoint_json(const heed_weights *w);

#endif
