/* SPDX-License-Identifier: MIT
 *
 * config.h: the config.json of a checkpoint: its keys, typed, and which of them were asked for.
 *
 * A path is a key, or the keys of objects in objects with dots between them:
 * "rope_parameters.factor". null counts as absent. After the first failure, which `failed` and
 * `error` keep, every function gives its default, so that who reads twenty keys looks once.
 */
#ifndef HEED_IO_CONFIG_H
#define HEED_IO_CONFIG_H

#include <math.h>

#include "base/local.h"

struct json_t;

typedef struct config {
    char *path;          /* of the file */
    struct json_t *root; /* an object */
    struct json_t *used; /* {path: true} */
    heed_error *error;
    int32_t failed;
} config;

#define CONFIG_MUST INT64_MIN /* as a default: the key must be there; NAN of a number */

/* Reads "<folder>/config.json"; to be closed also after a failure. */
HEED_LOCAL int32_t config_open(config *c, const char *folder, heed_error *error);
HEED_LOCAL void config_close(config *c);

HEED_LOCAL int config_has(config *c, const char *path); /* and is not null; not asked for by this */
HEED_LOCAL int64_t config_int(config *c, const char *path, int64_t min, int64_t max, int64_t usual);
HEED_LOCAL double config_real(config *c, const char *path, double min, double max, double usual);
HEED_LOCAL int config_flag(config *c, const char *path, int usual);
HEED_LOCAL const char *config_word(config *c, const char *path, const char *usual); /* NULL: must */
/* The word must be among those in `right`, "silu, swish"; which one, from 0 on. */
HEED_LOCAL int config_choice(config *c, const char *path, const char *usual, const char *right);
/* A value of any type, or NULL if absent. */
HEED_LOCAL const struct json_t *config_any(config *c, const char *path);
/* An array of `count` values, or NULL if absent. */
HEED_LOCAL const struct json_t *config_array(config *c, const char *path, int64_t count);
/* Fails unless the key is absent, or has this value. */
HEED_LOCAL void config_only(config *c, const char *path, int64_t value);
/* "PATH: "KEY" is VALUE, but <right>", if nothing has failed before. */
HEED_LOCAL void config_wrong(config *c, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The keys that nobody has asked for, {path: value}, a new object. One whose name says that it
 * changes what is computed, and whose value does not say that it is off, is a failure. */
HEED_LOCAL struct json_t *config_unused(config *c);

/* The shortest text that reads back as the number. */
HEED_LOCAL const char *config_number(char out[32], double x);

#endif
