/* SPDX-License-Identifier: MIT
 *
 * config.c: the config.json of a checkpoint.
 *
 * Invariant: `used` has the path of every key that was there when somebody asked for it. The file
 * is hostile: every number is bounded by who asks.
 */
#include "io/config.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define SHOWN 60 /* bytes of a value, or of a key, in a sentence */

/* ---- the file ---- */

int32_t config_open(config *c, const char *folder, heed_error *error)
{
    json_error_t wrong;
    *c = (config){.error = error, .used = json_object()};
    if (asprintf(&c->path, "%s/config.json", folder) < 0) c->path = NULL;
    if (!c->path || !c->used) return c->failed = error_memory(error);
    FILE *file = fopen(c->path, "rb");
    if (!file)
        return c->failed = error_set(error, HEED_E_SYSTEM, "%s: cannot be opened: %s", c->path,
                                     strerror(errno));
    c->root = json_loadf(file, JSON_REJECT_DUPLICATES, &wrong);
    fclose(file);
    if (!c->root)
        return c->failed = error_set(error, HEED_E_DATA, "%s: line %d: %.120s", c->path, wrong.line,
                                     wrong.text);
    if (json_is_object(c->root)) return HEED_OK;
    return c->failed = error_set(error, HEED_E_DATA, "%s: is no object of keys", c->path);
}

void config_close(config *c)
{
    json_decref(c->root);
    json_decref(c->used);
    free(c->path);
}

/* ---- one key ---- */

const char *config_key(const config *c, const char *path, char room[CONFIG_KEY])
{
    const config_name *n = c->names;
    while (n && n->path && strcmp(n->path, path)) n++;
    if (!n || !n->path) return path;
    const char *star = strchr(n->name, '*');
    if (!star) return n->name;
    snprintf(room, CONFIG_KEY, "%.*s%.80s%s", (int)(star - n->name), n->name, c->architecture,
             star + 1);
    return room;
}

static const json_t *look(const config *c, const char *path)
{
    char key[CONFIG_KEY];
    const json_t *at = c->root;
    if (c->names) return json_object_get(at, config_key(c, path, key));
    for (const char *p = path; at; p++) {
        const size_t n = strcspn(p, ".");
        if (n >= sizeof key) return NULL;
        memcpy(key, p, n);
        key[n] = 0;
        at = json_object_get(at, key);
        p += n;
        if (!*p) break;
    }
    return at;
}

int config_has(config *c, const char *path)
{
    const json_t *value = look(c, path);
    return value && !json_is_null(value);
}

/* The value of a key that is asked for, NULL if there is none or all has failed. */
static const json_t *find(config *c, const char *path, int must)
{
    char room[CONFIG_KEY];
    const json_t *value = look(c, path);
    path = config_key(c, path, room);
    if (value && json_object_set_new(c->used, path, json_true()) && !c->failed)
        c->failed = error_memory(c->error);
    if (c->failed) return NULL;
    if (value && !json_is_null(value)) return value;
    if (must)
        c->failed =
            error_set(c->error, HEED_E_DATA, "%s: the key \"%s\" is missing", c->path, path);
    return NULL;
}

void config_wrong(config *c, const char *path, const char *format, ...)
{
    char right[256], room[CONFIG_KEY];
    va_list args;
    if (c->failed) return;
    va_start(args, format);
    vsnprintf(right, sizeof right, format, args);
    va_end(args);
    const json_t *value = look(c, path);
    path = config_key(c, path, room);
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII)
                       : strdup("absent");
    c->failed =
        error_set(c->error, HEED_E_DATA, "%s: \"%.*s\" is %.*s%s, but %s", c->path, SHOWN, path,
                  SHOWN, text ? text : "?", text && strlen(text) > SHOWN ? "..." : "", right);
    free(text);
}

int64_t config_int(config *c, const char *path, int64_t min, int64_t max, int64_t usual)
{
    const json_t *value = find(c, path, usual == CONFIG_MUST);
    const int64_t n = json_integer_value(value);
    if (value && (!json_is_integer(value) || n < min || n > max))
        config_wrong(c, path, "a whole number from %lld to %lld is right", (long long)min,
                     (long long)max);
    return value && !c->failed ? n : usual == CONFIG_MUST ? min : usual;
}

double config_real(config *c, const char *path, double min, double max, double usual)
{
    const json_t *value = find(c, path, isnan(usual));
    const double x = json_number_value(value);
    if (value && (!json_is_number(value) || !(x >= min && x <= max)))
        config_wrong(c, path, "a number from %g to %g is right", min, max);
    return value && !c->failed ? x : isnan(usual) ? min : usual;
}

int config_flag(config *c, const char *path, int usual)
{
    const json_t *value = find(c, path, 0);
    if (value && !json_is_boolean(value)) config_wrong(c, path, "true or false is right");
    return value && !c->failed ? json_is_true(value) : usual;
}

const char *config_word(config *c, const char *path, const char *usual)
{
    const json_t *value = find(c, path, !usual);
    if (value && !json_is_string(value)) config_wrong(c, path, "a word is right");
    return value && !c->failed ? json_string_value(value) : usual ? usual : "";
}

int config_choice(config *c, const char *path, const char *usual, const char *right)
{
    const char *word = config_word(c, path, usual);
    const size_t length = strlen(word);
    int which = 0;
    for (const char *at = right; *at; which++) {
        const size_t n = strcspn(at, ",");
        if (n == length && !memcmp(at, word, n)) return which;
        at += n + strspn(at + n, ", ");
    }
    config_wrong(c, path, "%s is read", right);
    return 0;
}

const json_t *config_any(config *c, const char *path) { return find(c, path, 0); }

const json_t *config_array(config *c, const char *path, int64_t count)
{
    const json_t *value = find(c, path, 0);
    if (value && (!json_is_array(value) || (int64_t)json_array_size(value) != count))
        config_wrong(c, path, "a list of %lld values is right", (long long)count);
    return c->failed ? NULL : value;
}

void config_only(config *c, const char *path, int64_t only)
{
    const json_t *value = find(c, path, 0);
    if (!value) return;
    const int same = json_is_boolean(value)
                         ? json_is_true(value) == (only != 0)
                         : json_is_number(value) && json_number_value(value) == (double)only;
    if (!same && json_is_boolean(value))
        config_wrong(c, path, "%s is read", only ? "true" : "false");
    else if (!same) config_wrong(c, path, "%lld is read", (long long)only);
}

/* ---- those that nobody has asked for ---- */

/* Parts of names of keys that change what is computed. */
static const char *const matter[] = {
    "activation", "alibi",      "attention",   "attn",     "auto_map", "bias",   "embed",
    "expert",     "hidden_act", "layer_types", "logit",    "lora",     "mlp",    "moe",
    "mscale",     "multiplier", "norm",        "parallel", "position", "quant",  "residual",
    "rope",       "rotary",     "scal",        "sliding",  "softcap",  "window",
};
/* Keys that have such a part in their name, and are about training, other heads or speed. */
static const char *const harmless[] = {
    "_attn_implementation",    "attn_implementation",     "layerdrop",
    "output_attentions",       "reorder_and_upcast_attn", "summary_activation",
    "_sliding_window_pattern",
};

static int is_among(const char *const *words, size_t count, const char *key, int part)
{
    for (size_t i = 0; i < count; i++)
        if (part ? strstr(key, words[i]) != NULL : !strcmp(key, words[i])) return 1;
    return 0;
}

/* null, false, 0, "" and empty lists say that something is not there. */
static int is_off(const json_t *value)
{
    return json_is_null(value) || json_is_false(value) ||
           (json_is_number(value) && json_number_value(value) == 0) ||
           (json_is_string(value) && !*json_string_value(value)) ||
           (json_is_array(value) && !json_array_size(value)) ||
           (json_is_object(value) && !json_object_size(value));
}

/* Keys of a GGUF file that begin so are about the file. */
static const char *const about[] = {"general.", "quantize."};

static int matters(const char *key)
{
    for (size_t i = 0; i < sizeof about / sizeof *about; i++)
        if (!strncmp(key, about[i], strlen(about[i]))) return 0;
    return is_among(matter, sizeof matter / sizeof *matter, key, 1) && !strstr(key, "drop") &&
           !is_among(harmless, sizeof harmless / sizeof *harmless, key, 0);
}

/* Of an object of which some keys were asked for all matter. */
static void collect(config *c, const json_t *object, const char *inside, json_t *unused)
{
    const char *key;
    json_t *value, *none;
    char path[256];
    json_object_foreach((json_t *)object, key, value)
    {
        const int n = snprintf(path, sizeof path, "%s%s", inside, key);
        if (c->failed || json_object_get(c->used, path)) continue;
        int opened = 0;
        const char *used;
        json_object_foreach(c->used, used, none) opened |=
            n < (int)sizeof path && !strncmp(used, path, (size_t)n) && used[n] == '.';
        if (opened && json_is_object(value) && n + 2 < (int)sizeof path) {
            strcpy(path + n, ".");
            collect(c, value, path, unused);
        } else if (!is_off(value) && (*inside || matters(key)))
            config_wrong(c, path, "this key is not known here, and it may change what is computed");
        else if (json_object_set(unused, path, value)) c->failed = error_memory(c->error);
    }
}

json_t *config_unused(config *c)
{
    json_t *unused = json_object();
    if (!unused && !c->failed) c->failed = error_memory(c->error);
    if (!c->failed) collect(c, c->root, "", unused);
    return unused;
}

const char *config_number(char out[32], double x)
{
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, x);
        if (strtod(out, NULL) == x) break;
    }
    return out;
}
