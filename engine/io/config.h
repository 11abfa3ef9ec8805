/* SPDX-License-Identifier: MIT
 *
 * config.h: the config.json of a checkpoint: its keys, typed, and which of them were asked for.
 *
 * A path is a key, or the keys of objects in objects with dots between them:
 * "rope_parameters.factor". null counts as absent. After the first failure, which `failed` and
 * `error` keep, every function gives its default, so that who reads twenty keys looks once.
 *
 * The metadata of a GGUF file is read as one too: there keys are not nested, and those of config.json
 * have other names, which sentences show.
 */
#ifndef HEED_IO_CONFIG_H
#define HEED_IO_CONFIG_H

#include <math.h>

#include "base/local.h"

struct json_t;

/* Another name of a path, in which '*' is the architecture: "*.embedding_length". */
typedef struct config_name {
    const char *path, *name;
} config_name;

typedef struct config {
    char *path;          /* of the file */
    struct json_t *root; /* an object */
    struct json_t *used; /* {path: true} */
    heed_error *error;
    int32_t failed;
    const config_name *names; /* up to one without a path; NULL: this is a config.json */
    const char *architecture;
} config;

#define CONFIG_MUST INT64_MIN /* as a default: the key must be there; NAN of a number */

/* Reads "<folder>/config.json"; to be closed also after a failure. */
HEED_LOCAL int32_t config_open(config *c, const char *folder, heed_error *error);
HEED_LOCAL void config_close(config *c);

/* What a path is called in this file; `room` may have it. */
#define CONFIG_KEY 160
HEED_LOCAL const char *config_key(const config *c, const char *path, char room[CONFIG_KEY]);

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
