/* SPDX-License-Identifier: MIT
 *
 * test_memory.c: out of memory, everywhere. This program has its own malloc, which makes allocation 1 fail, then 2,
 * then 3 ... until a whole scenario gets through: each time there is a sentence, no crash and no leak, and what the
 * caller holds is as it was: a failed step is tried again with memory, and must succeed with the right bits.
 *
 * All allocations of the process count, those of libc for the engine (strdup, scandir, dlopen) too. Two libraries are
 * let through: hwloc 2.9, which aborts, and jansson 2.14, which drops a character of a text when its buffer can not
 * grow, and says nothing. Not under sanitizers: they have a malloc of their own.
 */
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/harness.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ || !defined __GLIBC__
#define ABSENT 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define ABSENT 1
#endif
#endif

#ifdef ABSENT
int main(void)
{
    /* hwloc's own plugins, which a package may have brought, keep what they make at their first use */
    setenv("HWLOC_PLUGINS_PATH", "/nowhere", 1);
    printf("1..0 # SKIP no malloc of our own here\n");
    return 77;
}
#else

/* ---- malloc ---- */

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

enum { LIVE_MAX = 1 << 16, SPARED_MAX = 16 };

static struct {
    atomic_flag busy;
    int armed;                                  /* counting, and remembering what lives */
    long count, failing;                        /* allocations so far; the one that fails, 0 = none */
    int failed;
    void *live[LIVE_MAX];                       /* a hash table: what was allocated since it was armed */
    long lives;
    struct { uintptr_t from, to; } spared[SPARED_MAX]; /* code whose allocations never fail */
    int n_spared;
} heap = {.busy = ATOMIC_FLAG_INIT};

static void heap_lock(void) { while (atomic_flag_test_and_set_explicit(&heap.busy, memory_order_acquire)) {} }
static void heap_unlock(void) { atomic_flag_clear_explicit(&heap.busy, memory_order_release); }

static int fails(const void *caller)
{
    heap_lock();
    int spared = !heap.armed;
    for (int i = 0; i < heap.n_spared && !spared; i++)
        spared = (uintptr_t)caller >= heap.spared[i].from && (uintptr_t)caller < heap.spared[i].to;
    int fail = !spared && ++heap.count == heap.failing;
    heap.failed |= fail;
    heap_unlock();
    if (fail) errno = ENOMEM;
    return fail;
}

static size_t slot_of(const void *p) { return ((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15u >> 48; }

static void *born(void *p)
{
    heap_lock();
    if (p && heap.armed) {
        size_t i = slot_of(p);
        while (heap.live[i] && heap.live[i] != (void *)1) i = (i + 1) % LIVE_MAX;
        heap.live[i] = p;
        heap.lives++;
    }
    heap_unlock();
    return p;
}

static void died(void *p)
{
    if (!p) return;
    heap_lock();
    for (size_t i = slot_of(p); heap.live[i]; i = (i + 1) % LIVE_MAX)
        if (heap.live[i] == p) {
            heap.live[i] = (void *)1; /* a tombstone */
            heap.lives--;
            break;
        }
    heap_unlock();
}

#define OURS __attribute__((visibility("default"), noinline))
#define CALLER __builtin_return_address(0)
OURS void *malloc(size_t n) { return fails(CALLER) ? NULL : born(__libc_malloc(n)); }
OURS void *calloc(size_t n, size_t size) { return fails(CALLER) ? NULL : born(__libc_calloc(n, size)); }
OURS void *memalign(size_t align, size_t n) { return fails(CALLER) ? NULL : born(__libc_memalign(align, n)); }
OURS void *aligned_alloc(size_t align, size_t n) { return fails(CALLER) ? NULL : born(__libc_memalign(align, n)); }
OURS int posix_memalign(void **p, size_t align, size_t n)
{
    void *memory = fails(CALLER) ? NULL : born(__libc_memalign(align, n));
    if (!memory) return ENOMEM;
    *p = memory;
    return 0;
}
OURS void *realloc(void *p, size_t n)
{
    if (fails(CALLER)) return NULL;
    died(p);
    void *moved = __libc_realloc(p, n);
    return moved ? born(moved) : n ? born(p) : NULL;
}
OURS void free(void *p)
{
    died(p);
    __libc_free(p);
}

static int spare(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    int let_through = strstr(info->dlpi_name, "libhwloc") || strstr(info->dlpi_name, "libjansson");
    for (int i = 0; i < info->dlpi_phnum && let_through; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && heap.n_spared < SPARED_MAX) {
            heap.spared[heap.n_spared].from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            heap.spared[heap.n_spared].to = heap.spared[heap.n_spared].from + info->dlpi_phdr[i].p_memsz;
            heap.n_spared++;
        }
    return 0;
}

/* ---- scenarios ---- */

static int quiet(void) /* memory is back: for what is tried again */
{
    heap_lock();
    int failed = heap.failed;
    heap.failing = 0;
    heap_unlock();
    return failed;
}

static int partial;        /* a plugin could not be loaded, so not all was run */
static char trouble[2000]; /* first thing found wrong: a scenario runs in a thread, where cmocka can not fail */

static void wrong(const char *what, const heed_error *e)
{
    if (!trouble[0]) snprintf(trouble, sizeof trouble, "%s: %d \"%s\"", what, e ? e->code : 0, e ? e->text : "");
}

/* A step that failed must say why. Returns 1 if it failed. */
static int told(int failed, const heed_error *e, const char *what)
{
    if (!failed) return 0;
    if (!quiet()) wrong(what, e);
    if (e->code >= 0 || !e->text[0]) wrong("no sentence", e);
    return 1;
}

enum { B = 17, T = 130, H = 2, G = 1, D = 4, E = 4, LEFT = 2 };
static float q[B * T * H * D], k[B * T * G * D], v[B * T * G * E], gain[D];

typedef struct results {
    float norm[T * D], first[B * T * H * E], second[H * E], twin[H * E];
} results;

/* One run; if it fails, again with memory: the sequences must not have changed. */
static int run(const heed_instance *i, const heed_binding *in, uint32_t n_in, const heed_binding *out,
               heed_sequence *const *s, int64_t length)
{
    heed_error e;
    if (!told(heed_run(i, in, n_in, out, 1, s, &e), &e, "run")) return 0;
    if (s && heed_sequence_length(s[0]) != length) wrong("a sequence has another length", &e);
    const uint64_t bytes = (uint64_t)(length + 95) / 96 * 4 * 96 * G * (D + E);
    if (s && heed_sequence_bytes(s[0]) != bytes) wrong("a sequence has other pages", &e);
    if (heed_run(i, in, n_in, out, 1, s, &e)) wrong("run again", &e);
    return 1;
}

static char saved[1 << 21]; /* a sequence or a session */

static void use_ops(heed_engine *engine, results *r)
{
    heed_error e;
    heed_instance *rms = NULL, *softmax = NULL;
    heed_sequence *s[B] = {NULL}, *twin = NULL;
    int64_t axes[HEED_AXES], width = D;
    heed_tensor weight = heed_tensor_of(gain, HEED_F32, 1, &width), shape;
    heed_tensor x = heed_tensor_of(q, HEED_F32, 2, (int64_t[]){T, D});
    heed_tensor y = heed_tensor_of(r->norm, HEED_F32, 2, (int64_t[]){T, D});
    heed_tensor qt = heed_tensor_of(q, HEED_F32, 4, (int64_t[]){B, T, H, D});
    heed_tensor kt = heed_tensor_of(k, HEED_F32, 4, (int64_t[]){B, T, G, D});
    heed_tensor vt = heed_tensor_of(v, HEED_F32, 4, (int64_t[]){B, T, G, E});
    heed_tensor ot = heed_tensor_of(r->first, HEED_F32, 4, (int64_t[]){B, T, H, E});
    heed_binding weights[] = {{"gain", &weight}}, norm_in[] = {{"x", &x}}, norm_out[] = {{"out", &y}};
    heed_opening with_gain = {.size = sizeof with_gain, .n_weights = 1, .weights = weights},
        sized = {.size = sizeof sized, .axes = axes};
    for (int a = 0; a < HEED_AXES; a++) axes[a] = -1;
    axes['H' - 'A'] = H, axes['G' - 'A'] = G, axes['D' - 'A'] = D, axes['E' - 'A'] = E;
    static const char *const specs[] = {"norm/rms(eps=1e-5)", "attention/softmax(position=alibi, causal=true)"};
    rms = heed_instance_open(engine, specs[0], &with_gain, &e);
    if (told(!rms, &e, "open")) rms = heed_instance_open(engine, specs[0], &with_gain, &e);
    softmax = heed_instance_open(engine, specs[1], &sized, &e);
    if (told(!softmax, &e, "open")) softmax = heed_instance_open(engine, specs[1], &sized, &e);
    if (!rms || !softmax) { /* its plugin is not there */
        partial = 1;
        if (!heed_refusal_count(engine)) wrong("open again", &e);
        goto done;
    }
    run(rms, norm_in, 1, norm_out, NULL, 0);
    for (int b = 0; b < B; b++) {
        s[b] = heed_sequence_new(softmax, axes, &e);
        if (told(!s[b], &e, "sequence")) s[b] = heed_sequence_new(softmax, axes, &e);
    }
    heed_binding in[] = {{"q", &qt}, {"k", &kt}, {"v", &vt}}, out[] = {{"out", &ot}};
    run(softmax, in, 3, out, s, 0);
    if (told(heed_infer(softmax, in, 3, "out", &shape, &e), &e, "infer")) wrong("infer allocates", &e);
    /* a fork goes on, which copies a page; then the other */
    twin = heed_sequence_fork(s[0], &e);
    if (told(!twin, &e, "fork")) twin = heed_sequence_fork(s[0], &e);
    const int64_t bytes = twin ? heed_sequence_save(twin, saved, sizeof saved, &e) : 0;
    if (bytes < 0) wrong("save", &e);
    heed_sequence *back = twin ? heed_sequence_load(softmax, axes, saved, (uint64_t)bytes, &e) : NULL;
    if (told(!back, &e, "load")) back = heed_sequence_load(softmax, axes, saved, (uint64_t)bytes, &e);
    if (!back || heed_sequence_length(back) != T) wrong("loaded", &e);
    heed_sequence_free(back);
    qt = tensor_slice(&qt, 0, 0, 1), qt = tensor_slice(&qt, 1, 3, 1);
    kt = tensor_slice(&kt, 0, 0, 1), kt = tensor_slice(&kt, 1, 3, 1);
    vt = tensor_slice(&vt, 0, 0, 1), vt = tensor_slice(&vt, 1, 3, 1);
    ot = heed_tensor_of(r->twin, HEED_F32, 4, (int64_t[]){1, 1, H, E});
    run(softmax, in, 3, out, &twin, T);
    ot.data = r->second;
    run(softmax, in, 3, out, s, T);
    if (heed_sequence_truncate(s[0], 1, &e)) wrong("truncate", &e);
done:
    for (int b = 0; b < B; b++) heed_sequence_free(s[b]);
    heed_sequence_free(twin);
    heed_instance_close(rms);
    heed_instance_close(softmax);
}

static void ops_scenario(results *r)
{
    heed_error e;
    heed_options o = {.size = sizeof o, .threads = 2};
    heed_engine *engine = heed_engine_new(&o, &e);
    if (told(!engine, &e, "engine") && !(engine = heed_engine_new(&o, &e))) wrong("engine again", &e);
    if (engine) use_ops(engine, r);
    heed_engine_free(engine);
}

static heed_engine *lent; /* for the scenarios in which the engine itself is not the point */
static char folder[200];

static void files_scenario(results *r)
{
    heed_error e;
    char path[300];
    heed_tensor out = heed_tensor_of(q, HEED_F32, 3, (int64_t[]){T, H, D}), back = {0};
    snprintf(path, sizeof path, "%s/x.npy", folder);
    if (told(heed_npy_write(path, &out, &e), &e, "write") && heed_npy_write(path, &out, &e)) wrong("write again", &e);
    if (told(heed_npy_read(path, &back, &e), &e, "read") && heed_npy_read(path, &back, &e)) wrong("read again", &e);
    if (back.data) memcpy(r->first, back.data, sizeof(float) * T * H * D);
    free(back.data);
}

static const char *model(void)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/models/plays.safetensors", getenv("SRC") ? getenv("SRC") : ".");
    return path;
}

static void stack_scenario(results *r)
{
    static float logits[LEFT * 1024];
    static const int32_t tokens[] = {72, 101, 108, 108, 111};
    heed_error e;
    heed_weights *w = heed_weights_open(model(), &e);
    if (told(!w, &e, "weights") && !(w = heed_weights_open(model(), &e))) wrong("weights again", &e);
    heed_stack *stack = w ? heed_stack_open(lent, NULL, w, &e) : NULL;
    if (w && told(!stack, &e, "stack") && !(stack = heed_stack_open(lent, NULL, w, &e))) wrong("stack again", &e);
    heed_session *session = stack ? heed_session_new(stack, &e) : NULL;
    if (stack && told(!session, &e, "session") && !(session = heed_session_new(stack, &e))) wrong("session again", &e);
    int64_t vocab = stack ? heed_stack_number(stack, "vocab") : 0;
    if (vocab > 1024) wrong("the model's vocabulary is larger than thought", NULL);
    int32_t token = -1;
    if (session && vocab <= 1024) {
        int32_t failed = heed_session_feed(session, tokens, 5, logits, LEFT, &e);
        if (told(failed, &e, "feed") && heed_session_feed(session, tokens, 5, logits, LEFT, &e)) wrong("again", &e);
        const int64_t bytes = heed_session_save(session, saved, sizeof saved, &e);
        if (bytes < 0) wrong("save", &e);
        failed = heed_session_load(session, saved, (uint64_t)bytes, &e);
        if (told(failed, &e, "load") && heed_session_load(session, saved, (uint64_t)bytes, &e)) wrong("again", &e);
        failed = heed_session_sample(session, logits, 0, 0, &token, &e);
        if (told(failed, &e, "sample") && heed_session_sample(session, logits, 0, 0, &token, &e)) wrong("again", &e);
        memcpy(r->first, logits, sizeof(float) * (size_t)(LEFT * vocab));
        r->second[0] = (float)token;
    }
    heed_session_free(session);
    heed_stack_close(stack);
    heed_weights_close(w);
}

/* ---- rounds ---- */

typedef struct once {
    void (*scenario)(results *r);
    results *results;
} once;

static void *in_thread(void *arg)
{
    once *r = arg;
    heap_lock();
    heap.armed = 1;
    heap_unlock();
    r->scenario(r->results);
    return NULL;
}

/* One run of the scenario in which allocation n fails (0 = none), in a thread of its own: what the engine keeps for a
 * thread ends with it. Returns whether there were so many. */
static int try_once(void (*scenario)(results *r), long n, results *r)
{
    once arg = {scenario, r};
    pthread_t thread;
    memset(r, 0, sizeof *r);
    memset(heap.live, 0, sizeof heap.live);
    heap.count = heap.lives = heap.failed = 0;
    heap.failing = n;
    partial = 0;
    assert_int_equal(pthread_create(&thread, NULL, in_thread, &arg), 0);
    pthread_join(thread, NULL);
    heap.armed = 0;
    return heap.failed;
}

static void check(void (*scenario)(results *r), const char *name, long stride)
{
    static results right, r;
    long n = 0;
    try_once(scenario, 0, &right); /* what is loaded once stays: libraries, locale */
    if (trouble[0]) fail_msg("%s: %s", name, trouble);
    for (int more = 1; more;) {
        n += n < 50 ? 1 : stride;
        more = try_once(scenario, n, &r);
        if (trouble[0]) fail_msg("%s, allocation %ld: %s", name, n, trouble);
        if (heap.lives) fail_msg("%s, allocation %ld: %ld blocks are not freed", name, n, heap.lives);
        if ((!more || !partial) && memcmp(&r, &right, sizeof r)) fail_msg("%s, allocation %ld: other results", name, n);
    }
    printf("%s: %ld allocations\n", name, heap.count);
}

static void test_ops(void **state)
{
    (void)state;
    check(ops_scenario, "engine, ops, sequences", harness_quick() ? 13 : 1);
}

static void test_files(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/heed-memory.XXXXXX");
    assert_non_null(mkdtemp(folder));
    check(files_scenario, "files", 1);
    char path[300];
    snprintf(path, sizeof path, "%s/x.npy", folder);
    unlink(path);
    rmdir(folder);
}

static void test_stack(void **state)
{
    (void)state;
    if (access(model(), R_OK)) skip();
    lent = harness_engine(1);
    check(stack_scenario, "weights, stack, session", harness_quick() ? 31 : 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ops), cmocka_unit_test(test_files),
                                       cmocka_unit_test(test_stack)};
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof q / sizeof *q; i++) q[i] = harness_normal(&seed);
    for (size_t i = 0; i < sizeof k / sizeof *k; i++) k[i] = harness_normal(&seed), v[i] = harness_normal(&seed);
    for (int i = 0; i < D; i++) gain[i] = 1.5f;
    dl_iterate_phdr(spare, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    harness_end();
    return failed;
}
#endif
