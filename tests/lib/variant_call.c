/* SPDX-License-Identifier: MIT
 *
 * variant_call.c: the call of a row, its numbers, and its sequences: variant.h.
 */
#include "variant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t axis(const call *c, char letter) { return c->oracle.axis[letter - 'A']; }

static const heed_port *port_of(const call *c, uint32_t p)
{
    return (const heed_port *)c->op->ports.data + p;
}

/* What an axis of a row is: 7, H, T+5 or C/A, with the axes that are known. */
static int64_t axis_value(const char *text, const int64_t known[26])
{
    if (*text < 'A' || *text > 'Z') return strtol(text, NULL, 10);
    const int64_t value = known[*text - 'A'], by = text[1] == '/' ? known[text[2] - 'A'] : 1;
    return text[1] == '+' ? value + strtol(text + 2, NULL, 10) : (value + by - 1) / by;
}

call_case variant_case(const variant_row *row, const char *axes, const char *setting,
                       const char *without, uint64_t seed)
{
    static char texts[8][3][400];
    static int next;
    char(*text)[400] = texts[next++ % 8];
    int64_t known[26] = {0};
    snprintf(text[0], sizeof *text, "%s%s", row->spec, setting);
    snprintf(text[1], sizeof *text, "%s", axes);
    for (const char *at = axes; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        known[*at - 'A'] = strtol(at + 2, NULL, 10);
    for (const char *at = row->axes; at && *at == ','; at = strchr(at + 1, ',')) {
        const int64_t value = known[at[1] - 'A'] = axis_value(at + 3, known);
        snprintf(text[1] + strlen(text[1]), 20, ",%c=%d", at[1], (int)value);
    }
    const char *with = row->without ? row->without : "";
    snprintf(text[2], sizeof *text, "%s%s%s", without, *without && *with ? "," : "", with);
    return (call_case){text[0], text[1], text[2], row->dtype, row->size, seed};
}

double variant_g(uint32_t s, uint32_t i)
{
    uint32_t h = i * 2654435761u + s * 40503u + 12345u;
    h ^= h >> 15, h *= 2246822519u, h ^= h >> 13, h *= 3266489917u, h ^= h >> 16;
    return h / 2147483648.0 - 1.0;
}

void variant_put(const call *c, const char *port, double value)
{
    const heed_tensor *t = &c->plain[call_port(c, port)];
    for (int64_t i = 0; i < heed_tensor_elements(t); i++) tensor_put(t, i, value);
}

static void draw_from(const call *c, const char *port, uint32_t s, uint32_t first)
{
    const heed_tensor *t = &c->plain[call_port(c, port)];
    for (int64_t i = 0; i < heed_tensor_elements(t); i++)
        tensor_put(t, i, variant_g(s, first + (uint32_t)i));
}

void variant_nan_unseen(call *c)
{
    const heed_tensor *bias = &c->plain[call_port(c, "bias")];
    for (int64_t t = 20; t < 32; t++)
        tensor_put(bias, t * 40 + t - 11, NAN), tensor_put(bias, t * 40 + t + 1, NAN);
}

void variant_fill(call *c, const variant_row *row)
{
    for (const char *at = row->fill; at && *at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL) {
        char port[40];
        const size_t n = strcspn(at, "=:");
        char *rest;
        snprintf(port, sizeof port, "%.*s", (int)n, at);
        const double number = strtod(at + n + 1, &rest);
        if (at[n] == '=') variant_put(c, port, number);
        else draw_from(c, port, (uint32_t)number, *rest == '+' ? (uint32_t)atoi(rest + 1) : 0);
    }
    if (row->set) row->set(c);
    call_update(c);
}

/* ---- sequences ---- */

static void sequences_new(const call *c, const heed_instance *i, heed_sequence *s[VARIANT_BATCH])
{
    heed_error e;
    assert_true(axis(c, 'B') <= VARIANT_BATCH);
    for (int64_t b = 0; b < axis(c, 'B'); b++)
        if (!(s[b] = heed_sequence_new(i, c->oracle.axis, &e))) fail_msg("%s", e.text);
}

int32_t variant_feed(const call *c, const heed_instance *i, heed_sequence *const *s, int64_t from,
                     int64_t n, heed_tensor out[ORACLE_PORTS], heed_error *error)
{
    heed_tensor view[ORACLE_PORTS] = {0};
    for (uint32_t p = 0; p < c->op->ports.count; p++) {
        const heed_tensor *all = out[p].data ? &out[p] : &c->plain[p];
        if (!all->data) continue;
        view[p] = port_of(c, p)->role == HEED_WEIGHT ? *all : tensor_slice(all, 1, from, n);
    }
    return call_with(c, i, view, s, error);
}

void variant_must_feed(const call *c, const heed_instance *i, heed_sequence *const *s, int64_t from,
                       int64_t n, heed_tensor out[ORACLE_PORTS])
{
    heed_error e;
    if (variant_feed(c, i, s, from, n, out, &e))
        fail_msg("%s [%s], tokens %d + %d: %s", c->how->spec, c->how->axes, (int)from, (int)n,
                 e.text);
}

/* Feeds all tokens; a fork of each sequence, made behind the first chunk, if `twin` is there. */
void variant_feed_all(const call *c, const heed_instance *i, heed_sequence **twin, int64_t chunk,
                      heed_tensor out[ORACLE_PORTS])
{
    heed_sequence *s[VARIANT_BATCH];
    sequences_new(c, i, s);
    for (int64_t t = 0, n; t < axis(c, 'T'); t += n) {
        n = axis(c, 'T') - t < chunk ? axis(c, 'T') - t : chunk;
        variant_must_feed(c, i, s, t, n, out);
        for (int64_t b = 0; b < axis(c, 'B') && t == 0 && twin; b++)
            assert_non_null(twin[b] = heed_sequence_fork(s[b], NULL));
    }
    for (int64_t b = 0; b < axis(c, 'B'); b++) {
        assert_int_equal(heed_sequence_length(s[b]), axis(c, 'T'));
        heed_sequence_free(s[b]);
    }
}

void variant_chunks(const call *c, const char *isa, uint32_t threads, int64_t chunk,
                    heed_tensor out[ORACLE_PORTS])
{
    heed_instance *i = call_open(c, isa, threads);
    outputs_make(c, out);
    variant_feed_all(c, i, NULL, chunk, out);
    heed_instance_close(i);
}
