/* SPDX-License-Identifier: MIT
 *
 * chat.c: the chat templates that are known, as a table: the text of a template, and what it makes of
 * messages.
 *
 * Templates are programs, and none is run here. One is known if it is the one of a row but for spaces
 * within its tags, the kind of quotes, and dashes that take away nothing. Invariant: what a row makes is
 * what transformers' apply_chat_template makes of its template (tests/engine/test_tokenizers.c).
 */
#include "text/chat.h"

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "io/gguf.h"

/* In the texts, BOS and EOS stand for the folder's tokens. */
#define BOS "\1"
#define EOS "\2"
#define FOR "{% for message in messages %}"
#define ASKS "{% if add_generation_prompt %}"
#define ALTERNATE                                                                                  \
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ "                            \
    "raise_exception('Conversation "                                                               \
    "roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
#define CHATML                                                                                     \
    "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"     \
    "{% endfor %}" ASKS "{{ '<|im_start|>assistant\\n' }}{% endif %}"

typedef struct form {
    const char *name, *text;
    const char *begin;                /* in front of all */
    const char *system, *system_ends; /* around the system's message; NULL: it is refused */
    const char *usual;                /* the system's, if there is none; NULL: then nothing */
    const char *user, *user_ends, *answer;
    int trims; /* spaces around messages go */
} form;

static const form forms[] = {
    {.name = "chatml",
     .text = FOR CHATML,
     .begin = "",
     .system = "<|im_start|>system\n",
     .system_ends = "<|im_end|>\n",
     .user = "<|im_start|>user\n",
     .user_ends = "<|im_end|>\n",
     .answer = "<|im_start|>assistant\n"},
    {.name = "qwen2",
     .text = FOR
     "{% if loop.first and messages[0]['role'] != 'system' %}{{ "
     "'<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}" CHATML,
     .begin = "",
     .system = "<|im_start|>system\n",
     .system_ends = "<|im_end|>\n",
     .usual = "You are a helpful assistant.",
     .user = "<|im_start|>user\n",
     .user_ends = "<|im_end|>\n",
     .answer = "<|im_start|>assistant\n"},
    {.name = "llama3",
     .text = "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = "
             "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ "
             "message['content'] | "
             "trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content "
             "%}{% endif %}{{ content }}{% endfor %}" ASKS
             "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
     .begin = BOS,
     .system = "<|start_header_id|>system<|end_header_id|>\n\n",
     .system_ends = "<|eot_id|>",
     .user = "<|start_header_id|>user<|end_header_id|>\n\n",
     .user_ends = "<|eot_id|>",
     .answer = "<|start_header_id|>assistant<|end_header_id|>\n\n",
     .trims = 1},
    {.name = "gemma",
     .text =
         "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role "
         "not supported') }}{% endif %}" FOR ALTERNATE
         "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = "
         "message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + message['content'] | "
         "trim + '<end_of_turn>\\n' }}{% endfor %}" ASKS "{{'<start_of_turn>model\\n'}}{% endif %}",
     .begin = BOS,
     .user = "<start_of_turn>user\n",
     .user_ends = "<end_of_turn>\n",
     .answer = "<start_of_turn>model\n",
     .trims = 1},
    {.name = "mistral",
     .text = "{{ bos_token }}" FOR ALTERNATE "{% if message['role'] == 'user' %}{{ '[INST] ' + "
             "message['content'] + ' [/INST]' }}{% elif "
             "message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% else %}{{ "
             "raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% "
             "endfor %}",
     .begin = BOS,
     .user = "[INST] ",
     .user_ends = " [/INST]",
     .answer = ""},
    {.name = "phi3",
     .text = FOR
     "{% if message['role'] == 'system' %}{{'<|system|>\\n' + message['content'] + "
     "'<|end|>\\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\\n' + "
     "message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'assistant' "
     "%}{{'<|assistant|>\\n' + message['content'] + '<|end|>\\n'}}{% endif %}{% endfor %}" ASKS
     "{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}",
     .begin = "",
     .system = "<|system|>\n",
     .system_ends = "<|end|>\n",
     .user = "<|user|>\n",
     .user_ends = "<|end|>\n",
     .answer = "<|assistant|>\n"},
    {.name = "zephyr",
     .text =
         FOR "\n{% if message['role'] == 'user' %}\n{{ '<|user|>\\n' + message['content'] + "
             "eos_token }}\n{% elif message['role'] == 'system' %}\n{{ '<|system|>\\n' + "
             "message['content'] + eos_token }}\n{% elif message['role'] == 'assistant' %}\n{{ "
             "'<|assistant|>\\n' + message['content'] + eos_token }}\n{% endif %}\n{% if loop.last "
             "and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}",
     .begin = "",
     .system = "<|system|>\n",
     .system_ends = EOS "\n",
     .user = "<|user|>\n",
     .user_ends = EOS "\n",
     .answer = "<|assistant|>\n"},
};
#define N_FORMS (sizeof forms / sizeof *forms)

/* ---- which form it is ---- */

/* A template without what does not count: within tags spaces outside of quotes, and dashes at their
 * ends where nothing but a tag stands beside; quotes are all '. */
static void put_plain(const char *text, bytes *to)
{
    char quote = 0;
    int in_tag = 0;
    for (const char *p = text; *p; p++) {
        if (!in_tag && p[0] == '{' && (p[1] == '%' || p[1] == '{')) {
            in_tag = 1;
            bytes_put(to, p, 2);
            p += 1 + (p[2] == '-' && (p == text || p[-1] == '}'));
        } else if (!in_tag) bytes_put(to, p, 1);
        else if (quote) {
            if (*p == quote) bytes_put(to, "'", 1), quote = 0;
            else bytes_put(to, p, 1);
        } else if (*p == '\'' || *p == '"') quote = *p, bytes_put(to, "'", 1);
        else if (p[0] == '-' && (p[1] == '%' || p[1] == '}') && p[2] == '}' &&
                 (!p[3] || p[3] == '{'))
            continue;
        else if ((*p == '%' || *p == '}') && p[1] == '}') in_tag = 0, bytes_put(to, p++, 2);
        else if (*p != ' ' && *p != '\n' && *p != '\t') bytes_put(to, p, 1);
    }
    bytes_put(to, "", 1);
}

static const form *form_of(const char *text, int *no_memory)
{
    bytes plain = {0}, known = {0};
    const form *found = NULL;
    put_plain(text, &plain);
    for (size_t i = 0; i < N_FORMS && !found; i++) {
        known.n = 0;
        put_plain(forms[i].text, &known);
        if (!plain.failed && !known.failed && !strcmp(plain.at, known.at)) found = &forms[i];
    }
    *no_memory = plain.failed || known.failed;
    free(plain.at);
    free(known.at);
    return found;
}

/* ---- the folder's files ---- */

typedef struct chat {
    const char *folder;
    char path[1024];
    json_t *config;
    char *text; /* of the template; free() */
    heed_error *error;
} chat;

static int32_t load(chat *c)
{
    json_error_t wrong;
    if (gguf_is(c->folder))
        return (c->config = gguf_chat(c->folder, c->error)) ? HEED_OK : c->error->code;
    snprintf(c->path, sizeof c->path, "%s/tokenizer_config.json", c->folder);
    if (access(c->path, F_OK)) return HEED_OK;
    c->config = json_load_file(c->path, 0, &wrong);
    return c->config ? HEED_OK
                     : error_set(c->error, HEED_E_DATA, "%s: line %d: %.120s", c->path, wrong.line,
                                 wrong.text);
}

/* Of a list of templates the one whose name is "default". */
static const char *template_in(const json_t *value)
{
    size_t i;
    json_t *one;
    json_array_foreach(value, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        if (name && !strcmp(name, "default"))
            return json_string_value(json_object_get(one, "template"));
    }
    return json_string_value(value);
}

/* From a file of its own, as newer folders have it, or from the tokenizer's configuration. */
static int32_t find_template(chat *c)
{
    const char *inside = template_in(json_object_get(c->config, "chat_template"));
    char path[1100];
    snprintf(path, sizeof path, "%s/chat_template.jinja", c->folder);
    FILE *f = fopen(path, "rb");
    if (f) {
        c->text = calloc(1, 1 << 16);
        const size_t n = c->text ? fread(c->text, 1, (1 << 16) - 1, f) : 0;
        fclose(f);
        if (c->text) c->text[n] = 0;
    } else if (inside) c->text = strdup(inside);
    else
        return error_set(
            c->error, HEED_E_DATA,
            "%s: there is no chat_template in tokenizer_config.json and no "
            "chat_template.jinja, so nothing says how a conversation is written; without "
            "--chat the prompt is a text that goes on",
            c->folder);
    return c->text ? HEED_OK : error_memory(c->error);
}

/* "bos_token": "<s>", or an object with its content. */
static const char *token(const chat *c, const char *key)
{
    const json_t *value = json_object_get(c->config, key);
    const char *text =
        json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
    return text ? text : "";
}

/* ---- the text ---- */

static void put(const chat *c, const char *text, bytes *to)
{
    for (; *text; text++) {
        const char *word = *text == *BOS   ? token(c, "bos_token")
                           : *text == *EOS ? token(c, "eos_token")
                                           : NULL;
        if (word) bytes_put(to, word, strlen(word));
        else bytes_put(to, text, 1);
    }
}

static void put_message(const form *f, const char *text, size_t n, bytes *to)
{
    static const char spaces[] = " \t\n\r\v\f";
    while (f->trims && n && strchr(spaces, text[n - 1])) n--;
    while (f->trims && n && strchr(spaces, *text)) text++, n--;
    bytes_put(to, text, n);
}

static int32_t write_prompt(chat *c, const char *system, const char *prompt, size_t n, bytes *to)
{
    char known[120] = "";
    int no_memory;
    const form *f = form_of(c->text, &no_memory);
    if (no_memory) return error_memory(c->error);
    for (size_t i = 0, at = 0; i < N_FORMS && !f; i++)
        at += (size_t)snprintf(known + at, sizeof known - at, "%s%s", i ? ", " : "", forms[i].name);
    if (!f)
        return error_set(
            c->error, HEED_E_UNSUPPORTED,
            "%s: its chat_template, %.40s..., is none of the known forms: %s; --prompt "
            "without --chat takes a text that is written as it wants",
            c->folder, c->text, known);
    if (system && !f->system)
        return error_set(
            c->error, HEED_E_UNSUPPORTED,
            "%s: its chat_template (%s) has no message of the system's: --system can not "
            "be given",
            c->folder, f->name);
    if (!system) system = f->usual;
    put(c, f->begin, to);
    if (system) {
        put(c, f->system, to);
        put_message(f, system, strlen(system), to);
        put(c, f->system_ends, to);
    }
    put(c, f->user, to);
    put_message(f, prompt, n, to);
    put(c, f->user_ends, to);
    put(c, f->answer, to);
    return to->failed ? error_memory(c->error) : HEED_OK;
}

int32_t chat_prompt(const char *folder, const char *system, const char *prompt, size_t n, bytes *to,
                    heed_error *error)
{
    chat c = {.folder = folder, .error = error};
    int32_t failed = load(&c);
    if (!failed) failed = find_template(&c);
    if (!failed) failed = write_prompt(&c, system, prompt, n, to);
    free(c.text);
    json_decref(c.config);
    return failed;
}
