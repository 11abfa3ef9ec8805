/* SPDX-License-Identifier: MIT
 *
 * test_layout.c: do the headers still say what golden_layout.h says? Each field follows the one before without a gap
 * and the last ends its struct, so a field that was added and not written down is found too, as is padding that a
 * compiler put in. A struct that is new altogether is not found.
 */
#include <heed/abi/abi.h>
#include <heed/abi/field.h>
#include <heed/abi/grad.h>
#include <heed/abi/kv.h>
#include <heed/abi/network.h>
#include <heed/abi/oracle.h>
#include <heed/abi/partial.h>
#include <heed/abi/relay.h>
#include <heed/abi/transport.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct row {
    const char *type, *field; /* field NULL: the whole struct */
    size_t at, bytes;         /* golden */
    size_t is_at, is_bytes;   /* what the headers say */
} row;

#define FIELD(type, field, at, bytes) {#type, #field, at, bytes, offsetof(type, field), sizeof(((type *)0)->field)},
#define STRUCT(type, bytes) {#type, NULL, 0, bytes, 0, sizeof(type)},
#define VALUE(name, number)
#define TEXT(name, text)
static const row rows[] = {
#include "golden_layout.h"
};
#undef FIELD
#undef STRUCT
#undef VALUE
#undef TEXT

static const struct { const char *name; int64_t golden, is; } values[] = {
#define FIELD(type, field, at, bytes)
#define STRUCT(type, bytes)
#define VALUE(name, number) {#name, number, name},
#define TEXT(name, text)
#include "golden_layout.h"
};
#undef VALUE
#undef TEXT

static const struct { const char *name, *golden, *is; } texts[] = {
#define VALUE(name, number)
#define TEXT(name, text) {#name, text, name},
#include "golden_layout.h"
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void test_structs(void **state)
{
    (void)state;
    int wrong = 0;
    size_t end = 0; /* of the field before */
    for (const row *r = rows; r < rows + COUNT(rows); r++) {
        if (r->field && (r->at != r->is_at || r->bytes != r->is_bytes))
            wrong++, print_error("FIELD(%s, %s, %zu, %zu)\n", r->type, r->field, r->is_at, r->is_bytes);
        if (!r->field && r->bytes != r->is_bytes)
            wrong++, print_error("STRUCT(%s, %zu)\n", r->type, r->is_bytes);
        if (end != (r->field ? r->is_at : r->is_bytes))
            wrong++, print_error("%s: a field that is not written down, or a gap, %s %s\n", r->type,
                                 r->field ? "before" : "at the", r->field ? r->field : "end");
        end = r->field ? r->is_at + r->is_bytes : 0;
    }
    if (wrong) fail_msg("the lines above are how golden_layout.h would have to be");
}

/* The law of growth: `size` is first, and takes 4 bytes. heed_table, which has a stride instead, is the exception. */
static void test_sizes_come_first(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int first = i == 0 || !rows[i - 1].field;
        if (!first || !strcmp(rows[i].type, "heed_table")) continue;
        if (strcmp(rows[i].field, "size") || rows[i].is_bytes != 4)
            fail_msg("%s does not start with size", rows[i].type);
    }
}

static void test_values(void **state)
{
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < COUNT(values); i++)
        if (values[i].golden != values[i].is)
            wrong++, print_error("VALUE(%s, %lld)\n", values[i].name, (long long)values[i].is);
    for (size_t i = 0; i < COUNT(texts); i++)
        if (strcmp(texts[i].golden, texts[i].is))
            wrong++, print_error("TEXT(%s, \"%s\")\n", texts[i].name, texts[i].is);
    if (wrong) fail_msg("the lines above are how golden_layout.h would have to be");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structs),
        cmocka_unit_test(test_sizes_come_first),
        cmocka_unit_test(test_values),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL), n = COUNT(tests);
    printf("%d passed, %d failed\n", n - failed, failed);
    return failed != 0;
}
