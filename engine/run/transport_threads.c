/* SPDX-License-Identifier: MIT
 *
 * transport_threads.c: heed_transport_threads: ranks that are threads of one process. A message is one
 * copy, made by whichever side comes second.
 *
 * Invariant: a post is in the hub's list exactly while it waits for its other side; the posts of one
 * pair of ranks and one direction are met in the order in which they were made.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"

enum { WAITS, COPIES, DONE, REFUSED };

typedef struct post {
    struct post *next;
    uint32_t from, to;
    int sends, state;
    void *bytes;
    uint64_t n;
} post;

typedef struct hub {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    post *first;
    uint32_t members;
} hub;

/* What one rank has. */
typedef struct member {
    hub *hub;
    heed_sink sink;
    char text[160];
} member;

/* The oldest post of the other side; it leaves the list. */
static post *take_match(hub *h, const post *own)
{
    for (post **at = &h->first; *at; at = &(*at)->next) {
        post *p = *at;
        if (p->from != own->from || p->to != own->to || p->sends == own->sends) continue;
        *at = p->next;
        return p;
    }
    return NULL;
}

static void append(hub *h, post *own)
{
    post **at = &h->first;
    while (*at) at = &(*at)->next;
    *at = own;
}

static int32_t threads_post(const heed_transport *t, post what, void **request)
{
    const member *m = t->self;
    hub *h = m->hub;
    post *own = *request = malloc(sizeof *own);
    if (!own) return HEED_E_MEMORY;
    *own = what;
    pthread_mutex_lock(&h->lock);
    post *other = take_match(h, own);
    if (!other) append(h, own);
    else if (other->n != own->n) own->state = other->state = REFUSED;
    else {
        other->state = COPIES;
        pthread_mutex_unlock(&h->lock);
        memcpy(own->sends ? other->bytes : own->bytes, own->sends ? own->bytes : other->bytes,
               own->n);
        pthread_mutex_lock(&h->lock);
        own->state = other->state = DONE;
    }
    if (other) pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    return HEED_OK;
}

static int32_t threads_send(const heed_transport *t, uint32_t to, const void *bytes, uint64_t n,
                            void **request)
{
    /* only read */
    const post what = {.from = t->rank, .to = to, .sends = 1, .bytes = (void *)bytes, .n = n};
    return threads_post(t, what, request);
}

static int32_t threads_receive(const heed_transport *t, uint32_t from, void *bytes, uint64_t n,
                               void **request)
{
    return threads_post(t, (post){.from = from, .to = t->rank, .bytes = bytes, .n = n}, request);
}

static int32_t threads_wait(const heed_transport *t, void **request, int64_t milliseconds)
{
    const member *m = t->self;
    post *own = *request;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += milliseconds % 1000 * 1000000;
    until.tv_sec += milliseconds / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    int late = milliseconds <= 0;
    pthread_mutex_lock(&m->hub->lock);
    while (own->state == COPIES || (own->state == WAITS && !late)) /* copies end soon */
        if (own->state == COPIES) pthread_cond_wait(&m->hub->changed, &m->hub->lock);
        else late = pthread_cond_timedwait(&m->hub->changed, &m->hub->lock, &until) == ETIMEDOUT;
    const int state = own->state;
    pthread_mutex_unlock(&m->hub->lock);
    if (state == WAITS) return 1;
    free(own);
    *request = NULL;
    if (state == DONE) return HEED_OK;
    strcpy(m->sink.text, "the other side sends or wants another number of bytes");
    return HEED_E_DATA;
}

static void threads_abandon(const heed_transport *t, void **request)
{
    const member *m = t->self;
    post *own = *request;
    *request = NULL;
    if (!own) return;
    pthread_mutex_lock(&m->hub->lock);
    while (own->state == COPIES) pthread_cond_wait(&m->hub->changed, &m->hub->lock);
    for (post **at = &m->hub->first; *at; at = &(*at)->next)
        if (*at == own) {
            *at = own->next;
            break;
        }
    pthread_mutex_unlock(&m->hub->lock);
    free(own);
}

static void hub_leave(hub *h, uint32_t members)
{
    pthread_mutex_lock(&h->lock);
    const uint32_t left = h->members -= members;
    pthread_mutex_unlock(&h->lock);
    if (left) return;
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->changed);
    free(h);
}

static void threads_close(heed_transport *t, int32_t failed)
{
    member *m = t->self;
    (void)failed;
    if (m) hub_leave(m->hub, 1);
    free(m);
    t->self = NULL;
}

static hub *hub_new(uint32_t members)
{
    hub *h = calloc(1, sizeof *h);
    pthread_condattr_t attributes;
    if (!h) return NULL;
    h->members = members;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return h;
}

int32_t heed_transport_threads(uint32_t ranks, heed_transport *to, heed_error *error)
{
    if (error) *error = (heed_error){0};
    if (!ranks || ranks > 4096)
        return error_set(error, HEED_E_ARGUMENT, "%u ranks are asked for; from 1 to 4096 is right",
                         ranks);
    hub *h = hub_new(ranks);
    if (!h) return error_memory(error);
    for (uint32_t r = 0; r < ranks; r++) {
        member *m = calloc(1, sizeof *m);
        if (!m) {
            hub_leave(h, ranks - r);
            for (uint32_t made = 0; made < r; made++) threads_close(&to[made], 1);
            return error_memory(error);
        }
        m->hub = h;
        m->sink = (heed_sink){sizeof m->sink, sizeof m->text, m->text};
        to[r] = (heed_transport){.size = sizeof *to,
                                 .rank = r,
                                 .ranks = ranks,
                                 .self = m,
                                 .name = "threads",
                                 .host = "",
                                 .sink = &m->sink,
                                 .send = threads_send,
                                 .receive = threads_receive,
                                 .wait = threads_wait,
                                 .abandon = threads_abandon,
                                 .close = threads_close};
    }
    return HEED_OK;
}
