/* SPDX-License-Identifier: MIT
 *
 * charsmap.c: SentencePiece's own normal form.
 *
 * A unit of the double array: bit 31 marks a value, which is the rest; else bits 0 to 7 are the byte
 * that leads here, bit 8 says that a value is at the offset itself, and the offset is bits 10 to 30,
 * shifted by another 8 if bit 9 is set (Darts-clone, S. Yata). Invariant: no index of the file's is
 * believed.
 */
#include "text/charsmap.h"

#include "text/unicode.h"

#define GRAPHEME_MOST 5 /* bytes of a grapheme that is looked up whole */

static int value_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* 0: it is no base64. */
static int decode(bytes *to, const char *text, size_t n)
{
    uint32_t bits = 0;
    int held = 0;
    while (n && text[n - 1] == '=') n--;
    for (size_t i = 0; i < n; i++) {
        const int value = value_of(text[i]);
        if (value < 0) return 0;
        bits = bits << 6 | (uint32_t)value;
        if ((held += 6) < 8) continue;
        held -= 8;
        const char byte = (char)(bits >> held);
        bytes_put(to, &byte, 1);
    }
    return 1;
}

static uint32_t word_at(const charsmap *m, size_t index)
{
    const unsigned char *p = (const unsigned char *)m->blob.at + 4 * index;
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void charsmap_read(charsmap *m, const field *in)
{
    size_t n;
    const field f = field_key(in, "precompiled_charsmap");
    if (!f.value) return; /* nothing is replaced */
    const char *text = field_as_text(&f, &n);
    if (in->of->failed) return;
    const int good = decode(&m->blob, text, n);
    if (m->blob.failed) {
        field_no_memory(in);
        return;
    }
    if (!good || (m->blob.n && (m->blob.n < 8 || word_at(m, 0) % 4 || !word_at(m, 0) ||
                                word_at(m, 0) > m->blob.n - 4))) {
        field_wrong(&f, "base64 of a trie behind its size in bytes, and of texts, is right");
        return;
    }
    bytes_put(&m->blob, "", 1); /* the last text ends somewhere */
    if (m->blob.failed) field_no_memory(in);
    m->units = m->blob.n > 8 ? word_at(m, 0) / 4 : 0;
}

void charsmap_close(charsmap *m) { free(m->blob.at); }

static size_t offset_of(uint32_t unit) { return (size_t)(unit >> 10) << ((unit & 512) >> 6); }

/* What the shortest head of the text that the trie has becomes, or NULL. */
static const char *look(const charsmap *m, const char *text, size_t n)
{
    if (!m->units) return NULL;
    size_t at = offset_of(word_at(m, 1));
    for (size_t i = 0; i < n && text[i]; i++) {
        at ^= (unsigned char)text[i];
        if (at >= m->units) return NULL;
        const uint32_t unit = word_at(m, 1 + at);
        if ((unit & (1u << 31 | 0xFF)) != (unsigned char)text[i]) return NULL;
        at ^= offset_of(unit);
        if (!(unit & 256)) continue;
        const size_t texts = 4 + 4 * m->units,
                     offset = at < m->units ? word_at(m, 1 + at) & ~(1u << 31) : SIZE_MAX;
        const char *found = offset < m->blob.n - texts ? m->blob.at + texts + offset : NULL;
        return found && utf8_valid(found, strlen(found)) == strlen(found) ? found : NULL;
    }
    return NULL;
}

void charsmap_run(const charsmap *m, const char *text, size_t n, bytes *to)
{
    for (size_t at = 0, end; at < n; at = end) {
        end = unicode_grapheme(text, n, at);
        const char *whole = end - at <= GRAPHEME_MOST ? look(m, text + at, end - at) : NULL;
        if (whole) {
            bytes_put(to, whole, strlen(whole));
            continue;
        }
        for (size_t length; at < end; at += length) {
            length = utf8_length(text[at]);
            const char *one = look(m, text + at, length);
            if (one) bytes_put(to, one, strlen(one));
            else bytes_put(to, text + at, length);
        }
    }
}
