/* SPDX-License-Identifier: MIT
 *
 * test_tokenizers.c: tokenizers of checkpoints: the numbers and the texts that the tokenizers package
 * gives, recorded by models/tokens.py; texts as they come; and files with a fault.
 *
 * With a folder that has a tokenizer.json it is a tool of that script: for each line of standard
 * input it prints the numbers and, behind a tab, the text that they make. With a file as well it
 * prints how many megabytes of it become numbers in a second of the processor's time.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/harness.h"
#include "lib/mutate.h"
#include "text/chat.h"
#include "text/tokenizer.h"

static char models[4000], folder[] = "/tmp/heed-tokenizers-XXXXXX";
static json_t *cases;
static heed_error e;

/* ---- files ---- */

static json_t *load(const char *name)
{
    char path[4200];
    json_error_t wrong;
    snprintf(path, sizeof path, "%s/%s.json", models, name);
    json_t *value = json_load_file(path, JSON_ALLOW_NUL, &wrong);
    if (!value) fail_msg("%s: %s", path, wrong.text);
    return value;
}

static const char *written(void)
{
    static char path[80];
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    return path;
}

static void put(const char *text, size_t n)
{
    FILE *f = fopen(written(), "w");
    assert_non_null(f);
    fwrite(text, 1, n, f);
    fclose(f);
}

/* One of the four with some of its keys changed, those of "model" one by one. */
static void put_changed(const char *of, const json_t *changes)
{
    const char *key;
    json_t *value, *all = load(of);
    json_object_foreach((json_t *)changes, key, value)
    {
        if (!strcmp(key, "model")) json_object_update(json_object_get(all, key), value);
        else json_object_set(all, key, value);
    }
    assert_int_equal(json_dump_file(all, written(), JSON_COMPACT), 0);
    json_decref(all);
}

static tokenizer *open_written(void)
{
    tokenizer *t = tokenizer_open(folder, &e);
    if (!t) fail_msg("%s", e.text);
    return t;
}

/* ---- against the tokenizers package ---- */

static void encode(tokenizer *t, const char *text, size_t n, id_list *to)
{
    to->n = 0;
    if (tokenizer_encode(t, "a text", text, n, 1, 0, to, &e)) fail_msg("%s", e.text);
}

/* Token by token; each part is whole characters. */
static void decode(tokenizer *t, const id_list *ids, bytes *to)
{
    to->n = 0;
    tokenizer_begin(t);
    for (size_t i = 0; i < ids->n; i++) {
        if (tokenizer_put(t, ids->at[i], to, &e)) fail_msg("%s", e.text);
        assert_int_equal(utf8_valid(to->at, to->n), to->n);
    }
    if (tokenizer_end(t, to, &e)) fail_msg("%s", e.text);
}

static void check_row(const char *name, tokenizer *t, const json_t *row)
{
    const json_t *text = json_array_get(row, 0), *right = json_array_get(row, 1),
                 *back = json_array_get(row, 2);
    id_list ids = {0};
    bytes got = {0};
    encode(t, json_string_value(text), json_string_length(text), &ids);
    size_t same = 0;
    while (same < ids.n && same < json_array_size(right) &&
           json_integer_value(json_array_get(right, same)) == ids.at[same])
        same++;
    if (same < ids.n || same < json_array_size(right))
        fail_msg("%s: %s: token %zu is not the right one", name, json_string_value(text), same);
    decode(t, &ids, &got);
    if (got.n != json_string_length(back) ||
        (got.n && memcmp(got.at, json_string_value(back), got.n)))
        fail_msg("%s: %.*s, but right is %s", name, (int)got.n, got.at, json_string_value(back));
    free(ids.at);
    free(got.at);
}

static void test_reference(void **unused)
{
    size_t i, k;
    json_t *one, *row;
    (void)unused;
    json_array_foreach(cases, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        put_changed(json_string_value(json_object_get(one, "of")), json_object_get(one, "changes"));
        tokenizer *t = open_written();
        for (int twice = 0; twice < 2; twice++) /* what was remembered is the same */
            json_array_foreach(json_object_get(one, "texts"), k, row) check_row(name, t, row);
        tokenizer_close(t);
    }
    assert_true(i >= 20);
}

/* A text that goes on behind a prompt keeps its space, and what waits is not lost. */
static void test_going_on(void **unused)
{
    bytes prompt = {0}, rest = {0};
    (void)unused;
    put_changed("fallback", NULL);
    tokenizer *t = open_written();
    id_list ids = {0};
    encode(t, "the moon", 8, &ids);
    tokenizer_begin(t);
    for (size_t i = 0; i < ids.n; i++) tokenizer_put(t, ids.at[i], &prompt, &e);
    tokenizer_end(t, &prompt, &e);
    for (size_t i = 0; i < ids.n; i++) tokenizer_put(t, ids.at[i], &rest, &e);
    assert_int_equal(prompt.n, 8);
    assert_int_equal(rest.n, 9);
    assert_memory_equal(rest.at, " the moon", 9);
    /* the first two bytes of three: nothing, until the text ends there */
    ids.n = rest.n = 0;
    encode(t, "\xE4\xBB\x8A", 3, &ids);
    assert_true(ids.n > 3);
    for (size_t i = ids.n - 3; i < ids.n - 1; i++) tokenizer_put(t, ids.at[i], &rest, &e);
    assert_int_equal(rest.n, 0);
    tokenizer_end(t, &rest, &e);
    assert_int_equal(rest.n, 6);
    assert_memory_equal(rest.at, "\xEF\xBF\xBD\xEF\xBF\xBD", 6);
    free(ids.at);
    free(prompt.at);
    free(rest.at);
    tokenizer_close(t);
}

static void test_most(void **unused)
{
    id_list ids = {0}, all = {0};
    (void)unused;
    put_changed("wordpiece", NULL);
    tokenizer *t = open_written();
    encode(t, "the king and the moon", 21, &all);
    assert_int_equal(tokenizer_encode(t, "", "the king and the moon", 21, 1, 4, &ids, &e), HEED_OK);
    assert_int_equal(ids.n, 4);
    assert_int_equal(ids.at[0], 2);
    assert_int_equal(ids.at[1], all.at[1]);
    assert_int_equal(ids.at[3], 3);
    ids.n = 0;
    assert_int_equal(tokenizer_encode(t, "a.txt", "ok \xC3(", 5, 1, 0, &ids, &e), HEED_E_DATA);
    assert_non_null(strstr(e.text, "a.txt: byte 3 is 0xC3"));
    free(ids.at);
    free(all.at);
    tokenizer_close(t);
}

/* heed.h's words for the same: results that stay until the next call, a text bit by bit. */
static void test_applications(void **unused)
{
    static const char text[] = "the king and the moon";
    char path[4200];
    const int32_t *ids = NULL;
    const char *made = NULL;
    uint64_t most = 1;
    size_t length = 0;
    (void)unused;
    put_changed("bytes", NULL);
    heed_tokenizer *t = heed_tokenizer_open(folder, &e);
    if (!t) fail_msg("%s", e.text);
    const int64_t n = heed_tokenizer_encode(t, text, sizeof text - 1, 0, 0, &ids, &e);
    assert_true(n > 3);
    assert_int_equal(heed_tokenizer_encode(t, text, sizeof text - 1, 0, 3, &ids, &e), 3);
    assert_int_equal(heed_tokenizer_encode(t, text, sizeof text - 1, 0, 0, &ids, &e), n);
    for (int64_t i = 0; i < n; i++) {
        const uint32_t flags = (i ? 0 : HEED_TEXT_BEGINS) | (i + 1 < n ? 0 : HEED_TEXT_ENDS);
        const int64_t bytes = heed_tokenizer_decode(t, ids + i, 1, flags, &made, &e);
        assert_true(bytes >= 0 && length + (size_t)bytes < sizeof text);
        if (bytes) assert_memory_equal(made, text + length, (size_t)bytes);
        length += (size_t)bytes;
    }
    assert_int_equal(length, sizeof text - 1);
    assert_int_equal(heed_tokenizer_encode(t, "\xFF", 1, 0, 0, &ids, &e), HEED_E_DATA);
    assert_non_null(strstr(e.text, "the text: byte 0 is 0xFF"));
    heed_tokenizer_close(t);
    assert_null(heed_tokenizer_open("/nowhere", &e));
    snprintf(path, sizeof path, "%s/../plays.safetensors", models);
    heed_weights *w = heed_weights_open(path, &e);
    if (!w) fail_msg("%s", e.text);
    assert_int_equal(heed_sentence_spec(w, folder, NULL, -1, NULL, 0, &most, &e),
                     HEED_E_UNSUPPORTED);
    assert_non_null(strstr(e.text, "is no encoder"));
    heed_weights_close(w);
}

/* Of an encoder: what the folder says, and in its place what the caller does. */
static void test_sentence_spec(void **unused)
{
    char path[4200], spec[600];
    uint64_t most = 0;
    (void)unused;
    snprintf(path, sizeof path, "%s/../checkpoints/bert", models);
    heed_weights *w = heed_weights_open(path, &e);
    if (!w) fail_msg("%s", e.text);
    const int64_t n = heed_sentence_spec(w, path, NULL, -1, NULL, 0, &most, &e);
    assert_in_range(n, 100, sizeof spec);
    assert_int_equal(heed_sentence_spec(w, path, NULL, -1, spec, sizeof spec, &most, &e), n);
    assert_int_equal(strlen(spec) + 1, n);
    assert_non_null(strstr(spec, "; output=tokens(by=mean, l2="));
    assert_true(most > 0);
    assert_true(heed_sentence_spec(w, path, "last", 0, spec, sizeof spec, NULL, &e) > 0);
    assert_non_null(strstr(spec, "; output=tokens(by=last, l2=false)"));
    assert_int_equal(heed_sentence_spec(w, path, NULL, -1, spec, 20, &most, &e), HEED_E_ARGUMENT);
    heed_weights_close(w);
}

/* ---- conversations ---- */

static const char *in_folder(const char *name)
{
    static char path[120];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put_template(const char *template)
{
    json_t *all = json_pack("{s:s, s:{s:s}, s:s}", "bos_token", "<s>", "eos_token", "content",
                            "</s>", "chat_template", template);
    assert_int_equal(json_dump_file(all, in_folder("tokenizer_config.json"), 0), 0);
    json_decref(all);
}

/* What a message becomes; `right` NULL: a sentence that says `why`. */
static void check_chat(const char *name, const char *system, const char *right, const char *why)
{
    static const char message[] = " Who\nis it? ";
    bytes made = {0};
    const int32_t failed = chat_prompt(folder, system, message, sizeof message - 1, &made, &e);
    if (right && failed) fail_msg("%s: %s", name, e.text);
    if (right && (made.n != strlen(right) || memcmp(made.at, right, made.n)))
        fail_msg("%s: %.*s", name, (int)made.n, made.at);
    if (!right && (!failed || !strstr(e.text, why))) fail_msg("%s: \"%s\"", name, e.text);
    free(made.at);
}

/* As apply_chat_template of transformers has it; other templates are refused by the names of those. */
static void test_chat(void **unused)
{
    size_t i;
    json_t *row, *rows = load("chat");
    (void)unused;
    json_array_foreach(rows, i, row)
    {
        const char *name = json_string_value(json_object_get(row, "name"));
        put_template(json_string_value(json_object_get(row, "template")));
        check_chat(name, NULL, json_string_value(json_object_get(row, "text")), "");
        check_chat(name, " Be brief.\n", json_string_value(json_object_get(row, "with_system")),
                   "--system can not be given");
    }
    assert_true(i >= 9);
    put_template("{% for message in messages %}{{ message['content'] }}{% endfor %}");
    check_chat("another", NULL, NULL, "is none of the known forms: chatml, qwen2, llama3, gemma");
    json_t *first = json_array_get(rows, 0);
    FILE *f = fopen(in_folder("chat_template.jinja"), "w");
    fputs(json_string_value(json_object_get(first, "template")), f);
    fclose(f);
    check_chat("a file of its own", NULL, json_string_value(json_object_get(first, "text")), "");
    unlink(in_folder("chat_template.jinja"));
    f = fopen(in_folder("tokenizer_config.json"), "w");
    fputs("{\"chat_template\": ", f);
    fclose(f);
    check_chat("half a file", NULL, NULL, "tokenizer_config.json: line 1");
    unlink(in_folder("tokenizer_config.json"));
    check_chat("no file", NULL, NULL, "there is no chat_template in tokenizer_config.json");
    json_decref(rows);
}

/* ---- faults ---- */

static void refused(const char *what, const char *parts)
{
    memset(&e, 0, sizeof e);
    tokenizer *t = tokenizer_open(folder, &e);
    if (t) fail_msg("%s: it was opened", what);
    char list[200], *rest = list;
    snprintf(list, sizeof list, "%s", parts);
    for (const char *one; (one = strsep(&rest, "|"));)
        if (!strstr(e.text, one)) fail_msg("%s: \"%s\" is not in \"%s\"", what, one, e.text);
    if (!strstr(e.text, "tokenizer.json")) fail_msg("%s: no file in \"%s\"", what, e.text);
}

static void test_faults(void **unused)
{
    static const struct {
        const char *of, *changes, *parts;
    } bad[] = {
        {"bytes", "{'model': {'type': 'Bytes'}}",
         "\"model.type\"|\"Bytes\"|BPE, WordPiece, Unigram"},
        {"bytes", "{'model': {'merges': ['t h', 'q zz']}}", "\"model.merges[1]\"|\"q zz\"|second"},
        {"bytes", "{'model': {'merges': ['ab']}}", "\"model.merges[0]\"|\"ab\"|a space between"},
        {"bytes", "{'model': {'merges': [['a', 'b', 'c']]}}", "\"model.merges[0]\"|two tokens"},
        {"bytes", "{'model': {'merges': ['a %']}}", "\"model.merges[0]\"|what the two make"},
        {"bytes", "{'model': {'vocab': {'a': -1}}}", "\"model.vocab.a\" is -1"},
        {"bytes", "{'model': {'vocab': {'a': 16777216}}}", "\"model.vocab.a\" is 16777216"},
        {"bytes", "{'model': {'vocab': []}}", "\"model.vocab\" is []"},
        {"bytes", "{'model': {'dropout': 0.5}}", "\"model.dropout\" is 0.5"},
        {"bytes", "{'model': {'unk_token': '<none>'}}", "\"model.unk_token\" is \"<none>\""},
        {"bytes", "{'pre_tokenizer': {'type': 'UnicodeScripts'}}", "\"pre_tokenizer.type\"|Split"},
        {"bytes",
         "{'pre_tokenizer': {'type': 'Split', 'pattern': {'Regex': '(a'}, 'behavior': 'Isolated'}}",
         "\"pre_tokenizer.pattern.Regex\"|\"(a\"|PCRE2 says"},
        {"bytes",
         "{'pre_tokenizer': {'type': 'Split', 'pattern': {'Regex': '[a&&b]'}, 'behavior': "
         "'Isolated'}}",
         "\"[a&&b]\"|without && inside"},
        {"bytes", "{'pre_tokenizer': {'type': 'Split', 'pattern': 3, 'behavior': 'Isolated'}}",
         "\"pre_tokenizer.pattern\" is 3"},
        {"bytes", "{'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': 5}}",
         "pretokenizers\" is 5"},
        {"bytes", "{'normalizer': {'type': 'Nmt'}}", "\"normalizer.type\" is \"Nmt\""},
        {"bytes", "{'decoder': {'type': 'CTC'}}", "\"decoder.type\" is \"CTC\""},
        {"bytes", "{'post_processor': {'type': 'TemplateProcessing', 'single': []}}",
         "\"post_processor.single\"|one Sequence"},
        {"bytes", "{'added_tokens': [{'id': 1}]}", "\"added_tokens[0].content\" is absent"},
        {"bytes", "{'added_tokens': [{'id': 1, 'content': 'x', 'special': 2}]}", "special\" is 2"},
        {"wordpiece", "{'model': {'unk_token': '<no>'}}", "\"model.unk_token\" is \"<no>\""},
        {"unigram", "{'model': {'vocab': [['a']]}}", "\"model.vocab[0]\""},
        {"unigram", "{'model': {'vocab': [['a', 'b']]}}", "\"model.vocab[0][1]\" is \"b\""},
        {"unigram", "{'model': {'unk_id': 5000}}", "\"model.unk_id\" is 5000"},
        {"unigram", "{'normalizer': {'type': 'Precompiled', 'precompiled_charsmap': 'AAAA'}}",
         "precompiled_charsmap\" is \"AAAA\""},
        {"fallback", "{'decoder': {'type': 'Strip', 'content': 'ab', 'start': 1, 'stop': 0}}",
         "\"decoder.content\" is \"ab\""},
    };
    json_error_t wrong;
    (void)unused;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[200];
        snprintf(text, sizeof text, "%s", bad[i].changes);
        for (char *c = text; *c; c++)
            if (*c == '\'') *c = '"';
        json_t *changes = json_loads(text, 0, &wrong);
        assert_non_null(changes);
        put_changed(bad[i].of, changes);
        refused(bad[i].changes, bad[i].parts);
        json_decref(changes);
    }
    put("{\"model\": ", 10);
    refused("half a file", "line 1");
    put("[]", 2);
    refused("a list", "no object");
    put("{}", 2);
    refused("nothing", "\"model\" is absent");
}

/* A file with faults by chance is opened and used, or one sentence says why not. HEED_FUZZ=N asks for
 * N of them of each kind (tests/fuzz.sh). */
static void try_one(const char *text, size_t n)
{
    static const char used[] = "The moon\xE2\x96\x81 <s>na\xC3\xAFve[MASK] 12";
    id_list ids = {0};
    bytes back = {0};
    put(text, n);
    memset(&e, 0, sizeof e);
    tokenizer *t = tokenizer_open(folder, &e);
    if (!t && (!e.code || !*e.text)) fail_msg("no sentence");
    if (t && !tokenizer_encode(t, "", used, sizeof used - 1, 1, 0, &ids, &e)) {
        tokenizer_begin(t);
        for (size_t i = 0; i < ids.n; i++) tokenizer_put(t, ids.at[i], &back, &e);
        tokenizer_end(t, &back, &e);
    }
    tokenizer_close(t);
    free(ids.at);
    free(back.at);
}

static void test_mutated(void **unused)
{
    static const char *const names[] = {"bytes", "fallback", "wordpiece", "unigram"};
    (void)unused;
    const char *asked = getenv("HEED_FUZZ"), *seed = getenv("HEED_FUZZ_SEED");
    const long count = asked ? atol(asked) : getenv("HEED_TEST_QUICK") ? 20 : 400;
    uint64_t chance = seed ? strtoull(seed, NULL, 10) : 1;
    for (size_t which = 0; which < 4; which++) {
        json_t *all = load(names[which]);
        char *text = json_dumps(all, JSON_COMPACT);
        const size_t n = strlen(text);
        char *changed = malloc(n + 64);
        for (long i = 0; i < count; i++) {
            /* half of them in the head alone, where the settings are */
            const size_t head = i % 2 && n > 2000 ? 2000 : n;
            memcpy(changed, text, n);
            const size_t now = mutate(changed, head, &chance);
            if (head < n && now >= head - 64) { /* the rest stands behind it as it was */
                char *whole = malloc(now + n - head);
                memcpy(whole, changed, now);
                memcpy(whole + now, text + head, n - head);
                try_one(whole, now + n - head);
                free(whole);
            } else try_one(changed, now);
        }
        free(changed);
        free(text);
        json_decref(all);
    }
}

/* ---- the tool ---- */

static int print_lines(tokenizer *t)
{
    char *line = NULL;
    size_t room = 0;
    id_list ids = {0};
    bytes text = {0};
    for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;) {
        encode(t, line, (size_t)n - 1, &ids);
        decode(t, &ids, &text);
        for (size_t i = 0; i < ids.n; i++) printf("%s%d", i ? " " : "", ids.at[i]);
        putchar('\t');
        for (size_t i = 0; i < text.n; i++)
            if (text.at[i] == '\n') fputs("\\n", stdout);
            else putchar(text.at[i]);
        putchar('\n');
    }
    free(line);
    free(ids.at);
    free(text.at);
    tokenizer_close(t);
    return 0;
}

static int print_speed(tokenizer *t, const char *path)
{
    bytes text = {0};
    id_list ids = {0};
    double best = 1e9;
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (bytes_room(&text, 1 << 16) && !feof(f)) text.n += fread(text.at + text.n, 1, 1 << 16, f);
    fclose(f);
    for (int i = 0; i < 5; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
        encode(t, text.at, text.n, &ids);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
        const double s = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
        if (s < best) best = s;
    }
    printf("%.2f\n", (double)text.n / best / 1e6);
    free(text.at);
    free(ids.at);
    tokenizer_close(t);
    return 0;
}

static int setup(void **unused)
{
    (void)unused;
    const char *src = getenv("SRC") ? getenv("SRC") : ".";
    snprintf(models, sizeof models, "%.3900s/models/tokenizers", src);
    cases = load("reference");
    return !mkdtemp(folder);
}

static int teardown(void **unused)
{
    (void)unused;
    unlink(written());
    rmdir(folder);
    json_decref(cases);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),     cmocka_unit_test(test_going_on),
        cmocka_unit_test(test_most),          cmocka_unit_test(test_applications),
        cmocka_unit_test(test_sentence_spec), cmocka_unit_test(test_chat),
        cmocka_unit_test(test_faults),        cmocka_unit_test(test_mutated),
    };
    cmocka_set_test_filter(getenv("HEED_TEST_ONLY"));
    if (argc < 2) return cmocka_run_group_tests(tests, setup, teardown);
    tokenizer *t = tokenizer_open(argv[1], &e);
    if (!t) return fprintf(stderr, "%s\n", e.text), 1;
    return argc > 2 ? print_speed(t, argv[2]) : print_lines(t);
}
