/* SPDX-License-Identifier: MIT
 *
 * unicode.c: kinds of characters and normal forms, by utf8proc.
 */
#include "text/unicode.h"

#include <utf8proc.h>

static utf8proc_category_t category(uint32_t c) { return utf8proc_category((utf8proc_int32_t)c); }

static int is_between(uint32_t c, utf8proc_category_t first, utf8proc_category_t last)
{
    const utf8proc_category_t is = category(c);
    return is >= first && is <= last;
}

int unicode_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 ||
           (c >= 0xA0 && is_between(c, UTF8PROC_CATEGORY_ZS, UTF8PROC_CATEGORY_ZP));
}

int unicode_number(uint32_t c)
{
    return c < 0x80 ? c >= '0' && c <= '9'
                    : is_between(c, UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO);
}

int unicode_punctuation(uint32_t c)
{
    if (c < 0x80)
        return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
               (c >= '{' && c <= '~');
    return is_between(c, UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO);
}

int unicode_other(uint32_t c)
{
    return c < 0x80 ? c < ' ' || c == 0x7F
                    : category(c) == UTF8PROC_CATEGORY_CN ||
                          is_between(c, UTF8PROC_CATEGORY_CC, UTF8PROC_CATEGORY_CO);
}

int unicode_accent(uint32_t c) { return c >= 0x300 && category(c) == UTF8PROC_CATEGORY_MN; }

int unicode_mark(uint32_t c)
{
    return c >= 0x300 && is_between(c, UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_ME);
}

int unicode_word(uint32_t c)
{
    if (c < 0x80)
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
               c == '_';
    return is_between(c, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_NL) ||
           category(c) == UTF8PROC_CATEGORY_PC || c == 0x200C || c == 0x200D ||
           (c >= 0x24B6 && c <= 0x24E9); /* letters in circles, which are alphabetic */
}

int unicode_chinese(uint32_t c)
{
    static const uint32_t range[][2] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},
                                        {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F},
                                        {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};
    for (size_t i = 0; c >= 0x3400 && i < sizeof range / sizeof *range; i++)
        if (c >= range[i][0] && c <= range[i][1]) return 1;
    return 0;
}

void unicode_put_lower(bytes *to, uint32_t c)
{
    /* a capital I with a dot is two characters when it is small */
    utf8_put(to, c == 0x130 ? 'i' : (uint32_t)utf8proc_tolower((utf8proc_int32_t)c));
    if (c == 0x130) utf8_put(to, 0x307);
}

int unicode_form(int form, const char *text, size_t n, bytes *to)
{
    static const utf8proc_option_t options[] = {
        UTF8PROC_STABLE | UTF8PROC_COMPOSE, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT};
    utf8proc_uint8_t *made;
    const utf8proc_ssize_t length =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &made, options[form]);
    if (length < 0) return 0;
    to->n = 0;
    bytes_put(to, (const char *)made, (size_t)length);
    free(made);
    return !to->failed;
}

size_t unicode_grapheme(const char *text, size_t n, size_t at)
{
    utf8proc_int32_t state = 0;
    size_t length;
    uint32_t last = utf8_at(text + at, &length);
    for (at += length; at < n; at += length) {
        const uint32_t c = utf8_at(text + at, &length);
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)last, (utf8proc_int32_t)c, &state))
            break;
        last = c;
    }
    return at;
}
