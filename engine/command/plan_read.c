/* SPDX-License-Identifier: MIT
 *
 * plan_read.c: a network for a plan: its spec, with what is taken where that is silent, and its
 * parameters by what they are for; and the tokens of a text by its bytes.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "command/plan.h"
#include "io/weights.h"
#include "model/presets.h"
#include "model/source.h"
#include "op/engine.h"
#include "op/spec.h"

/* ---- the spec ---- */

static const spec_node *value_of(const spec *s, const char *key)
{
    for (uint32_t i = 0; i < s->n_keys; i++)
        if (!strcmp(s->keys[i].key, key)) return s->keys[i].value;
    return NULL;
}

/* Notes a key that the spec has not, and adds it to the text. */
static void take(plan_network *n, FILE *out, const char *key, const char *value)
{
    const size_t length = strlen(n->taken);
    fprintf(out, "; %s=%s", key, value);
    snprintf(n->taken + length, sizeof n->taken - length, "%s%s=%s", length ? ", " : "", key,
             value);
}

/* A plain decoder, where the spec says nothing else: what Chinchilla has of vocabulary, and 4 widths
 * of hidden ones. */
static void take_all(plan_network *n, FILE *out, const spec *s, int width_of_head)
{
    const spec_node *heads = value_of(s, "heads"), *given = value_of(s, "width");
    int64_t width = 0, number = 0;
    char text[64];
    if (given && !spec_int(s, given, "width", 1, 1 << 24, &number, NULL)) width = number;
    if (!given && heads && !spec_int(s, heads, "heads", 1, 1 << 17, &number, NULL)) {
        width = number * width_of_head;
        n->guessed_width = width_of_head;
        snprintf(text, sizeof text, "%lld", (long long)width);
        take(n, out, "width", text);
    }
    if (!value_of(s, "vocab")) {
        take(n, out, "vocab", "32000");
        if (!value_of(s, "tied")) take(n, out, "tied", "true");
    }
    if (!value_of(s, "norm")) take(n, out, "norm", "rms");
    if (!value_of(s, "attention")) take(n, out, "attention", "softmax(causal=true)");
    if (value_of(s, "feedforward") || !width) return;
    snprintf(text, sizeof text, "gelu(hidden=%lld)", (long long)(4 * width));
    take(n, out, "feedforward", text);
}

static int32_t complete(plan_network *n, const char *given, int width_of_head, heed_error *error)
{
    char *whole, *text = NULL;
    size_t length;
    TRY(presets_expand(given, &whole, error));
    spec *s = spec_parse(whole ? whole : given, 1, error);
    FILE *out = s ? open_memstream(&text, &length) : NULL;
    int32_t failed = out ? HEED_OK : s ? error_memory(error) : error->code;
    if (out) {
        /* the end of a line ends a comment that the spec may end with */
        fprintf(out, "%s\n", whole ? whole : given);
        take_all(n, out, s, width_of_head);
        if (ferror(out)) failed = error_memory(error);
        if (fclose(out)) failed = error_memory(error);
        if (!value_of(s, "heads"))
            failed = spec_error(s, 0, error,
                                "the key heads is missing: where a spec has no width, a plan takes "
                                "%d channels a head, but it must know how many heads there are",
                                width_of_head);
    }
    free(whole);
    spec_free(s);
    n->text = text;
    return failed;
}

/* ---- parameters ---- */

int plan_is_table(const char *name)
{
    return strstr(name, "embed.table") || !strncmp(name, "position.", 9) ||
           strstr(name, ".position.") || strstr(name, ".auxiliary.") ||
           !strcmp(name, "output.weight");
}

/* What every token is multiplied with: projections, feed-forwards and the output. An attention
 * tells of its own weights itself. */
static int is_matrix(const plan_network *n, const char *name, const heed_tensor *t)
{
    const int tied = n->plan.choice[STACK_TIED];
    if (t->rank != 2 || strstr(name, ".attention.")) return 0;
    if (!strcmp(name, "output.weight")) return !n->plan.parts[STACK_PART_OUTPUT].count;
    if (!strcmp(name, "embed.table")) return tied;
    if (strstr(name, ".auxiliary.")) return 0;
    return !strncmp(name, "layers.", 7) && !strstr(name, ".position.") && !strstr(name, "_norm.");
}

/* Notes a matrix as a call of its own, or as a part of its layer's feed-forward. */
static void note_product(plan_network *n, const char *name, const heed_tensor *t)
{
    const stack_part *f = &n->plan.parts[STACK_PART_FEEDFORWARD];
    const int inside = strstr(name, ".feedforward.") && f->count && f->op[0];
    const double layers = (double)n->plan.number[STACK_LAYERS];
    plan_product now = {.op = "linear/projection",
                        .calls = 1,
                        .elements = (double)heed_tensor_elements(t),
                        .ends = (double)(t->dim[0] + t->dim[1])};
    if (inside)
        now = (plan_product){f->op[0]->entry->op.id, layers, now.elements / layers,
                             2 * (double)n->plan.number[STACK_WIDTH]};
    for (uint32_t i = 0; i < n->n_products; i++) {
        plan_product *p = &n->products[i];
        if (strcmp(p->op, now.op) ||
            (!inside && (p->elements != now.elements || p->ends != now.ends)))
            continue;
        if (inside) p->elements += now.elements;
        else p->calls++;
        return;
    }
    if (n->n_products < PLAN_PRODUCTS) n->products[n->n_products++] = now;
    else n->cost.untold = 1;
}

static int32_t count(plan_network *n, heed_engine *engine, heed_error *error)
{
    heed_weights *w = source_sketch(engine, n->text, error);
    if (!w) return error->code;
    for (uint32_t i = 0; i < heed_weights_count(w); i++) {
        const char *name = heed_weights_name(w, i);
        const heed_tensor *t = heed_weights_find(w, name);
        const int64_t elements = heed_tensor_elements(t);
        n->parameters += elements;
        if (plan_is_table(name)) n->tables += elements;
        if (!is_matrix(n, name, t)) continue;
        note_product(n, name, t);
        n->matrices += (double)elements;
        /* what flows inside of a feed-forward is not moved */
        if (!strstr(name, ".feedforward.")) n->moved += (double)(t->dim[0] + t->dim[1]);
    }
    heed_weights_close(w);
    if (n->plan.parts[STACK_PART_FEEDFORWARD].count)
        n->moved += 2 * (double)n->plan.number[STACK_WIDTH] * (double)n->plan.number[STACK_LAYERS];
    return HEED_OK;
}

/* What is not counted: heads that are not the same in all layers, and parts beside the attention. */
static int32_t check_alike(const stack_plan *p, heed_error *error)
{
    static const struct {
        const char *name;
        uint32_t part;
    } parts[] = {{"convolution", STACK_PART_CONVOLUTION},
                 {"head_norm", STACK_PART_HEAD_NORM},
                 {"output_gate", STACK_PART_OUTPUT_GATE},
                 {"shared_feedforward", STACK_PART_SHARED_FEEDFORWARD},
                 {"shared_gate", STACK_PART_SHARED_GATE}};
    const char *name = stack_plan_uneven(p);
    if (!name && p->number[STACK_QK_REPEAT] > 1) name = "qk_repeat";
    if (!name && p->number[STACK_VALUE_WIDTH] != p->number[STACK_HEAD_WIDTH]) name = "value_width";
    for (size_t i = 0; !name && i < sizeof parts / sizeof *parts; i++)
        if (p->parts[parts[i].part].count) name = parts[i].name;
    return name ? error_set(error, HEED_E_UNSUPPORTED,
                            "%s: networks with this key, or a list of it, are not planned; heed "
                            "describe --shape tells what their ops cost",
                            name)
                : HEED_OK;
}

int32_t plan_read(plan_network *n, heed_engine *engine, const char *spec, int width_of_head,
                  const plan_text *text, heed_error *error)
{
    n->given = spec;
    TRY(complete(n, spec, width_of_head, error));
    TRY(stack_plan_read(&n->plan, &engine->registry, n->text, error));
    TRY(check_alike(&n->plan, error));
    TRY(count(n, engine, error));
    TRY(field_of_network(&n->field, &n->plan, text->tokens, error));
    return plan_costs(n, engine, error);
}

void plan_free(plan_network *n)
{
    field_free(&n->field);
    stack_plan_free(&n->plan);
    free(n->text);
}

/* ---- a text ---- */

#define DEPTH 32 /* of folders in folders */

static int32_t count_bytes(const char *path, int depth, double *bytes, heed_error *error);

static int32_t count_folder(const char *path, int depth, double *bytes, heed_error *error)
{
    DIR *folder = depth ? opendir(path) : NULL;
    struct dirent *item;
    int32_t failed = HEED_OK;
    if (!depth)
        return error_set(error, HEED_E_DATA, "%.200s: more than %d folders inside each other", path,
                         DEPTH);
    if (!folder) return error_set(error, HEED_E_DATA, "%.200s: %s", path, strerror(errno));
    while (!failed && (item = readdir(folder))) {
        char *name;
        if (item->d_name[0] == '.') continue; /* ".", "..", and what is hidden */
        if (asprintf(&name, "%s/%s", path, item->d_name) < 0) failed = error_memory(error);
        else {
            failed = count_bytes(name, depth - 1, bytes, error);
            free(name);
        }
    }
    closedir(folder);
    return failed;
}

static int32_t count_bytes(const char *path, int depth, double *bytes, heed_error *error)
{
    struct stat s;
    if (stat(path, &s)) return error_set(error, HEED_E_DATA, "%.200s: %s", path, strerror(errno));
    if (S_ISDIR(s.st_mode)) return count_folder(path, depth, bytes, error);
    if (S_ISREG(s.st_mode)) *bytes += (double)s.st_size;
    return HEED_OK;
}

int32_t plan_count(const char *path, double *tokens, heed_error *error)
{
    double bytes = 0;
    TRY(count_bytes(path, DEPTH, &bytes, error));
    *tokens = bytes / PLAN_BYTES_OF_TOKEN;
    return HEED_OK;
}
