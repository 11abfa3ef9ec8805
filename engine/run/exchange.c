/* SPDX-License-Identifier: MIT
 *
 * exchange.c: agreements and messages over a transport, whose functions it calls and nobody else.
 *
 * Invariant: after any failure the exchange is broken: ranks do not know any more what the others
 * wait for, so nothing is sent, and every later call says so. What is left is to leave.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/grow.h"
#include "run/exchange.h"

typedef struct exchange_post {
    void *request;
    uint32_t other;
} exchange_post;

/* What ranks tell each other in an agreement. */
typedef struct record {
    uint64_t what, turn;
    int32_t failed, flag;
    char text[232];
} record;

typedef struct greeting {
    char speaks[128], host[64];
} greeting;

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* "rank 2 on node7" */
static const char *name_of(const exchange *x, uint32_t rank, char name[96])
{
    const char *host = x->host ? x->host[rank] : "";
    snprintf(name, 96, "rank %u%s%s", rank, *host ? " on " : "", host);
    return name;
}

static int32_t transport_failed(exchange *x, int32_t code, uint32_t other, heed_error *error)
{
    char name[96];
    x->broken = x->lost = 1;
    if (code == HEED_E_MEMORY) return error_memory(error);
    const char *why = x->t.sink && x->t.sink->text[0] ? x->t.sink->text : "no reason is given";
    return error_set(error, HEED_E_SYSTEM, "the message with %s has failed: %.300s",
                     name_of(x, other, name), why);
}

static int32_t check_whole(const exchange *x, heed_error *error)
{
    if (!x->broken) return HEED_OK;
    return error_set(error, HEED_E_SYSTEM,
                     "these %u ranks have failed before, so they are at different places and can "
                     "not go on together",
                     x->t.ranks);
}

/* ---- messages ---- */

static int32_t post(exchange *x, exchange_posts *posts, uint32_t other, void *bytes, uint64_t n,
                    int sends, heed_error *error)
{
    TRY(check_whole(x, error));
    for (uint64_t done = 0, now; done < n && other != x->t.rank; done += now) {
        exchange_post *p = grow_append(&posts->post, &posts->count, sizeof *p);
        if (!p) return x->broken = x->lost = 1, error_memory(error);
        now = n - done < HEED_MESSAGE_MOST ? n - done : HEED_MESSAGE_MOST;
        *p = (exchange_post){.other = other};
        const int32_t code =
            sends ? x->t.send(&x->t, other, (char *)bytes + done, now, &p->request)
                  : x->t.receive(&x->t, other, (char *)bytes + done, now, &p->request);
        if (code) return transport_failed(x, code, other, error);
        x->count.messages++;
        *(sends ? &x->count.sent : &x->count.received) += now;
    }
    return HEED_OK;
}

int32_t exchange_send(exchange *x, exchange_posts *posts, uint32_t to, const void *bytes,
                      uint64_t n, heed_error *error)
{
    return post(x, posts, to, (void *)bytes, n, 1, error); /* only read */
}

int32_t exchange_receive(exchange *x, exchange_posts *posts, uint32_t from, void *bytes, uint64_t n,
                         heed_error *error)
{
    return post(x, posts, from, bytes, n, 0, error);
}

void exchange_look(exchange *x, exchange_posts *posts)
{
    for (uint32_t i = 0; i < posts->count && !posts->failed; i++) {
        if (!posts->post[i].request) continue;
        const int32_t code = x->t.wait(&x->t, &posts->post[i].request, 0);
        if (code < 0) posts->failed = code, posts->other = posts->post[i].other;
        if (code) return; /* asking for one moves all */
    }
}

/* Ranks have about the same work, but machines may be loaded: who has worked for an hour since they
 * last agreed may wait for three more. */
static int64_t patience(const exchange *x, double now)
{
    return x->milliseconds + (int64_t)(3e3 * (now - x->since));
}

static int32_t give_up(exchange *x, uint32_t other, double waited, heed_error *error)
{
    char name[96];
    x->broken = x->lost = 1;
    return error_set(error, HEED_E_SYSTEM, "%s has not answered for %.*f seconds",
                     name_of(x, other, name), waited < 10 ? 1 : 0, waited);
}

int32_t exchange_wait(exchange *x, exchange_posts *posts, int32_t failed, heed_error *error)
{
    const double begin = seconds_now();
    const int64_t most = patience(x, begin);
    if (!failed && posts->failed) failed = transport_failed(x, posts->failed, posts->other, error);
    for (uint32_t i = 0; i < posts->count && !failed; i++) {
        exchange_post *p = &posts->post[i];
        const int64_t spent = (int64_t)(1e3 * (seconds_now() - begin));
        if (!p->request) continue;
        const int32_t code = x->t.wait(&x->t, &p->request, most > spent ? most - spent : 0);
        if (code < 0) failed = transport_failed(x, code, p->other, error);
        if (code > 0) failed = give_up(x, p->other, seconds_now() - begin, error);
    }
    for (uint32_t i = 0; i < posts->count; i++)
        if (posts->post[i].request) x->t.abandon(&x->t, &posts->post[i].request);
    free(posts->post);
    *posts = (exchange_posts){0};
    x->count.seconds += seconds_now() - begin;
    return failed;
}

int32_t exchange_gather(exchange *x, void *all, const uint64_t *at, heed_error *error)
{
    exchange_posts posts = {0};
    const uint32_t own = x->t.rank;
    char *bytes = all;
    int32_t failed = check_whole(x, error);
    for (uint32_t r = 0; r < x->t.ranks && !failed; r++)
        failed = exchange_receive(x, &posts, r, bytes + at[r], at[r + 1] - at[r], error);
    for (uint32_t r = 0; r < x->t.ranks && !failed; r++)
        failed = exchange_send(x, &posts, r, bytes + at[own], at[own + 1] - at[own], error);
    return exchange_wait(x, &posts, failed, error);
}

/* The same of parts of one size. */
static int32_t gather_equal(exchange *x, void *all, uint64_t bytes, heed_error *error)
{
    uint64_t *at = calloc(x->t.ranks + (size_t)1, sizeof *at);
    if (!at) return error_memory(error);
    for (uint32_t r = 0; r <= x->t.ranks; r++) at[r] = r * bytes;
    const int32_t failed = exchange_gather(x, all, at, error);
    free(at);
    return failed;
}

/* ---- agreements ---- */

static int32_t judge(exchange *x, const record *all, exchange_stand *stand, heed_error *error)
{
    const uint32_t own = x->t.rank;
    char name[96];
    stand->flag = 0;
    for (uint32_t r = 0; r < x->t.ranks; r++) {
        stand->flag |= all[r].flag;
        if (!all[r].failed) continue;
        x->broken = 1;
        if (r == own) return all[r].failed; /* `error` has the whole sentence */
        return error_set(error, all[r].failed, "%s: %.*s", name_of(x, r, name),
                         (int)sizeof all[r].text, all[r].text);
    }
    for (uint32_t r = 1; r < x->t.ranks; r++) {
        if (all[r].what == all[0].what && all[r].turn == all[0].turn) continue;
        x->broken = 1;
        return error_set(error, HEED_E_ARGUMENT,
                         "%s does something else than rank 0: all ranks make the same calls, with "
                         "the same specs, weights and sizes",
                         name_of(x, r, name));
    }
    return HEED_OK;
}

int32_t exchange_agree(exchange *x, exchange_stand *stand, heed_error *error)
{
    if (x->broken) return stand->failed ? stand->failed : check_whole(x, error);
    if (x->t.ranks == 1) return stand->failed ? (x->broken = 1, stand->failed) : HEED_OK;
    record *all = calloc(x->t.ranks, sizeof *all);
    if (!all) return x->broken = x->lost = 1, error_memory(error);
    record *own = &all[x->t.rank];
    *own = (record){stand->what, x->turn++, stand->failed, stand->flag, ""};
    if (stand->failed && error)
        snprintf(own->text, sizeof own->text, "%.*s", (int)sizeof own->text - 1, error->text);
    int32_t failed = gather_equal(x, all, sizeof *all, error);
    if (!failed) failed = judge(x, all, stand, error);
    free(all);
    x->since = seconds_now();
    return failed;
}

/* ---- the beginning and the end ---- */

static int32_t greet(exchange *x, greeting *all, const char *speaks, heed_error *error)
{
    greeting *own = &all[x->t.rank];
    snprintf(own->speaks, sizeof own->speaks, "%s", speaks);
    snprintf(own->host, sizeof own->host, "%s", x->t.host ? x->t.host : "");
    TRY(gather_equal(x, all, sizeof *all, error));
    for (uint32_t r = 0; r < x->t.ranks; r++)
        snprintf(x->host[r], sizeof x->host[r], "%.*s", (int)sizeof all[r].host - 1, all[r].host);
    for (uint32_t r = 0; r < x->t.ranks; r++) {
        char name[96];
        if (!memcmp(all[r].speaks, all[0].speaks, sizeof all[r].speaks)) continue;
        x->broken = 1;
        return error_set(error, HEED_E_ABI, "%s is %.*s, but rank 0 is %.*s", name_of(x, r, name),
                         (int)sizeof all[r].speaks, all[r].speaks, (int)sizeof all[0].speaks,
                         all[0].speaks);
    }
    return HEED_OK;
}

int32_t exchange_begin(exchange *x, const heed_transport *t, double seconds, const char *speaks,
                       heed_error *error)
{
    *x = (exchange){.t = *t, .milliseconds = (int64_t)(1e3 * seconds), .since = seconds_now()};
    greeting *all = calloc(t->ranks, sizeof *all);
    x->host = calloc(t->ranks, sizeof *x->host);
    if (!all || !x->host) x->lost = 1;
    int32_t failed = x->lost ? error_memory(error) : greet(x, all, speaks, error);
    free(all);
    x->count = (exchange_count){0};
    if (failed) x->broken = 1;
    return failed;
}

void exchange_end(exchange *x)
{
    if (x->t.close) x->t.close(&x->t, x->lost);
    free(x->host);
    *x = (exchange){0};
}
