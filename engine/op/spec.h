/* SPDX-License-Identifier: MIT
 *
 * spec.h: a config string to a tree, and back.
 */
#ifndef HEED_OP_SPEC_H
#define HEED_OP_SPEC_H

#include <string.h>

#include "base/local.h"

#define SPEC_DEPTH 64 /* of nesting */

/* softmax, 1e-5, true, offset:3; or an op with arguments: then args is not NULL */
#define SPEC_WORD 0u
#define SPEC_LIST 1u /* [a x5, b] */

typedef struct spec_node spec_node;

typedef struct spec_arg {
    char *key;         /* NULL: positional */
    size_t key_at;     /* offset of the key in the text */
    spec_node *value;
} spec_arg;

struct spec_node {
    uint32_t type;
    uint32_t has_args;  /* was written with parentheses */
    uint32_t n_args;
    uint32_t n_items;   /* of a list */
    size_t at;          /* offset in the text */
    char *word;
    spec_arg *args;
    spec_node **items;
    int64_t repeat;     /* "x5" behind it; 1 without */
};

typedef struct spec {
    char *text;      /* own copy */
    spec_node *op;   /* an op's spec; NULL for a stack */
    spec_arg *keys;  /* a stack's key=value list */
    uint32_t n_keys;
} spec;

/* Parses an op's spec, "attention/softmax(causal=true)", or, with stack = 1, "layers=12; width=512;
 * ...". `#` starts a comment; blanks and newlines separate. NULL and a sentence with the place and
 * a caret if it is malformed. */
HEED_LOCAL spec *spec_parse(const char *text, int stack, heed_error *error);
HEED_LOCAL void spec_free(spec *s);
/* An error at an offset of the text: "spec, line 1, column 18: <sentence>", the line, and a caret
 * under the place. */
HEED_LOCAL int32_t spec_error(const spec *s, size_t at, heed_error *error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
HEED_LOCAL int32_t spec_int(const spec *s, const spec_node *n, const char *what, int64_t min,
                            int64_t max, int64_t *out, heed_error *error);
HEED_LOCAL int32_t spec_float(const spec *s, const spec_node *n, const char *what, double min,
                              double max, double *out, heed_error *error);
HEED_LOCAL int32_t spec_bool(const spec *s, const spec_node *n, const char *what, int64_t *out,
                             heed_error *error);
/* The error "<what> takes <right>, not <the node>". */
HEED_LOCAL int32_t spec_takes(const spec *s, const spec_node *n, const char *what,
                              const char *right, heed_error *error);
/* The shortest text that reads back as the same finite number, in any locale. */
HEED_LOCAL void spec_number(char text[32], double f);
/* A tree in canonical spacing, "a(b=1, c)", "[a x5, b]"; malloc'ed, NULL if there is no memory. */
HEED_LOCAL char *spec_print_node(const spec_node *n);

#endif
