/* SPDX-License-Identifier: MIT
 *
 * exact.c: a call without the engine: the instance, the workspace and each lane's scratch have
 * exactly the bytes that the op measured, end at a page that can not be read, and hold garbage
 * where the contract leaves their content open; the instance and the inputs can not be written.
 * Tiles run in an order and on lanes of our choice. And one on a thread whose stack is painted, so
 * that what is left of the paint tells how deep the call went.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cpu.h"
#include "check/child.h"
#include "check/exact.h"
#include "inspect.h"

/* ---- memory ---- */

#define CANARY 0xc5

typedef struct piece {
    char name[96];
    char *map, *data;
    size_t map_bytes, bytes;
    int watch;
} piece;

/* `bytes` at an address that is a multiple of `align`, as near to the end as that allows; between
 * them and the end, and in front, stand canaries. */
static piece piece_make(const char *name, size_t bytes, size_t align, int content)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inside = (bytes + page - 1) / page * page;
    piece p = {.bytes = bytes, .map_bytes = inside + 2 * page};
    snprintf(p.name, sizeof p.name, "%s", name);
    p.map = mmap(NULL, p.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p.map == MAP_FAILED) harness_fail("no memory");
    memset(p.map + page, CANARY, inside);
    p.data = p.map + page + ((inside - bytes) & ~(align - 1));
    memset(p.data, content, bytes);
    if (!getenv("HEED_TEST_GUARD")) {
        mprotect(p.map, page, PROT_NONE);
        mprotect(p.map + page + inside, page, PROT_NONE);
    }
    return p;
}

static void piece_lock(piece *p, int lock)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (p->map && p->map_bytes > 2 * page)
        mprotect(p->map + page, p->map_bytes - 2 * page, lock ? PROT_READ : PROT_READ | PROT_WRITE);
}

/* Ends it, after a look at the canaries. */
static void piece_end(piece *p)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (!p->map) return;
    child_unwatch(p->watch);
    for (char *at = p->map + page; at < p->map + p->map_bytes - page; at++)
        if ((at < p->data || at >= p->data + p->bytes) && *(unsigned char *)at != CANARY)
            harness_fail("writes to byte %td of %s, which has %zu", at - p->data, p->name,
                         p->bytes);
    munmap(p->map, p->map_bytes);
    p->map = NULL;
}

/* A piece knows its name only where it stays: the watch keeps a pointer to it. */
static void piece_watch(piece *p)
{
    p->watch = child_watch(p->name, p->data, p->bytes, (size_t)sysconf(_SC_PAGESIZE));
}

/* ---- a host that runs tiles as it likes ---- */

enum { IN_ORDER, REVERSED, SHUFFLED };
static const char *const order_names[] = {"in order", "reversed", "shuffled"};

typedef struct odd_host {
    heed_host host;
    uint32_t lanes;
    int order, inside, elsewhere; /* elsewhere: on a thread, from which no finding can be told */
    uint64_t seed, numbers; /* a hash of the numbers of tiles that were asked for */
} odd_host;

static int32_t odd_parallel_for(const heed_host *host, int64_t tiles, heed_tile_fn fn, void *arg)
{
    odd_host *o = host->self;
    if (o->elsewhere && (o->inside || tiles < 0)) return HEED_E_ARGUMENT; /* `tiles` tells of it */
    if (o->inside) harness_fail("calls parallel_for from inside a tile");
    if (tiles < 0) harness_fail("asks for %lld tiles", (long long)tiles);
    o->numbers = o->numbers * 0x100000001b3u + (uint64_t)tiles;
    int64_t *turn = malloc(sizeof *turn * ((size_t)tiles + 1));
    for (int64_t i = 0; i < tiles; i++) turn[i] = o->order == REVERSED ? tiles - 1 - i : i;
    for (int64_t i = tiles - 1; o->order == SHUFFLED && i > 0; i--) {
        int64_t other = (int64_t)(harness_random(&o->seed) % (uint64_t)(i + 1)), kept = turn[i];
        turn[i] = turn[other], turn[other] = kept;
    }
    o->inside = 1;
    for (int64_t i = 0; i < tiles; i++) {
        uint64_t lane = o->order == IN_ORDER ? (uint64_t)i : harness_random(&o->seed);
        fn(arg, turn[i], (uint32_t)(lane % o->lanes));
    }
    o->inside = 0;
    free(turn);
    return HEED_OK;
}

static void odd_log(const heed_host *host, uint32_t level, const char *text)
{
    (void)host, (void)level, (void)text;
}
static int32_t odd_cancelled(const heed_host *host) { (void)host; return 0; }
static const void *odd_extension(const heed_host *host, const char *id)
{
    (void)host, (void)id;
    return NULL;
}

/* ---- the call ---- */

typedef struct direct {
    subject *s;
    odd_host odd;
    heed_instance *instance; /* the engine's, for values, children, mask */
    heed_call *call;
    heed_sink sink;
    char text[600];
    heed_tensor views[ORACLE_PORTS], once[ORACLE_PORTS];
    piece memory, workspace, scratch[8], tensor[ORACLE_PORTS];
} direct;

static void fail_in_op(const direct *d, const char *what, int32_t code)
{
    harness_fail("%s fails with the code %d, but not under the engine: %s", what, code,
                 d->text[0] ? d->text : "no reason");
}

static void make_tensors(direct *d, int before)
{
    const call *c = &d->s->c;
    for (uint32_t p = 0; p < c->op->ports.count; p++) {
        const heed_tensor *t = &c->plain[p];
        const int output = subject_port(d->s, p)->role == HEED_OUTPUT;
        const size_t width = heed_dtype_bytes(t->dtype),
                     bytes = (size_t)heed_tensor_elements(t) * width;
        if (!t->data) continue;
        char name[96];
        snprintf(name, sizeof name, "the %s %s", output ? "output" : "input",
                 subject_port(d->s, p)->name);
        d->tensor[p] = piece_make(name, bytes, width, before);
        d->views[p] = *t;
        d->views[p].data = d->tensor[p].data;
        d->views[p].bytes = bytes;
        if (!output) memcpy(d->tensor[p].data, t->data, bytes), piece_lock(&d->tensor[p], 1);
        piece_watch(&d->tensor[p]);
    }
    /* the engine opens inner ops */
    for (uint32_t p = c->op->ports.count; p < c->ports; p++) d->views[p] = c->plain[p];
}

static void make_instance(direct *d)
{
    const heed_op *op = &d->s->entry->op;
    const heed_tensor *weight[ORACLE_PORTS] = {0};
    for (uint32_t p = 0; p < op->ports.count; p++)
        if (subject_port(d->s, p)->role == HEED_WEIGHT && d->views[p].data)
            weight[p] = &d->views[p];
    heed_open open = inspect_opening(d->instance, weight, &d->sink);
    open.host = &d->odd.host;
    uint64_t bytes = 0;
    int32_t code = op->measure(&open, &bytes);
    if (code) fail_in_op(d, "measure", code);
    d->memory = piece_make("its instance", bytes, 64, 0);
    piece_watch(&d->memory);
    if ((code = op->init(d->memory.data, &open))) fail_in_op(d, "init", code);
    piece_lock(&d->memory, 1);
}

static void make_call(direct *d)
{
    heed_error e;
    heed_binding in[ORACLE_PORTS], out[ORACLE_PORTS];
    const call *c = &d->s->c;
    call_once(c, d->views, d->once);
    uint32_t n_in = call_bindings(c, HEED_INPUT, d->once, in);
    uint32_t n_out = call_bindings(c, HEED_OUTPUT, d->views, out);
    d->call = inspect_call(d->instance, in, n_in, out, n_out, &e);
    if (!d->call) harness_fail("%s", e.text);
    d->call->lanes = d->odd.lanes;
    d->call->host = &d->odd.host;
    d->call->sink = &d->sink;
}

/* One stretch for all lanes, as the contract has it, with a page that can not be touched behind
 * each lane's bytes. */
static void make_scratch(direct *d, uint64_t bytes, int before)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inside = (bytes + page - 1) / page * page;
    const size_t stride = inside + page;
    char *all = mmap(NULL, stride * d->odd.lanes + page, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) harness_fail("no memory");
    const size_t first = page + ((inside - bytes) & ~(size_t)63);
    for (uint32_t lane = 0; lane < d->odd.lanes; lane++) {
        piece *p = &d->scratch[lane];
        *p = (piece){.bytes = bytes, .map = all + lane * stride, .map_bytes = stride + page};
        p->data = p->map + first;
        snprintf(p->name, sizeof p->name, "the scratch of a lane");
        memset(p->map + page, CANARY, inside);
        memset(p->data, before, bytes);
        if (!getenv("HEED_TEST_GUARD"))
            mprotect(p->map, page, PROT_NONE), mprotect(p->map + stride, page, PROT_NONE);
        piece_watch(p);
    }
    d->call->scratch = all + first;
    d->call->scratch_stride = stride;
}

static void end_scratch(direct *d)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (uint32_t lane = 0; lane < d->odd.lanes; lane++) {
        piece *p = &d->scratch[lane];
        child_unwatch(p->watch);
        for (char *at = p->map + page; at < p->map + p->map_bytes - page; at++)
            if ((at < p->data || at >= p->data + p->bytes) && *(unsigned char *)at != CANARY)
                harness_fail("writes to byte %td of %s, which has %zu", at - p->data, p->name,
                             p->bytes);
    }
    munmap(d->scratch[0].map, (d->scratch[0].map_bytes - page) * d->odd.lanes + page);
}

static void measure_call(direct *d, int before)
{
    heed_call_size size = {.size = sizeof size}, again = size;
    const heed_op *op = &d->s->entry->op;
    for (int turn = 0; turn < 2 && op->measure_call; turn++) {
        int32_t code = op->measure_call(d->memory.data, d->call, turn ? &again : &size);
        if (code) fail_in_op(d, "measure_call", code);
    }
    if (op->measure_call && memcmp(&size, &again, sizeof size))
        harness_fail("measure_call does not say the same twice");
    d->workspace = piece_make("the workspace", size.workspace, 64, before);
    piece_watch(&d->workspace);
    d->call->workspace = d->workspace.data;
    make_scratch(d, size.scratch, before);
}

/* ---- the stack ---- */

enum { STACK_MOST = 16 << 10, STACK_ROOM = 512 << 10, PAINT = 0xb7 };

typedef struct painted {
    direct *d;
    char *top; /* where the call began */
    int32_t code;
} painted;

static void *forward_on_painted(void *arg)
{
    static char crash_stack[64 << 10];
    painted *p = arg;
    stack_t alternate = {.ss_sp = crash_stack, .ss_size = sizeof crash_stack};
    sigaltstack(&alternate, NULL);
    p->top = __builtin_frame_address(0);
    uint64_t mode = cpu_float_plain();
    p->code = heed_instance_path(p->d->instance)->forward(p->d->memory.data, p->d->call);
    cpu_float_restore(mode);
    return NULL;
}

/* The call on a thread with a stack of our own; one that takes more of it than the contract has is
 * a finding. */
static int32_t run_painted(direct *d, const char *path)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map =
        mmap(NULL, page + STACK_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) harness_fail("no memory");
    char *low = map + page;
    painted p = {.d = d};
    pthread_attr_t with;
    pthread_t thread;
    memset(low, PAINT, STACK_ROOM);
    mprotect(map, page, PROT_NONE);
    const int watch = child_watch("the stack of the call", low, STACK_ROOM, page);
    pthread_attr_init(&with);
    pthread_attr_setstack(&with, low, STACK_ROOM);
    d->odd.elsewhere = 1;
    const int failed = pthread_create(&thread, &with, forward_on_painted, &p);
    if (!failed) pthread_join(thread, NULL);
    pthread_attr_destroy(&with);
    child_unwatch(watch);
    size_t unused = 0;
    while (unused < STACK_ROOM && (unsigned char)low[unused] == PAINT) unused++;
    const ptrdiff_t depth = p.top - (low + unused);
    munmap(map, page + STACK_ROOM);
    if (failed) harness_fail("no thread");
    if (depth > STACK_MOST)
        harness_fail("takes %td bytes of the stack on %s; a call has %d", depth, path, STACK_MOST);
    return p.code;
}

/* ---- runs ---- */

/* Runs the call of `s` on a path; the outputs must be those of the first run. Returns a hash of the
 * tiles' numbers. */
static uint64_t run_directly(subject *s, const char *path, uint32_t lanes, int order, int before,
                             int paint)
{
    static direct d;
    memset(&d, 0, sizeof d);
    d.s = s;
    d.odd = (odd_host){.lanes = lanes, .order = order, .seed = s->seed};
    d.odd.host = (heed_host){.size = sizeof d.odd.host,
                             .self = &d.odd,
                             .parallel_for = odd_parallel_for,
                             .log = odd_log,
                             .cancelled = odd_cancelled,
                             .get_extension = odd_extension};
    d.sink = (heed_sink){sizeof d.sink, sizeof d.text, d.text};
    make_tensors(&d, before);
    heed_error e;
    if (!(d.instance = call_try(&s->c, path, 1, d.views, &e))) harness_fail("%s", e.text);
    make_instance(&d);
    make_call(&d);
    measure_call(&d, before);
    uint64_t mode = cpu_float_plain();
    int32_t code = paint ? run_painted(&d, path)
                         : heed_instance_path(d.instance)->forward(d.memory.data, d.call);
    cpu_float_restore(mode);
    if (code) fail_in_op(&d, path, code);
    piece_lock(&d.memory, 0);
    if (s->entry->op.fini) s->entry->op.fini(d.memory.data);
    for (uint32_t p = 0; p < s->c.op->ports.count; p++) {
        if (subject_port(s, p)->role == HEED_OUTPUT && d.views[p].data &&
            !tensors_equal(&s->first[p], &d.views[p]))
            harness_fail("%s on %s has other bits with %u lanes, tiles %s, memory full of %02x: %s",
                         subject_port(s, p)->name, path, lanes, order_names[order], before,
                         tensors_difference(subject_port(s, p)->name, &d.views[p], &s->first[p]));
        piece_lock(&d.tensor[p], 0);
        piece_end(&d.tensor[p]);
    }
    piece_end(&d.memory);
    piece_end(&d.workspace);
    end_scratch(&d);
    inspect_call_free(d.call);
    heed_instance_close(d.instance);
    return d.odd.numbers;
}

void check_exact(subject *s)
{
    for (int p = 0; p < s->n_paths; p++)
        run_directly(s, s->paths[p], 1 + (uint32_t)p, IN_ORDER, p % 2 ? 0x5a : 0xff, 0);
}

/* A sanitizer, or a build that does not optimise, makes frames of another size. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ || !defined __OPTIMIZE__
int has_stack(const subject *s) { (void)s; return 0; }
#else
int has_stack(const subject *s) { (void)s; return 1; }
#endif
void check_stack(subject *s)
{
    for (int p = 0; p < s->n_paths; p++) run_directly(s, s->paths[p], 1, IN_ORDER, 0xff, 1);
}

void check_tiles(subject *s)
{
    const char *path = s->paths[s->seed % (uint64_t)s->n_paths];
    uint64_t one = run_directly(s, path, 1, REVERSED, 0xff, 0);
    uint64_t seven = run_directly(s, path, 7, SHUFFLED, 0x5a, 0);
    if (one != seven)
        harness_fail("%s asks for other numbers of tiles with 7 lanes than with one", path);
}
