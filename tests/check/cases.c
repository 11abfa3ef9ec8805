/* SPDX-License-Identifier: MIT
 *
 * cases.c: from an op's tables to calls. Which params, masks, ports and axes there are, the
 * descriptor says; how large they get follows from the number of the case, so that a sweep is the
 * same everywhere.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/cases.h"
#include "lib/call.h"

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof *(array)))

static const int hurt[] = {0, 1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 257};

/* Masks alone and together, with the kinds that they need. */
static const struct {
    uint32_t kinds;
    const char *text;
} masks[] = {
    {HEED_MASK_CAUSAL, "causal=true"},
    {HEED_MASK_CAUSAL, "causal=bottom_right"},
    {HEED_MASK_CAUSAL, "causal=offset:5"},
    {HEED_MASK_CAUSAL, "causal=offset:-3"},
    {HEED_MASK_WINDOW, "window=4"},
    {HEED_MASK_WINDOW, "window=9:3"},
    {HEED_MASK_CAUSAL | HEED_MASK_WINDOW, "causal=true,window=0"},
    {HEED_MASK_CAUSAL | HEED_MASK_WINDOW, "causal=true,window=16"},
    {HEED_MASK_CAUSAL | HEED_MASK_PREFIX, "causal=true,prefix=5"},
    {HEED_MASK_WINDOW | HEED_MASK_SINKS, "window=2:1,sinks=3"},
    {HEED_MASK_CAUSAL | HEED_MASK_WINDOW | HEED_MASK_SINKS, "causal=true,window=5,sinks=2"},
    {HEED_MASK_CAUSAL | HEED_MASK_WINDOW | HEED_MASK_PREFIX, "causal=true,window=8,prefix=20"},
    {HEED_MASK_CAUSAL | HEED_MASK_WINDOW | HEED_MASK_SINKS,
     "causal=bottom_right,window=33,sinks=1"},
    {HEED_MASK_CAUSAL | HEED_MASK_WINDOW | HEED_MASK_PREFIX | HEED_MASK_SINKS,
     "causal=offset:2,window=7,prefix=9,sinks=1"},
    {HEED_MASK_BLOCKS, "blocks=16:32"},
    {HEED_MASK_CAUSAL | HEED_MASK_BLOCKS, "causal=true,blocks=32"},
    {HEED_MASK_CAUSAL | HEED_MASK_WINDOW | HEED_MASK_BLOCKS, "causal=true,window=70,blocks=5:40"},
    {HEED_MASK_CAUSAL | HEED_MASK_PREFIX | HEED_MASK_BLOCKS,
     "causal=bottom_right,prefix=50,blocks=48:64"},
};

static uint32_t pick(uint64_t *seed, uint32_t n)
{
    return n ? (uint32_t)(harness_random(seed) >> 33) % n : 0;
}

/* ---- what stands in the brackets ---- */

typedef struct words {
    char text[128][96];
    uint32_t n;
} words;

static void add(words *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(words *w, const char *format, ...)
{
    if (w->n == COUNT(w->text)) return;
    va_list list;
    va_start(list, format);
    vsnprintf(w->text[w->n++], sizeof *w->text, format, list);
    va_end(list);
}

static double within(double x, const heed_param *p)
{
    return x < p->min ? p->min : x > p->max ? p->max : x;
}

/* A number for a param: neither end of its range, if that is possible. */
static double ordinary(const heed_param *p)
{
    double x = within(p->type == HEED_PARAM_INT ? 4 : 0.75, p);
    return p->type == HEED_PARAM_INT ? floor(x) : x;
}

/* "@F" stands for the size of axis F, which is known when the axes are. */
static void add_numbers(words *w, const heed_param *p)
{
    if (p->axis) return;
    const int whole = p->type == HEED_PARAM_INT;
    const double least = whole ? 0 : 1e-4, most = whole ? 64 : 1e4;
    const double now = p->flags & HEED_PARAM_AUTO ? NAN : p->standard;
    const double tries[] = {p->min, p->max, 2 * now, now / 2, ordinary(p), whole ? 2 : 0.1};
    for (uint32_t i = 0; i < COUNT(tries); i++) {
        double x = whole ? floor(tries[i]) : tries[i];
        if (isnan(x) || x == now || x != within(x, p) || (x != 0 && fabs(x) < least) ||
            fabs(x) > most)
            continue;
        add(w, "%s=%.9g", p->key, x);
    }
}

static void add_choices(words *w, const heed_param *p)
{
    for (const char *word = p->choices; word;
         word = strchr(word, '|') ? strchr(word, '|') + 1 : NULL)
        add(w, "%s=%.*s", p->key, (int)strcspn(word, "|"), word);
}

static int has_required(const entry *e)
{
    for (uint32_t i = 0; i < e->op.params.count; i++)
        if (entry_param(e, i)->flags & HEED_PARAM_REQUIRED) return 1;
    return 0;
}

/* Ops that the param may take, by kind; an op refuses what does not suit it when it is opened. */
static void add_ops(words *w, const heed_param *p, const heed_engine *engine)
{
    const size_t kind = strlen(p->choices);
    const entry *e;
    for (uint32_t i = 0; (e = inspect_op(engine, i)); i++)
        if (!strncmp(e->op.id, p->choices, kind) && e->op.id[kind] == '/' && !has_required(e))
            add(w, "%s=%s", p->key, e->op.id + kind + 1);
}

static void add_params(words *w, const heed_engine *engine, const entry *e)
{
    for (uint32_t i = 0; i < e->op.params.count; i++) {
        const heed_param *p = entry_param(e, i);
        if (p->flags & HEED_PARAM_REQUIRED) continue;
        if (p->type == HEED_PARAM_BOOL)
            add(w, "%s=%s", p->key, p->standard != 0 ? "false" : "true");
        else if (p->type == HEED_PARAM_CHOICE) add_choices(w, p);
        else if (p->type == HEED_PARAM_OP) add_ops(w, p, engine);
        else add_numbers(w, p);
    }
}

/* `text`: only those under which a text sees nothing later, so that it may come in parts. */
static void add_masks(words *w, const entry *e, int text)
{
    for (uint32_t i = 0; i < COUNT(masks); i++) {
        if (masks[i].kinds & ~e->op.masks) continue;
        if (text &&
            (masks[i].kinds & HEED_MASK_PREFIX || strncmp(masks[i].text, "causal=true", 11)))
            continue;
        add(w, "%s", masks[i].text);
    }
}

/* Whether an op has to be told nothing: no param, no weight. */
static int is_simple(const entry *e)
{
    for (uint32_t i = 0; i < e->op.ports.count; i++)
        if (entry_port(e, i)->role == HEED_WEIGHT &&
            !(entry_port(e, i)->flags & HEED_PORT_OPTIONAL))
            return 0;
    return !has_required(e);
}

/* Such an op that makes scores, for a param that can not be left out. */
static void add_simple(words *w, const heed_param *p, const heed_engine *engine)
{
    const size_t kind = strlen(p->choices);
    const entry *e;
    for (uint32_t i = 0; (e = inspect_op(engine, i)); i++) {
        if (strncmp(e->op.id, p->choices, kind) || e->op.id[kind] != '/' || !is_simple(e)) continue;
        const heed_path *path = entry_path(e, 0);
        if (path->get_extension && path->get_extension(HEED_SCORE_ID))
            add(w, "%s=%s", p->key, e->op.id + kind + 1);
    }
}

/* What an op can not be without. */
static void required(const entry *e, const heed_engine *engine, char *text, size_t n)
{
    text[0] = 0;
    for (uint32_t i = 0; i < e->op.params.count; i++) {
        const heed_param *p = entry_param(e, i);
        words w = {.n = 0};
        if (!(p->flags & HEED_PARAM_REQUIRED)) continue;
        if (p->axis) add(&w, "%s=@%c", p->key, (char)p->axis);
        else if (p->type == HEED_PARAM_BOOL) add(&w, "%s=true", p->key);
        else if (p->type == HEED_PARAM_CHOICE) add_choices(&w, p);
        else if (p->type == HEED_PARAM_OP) add_simple(&w, p, engine), add_ops(&w, p, engine);
        else add(&w, "%s=%.9g", p->key, ordinary(p));
        if (w.n)
            snprintf(text + strlen(text), n - strlen(text), "%s%s", *text ? "," : "", w.text[0]);
    }
}

/* Whether an op can not be without another one, of a kind that is not here. */
static int lacks_op(const entry *e, const heed_engine *engine)
{
    int lacks = 0;
    for (uint32_t i = 0; i < e->op.params.count; i++) {
        const heed_param *p = entry_param(e, i);
        words w = {.n = 0};
        if (!(p->flags & HEED_PARAM_REQUIRED) || p->type != HEED_PARAM_OP) continue;
        add_ops(&w, p, engine);
        lacks |= !w.n;
    }
    return lacks;
}

/* An attention that takes this op as a param, and has to be told nothing else: a score op is called
 * through it. */
static const entry *around(const heed_engine *engine, const entry *e, const heed_param **param)
{
    const size_t kind = strcspn(e->op.id, "/");
    const entry *host;
    for (uint32_t i = 0; (host = inspect_op(engine, i)); i++)
        for (uint32_t p = 0; p < host->op.params.count && entry_path(host, 0)->forward; p++) {
            *param = entry_param(host, p);
            if ((*param)->type == HEED_PARAM_OP && is_simple(host) &&
                strlen((*param)->choices) == kind && !strncmp((*param)->choices, e->op.id, kind))
                return host;
        }
    return NULL;
}

static void put(char *spec, size_t n, const char *word)
{
    if (*word) snprintf(spec + strlen(spec), n - strlen(spec), "%s%s", *spec ? "," : "", word);
}

/* as it is; with params and masks; as a text that may come in parts */
enum { PLAIN_CASE, VARIED_CASE, TEXT_CASE };

/* "id(words)", with what is required and, but for a plain case, one or two words more. */
static void bracket(const heed_engine *engine, const entry *e, const char *inner, int kind,
                    int use_masks, uint64_t *seed, char *spec, size_t n)
{
    words params = {.n = 0}, kinds = {.n = 0};
    char in[200];
    required(e, engine, in, sizeof in);
    put(in, sizeof in, inner);
    add_params(&params, engine, e);
    if (use_masks) add_masks(&kinds, e, kind == TEXT_CASE);
    if (kind && params.n && (!kinds.n || pick(seed, 3) == 0)) {
        const char *word = params.text[pick(seed, params.n)];
        size_t key = strcspn(word, "=") + 1;
        if (strncmp(word, inner, key)) put(in, sizeof in, word);
    }
    if (kind && kinds.n && (kind == TEXT_CASE || pick(seed, 5)))
        put(in, sizeof in, kinds.text[pick(seed, kinds.n)]);
    snprintf(spec, n, *in ? "%s(%s)" : "%s", e->op.id, in);
}

/* ---- axes ---- */

/* Whether the default of a param says how large an axis is. */
static int is_fixed(const entry *e, char letter)
{
    for (uint32_t i = 0; i < e->op.params.count; i++) {
        const heed_param *p = entry_param(e, i);
        if (p->axis == (uint32_t)letter && !(p->flags & (HEED_PARAM_AUTO | HEED_PARAM_REQUIRED)))
            return 1;
    }
    return 0;
}

/* The letters of all ports, in order of appearance; 'x' for "...". Without those that a param
 * fixes. */
static void letters(const entry *e, char *to)
{
    for (uint32_t i = 0; i < e->op.ports.count; i++) {
        const char *axes = entry_port(e, i)->axes;
        if (!strcmp(entry_port(e, i)->name, "key_blocks")) continue; /* follows from the mask */
        for (; *axes; axes++) {
            char letter = *axes == '.' ? 'x' : *axes;
            if (letter != ' ' && !strchr(to, letter) && !is_fixed(e, letter))
                to[strlen(to)] = letter;
        }
    }
}

static int is_attention(const entry *e) { return !strncmp(e->op.id, "attention/", 10); }

/* Elements that all axes would have together, one axis of 0 taken as 1: what the oracle's loops go
 * through. An attention without an axis of keys has T of them. */
static double volume(const entry *e, const int64_t size[128], const char *all)
{
    double v = is_attention(e) && !strchr(all, 'S') && size['T'] > 0 ? (double)size['T'] : 1;
    for (const char *l = all; *l; l++)
        if (!strchr("EG", *l) || !strchr(all, *l == 'E' ? 'D' : 'H'))
            v *= size[(int)*l] > 0 ? (double)size[(int)*l] : 1;
    return v;
}

static void choose_sizes(const entry *e, uint32_t n, int together, uint64_t *seed, const char *all,
                         int64_t size[128])
{
    const double most = harness_quick() ? 1 << 15 : 1 << 18;
    uint32_t turn = 0;
    for (const char *l = all; *l; l++, turn++) {
        uint32_t which = n < COUNT(hurt) ? (n * (turn % 2 ? 5 : 1) + 3 * turn) % COUNT(hurt)
                                         : pick(seed, COUNT(hurt));
        size[(int)*l] = hurt[which];
    }
    static const int few[] = {1, 2, 3, 1, 5}, groups[] = {1, 2, 4, 1, 8};
    size['B'] = n % 29 == 28 ? 0 : 1 + (int64_t)pick(seed, 3);
    size['G'] = few[pick(seed, COUNT(few))];
    size['H'] = strchr(all, 'G') ? size['G'] * groups[pick(seed, COUNT(groups))]
                                 : few[pick(seed, COUNT(few))];
    if (together) size['S'] = size['T'];
    /* a size that a param is given, within its range */
    for (uint32_t i = 0; i < e->op.params.count; i++) {
        const heed_param *p = entry_param(e, i);
        if (p->axis && size[p->axis] < p->min) size[p->axis] = (int64_t)p->min;
    }
    /* an index into an empty vocabulary there is not */
    for (uint32_t i = 0; i < e->op.ports.count; i++)
        if (strchr(all, 'V') && size['V'] == 0) size['V'] = 1;
    while (volume(e, size, all) > most) {
        char largest = *all;
        for (const char *l = all; *l; l++)
            if (size[(int)*l] > size[(int)largest]) largest = *l;
        size[(int)largest] = (size[(int)largest] + 1) / 2;
        if (together && strchr("TS", largest)) size['T'] = size['S'] = size[(int)largest];
    }
}

static void print_axes(const char *all, const int64_t size[128], uint64_t *seed, char *text,
                       size_t n)
{
    static const char *const shapes[] = {"%lld", "1x%lld", "%lldx1x2", "2x%lld", "%lld"};
    text[0] = 0;
    for (const char *l = all; *l; l++) {
        size_t used = strlen(text);
        snprintf(text + used, n - used, "%s%c=", used ? "," : "", *l);
        used = strlen(text);
        const char *shape = *l == 'x' ? shapes[pick(seed, COUNT(shapes))] : "%lld";
        snprintf(text + used, n - used, shape, (long long)size[(int)*l]);
    }
}

/* "@F" becomes the size of axis F. */
static void put_sizes(char *spec, size_t n, const int64_t size[128])
{
    for (char *at; (at = strchr(spec, '@'));) {
        char rest[256];
        snprintf(rest, sizeof rest, "%s", at + 2);
        snprintf(at, n - (size_t)(at - spec), "%lld%s", (long long)size[(int)at[1]], rest);
    }
}

/* ---- ports ---- */

/* Of an optional port: whether it is out unless it is named with a plus (call.h). Others are there
 * unless named. */
static int shapes_scores(const entry *e, const heed_port *p)
{
    return is_attention(e) && p->role != HEED_OUTPUT && strcmp(p->name, "key_lengths");
}

static void put_port(const entry *e, const heed_port *p, const char *repeats, char *text, size_t n)
{
    const size_t used = strlen(text);
    snprintf(text + used, n - used, "%s%s%s%s", used ? "," : "", shapes_scores(e, p) ? "+" : "",
             p->name, repeats);
}

/* Each optional port, in half of the cases. */
static void choose_ports(const entry *e, uint64_t *seed, int kind, char *text, size_t n)
{
    int documents = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < e->op.ports.count; i++) {
        const heed_port *p = entry_port(e, i);
        if (!(p->flags & HEED_PORT_OPTIONAL) || !strcmp(p->name, "key_blocks")) continue;
        int shapes = shapes_scores(e, p);
        int yes = pick(seed, shapes ? 4 : 2) == 0;
        if (kind != VARIED_CASE && shapes) yes = 0;
        if (kind == TEXT_CASE && !strcmp(p->name, "key_lengths")) yes = 1; /* which leaves it out */
        if (!strcmp(p->name, "documents")) documents = yes;
        if (!strcmp(p->name, "query_documents") && !documents) yes = 0;
        if (!yes) continue;
        put_port(e, p, shapes && p->flags & HEED_PORT_REPEATS && pick(seed, 2) ? ":BH" : "", text,
                 n);
    }
}

static uint32_t choose_dtype(const entry *e, uint64_t *seed)
{
    uint32_t taken = 0, dtype = HEED_F32;
    for (uint32_t i = 0; i < e->op.ports.count; i++)
        if (entry_port(e, i)->role == HEED_INPUT) taken |= entry_port(e, i)->dtypes;
    uint32_t turn = pick(seed, 8);
    if (turn == 0) dtype = HEED_F16;
    if (turn == 1) dtype = HEED_BF16;
    if (turn == 2) dtype = HEED_I32; /* of indices */
    return taken & HEED_BIT(dtype) ? dtype : HEED_F32;
}

int case_make(const heed_engine *engine, const entry *e, uint32_t n, check_case *to)
{
    uint64_t seed = n * 7919u + 17;
    char inner[200] = "", all[64] = "", own[200];
    const int kind = n < COUNT(hurt) ? PLAIN_CASE : n % 3 == 2 ? TEXT_CASE : VARIED_CASE;
    *to = (check_case){.size = 1, .seed = n};
    if (lacks_op(e, engine)) return 0;
    letters(e, all); /* of a score op's weights too */
    if (!entry_path(e, 0)->forward) {
        const heed_param *param = NULL;
        const entry *outer = around(engine, e, &param);
        if (!outer) return 0;
        bracket(engine, e, "", kind, 0, &seed, own, sizeof own);
        snprintf(inner, sizeof inner, "%s=%s", param->key, own + strcspn(e->op.id, "/") + 1);
        e = outer;
    }
    bracket(engine, e, inner, kind, 1, &seed, to->spec, sizeof to->spec);
    letters(e, all);
    int64_t size[128] = {0};
    int together = strchr(all, 'T') && strchr(all, 'S') && (kind == TEXT_CASE || pick(&seed, 2));
    choose_sizes(e, n, together, &seed, all, size);
    print_axes(all, size, &seed, to->axes, sizeof to->axes);
    put_sizes(to->spec, sizeof to->spec, size);
    choose_ports(e, &seed, kind, to->ports, sizeof to->ports);
    to->dtype = choose_dtype(e, &seed);
    to->size = pick(&seed, 6) == 0 ? 4 : 1;
    return 1;
}

/* ---- what an op asks of sizes, and no table of it tells ---- */

/* Sizes of an axis that only its plugin knows; KEPT is what the case has. */
enum { KEPT, ONE, HEADS, TOKENS, ODD, OWN_SIZES };
#define OWN_AXES 3 /* of one op */

/* How a case is changed: nothing, or some of these at once. */
typedef struct change {
    uint32_t even;          /* widths: some ops take pairs */
    uint32_t alike;         /* keys for every head */
    uint32_t weights;       /* optional ones, all */
    uint32_t inputs;        /* queries and keys */
    uint32_t own[OWN_AXES];
} change;

/* Axes of `text` that are neither a batch, heads, tokens nor a width, in the order of the text. */
static uint32_t own_axes(const char *text, char own[OWN_AXES])
{
    uint32_t n = 0;
    for (const char *p = text; *p && n < OWN_AXES; p += strcspn(p, ","), p += *p == ',')
        if (!strchr("xBTSGHDEMNFV", *p)) own[n++] = *p;
    return n;
}

static void put_change(change *to, uint32_t k)
{
    if (k == 0) to->even = 1;
    else if (k == 1) to->alike = 1;
    else if (k == 2) to->weights = 1;
    else if (k == 3) to->inputs = 1;
    else to->own[(k - 4) / (OWN_SIZES - 1)] = 1 + (k - 4) % (OWN_SIZES - 1);
}

/* The n-th change, those of one thing first, then those of two; 0: there are no more. */
static int read_change(uint32_t n, uint32_t n_own, change *to)
{
    const uint32_t things = 4 + n_own * (OWN_SIZES - 1);
    uint32_t apart = 0;
    while (apart < things && n >= things - apart) n -= things - apart++;
    *to = (change){.even = 0};
    if (apart == things) return 0;
    put_change(to, n);
    put_change(to, n + apart);
    return 1;
}

static int is_named(const char *ports, const char *name)
{
    const size_t n = strlen(name);
    for (const char *p = ports; *p; p += strcspn(p, ","), p += *p == ',')
        if (!strncmp(p + (*p == '+'), name, n) && strchr(",:", p[(*p == '+') + n])) return 1;
    return 0;
}

static long long size_of(const char *axes, char letter)
{
    for (const char *p = axes; *p; p += strcspn(p, ","), p += *p == ',')
        if (*p == letter) return atoll(p + 2);
    return 0;
}

static long long own_size(const check_case *c, uint32_t kind, long long size)
{
    switch (kind) {
    case ONE: return 1;
    case HEADS: return size_of(c->axes, 'H');
    case TOKENS: return size_of(c->axes, 'T') + size_of(c->axes, 'S');
    case ODD: return size | 3;
    default: return size;
    }
}

int case_change(const entry *e, const check_case *c, uint32_t n, check_case *to)
{
    char own[OWN_AXES];
    change how;
    const uint32_t n_own = own_axes(c->axes, own);
    if (!read_change(n, n_own, &how)) return 0;
    *to = *c;
    to->axes[0] = 0;
    for (const char *p = c->axes; *p; p += strcspn(p, ","), p += *p == ',') {
        const size_t used = strlen(to->axes), word = strcspn(p, ",");
        const char *mine = memchr(own, *p, n_own);
        long long size = atoll(p + 2), before = size;
        if (mine) size = own_size(c, how.own[mine - own], size);
        if (*p == 'G' && how.alike) size = size_of(c->axes, 'H');
        if (how.even && !strchr("BGHx", *p)) size += size % 2;
        if (used + word + 8 > sizeof to->axes) return 0;
        char *end = to->axes + used;
        if (size == before)
            snprintf(end, sizeof to->axes - used, "%s%.*s", used ? "," : "", (int)word, p);
        else snprintf(end, sizeof to->axes - used, "%s%c=%lld", used ? "," : "", *p, size);
    }
    for (uint32_t i = 0; i < e->op.ports.count; i++) {
        const heed_port *p = entry_port(e, i);
        const int asked = p->role == HEED_WEIGHT
                              ? how.weights
                              : how.inputs && strchr("qk", *p->name) && !p->name[1];
        if (asked && p->flags & HEED_PORT_OPTIONAL && shapes_scores(e, p) &&
            !is_named(to->ports, p->name))
            put_port(e, p, "", to->ports, sizeof to->ports);
    }
    return strcmp(to->axes, c->axes) || strcmp(to->ports, c->ports) ? 1 : -1;
}

/* ---- as text ---- */

void case_print(const check_case *c, char *text, size_t n)
{
    snprintf(text, n, "%s %s ports=%s dtype=%s size=%g seed=%llu", c->spec,
             *c->axes ? c->axes : "-", c->ports, heed_dtype_name(c->dtype), (double)c->size,
             (unsigned long long)c->seed);
}

/* Copies one word, and steps over it and the blanks behind it. */
static int word(const char **text, char *to, size_t n)
{
    size_t length = strcspn(*text, " ");
    if (length >= n) return -1;
    memcpy(to, *text, length);
    to[length] = 0;
    *text += length;
    *text += strspn(*text, " ");
    return 0;
}

static int read_dtype(const char *name, uint32_t *dtype)
{
    for (*dtype = 0; *dtype < HEED_DTYPES; ++*dtype)
        if (!strcmp(heed_dtype_name(*dtype), name)) return 0;
    return -1;
}

/* Letters and sizes as call.c reads them: it trusts them. */
static int right_axes(const char *p)
{
    if (!strcmp(p, "-")) return 1;
    for (;;) {
        if (!((*p >= 'A' && *p <= 'Z') || *p == 'x') || p[1] != '=') return 0;
        p++;
        do {
            size_t digits = strspn(p + 1, "0123456789");
            if (digits < 1 || digits > 9) return 0;
            p += 1 + digits;
        } while (*p == 'x');
        if (!*p) return 1;
        if (*p++ != ',') return 0;
    }
}

int case_parse(const char *text, check_case *to)
{
    char one[256], *end;
    *to = (check_case){.size = 1};
    if (word(&text, to->spec, sizeof to->spec) || !*to->spec) return -1;
    if (word(&text, to->axes, sizeof to->axes) || !right_axes(to->axes)) return -1;
    if (!strcmp(to->axes, "-")) to->axes[0] = 0;
    while (*text) {
        if (word(&text, one, sizeof one)) return -1;
        if (!strncmp(one, "ports=", 6)) snprintf(to->ports, sizeof to->ports, "%.159s", one + 6);
        else if (!strncmp(one, "dtype=", 6)) {
            if (read_dtype(one + 6, &to->dtype)) return -1;
        } else if (!strncmp(one, "size=", 5)) {
            to->size = strtof(one + 5, &end);
            if (*end || !isfinite(to->size)) return -1;
        } else if (!strncmp(one, "seed=", 5)) {
            to->seed = strtoull(one + 5, &end, 10);
            if (*end) return -1;
        } else return -1;
    }
    return 0;
}
