/* SPDX-License-Identifier: MIT
 *
 * train_form.c: which model of Hugging Face's transformers computes what a network does, if one does:
 * its config.json, and the network's weights as tensors of that model.
 *
 * It is not guessed. The config that a type would have (io/checkpoint_types.c), or that of the folder
 * which the network came from, is read as any folder's is, and the spec that comes of it must be the
 * network's, but for keys that say nothing of what is computed from the weights that are there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/train.h"
#include "model/stack_plan.h"
#include "model/stack_wirings.h"
#include "op/engine.h"

#define ENDLESS 131072 /* what a network of any context says of its longest text */

/* ---- what there is to say of a network ---- */

typedef struct network {
    stack_plan plan;
    const heed_weights *weights;
} network;

/* Takes the first "hidden=N" out of an op's text: weights say it as well. */
static void drop_hidden(char *text)
{
    char *at = strstr(text, "hidden="), *end;
    if (!at) return;
    end = at + strspn(at, "hiden=0123456789");
    if (!strncmp(end, ", ", 2)) end += 2;
    else if (at[-1] == '(' && *end == ')') at--, end++;
    else if (at[-1] == ' ') at -= 2;
    memmove(at, end, strlen(end) + 1);
}

static json_t *activation_of(const stack_plan *p)
{
    char op[96];
    snprintf(op, sizeof op, "%s", p->parts[STACK_PART_FEEDFORWARD].text[0]);
    drop_hidden(op);
    const char *name = strchr(op, '/'), *word = checkpoint_activation(name ? name + 1 : op);
    return word ? json_string(word) : NULL;
}

/* A param of the op of a key, "norm.eps"; NULL: there is none, or the op is left to find it. */
static const heed_value *setting(const stack_plan *p, const char *what)
{
    static const struct {
        const char *key;
        uint32_t part;
    } parts[] = {{"norm.", STACK_PART_NORM},
                 {"position.", STACK_PART_POSITION},
                 {"attention.", STACK_PART_ATTENTION}};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
        const size_t n = strlen(parts[k].key);
        const stack_part *t = &p->parts[parts[k].part];
        const resolved *op = t->count && !strncmp(what, parts[k].key, n) ? t->op[0] : NULL;
        for (uint32_t i = 0; op && i < op->entry->op.params.count; i++) {
            const heed_param *param = entry_param(op->entry, i);
            if (strcmp(param->key, what + n)) continue;
            const int left = (param->flags & HEED_PARAM_AUTO) && !op->value[i].given;
            return left ? NULL : &op->value[i];
        }
    }
    return NULL;
}

/* The share of a head's channels that turn. */
static double turned_of(const stack_plan *p)
{
    const heed_value *width = setting(p, "position.width");
    return width ? (double)width->i / (double)p->number[STACK_HEAD_WIDTH] : 1;
}

static int has(const network *n, const char *name)
{
    return heed_weights_find(n->weights, name) != NULL;
}

static json_t *says(void *arg, const char *what)
{
    const network *n = arg;
    const stack_plan *p = &n->plan;
    const int32_t slot = stack_plan_slot(what);
    if (slot >= 0 && p->number[slot] >= 0) return json_integer(p->number[slot]);
    if (slot >= 0) return slot == STACK_CONTEXT ? json_integer(ENDLESS) : NULL;
    const heed_tensor *up = heed_weights_find(n->weights, "layers.0.feedforward.up");
    const char *wiring = stack_wires_name((uint32_t)p->choice[STACK_RESIDUAL]);
    if (!strcmp(what, "hidden")) return up ? json_integer(up->dim[0]) : NULL;
    if (!strcmp(what, "activation")) return activation_of(p);
    if (!strcmp(what, "tied")) return json_boolean(p->choice[STACK_TIED]);
    if (!strcmp(what, "turned")) return json_real(turned_of(p));
    if (!strcmp(what, "parallel")) return json_boolean(!strcmp(wiring, what));
    if (!strcmp(what, "biases"))
        return json_boolean(has(n, "layers.0.q.bias") || has(n, "layers.0.o.bias"));
    if (!strcmp(what, "feedforward_biases"))
        return json_boolean(has(n, "layers.0.feedforward.up_bias"));
    const heed_value *value = setting(p, what);
    if (!value) return NULL;
    return !strcmp(what, "attention.left") ? json_integer(value->i) : json_real(value->f);
}

/* ---- a config ---- */

/* {"0": "comedy", "1": "tragedy"}, and the other way. */
static int name_classes(json_t *config, const train_examples *x)
{
    json_t *names = json_object(), *numbers = json_object();
    int failed = json_object_set_new(config, "id2label", names) |
                 json_object_set_new(config, "label2id", numbers);
    for (uint32_t c = 0; c < x->n_classes && !failed; c++) {
        char number[16];
        snprintf(number, sizeof number, "%u", c);
        failed = json_object_set_new(names, number, json_string(x->classes[c])) |
                 json_object_set_new(numbers, x->classes[c], json_integer(c));
    }
    return failed |
           json_object_set_new(config, "problem_type", json_string("single_label_classification"));
}

/* What follows from the task, and not from the network. */
static int32_t complete(const train_job *j, const checkpoint_type *type, json_t *config,
                        heed_error *error)
{
    char name[80];
    snprintf(name, sizeof name, "%s%s", type->model,
             j->task == TRAIN_CLASSIFY ? "ForSequenceClassification" : type->head);
    const char *const dtype = j->dtype == HEED_F32   ? "float32"
                              : j->dtype == HEED_F16 ? "float16"
                                                     : "bfloat16";
    int failed = json_object_set_new(config, "architectures", json_pack("[s]", name)) |
                 json_object_set_new(config, "dtype", json_string(dtype));
    json_object_del(config, "torch_dtype"); /* of older files */
    if (j->task == TRAIN_CLASSIFY) failed |= name_classes(config, &j->data.examples);
    return failed ? error_memory(error) : HEED_OK;
}

/* The tokens that a text begins and ends with, of a network that did not come from a folder. */
static int set_tokens(const stack_plan *p, json_t *config)
{
    const int64_t bos = p->number[STACK_BOS];
    return json_object_set_new(config, "bos_token_id", bos >= 0 ? json_integer(bos) : json_null()) |
           json_object_set_new(config, "eos_token_id", json_null()) |
           json_object_set_new(config, "pad_token_id", json_null());
}

/* ---- whether it is the network's ---- */

/* Canonical, without what says nothing of what is computed from weights that are there; NULL: no
 * memory. Frees the plan. */
static char *essence(stack_plan *p)
{
    p->choice[STACK_BIASES] = 0;
    p->number[STACK_BOS] = -1;
    if (p->number[STACK_CONTEXT] < 0) p->number[STACK_CONTEXT] = ENDLESS;
    char *text = stack_plan_print(p), *at = text ? strstr(text, "; feedforward=") : NULL;
    if (at) drop_hidden(at);
    stack_plan_free(p);
    return text;
}

static int is_same(const registry *r, const char *a, const char *b)
{
    heed_error unread;
    stack_plan plan[2] = {{0}};
    char *text[2];
    const int good =
        !stack_plan_read(&plan[0], r, a, &unread) & !stack_plan_read(&plan[1], r, b, &unread);
    for (int i = 0; i < 2; i++)
        if (good) text[i] = essence(&plan[i]);
        else text[i] = NULL, stack_plan_free(&plan[i]);
    const int same = text[0] && text[1] && !strcmp(text[0], text[1]);
    free(text[0]), free(text[1]);
    return same;
}

/* Whether the network is what that config says: then its tensors there. Takes the config. */
static int try_config(const train_job *j, json_t *config, train_form *f)
{
    heed_error unread;
    checkpoint k = {0};
    const heed_trainer *t = j->trainer;
    const char *word = json_string_value(json_object_get(config, "model_type"));
    const checkpoint_type *type = word ? checkpoint_type_of(word) : NULL;
    int32_t failed = type && type->model ? complete(j, type, config, &unread) : HEED_E_UNSUPPORTED;
    if (!failed) failed = checkpoint_of_config(&k, config, &unread);
    if (!failed && is_same(&t->engine->registry, k.text, heed_stack_spec(t->stack)))
        f->tensors = checkpoint_back(&k, t->weights, &unread);
    checkpoint_close(&k);
    if (f->tensors) f->config = config;
    else json_decref(config);
    return f->tensors != NULL;
}

/* ---- all of them ---- */

/* The config of the folder that the network came from; NULL: it came from none. */
static json_t *own_config(const train_job *j)
{
    char *path;
    if (asprintf(&path, "%s/config.json", j->network) < 0) return NULL;
    json_t *config = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    free(path);
    return config;
}

static int32_t refuse(const train_job *j, heed_error *error)
{
    char names[160];
    size_t n = 0;
    const checkpoint_type *t;
    *names = 0;
    for (size_t i = 0; (t = checkpoint_type_at(i)) && n < sizeof names; i++)
        if (t->keys)
            n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", t->name);
    return error_set(
        error, HEED_E_UNSUPPORTED,
        "%s: no model of transformers that is written (%s) computes what this network does, so -o "
        "takes a file of safetensors: %.300s",
        j->out, names, heed_stack_spec(heed_trainer_stack(j->trainer)));
}

int32_t train_form_find(const train_job *j, train_form *f, heed_error *error)
{
    network n = {.weights = j->trainer->weights};
    json_t *own = own_config(j);
    const checkpoint_type *type;
    *f = (train_form){0};
    if (own && try_config(j, own, f)) return HEED_OK;
    int32_t failed = stack_plan_read(&n.plan, &j->trainer->engine->registry,
                                     heed_stack_spec(j->trainer->stack), error);
    for (size_t i = 0; !failed && !f->config && (type = checkpoint_type_at(i)); i++) {
        json_t *config = type->keys ? checkpoint_config(type, says, &n) : NULL;
        if (config && set_tokens(&n.plan, config)) failed = error_memory(error);
        if (config) try_config(j, config, f);
    }
    stack_plan_free(&n.plan);
    return failed || f->config ? failed : refuse(j, error);
}

void train_form_free(train_form *f)
{
    json_decref(f->config);
    heed_weights_close(f->tensors);
}
