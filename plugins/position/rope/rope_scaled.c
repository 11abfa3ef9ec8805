/* SPDX-License-Identifier: MIT
 *
 * position/rope_scaled: position/rope with pairs that turn slower, so that a network reads texts which
 * are longer than those it was trained on. The rules, with their sources, are in
 * kit/position/rotary.h: linear, ntk, dynamic, yarn and llama3. What a rule has no use for is refused.
 */
#include "rope_op.h"

static const heed_port ports[] = {ROPE_PORTS};

enum { SCALING = WIDTH + 1, FACTOR, ORIGINAL, LENGTH, LOW, HIGH, TRUNCATE, ATTENTION_FACTOR };
static const heed_param params[] = {
    [BASE] = ROPE_PARAM_BASE,
    [PAIRS] = ROPE_PARAM_PAIRS,
    [WIDTH] = ROPE_PARAM_WIDTH,
    [SCALING] = KIT_CHOICE("scaling", KIT_ROTARY_YARN - KIT_ROTARY_LINEAR, KIT_ROTARY_SCALINGS,
                           "the rule by which pairs turn slower"),
    [FACTOR] = {sizeof(heed_param), HEED_PARAM_FLOAT, HEED_PARAM_REQUIRED, 0, 1, 1e6, 0, "factor",
                NULL, "how many times longer texts are than those trained on"},
    [ORIGINAL] = KIT_INT_REQUIRED("original", 0, 2, 1 << 30, "tokens of a text trained on"),
    [LENGTH] = KIT_INT_AUTO("length", 0, 1, 1 << 30, "dynamic: tokens that it is used for"),
    [LOW] = KIT_FLOAT_AUTO("low", 1e-3, 1e6,
                           "yarn, llama3: pairs that turn less often within `original` tokens turn "
                           "`factor` times slower; 1 if absent"),
    [HIGH] = KIT_FLOAT_AUTO("high", 1e-3, 1e6,
                            "yarn, llama3: pairs that turn more often keep their speed; 32 with "
                            "yarn and 4 with llama3 if absent"),
    [TRUNCATE] = KIT_BOOL("truncate", 1, "yarn: its ramp begins and ends at whole pairs"),
    [ATTENTION_FACTOR] = ROPE_PARAM_ATTENTION_FACTOR("yarn: "),
};

/* Which params are for some rules alone. */
#define RULE(name) (1u << KIT_ROTARY_##name)
static const uint32_t rules_of[] = {
    [LENGTH] = RULE(DYNAMIC), [LOW] = RULE(YARN) | RULE(LLAMA3), [HIGH] = RULE(YARN) | RULE(LLAMA3),
    [TRUNCATE] = RULE(YARN),  [ATTENTION_FACTOR] = RULE(YARN),
};

static kit_rotary scaled_of(const heed_value *value)
{
    const int64_t rule = value[SCALING].i + KIT_ROTARY_LINEAR;
    return (kit_rotary){
        .rule = rule,
        .base = value[BASE].f,
        .factor = value[FACTOR].f,
        .original = value[ORIGINAL].f,
        .length = rope_number(&value[LENGTH], 1),
        .low = rope_number(&value[LOW], 1),
        .high = rope_number(&value[HIGH], rule == KIT_ROTARY_YARN ? 32 : 4),
        .truncate = value[TRUNCATE].i,
        .attention_factor = rope_number(&value[ATTENTION_FACTOR], 0),
    };
}

/* A word of the choices. */
static const char *rule_word(const heed_open *open, int *length)
{
    const char *word = KIT_ROTARY_SCALINGS;
    for (int64_t i = 0; i < open->value[SCALING].i; i++) word = strchr(word, '|') + 1;
    for (*length = 0; word[*length] && word[*length] != '|';) ++*length;
    return word;
}

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const kit_rotary r = scaled_of(open->value);
    int n;
    const char *word = rule_word(open, &n);
    for (int p = LENGTH; p <= ATTENTION_FACTOR; p++)
        if (open->value[p].given && !(rules_of[p] & 1u << r.rule))
            return kit_fail(open->sink, HEED_E_ARGUMENT, "%s has no effect with scaling=%.*s",
                            params[p].key, n, word);
    if (r.rule == KIT_ROTARY_DYNAMIC && !open->value[LENGTH].given)
        return kit_fail(open->sink, HEED_E_ARGUMENT,
                        "scaling=dynamic needs length, the tokens that it is used for");
    if (r.rule == KIT_ROTARY_YARN && r.base <= 1)
        return kit_fail(open->sink, HEED_E_ARGUMENT, "scaling=yarn needs a base above 1, here %g",
                        r.base);
    if (rules_of[LOW] & 1u << r.rule && r.high <= r.low)
        return kit_fail(open->sink, HEED_E_ARGUMENT,
                        "scaling=%.*s needs high above low, here %g and %g", n, word, r.high,
                        r.low);
    return rope_measure(open, r.rule, bytes);
}

static int32_t init(void *memory, const heed_open *open)
{
    const kit_rotary r = scaled_of(open->value);
    return rope_init(memory, open, &r);
}

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .acts = HEED_ACTS_QK,
    .id = "position/rope_scaled",
    .version = "1.0",
    .summary = "rotary positions for texts that are longer than those trained on",
    .formula = "as position/rope, with other t_k: with s = factor, L = original, w = width\n"
               "linear t_k / s; ntk t_k of base s^(w/(w-2)); dynamic that of s max(length/L, "
               "1) - (s - "
               "1);\n"
               "yarn, llama3 t_k / s for pairs that turn less than `low` times within L "
               "tokens, t_k for\n"
               "more than `high`, a mixture between; yarn multiplies cosines and sines by 1 + "
               "0.1 ln s",
    .reference = "arXiv 2306.15595 (linear), arXiv 2309.00071 (ntk, dynamic, yarn), Llama 3.1's "
                 "code (llama3)",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = rope_measure_call,
}};

KIT_PLUGIN("position_rope_scaled", "MIT", ops)
