/* SPDX-License-Identifier: MIT
 *
 * test_spec.c: specs from text to ops and back: forms, the canonical text, every error with its place, hostile input.
 *
 * The ops are tables made here; no plugin is loaded and nothing runs. Links with error, spec, resolve and registry.
 */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/error.h"
#include "op/bind.h"
#include "op/registry.h"
#include "op/resolve.h"
#include "op/spec.h"

/* ---- the ops ---- */

#define SIZE sizeof(heed_param)
#define TABLE(array) {array, sizeof(array) / sizeof *(array), sizeof *(array)}
#define ALL_MASKS (HEED_MASK_CAUSAL | HEED_MASK_WINDOW | HEED_MASK_PREFIX | HEED_MASK_SINKS)

static const heed_param softmax_params[] = {
    {SIZE, HEED_PARAM_FLOAT, HEED_PARAM_AUTO, 0, 0, 1e30, 0, "scale", NULL, "factor of the scores"},
    {SIZE, HEED_PARAM_FLOAT, 0, 0, 0, 1e30, 0, "softcap", NULL, "bound of the scores"},
    {SIZE, HEED_PARAM_OP, HEED_PARAM_AUTO, 0, 0, 0, 0, "position", "position", "bias of the scores"},
    {SIZE, HEED_PARAM_OP, HEED_PARAM_AUTO, 0, 0, 0, 0, "second", "position", "another one"},
};
static const heed_param window_params[] = {
    {SIZE, HEED_PARAM_INT, 0, 0, 0, 1e9, 256, "left", NULL, "keys before the query"},
    {SIZE, HEED_PARAM_INT, 0, 0, 0, 1e19, 0, "right", NULL, "keys behind it"},
    {SIZE, HEED_PARAM_INT, 0, 0, 0, 64, 0, "sinks", NULL, "first keys, always seen"},
    {SIZE, HEED_PARAM_BOOL, 0, 0, 0, 1, 1, "strict", NULL, "a yes or no"},
};
static const heed_param mixture_params[] = {
    {SIZE, HEED_PARAM_OP, HEED_PARAM_REQUIRED, 0, 0, 0, 0, "first", "attention", "one of two"},
    {SIZE, HEED_PARAM_OP, HEED_PARAM_AUTO, 0, 0, 0, 0, "second", "attention", "the other"},
    {SIZE, HEED_PARAM_OP, HEED_PARAM_AUTO, 0, 0, 0, 0, "any", NULL, "of any kind, with its whole id"},
};
static const heed_param rope_params[] = {
    {SIZE, HEED_PARAM_FLOAT, 0, 0, 1, 1e30, 10000, "base", NULL, "of the angles"},
    {SIZE, HEED_PARAM_CHOICE, 0, 0, 0, 0, 1, "pairs", "interleaved|half|none", "which channels turn together"},
    {SIZE, HEED_PARAM_INT, HEED_PARAM_AUTO, 0, -5, 1e9, 0, "width", NULL, "channels that turn"},
};
static const heed_param rms_params[] = {
    {SIZE, HEED_PARAM_FLOAT, 0, 0, 0, 1, 1e-6, "eps", NULL, "added to the mean square"},
};
static const heed_param tables_params[] = {
    {SIZE, HEED_PARAM_INT, HEED_PARAM_REQUIRED, 'J', 1, 1e6, 0, "rank", NULL,
     "width of the tables"},
    {SIZE, HEED_PARAM_INT, 0, 0, 0, 1, 0, "other", NULL, "with a default"},
    {SIZE, HEED_PARAM_INT, HEED_PARAM_REQUIRED, 'C', 1, 1e6, 0, "longest", NULL,
     "rows of the tables"},
    {SIZE, HEED_PARAM_INT, HEED_PARAM_REQUIRED, 'W', 1, 1e6, 0, "matrices", NULL, "tables"},
};
static const heed_param swiglu_params[] = {
    {SIZE, HEED_PARAM_INT, HEED_PARAM_REQUIRED, 'F', 1, 1e6, 0, "hidden", NULL, "hidden width"},
};

static entry entries[] = {
    {.op = {.id = "attention/softmax", .masks = ALL_MASKS, .params = TABLE(softmax_params)}},
    {.op = {.id = "attention/window",
            .masks = HEED_MASK_CAUSAL | HEED_MASK_SINKS,
            .params = TABLE(window_params)}},
    {.op = {.id = "attention/mixture", .masks = HEED_MASK_CAUSAL, .params = TABLE(mixture_params)}},
    {.op = {.id = "position/rope", .params = TABLE(rope_params)}},
    {.op = {.id = "position/alibi"}},
    {.op = {.id = "norm/rms", .params = TABLE(rms_params)}},
    {.op = {.id = "feedforward/swiglu", .params = TABLE(swiglu_params)}},
    {.op = {.id = "linear/tables", .params = TABLE(tables_params)}},
};
static registry ops;

static int fill(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        entries[i].op.size = sizeof(heed_op);
        entries[i].plugin = "test";
        if (registry_add(&ops, &entries[i], NULL)) return -1;
    }
    return 0;
}

static int empty(void **state)
{
    (void)state;
    registry_free(&ops);
    return 0;
}

/* The canonical text of an op's spec, or NULL and an error. */
static char *canonical(const char *text, heed_error *error)
{
    spec *s = spec_parse(text, 0, error);
    if (!s) return NULL;
    resolved *op = resolve(&ops, s, s->op, "attention", error);
    char *printed = op ? resolve_print(op) : NULL;
    resolve_free(op);
    spec_free(s);
    return printed;
}

/* ---- good forms ---- */

static const struct {
    const char *text, *canonical;
} forms[] = {
    {"attention/softmax", "attention/softmax"},
    {"softmax", "attention/softmax"},
    {"softmax()", "attention/softmax"},
    {" softmax\t( # all keys\r\n ) # end", "attention/softmax"},
    {"# h\xC3\xA9llo \x01\nsoftmax", "attention/softmax"},
    {"softmax(causal=true,position=alibi,scale=125e-3)",
     "attention/softmax(scale=0.125, position=position/alibi, causal=true)"},
    {"softmax(alibi)", "attention/softmax(position=position/alibi)"},
    {"softmax(scale=1, alibi, rope)", "attention/softmax(scale=1, position=position/alibi, second=position/rope)"},
    {"softmax(second=alibi, rope(base=5e5))",
     "attention/softmax(position=position/rope(base=500000), second=position/alibi)"},
    {"softmax(scale=0)", "attention/softmax(scale=0)"}, /* AUTO: 0 is not the same as left out */
    {"softmax(scale=-0.0)", "attention/softmax(scale=0)"},
    {"softmax(softcap=0)", "attention/softmax"},
    {"softmax(scale=.1)", "attention/softmax(scale=0.1)"},
    {"softmax(scale=0.1000000000000000055)", "attention/softmax(scale=0.1)"},
    {"softmax(scale=0.30000000000000004)", "attention/softmax(scale=0.30000000000000004)"},
    {"softmax(scale=+1E-5)", "attention/softmax(scale=1e-05)"},
    {"softmax(scale=5e-324)", "attention/softmax(scale=4.94066e-324)"},
    {"softmax(scale=1e-999)", "attention/softmax(scale=0)"},
    {"softmax(causal=false)", "attention/softmax"},
    {"softmax(causal=top_left)", "attention/softmax(causal=true)"},
    {"softmax(causal=bottom_right)", "attention/softmax(causal=bottom_right)"},
    {"softmax(causal=offset:-3)", "attention/softmax(causal=offset:-3)"},
    {"softmax(causal=offset:+1e3)", "attention/softmax(causal=offset:1000)"},
    {"softmax(sinks=4, prefix=7, window=256, causal=true)",
     "attention/softmax(causal=true, window=256, prefix=7, sinks=4)"},
    {"softmax(window=0)", "attention/softmax(window=0)"},
    {"softmax(window=8:0)", "attention/softmax(window=8)"},
    {"softmax(window=8:1e1)", "attention/softmax(window=8:10)"},
    {"softmax(prefix=0, sinks=0)", "attention/softmax"},
    {"softmax(accuracy=exact)", "attention/softmax"},
    {"softmax(accuracy=fast)", "attention/softmax(accuracy=fast)"},
    {"softmax(accuracy=fast, alibi(accuracy=fast), window=3, causal=offset:0, scale=2)",
     "attention/softmax(scale=2, position=position/alibi(accuracy=fast), causal=offset:0, window=3, accuracy=fast)"},
    {"softmax(window=1099511627776:1099511627776, prefix=1099511627776, sinks=1e12, causal=offset:-1099511627776)",
     "attention/softmax(causal=offset:-1099511627776, window=1099511627776:1099511627776, prefix=1099511627776, "
     "sinks=1000000000000)"},
    {"window(left=256, sinks=4, strict=false)", "attention/window(sinks=4, strict=false)"},
    {"window(right=9007199254740993)", "attention/window(right=9007199254740993)"},
    {"window(right=9223372036854775807)", "attention/window(right=9223372036854775807)"},
    {"window(left=1e3)", "attention/window(left=1000)"},
    {"mixture(window(left=1), softmax)", "attention/mixture(first=attention/window(left=1), second=attention/softmax)"},
    {"mixture(mixture(softmax), any=norm/rms)",
     "attention/mixture(first=attention/mixture(first=attention/softmax), any=norm/rms)"},
    {"position/rope(pairs=half)", "position/rope"},
    {"position/rope(pairs=none, width=-5)", "position/rope(pairs=none, width=-5)"},
    {"norm/rms(eps=1e-6)", "norm/rms"},
    {"feedforward/swiglu(hidden=1376)", "feedforward/swiglu(hidden=1376)"},
};

static void check_form(const char *text, const char *right)
{
    heed_error e = {0};
    char *once = canonical(text, &e);
    if (!once) fail_msg("\"%s\": %s", text, e.text);
    assert_string_equal(once, right);
    char *twice = canonical(once, &e);
    assert_non_null(twice);
    assert_string_equal(twice, once);
    free(once);
    free(twice);
}

static void good_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) check_form(forms[i].text, forms[i].canonical);
}

static void values_are_filled_in(void **state)
{
    (void)state;
    heed_error e = {0};
    spec *s = spec_parse("window(right=7, causal=offset:12)", 0, &e);
    resolved *op = resolve(&ops, s, s->op, "attention", &e);
    assert_non_null(op);
    assert_string_equal(op->entry->op.id, "attention/window");
    assert_int_equal(op->value[0].given, 0);
    assert_int_equal(op->value[0].i, 256);
    assert_true(op->value[0].f == 256);
    assert_int_equal(op->value[1].given, 1);
    assert_int_equal(op->value[1].i, 7);
    assert_int_equal(op->value[3].i, 1);
    assert_int_equal(op->mask.size, sizeof(heed_mask));
    assert_int_equal(op->mask.kinds, HEED_MASK_CAUSAL);
    assert_int_equal(op->mask.align, HEED_ALIGN_OFFSET);
    assert_int_equal(op->mask.offset, 12);
    resolve_free(op);
    spec_free(s);

    s = spec_parse("window(sinks=3)", 0, &e); /* its own param, not the mask's */
    op = resolve(&ops, s, s->op, "attention", &e);
    assert_int_equal(op->mask.kinds, 0);
    assert_int_equal(op->value[2].i, 3);
    resolve_free(op);
    spec_free(s);

    s = spec_parse("softmax(window=9:2, rope(width=3, accuracy=fast))", 0, &e);
    op = resolve(&ops, s, s->op, "attention", &e);
    assert_int_equal(op->fast, 0);
    assert_int_equal(op->child[2]->fast, 1);
    assert_int_equal(op->mask.kinds, HEED_MASK_WINDOW);
    assert_int_equal(op->mask.left, 9);
    assert_int_equal(op->mask.right, 2);
    assert_int_equal(op->value[0].given, 0);
    assert_int_equal(op->value[2].given, 1);
    assert_non_null(op->child[2]);
    assert_null(op->child[3]);
    assert_int_equal(op->child[2]->value[2].i, 3);
    assert_int_equal(op->child[2]->value[1].i, 1); /* pairs=half */
    resolve_free(op);
    spec_free(s);
}

static void stacks(void **state)
{
    (void)state;
    heed_error e = {0};
    const char *given = "layers=12; width=512 ;# half\n attention=[ window( left=256 )x5,softmax(a=[b]) x1, f() ] ;\n";
    spec *s = spec_parse(given, 1, &e);
    if (!s) fail_msg("%s", e.text);
    assert_int_equal(s->n_keys, 3);
    assert_null(s->op);
    assert_string_equal(s->keys[1].key, "width");
    assert_string_equal(s->keys[1].value->word, "512");
    assert_int_equal(s->keys[1].key_at, 11);
    const spec_node *list = s->keys[2].value;
    assert_int_equal(list->type, SPEC_LIST);
    assert_int_equal(list->n_items, 3);
    assert_int_equal(list->items[0]->repeat, 5);
    assert_int_equal(list->items[1]->repeat, 1);
    assert_int_equal(list->items[2]->has_args, 1);
    assert_int_equal(s->text[list->at], '[');
    char *text = spec_print_node(list);
    assert_string_equal(text, "[window(left=256) x5, softmax(a=[b]), f]");
    free(text);
    int64_t layers;
    assert_int_equal(spec_int(s, s->keys[0].value, "layers", 1, 100, &layers, &e), HEED_OK);
    assert_int_equal(layers, 12);
    spec_free(s);
}

/* The decimal sign of the user's language changes neither what is read nor what is printed. */
static void locales(void **state)
{
    (void)state;
    const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "pt_BR.UTF-8", "ru_RU.UTF-8", "ps_AF"};
    int tried = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!setlocale(LC_ALL, names[i])) continue;
        tried++;
        check_form("softmax(scale=0.1)", "attention/softmax(scale=0.1)");
        check_form("softmax(scale=1.25e-30)", "attention/softmax(scale=1.25e-30)");
    }
    setlocale(LC_ALL, "C");
    if (!tried) {
        print_message("no locale with a decimal comma is installed\n");
        skip();
    }
}

/* ---- errors ---- */

/* '^' in a text marks the place and is not part of it. */
static const struct {
    int stack;
    const char *text, *sentence;
} errors[] = {
    /* the grammar */
    {0, "^", "the spec is empty"},
    {0, "^ # nothing\n", "the spec is empty"},
    {1, "^\n", "the spec is empty"},
    {0, "^(a=1)", "expected the name of an op, not '('"},
    {0, "softmax ^; ", "expected '(' or the end of the spec, not ';'"},
    {0, "softmax ^x5", "expected '(' or the end of the spec, not \"x5\""},
    {0, "softmax() ^x5", "expected the end of the spec, not \"x5\""},
    {0, "layers^=12; width=3", "expected '(' or the end of the spec, not '='"},
    {0, "softmax^(causal=true", "'(' is never closed"},
    {0, "softmax^(causal=true, rope(base=2) # )\n", "'(' is never closed"},
    {0, "softmax(causal=true,^", "expected a key or an op, but the spec ends"},
    {0, "softmax(causal=true,^ # more\n", "expected a key or an op, but the spec ends"},
    {0, "softmax(causal=^", "expected a value, but the spec ends"},
    {0, "softmax(causal=^)", "expected a value, not ')'"},
    {0, "softmax(^=1)", "expected a key or an op, not '='"},
    {0, "softmax(^,)", "expected a key or an op, not ','"},
    {0, "softmax(scale=1,^)", "expected a key or an op, not ')'"},
    {0, "softmax(scale=1 ^causal=true)", "expected ',' or ')', not \"causal\""},
    {0, "softmax(scale=1^;)", "expected ',' or ')', not ';'"},
    {0, "softmax(scale=1,\n  ^scale=2)", "\"scale\" is given twice"},
    {0, "softmax(^[a])", "expected a key or an op, not '['"},
    {0, "soft^\xC3\xA9max",
     "expected '(' or the end of the spec, not the byte \\xC3; only comments may have more than "
     "plain ASCII"},
    {0, "^\x01",
     "expected the name of an op, not the byte \\x01; only comments may have more than plain "
     "ASCII"},
    {0, "softmax(scale=^\x7F)",
     "expected a value, not the byte \\x7F; only comments may have more than plain ASCII"},
    {1, "layers=12 ^width=3", "expected ';', not \"width\""},
    {1, "layers=12;^; width=3", "expected a key, not ';'"},
    {1, "layers^", "expected '=' behind the key, but the spec ends"},
    {1, "layers ^12", "expected '=' behind the key, not \"12\""},
    {1, "layers=1; ^layers=2", "\"layers\" is given twice"},
    {1, "a=^[b, c", "'[' is never closed"},
    {1, "a=[^]", "expected a value, not ']'"},
    {1, "a=[b,^]", "expected a value, not ']'"},
    {1, "a=[^[b] x2]", "a list can not hold a list"},
    {1, "a=[b ^x0]", "the repeat count is 0, but must be from 1 to 10000"},
    {1, "a=[b(c) ^x10001]", "the repeat count is 10001, but must be from 1 to 10000"},
    {1, "a=[b ^x99999999999999999999999999]",
     "the repeat count is 999999999999999999999999, but must be from 1 to 10000"},
    {1, "a=[b ^x5x]", "expected ',' or ']', not \"x5x\""},
    {1, "a=[b x5 ^x5]", "expected ',' or ']', not \"x5\""},
    {1, "a=[b ^c]", "expected ',' or ']', not \"c\""},
    /* ops and keys */
    {0, "^sofmax",
     "no attention op is called \"sofmax\"; nearest is \"softmax\"; there are mixture, softmax, "
     "window"},
    {0, "^attention/xyz(a=1)",
     "no attention op is called \"xyz\"; there are mixture, softmax, window"},
    {0, "^atention/softmax",
     "no op is of kind \"atention\"; nearest is \"attention\"; there are attention, "
     "feedforward, linear, norm, position"},
    {0, "^zzz/softmax",
     "no op is of kind \"zzz\"; there are attention, feedforward, linear, norm, position"},
    {0, "^/softmax",
     "no op is of kind \"\"; there are attention, feedforward, linear, norm, position"},
    {0, "window(^lef=2)",
     "unknown key \"lef\" of attention/window; nearest is \"left\"; it takes left, right, sinks, "
     "strict, causal, accuracy"},
    {0, "window(^Left=2)",
     "unknown key \"Left\" of attention/window; nearest is \"left\"; it takes left, right, sinks, "
     "strict, causal, accuracy"},
    {0, "window(^cuasal=true)",
     "unknown key \"cuasal\" of attention/window; nearest is \"causal\"; it takes left, right, "
     "sinks, strict, causal, accuracy"},
    {0, "window(^foo=2)",
     "unknown key \"foo\" of attention/window; it takes left, right, sinks, strict, causal, "
     "accuracy"},
    {0, "softmax(^alibi=1)",
     "unknown key \"alibi\" of attention/softmax; it takes scale, softcap, position, second, "
     "causal, window, prefix, sinks, accuracy"},
    {0, "position/alibi(^a=1)", "unknown key \"a\" of position/alibi; it takes accuracy"},
    {0, "window(^256)",
     "attention/window takes nothing without a key; keys are left, right, sinks, strict, causal, "
     "accuracy"},
    {0, "softmax(alibi, alibi, ^alibi)",
     "attention/softmax takes only 2 without a key; keys are scale, softcap, position, second, "
     "causal, window, prefix, sinks, accuracy"},
    {0, "position/alibi(^256)", "position/alibi takes nothing without a key; keys are accuracy"},
    {0, "softmax(position=alibi, ^rope)", "\"position\" is given twice"},
    {0, "softmax(rope, ^position=alibi)", "\"position\" is given twice"},
    {0, "^feedforward/swiglu", "feedforward/swiglu needs the key \"hidden\": hidden width"},
    {0, "^linear/tables",
     "linear/tables needs the key \"rank\": width of the tables; and longest, matrices"},
    {0, "^linear/tables(longest=3)",
     "linear/tables needs the key \"rank\": width of the tables; and matrices"},
    {0, "^linear/tables(longest=3, rank=3)", "linear/tables needs the key \"matrices\": tables"},
    {0, "^mixture", "attention/mixture needs the key \"first\": one of two"},
    {0, "mixture(first=mixture(first=^rms))",
     "no attention op is called \"rms\"; there are mixture, softmax, window"},
    {0, "softmax(position=^norm/rms)", "position takes an op of kind position, not norm/rms"},
    {0, "softmax(position=^[alibi])", "position takes an op, not a list"},
    {0, "softmax(position=^5)", "no position op is called \"5\"; there are alibi, rope"},
    {0, "mixture(softmax, any=^rm)", "\"rm\" needs its kind in front; nearest is \"norm/rms\""},
    {0, "mixture(softmax, any=^qqqq)", "\"qqqq\" is no op's id; write kind/name"},
    /* values */
    {0, "norm/rms(eps=^2)", "eps is 2, but must be from 0 to 1"},
    {0, "norm/rms(eps=^-1e-9)", "eps is -1e-9, but must be from 0 to 1"},
    {0, "norm/rms(eps=^abc)", "eps takes a number, not \"abc\""},
    {0, "norm/rms(eps=^inf)", "eps takes a number, not \"inf\""},
    {0, "norm/rms(eps=^nan)", "eps takes a number, not \"nan\""},
    {0, "norm/rms(eps=^0x1)", "eps takes a number, not \"0x1\""},
    {0, "norm/rms(eps=^1e)", "eps takes a number, not \"1e\""},
    {0, "norm/rms(eps=^.)", "eps takes a number, not \".\""},
    {0, "norm/rms(eps=^1e999)", "eps is 1e999, but must be a finite number"},
    {0, "norm/rms(eps=^[1])", "eps takes a number, not a list"},
    {0, "norm/rms(eps=^1(2))", "eps takes a number, not an op with arguments"},
    {0, "position/rope(base=^0.5)", "base is 0.5, but must be from 1 to 1e+30"},
    {0, "window(left=^2.5)", "left is 2.5, but must be a whole number"},
    {0, "window(left=^-1)", "left is -1, but must be from 0 to 1000000000"},
    {0, "window(left=^1e10)", "left is 1e10, but must be from 0 to 1000000000"},
    {0, "window(left=^1e300)", "left is 1e300, but must be from 0 to 1000000000"},
    {0, "window(right=^-1)", "right is -1, but must be at least 0"},
    {0, "window(right=^9223372036854775808)",
     "right is 9223372036854775808, but must be from 0 to 9223372036854775807"},
    {0, "window(left=^true)", "left takes a whole number, not \"true\""},
    {0, "window(strict=^1)", "strict takes true or false, not \"1\""},
    {0, "position/rope(pairs=^halves)", "pairs takes interleaved, half or none, not \"halves\""},
    {0, "position/rope(pairs=^half())",
     "pairs takes interleaved, half or none, not an op with arguments"},
    {0, "position/rope(pairs=^[half])", "pairs takes interleaved, half or none, not a list"},
    /* masks */
    {0, "softmax(causal=^maybe)",
     "causal takes true, false, bottom_right or offset:N, not \"maybe\""},
    {0, "softmax(causal=^[true])",
     "causal takes true, false, bottom_right or offset:N, not a list"},
    {0, "softmax(causal=offset:^x)", "the offset of causal takes a whole number, not \"x\""},
    {0, "softmax(causal=offset:^)", "the offset of causal takes a whole number, not \"\""},
    {0, "softmax(causal=offset:^1e15)",
     "the offset of causal is 1e15, but must be from -1099511627776 to 1099511627776"},
    {0, "softmax(window=^-1)", "window is -1, but must be from 0 to 1099511627776"},
    {0, "softmax(window=^:3)", "the left of window takes a whole number, not \"\""},
    {0, "softmax(window=3:^-1)", "the right of window is -1, but must be from 0 to 1099511627776"},
    {0, "softmax(window=^[3])", "window takes a whole number, not a list"},
    {0, "softmax(window=^)", "expected a value, not ')'"},
    {0, "softmax(window=^1099511627777)",
     "window is 1099511627777, but must be from 0 to 1099511627776"},
    {0, "softmax(window=3:^99999999999999999999)",
     "the right of window is 99999999999999999999, but must be from 0 to 1099511627776"},
    {0, "softmax(window=3:^4:5)", "the right of window takes a whole number, not \"4:5\""},
    {0, "softmax(window=^left)", "window takes a whole number, not \"left\""},
    {0, "softmax(window=3, ^window=4)", "\"window\" is given twice"},
    {0, "softmax(scale=2, ^prefix=7)",
     "prefix has no effect without causal: it shows the first keys to queries in front of them"},
    {0, "softmax(window=3, ^prefix=7)",
     "prefix has no effect without causal: it shows the first keys to queries in front of them"},
    {0, "softmax(causal=true, ^sinks=4)",
     "sinks has no effect without window: it keeps the first keys that a window has left behind"},
    {0, "softmax(prefix=^1.5)", "prefix is 1.5, but must be a whole number"},
    {0, "softmax(prefix=^-1)", "prefix is -1, but must be from 0 to 1099511627776"},
    {0, "softmax(prefix=^1e13)", "prefix is 1e13, but must be from 0 to 1099511627776"},
    {0, "softmax(sinks=^-4)", "sinks is -4, but must be from 0 to 1099511627776"},
    {0, "softmax(sinks=^2e12)", "sinks is 2e12, but must be from 0 to 1099511627776"},
    {0, "softmax(sinks=^many)", "sinks takes a whole number, not \"many\""},
    {0, "softmax(causal=offset:^-1099511627777)",
     "the offset of causal is -1099511627777, but must be from -1099511627776 to 1099511627776"},
    {0, "softmax(causal=^offset)",
     "causal takes true, false, bottom_right or offset:N, not \"offset\""},
    {0, "mixture(softmax, ^window=3)", "attention/mixture does not honour the mask window"},
    /* accuracy */
    {0, "softmax(accuracy=^best)", "accuracy takes exact or fast, not \"best\""},
    {0, "softmax(accuracy=^true)", "accuracy takes exact or fast, not \"true\""},
    {0, "softmax(accuracy=^[fast])", "accuracy takes exact or fast, not a list"},
    {0, "norm/rms(^accurcy=fast)",
     "unknown key \"accurcy\" of norm/rms; nearest is \"accuracy\"; it takes eps, accuracy"},
    {0, "softmax(accuracy=fast, ^accuracy=fast)", "\"accuracy\" is given twice"},
    {0, "window(^prefix=3)", "attention/window does not honour the mask prefix"},
    {0, "norm/rms(^causal=true)", "norm/rms does not honour the mask causal"},
};

/* Fails unless parsing and resolving gives this sentence at offset `at`. */
static void check_error(const char *text, int stack, size_t at, const char *sentence)
{
    heed_error e = {0};
    char first[512];
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) column = text[i] == '\n' ? line++, 1 : column + 1;

    if (stack) {
        spec *s = spec_parse(text, 1, &e);
        spec_free(s);
        if (s) fail_msg("\"%s\" passed", text);
    } else {
        char *printed = canonical(text, &e);
        if (printed) fail_msg("\"%s\" passed", text);
        assert_null(canonical(text, NULL));
    }
    assert_int_equal(e.code, HEED_E_ARGUMENT);
    snprintf(first, sizeof first, "spec, line %zu, column %zu: %s\n", line, column, sentence);
    if (strncmp(e.text, first, strlen(first))) fail_msg("\"%s\"\n  gives  %s\n  wanted %s", text, e.text, first);

    /* The caret is under the byte. */
    const char *shown = strchr(e.text, '\n') + 1, *caret = strchr(shown, '\n') + 1;
    assert_int_equal(strlen(caret), strspn(caret, " ") + 1);
    assert_int_equal(caret[strlen(caret) - 1], '^');
    size_t under = strlen(caret) - 1;
    if (text[at] > 32 && text[at] < 127) assert_int_equal(shown[under], text[at]);
    if ((unsigned char)text[at] > 126) assert_int_equal(shown[under], '\\');
}

static void errors_name_their_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        char text[256];
        size_t at = strcspn(errors[i].text, "^"), rest = strlen(errors[i].text + at + 1);
        memcpy(text, errors[i].text, at);
        memcpy(text + at, errors[i].text + at + 1, rest + 1);
        check_error(text, errors[i].stack, at, errors[i].sentence);
    }
}

static void no_registry(void **state)
{
    (void)state;
    registry none = {0};
    heed_error e = {0};
    spec *s = spec_parse("softmax", 0, &e);
    assert_null(resolve(&none, s, s->op, "attention", &e));
    assert_non_null(strstr(e.text, "no op is of kind \"attention\": no plugin is loaded"));
    assert_null(resolve(&none, s, s->op, NULL, &e));
    assert_null(resolve(&none, s, s->op, NULL, NULL));
    spec_free(s);
    assert_null(spec_parse(NULL, 0, &e));
    assert_string_equal(e.text, "no spec is given");
}

/* Sizes that are not known, and what would give them. */
static void unknown_sizes(void **state)
{
    static const struct {
        uint32_t axes;
        const char *where, *otherwise, *text;
    } rows[] = {
        {AXIS_BIT('J'), "", NULL, "the size of J is not known; rank=N gives J"},
        {AXIS_BIT('J'), ", which it has", "nobody",
         "the size of J is not known, which it has; rank=N gives J"},
        {AXIS_BIT('K'), "", "nobody", "the size of K is not known; nobody gives K"},
        {AXIS_BIT('K'), "", NULL, "the size of K is not known"},
        {AXIS_BIT('J') | AXIS_BIT('C'), "", "nobody",
         "the sizes of C and J are not known; longest=N gives C; rank=N gives J"},
        {AXIS_BIT('J') | AXIS_BIT('A') | AXIS_BIT('Z'), "", "a file",
         "the sizes of A, J and Z are not known; rank=N gives J; a file gives A and Z"},
    };
    (void)state;
    const entry *tables = registry_find(&ops, "linear/tables");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[200], few[20];
        bind_unknown(tables, rows[i].axes, rows[i].where, rows[i].otherwise, text, sizeof text);
        assert_string_equal(text, rows[i].text);
        bind_unknown(tables, rows[i].axes, rows[i].where, rows[i].otherwise, few, sizeof few);
        assert_int_equal(strncmp(few, text, strlen(few)), 0); /* cut, where there is no room */
    }
}

/* An op that is not there may be in a plugin that was refused: its own file first, then the first. */
static void refused_plugins(void **state)
{
    static const struct {
        const char *spec, *kind, *sentence;
    } rows[] = {
        {"norm/rms", NULL,
         "no op is of kind \"norm\": no plugin is loaded; 3 plugins were refused, one of them: "
         "/p/norm_rms.so: it is no ELF file\n"},
        {"rms", NULL,
         "\"rms\" is no op's id; write kind/name; 3 plugins were refused, one of them: "
         "/p/norm_rms.so: it is no ELF file\n"},
        {"norm/rmss", NULL,
         "; 3 plugins were refused, one of them: /p/aa.so has mode 0666, so anybody can write "
         "it\n"},
        {"softmax", "attention", "; 3 plugins were refused, one of them: /p/aa.so has mode 0666"},
    };
    (void)state;
    registry r = {0};
    char path[4200] = "/p/", text[REFUSED_TEXT];
    heed_error e = {0};
    assert_int_equal(
        registry_refuse(&r, "/p/aa.so", "/p/aa.so has mode 0666, so anybody can write it"), 0);
    assert_int_equal(registry_refuse(&r, "/p/norm_rms.so", "it is no ELF file"), 0);
    assert_int_equal(registry_refuse(&r, "/p/norm_rms2.so", "it is cut short"), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        spec *s = spec_parse(rows[i].spec, 0, &e);
        assert_null(resolve(&r, s, s->op, rows[i].kind, &e));
        if (!strstr(e.text, rows[i].sentence))
            fail_msg("%s is not said in: %s", rows[i].sentence, e.text);
        spec_free(s);
    }
    registry_free(&r);

    /* One, and one whose path and reason are endless. */
    registry_refused(&r, "norm/rms", text);
    assert_string_equal(text, "");
    assert_int_equal(registry_refuse(&r, "/p/a.so", "it is no ELF file"), 0);
    registry_refused(&r, "norm/rms", text);
    assert_string_equal(text, "; a plugin was refused: /p/a.so: it is no ELF file");
    registry_free(&r);
    memset(path + 3, 'x', 4096);
    assert_int_equal(registry_refuse(&r, path, path), 0);
    registry_refused(&r, "norm/rms", text);
    assert_true(strlen(text) > 300 && !strncmp(text, "; a plugin was refused: ...xxx", 30));
    spec *s = spec_parse("norm/rms", 0, &e);
    assert_null(resolve(&r, s, s->op, NULL, &e));
    const char *caret = strrchr(e.text, '\n');
    assert_non_null(caret); /* the place is still shown */
    assert_string_equal(caret, "\n  ^");
    spec_free(s);
    registry_free(&r);
}

static void nearest(void **state)
{
    (void)state;
    const char *names[] = {"left", "right", "sinks", "interleaved"};
    assert_string_equal(error_nearest("lfet", names, 4), "left");
    assert_string_equal(error_nearest("sink", names, 4), "sinks");
    assert_string_equal(error_nearest("INTERLEAVE", names, 4), "interleaved");
    assert_null(error_nearest("x", names, 4));
    assert_null(error_nearest("", names, 4));
    assert_null(error_nearest("left", names, 0));
    const char *one[] = {"a"};
    assert_null(error_nearest("b", one, 1));
    assert_string_equal(error_nearest("A", one, 1), "a");
}

static void long_sentences(void **state)
{
    (void)state;
    heed_error e = {0};
    char *text = malloc(3000);
    for (int i = 0; i < 1500; i++) memcpy(text + 2 * i, "\xC3\xA9", 2);
    for (int shift = 0; shift < 2; shift++) {
        text[2999] = 0;
        assert_int_equal(error_set(&e, HEED_E_DATA, "%s%s", shift ? "" : "x", text), HEED_E_DATA);
        assert_true(strlen(e.text) >= sizeof e.text - 3);
        assert_int_equal((unsigned char)e.text[strlen(e.text) - 1], 0xA9);
    }
    assert_int_equal(error_set(&e, HEED_E_MEMORY, "again: %.20s", e.text), HEED_E_MEMORY);
    assert_int_equal(strncmp(e.text, "again: \xC3\xA9", 9), 0);
    assert_int_equal(error_set(NULL, -3, "nobody listens"), -3);
    free(text);
}

/* ---- hostile input ---- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* `head`, then `unit` n times, then `tail`. */
static char *repeated(const char *head, const char *unit, size_t n, const char *tail)
{
    size_t a = strlen(head), b = strlen(unit);
    char *text = malloc(a + n * b + strlen(tail) + 1);
    memcpy(text, head, a);
    for (size_t i = 0; i < n; i++) memcpy(text + a + i * b, unit, b);
    memcpy(text + a + n * b, tail, strlen(tail) + 1);
    return text;
}

static void deep(void **state)
{
    (void)state;
    char *text = repeated("", "mixture(", 5000, "");
    check_error(text, 0, 8 * SPEC_DEPTH + 7, "nested deeper than 64 levels");
    free(text);
    text = repeated("a=", "f(x=[", 5000, "");
    check_error(text, 1, 2 + 5 * SPEC_DEPTH / 2 + 1, "nested deeper than 64 levels");
    free(text);
    text = repeated("", "(", 5000, "");
    check_error(text, 0, 0, "expected the name of an op, not '('");
    free(text);

    char *closed = repeated("softmax", ")", SPEC_DEPTH, ""); /* as deep as it may be */
    text = repeated("", "mixture(", SPEC_DEPTH, closed);
    heed_error e;
    char *printed = canonical(text, &e);
    assert_non_null(printed);
    check_form(printed, printed);
    free(printed);
    free(text);
    free(closed);
}

static void megabyte(void **state)
{
    (void)state;
    const struct {
        const char *head, *unit, *tail;
        int stack, passes;
    } big[] = {
        {"softmax #", "x", "", 0, 1},       {"softmax", " ", "", 0, 1},    {"softmax", "\n", "(", 0, 0},
        {"", "x", "", 0, 1},                {"softmax(", "x", "=1)", 0, 1}, {"softmax(scale=", "1", ")", 0, 1},
        {"softmax(", "a,", "", 0, 0},       {"a=[b", ",b", "]", 1, 1},     {"a=[b", ",b x2", "", 1, 0},
        {"a=", "b(c,", "", 1, 0},           {"a=1;", "b=1;", "", 1, 0},    {"softmax(causal=offset:", "1", ")", 0, 1},
        {"a=[b", ",b(c,d=1)", "]", 1, 1},   {"a=[", "b(", "", 1, 0},       {"a=b ", "\xC3\xA9", "", 1, 0},
        {"a=[f(", "abcdefgh,", ")]", 1, 0}, {"a=b x", "9", "", 1, 0},      {"a=[b x", "9", "]", 1, 0},
    };
    for (size_t i = 0; i < sizeof big / sizeof *big; i++) {
        heed_error e = {0};
        char *text = repeated(big[i].head, big[i].unit, ((size_t)1 << 20) / strlen(big[i].unit), big[i].tail);
        double start = seconds();
        spec *s = spec_parse(text, big[i].stack, &e);
        assert_int_equal(s != NULL, big[i].passes);
        if (s && s->op) resolve_free(resolve(&ops, s, s->op, "attention", &e));
        spec_free(s);
        assert_true(seconds() - start < 5); /* some ms, if linear */
        if (e.code) {
            assert_non_null(memchr(e.text, 0, sizeof e.text));
            assert_int_equal(e.text[strlen(e.text) - 1], '^');
        }
        free(text);
    }
    char *text = repeated("", " ", (size_t)1 << 25, "");
    heed_error e;
    assert_null(spec_parse(text, 0, &e));
    assert_string_equal(e.text, "the spec has 33554432 bytes, but at most 16777216 are read");
    free(text);
}

/* 128 arguments are read, more are not. */
static void many_arguments(void **state)
{
    (void)state;
    for (int n = 128; n <= 129; n++) {
        char text[4096];
        size_t at = (size_t)sprintf(text, "f("), last = 0;
        for (int i = 0; i < n; i++) {
            if (i) text[at++] = ',';
            last = at;
            at += (size_t)sprintf(text + at, "k%d=%d", i, i);
        }
        strcpy(text + at, ")");
        if (n > 128) {
            check_error(text, 0, last, "more than 128 arguments");
        } else {
            spec *s = spec_parse(text, 0, NULL);
            assert_non_null(s);
            assert_int_equal(s->op->n_args, 128);
            spec_free(s);
        }
    }
}

static void places_far_to_the_right(void **state)
{
    (void)state;
    heed_error e = {0};
    char *text = repeated("softmax(scale=1,\n", " ", 300, "left=2, position=alibi, causal=true, softcap=12345678901)");
    assert_null(canonical(text, &e));
    const char *shown = strchr(e.text, '\n') + 1, *caret = strchr(shown, '\n') + 1;
    assert_non_null(strstr(e.text, "line 2, column 301: unknown key \"left\""));
    assert_true(caret - shown < 112);
    assert_int_equal(strncmp(shown, "  ...   ", 8), 0);
    assert_int_equal(strncmp(caret - 4, "...\n", 4), 0);
    assert_int_equal(strncmp(shown + strlen(caret) - 1, "left", 4), 0);
    free(text);
}

static uint32_t draw(uint64_t *seed, uint32_t below)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33) % below;
}

/* Valid texts with some bytes changed: no crash, a sentence that fits, and what passes has one canonical form. */
static void fuzz(void **state)
{
    (void)state;
    static const char *const seeds[] = {
        "softmax(scale=0.125, position=alibi, causal=true)",
        "mixture(window(left=256, sinks=4), softmax(causal=offset:-3))",
        "layers=12; width=512; attention=[window(left=256) x5, softmax]; norm=rms(eps=1e-6)",
        "softmax(rope(base=1e4, pairs=half), window=4:2, causal=true, prefix=3)",
        "position/rope(width=2, base=123.456)",
        "feedforward/swiglu(hidden=1376) # c\n",
    };
    static const char bytes[] = "()[]=,;#\n :x/._+-0123456789aeflnrstu\t\xC3\x01\x7F";
    uint64_t seed = 20;
    int passed = 0;
    for (int i = 0; i < 100000; i++) {
        char text[256];
        heed_error e = {0};
        strcpy(text, seeds[draw(&seed, 6)]);
        for (uint32_t n = draw(&seed, 5); n; n--) {
            size_t length = strlen(text), at = draw(&seed, (uint32_t)length + 1), end;
            char c = draw(&seed, 4) ? bytes[draw(&seed, sizeof bytes - 1)] : (char)(1 + draw(&seed, 255));
            switch (draw(&seed, 4)) {
            case 0: if (at < length) text[at] = c; break;
            case 1: memmove(text + at, text + at + (at < length), length - at + (at == length)); break;
            case 2:
                memmove(text + at + 1, text + at, length - at + 1);
                text[at] = c;
                break;
            default: /* a piece of it again */
                end = at + draw(&seed, 12);
                if (end > length) end = length;
                memmove(text + end + (end - at), text + end, length - end + 1);
                memcpy(text + end, text + at, end - at);
                break;
            }
        }
        for (int stack = 0; stack < 2; stack++) {
            spec *s = spec_parse(text, stack, &e);
            assert_int_equal(!s, e.code != 0);
            for (uint32_t k = 0; s && k < s->n_keys; k++) free(spec_print_node(s->keys[k].value));
            spec_free(s);
            e.code = 0;
        }
        char *printed = canonical(text, &e);
        if (printed) {
            check_form(printed, printed);
            passed++;
        } else {
            assert_true(e.code == HEED_E_ARGUMENT && strlen(e.text) < sizeof e.text);
            assert_int_equal(e.text[strlen(e.text) - 1], '^');
        }
        free(printed);
    }
    assert_true(passed > 1000); /* else it tests nothing but the first error */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_forms),
        cmocka_unit_test(values_are_filled_in),
        cmocka_unit_test(stacks),
        cmocka_unit_test(locales),
        cmocka_unit_test(errors_name_their_place),
        cmocka_unit_test(no_registry),
        cmocka_unit_test(unknown_sizes),
        cmocka_unit_test(refused_plugins),
        cmocka_unit_test(nearest),
        cmocka_unit_test(long_sentences),
        cmocka_unit_test(deep),
        cmocka_unit_test(megabyte),
        cmocka_unit_test(many_arguments),
        cmocka_unit_test(places_far_to_the_right),
        cmocka_unit_test(fuzz),
    };
    return cmocka_run_group_tests_name("spec", tests, fill, empty);
}
