/* SPDX-License-Identifier: MIT
 *
 * checkpoint_rope.c: rotary positions of a checkpoint, as a position op: what stands in
 * rope_parameters, of all layers or by the type of a layer, or, in older files, in rope_theta and
 * rope_scaling. What the rules compute is in plugins/kit/position/rotary.h.
 */
#include <string.h>

#include "io/checkpoint.h"

/* Settings: where they stand, and what they have in common. */
typedef struct settings {
    config *c;
    FILE *out;
    const char *at; /* "rope_parameters." */
    double factor;
    int64_t original;
} settings;

/* The path of a setting; one at a time. */
static const char *in(const settings *s, const char *key)
{
    static _Thread_local char path[160];
    snprintf(path, sizeof path, "%s%s", s->at, key);
    return path;
}

static void put(const settings *s, const char *setting, double x)
{
    char number[32];
    fprintf(s->out, ", %s=%s", setting, config_number(number, x));
}

static void put_if(const settings *s, const char *key, const char *setting)
{
    if (config_has(s->c, in(s, key)))
        put(s, setting, config_real(s->c, in(s, key), 1e-3, 1e6, NAN));
}

/* Cosines and sines are multiplied with what follows from DeepSeek's two settings, if both are
 * there: only where they are alike it is known without a logarithm, namely 1. */
static void put_yarn(const settings *s)
{
    put_if(s, "beta_slow", "low");
    put_if(s, "beta_fast", "high");
    if (!config_flag(s->c, in(s, "truncate"), 1)) fputs(", truncate=false", s->out);
    const double scale = config_real(s->c, in(s, "mscale"), 0, 1e6, 0),
                 all = config_real(s->c, in(s, "mscale_all_dim"), 0, 1e6, 0);
    if (config_has(s->c, in(s, "attention_factor"))) {
        put_if(s, "attention_factor", "attention_factor");
    } else if (scale > 0 && all > 0) {
        if (scale == all) put(s, "attention_factor", 1);
        else config_wrong(s->c, in(s, "mscale"), "only one that equals mscale_all_dim is read");
    }
}

static void put_llama3(const settings *s)
{
    put(s, "low", config_real(s->c, in(s, "low_freq_factor"), 1e-3, 1e6, NAN));
    put(s, "high", config_real(s->c, in(s, "high_freq_factor"), 1e-3, 1e6, NAN));
}

/* Factors for a pair each are weights; the short list counts, and a text is no longer than those
 * that it is for. */
static void put_longrope(checkpoint *k, const settings *s, int64_t pairs)
{
    k->factors[0] = config_array(s->c, in(s, "short_factor"), pairs);
    k->factors[1] = config_array(s->c, in(s, "long_factor"), pairs);
    if (!k->factors[0] || !k->factors[1])
        config_wrong(s->c, in(s, k->factors[0] ? "long_factor" : "short_factor"),
                     "longrope needs its two lists");
    if (config_has(s->c, in(s, "attention_factor")))
        put_if(s, "attention_factor", "attention_factor");
    fprintf(s->out, ", length=%lld", (long long)s->original);
}

enum { PLAIN, LINEAR, DYNAMIC, YARN, LLAMA3, LONGROPE, SU };

static void put_rule(checkpoint *k, const settings *s, int type, double base, int64_t width)
{
    static const char *const words[] = {[LINEAR] = "linear", [YARN] = "yarn", [LLAMA3] = "llama3"};
    char number[32];
    const int factors = (k->when & CHECKPOINT_LISTED) != 0;
    const int plain = type == PLAIN || type == DYNAMIC, listed = type >= LONGROPE || factors;
    if (factors && type != PLAIN)
        config_wrong(s->c, in(s, "type"), "the tensor rope_freqs.weight says how fast pairs turn");
    fprintf(s->out, "%s(base=%s, pairs=%s",
            listed  ? "longrope"
            : plain ? "rope"
                    : "rope_scaled",
            config_number(number, base), k->pairs);
    if (!listed && width != CHECKPOINT_SIZE(k, 'D'))
        fprintf(s->out, ", width=%lld", (long long)width);
    if (!plain) {
        if (!listed) fprintf(s->out, ", scaling=%s", words[type]);
        put(s, "factor", s->factor);
        fprintf(s->out, ", original=%lld", (long long)s->original);
    }
    if (type == YARN) put_yarn(s);
    if (type == LLAMA3) put_llama3(s);
    if (type >= LONGROPE) put_longrope(k, s, width / 2);
    fputc(')', s->out);
}

/* Where the settings stand: in newer files in rope_parameters, and there perhaps by layers. */
static void find_settings(config *c, const checkpoint_rope *r, char at[96])
{
    snprintf(at, 96, "rope_parameters.%s", r->layers ? r->layers : "");
    if (r->layers && config_has(c, at)) strcat(at, ".");
    else if (config_has(c, "rope_parameters")) strcpy(at, "rope_parameters.");
    else strcpy(at, r->scaled ? "rope_scaling." : "rope_parameters.");
}

void checkpoint_rope_write(checkpoint *k, const checkpoint_rope *r)
{
    static const char right[] = "default, linear, dynamic, yarn, llama3, longrope, su";
    config *c = &k->config;
    char at[96];
    find_settings(c, r, at);
    settings s = {.c = c, .out = k->spec, .at = at};
    double theta = config_real(c, r->theta_key, 1, 1e18, r->theta);
    theta = config_real(c, in(&s, "rope_theta"), 1, 1e18, theta);
    double part = r->part_key ? config_real(c, r->part_key, 0, 1, r->part) : 1;
    part = config_real(c, in(&s, "partial_rotary_factor"), 0, 1, part);
    if (!r->part_key && part < 1)
        config_wrong(c, in(&s, "partial_rotary_factor"), "this model_type turns all channels");
    const int old = !config_has(c, in(&s, "rope_type")) && config_has(c, in(&s, "type"));
    const int type = config_choice(c, in(&s, old ? "type" : "rope_type"), "default", right);
    const int64_t context = CHECKPOINT_SIZE(k, 'C'),
                  width = (int64_t)(part * (double)CHECKPOINT_SIZE(k, 'D'));
    if (old) config_word(c, in(&s, "rope_type"), "");
    else config_word(c, in(&s, "type"), "");
    s.original = config_int(c, in(&s, "original_max_position_embeddings"), 2, 1 << 30, context);
    s.original = config_int(c, "original_max_position_embeddings", 2, 1 << 30, s.original);
    s.factor = type == LINEAR || type == DYNAMIC || type == LLAMA3
                   ? NAN
                   : (double)context / (double)s.original;
    if (type != PLAIN) s.factor = config_real(c, in(&s, "factor"), 1, 1e6, s.factor);
    if (width < 2 || width % 2)
        config_wrong(c, in(&s, "partial_rotary_factor"), "an even number of channels must turn");
    if (!c->failed) put_rule(k, &s, type, theta, width);
}
