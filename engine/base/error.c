/* SPDX-License-Identifier: MIT
 *
 * error.c: how a failure gets its sentence, and the guess at what was meant.
 *
 * It does not decide what is an error, and prints nothing. Invariant: heed_error.text always ends with a NUL and never
 * in half a UTF-8 character, however long the arguments are.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define COMPARED 64 /* longest word for which a near name is looked for; keys and ids are far shorter */

int32_t error_set(heed_error *error, int32_t code, const char *format, ...)
{
    if (!error) return code;

    char text[sizeof error->text]; /* not in place: an argument may be the old sentence */
    va_list list;
    va_start(list, format);
    int written = vsnprintf(text, sizeof text, format, list);
    va_end(list);

    if (written < 0) text[0] = 0;
    size_t length = strlen(text);
    if (written > (int)length) {
        while (length && (text[length - 1] & 0xC0) == 0x80) length--;
        if (length && (text[length - 1] & 0x80)) length--;
    }
    memcpy(error->text, text, length);
    error->text[length] = 0;
    error->code = code;
    return code;
}

int32_t error_memory(heed_error *error) { return error_set(error, HEED_E_MEMORY, "out of memory"); }

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Insertions, deletions, replacements and swaps of neighbours that turn a into b; case does not count. */
static uint32_t distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    uint32_t rows[3][COMPARED + 1]; /* row i is rows[i % 3] */
    for (size_t j = 0; j <= b_length; j++) rows[0][j] = (uint32_t)j;
    for (size_t i = 1; i <= a_length; i++) {
        uint32_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = (uint32_t)i;
        for (size_t j = 1; j <= b_length; j++) {
            char x = lower(a[i - 1]), y = lower(b[j - 1]);
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (x != y));
            int swapped = i > 1 && j > 1 && x == lower(b[j - 2]) && y == lower(a[i - 2]);
            if (swapped) row[j] = least(row[j], above2[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

/* Near is: at most a third of the longer word, rounded up, is different; but never all of it. */
const char *error_nearest(const char *word, const char *const *names, uint32_t count)
{
    const char *nearest = NULL;
    uint32_t best = UINT32_MAX;
    size_t length = strnlen(word, COMPARED + 1);
    if (!length || length > COMPARED) return NULL;

    for (uint32_t i = 0; i < count; i++) {
        size_t n = strnlen(names[i], COMPARED + 1);
        if (n > COMPARED) continue;
        uint32_t longer = (uint32_t)(n > length ? n : length);
        uint32_t d = distance(word, length, names[i], n);
        if (d <= (longer + 2) / 3 && d < longer && d < best) {
            best = d;
            nearest = names[i];
        }
    }
    return nearest;
}

void error_list(char *text, size_t size, const char *intro, const char *const *names,
                uint32_t count)
{
    size_t n = strlen(text);
    if (!count || n + strlen(intro) + 8 > size) return;
    n += (size_t)snprintf(text + n, size - n, "%s", intro);
    for (uint32_t i = 0; i < count; i++) {
        if (n + strlen(names[i]) + 8 > size) {
            snprintf(text + n, size - n, "%s...", i ? ", " : "");
            return;
        }
        n += (size_t)snprintf(text + n, size - n, "%s%s", i ? ", " : "", names[i]);
    }
}
