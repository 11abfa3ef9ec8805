/* SPDX-License-Identifier: MIT
 *
 * arena.c: the workspace of a call. Each thread keeps its last block, so that a call in a loop allocates nothing;
 * blocks beyond ARENA_KEPT go back to the system after the call.
 */
#include <pthread.h>
#include <stdlib.h>

#include "run/arena.h"

#define ARENA_KEPT ((size_t)256 << 20)

static _Thread_local struct {
    void *memory;
    size_t bytes;
    int taken;
} mine;

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int have_key;

static void at_thread_end(void *memory) { free(memory); }
static void make_key(void) { have_key = pthread_key_create(&key, at_thread_end) == 0; }

static void *allocate(size_t bytes) { return aligned_alloc(64, (bytes + 63) & ~(size_t)63); }

void *arena_take(size_t bytes)
{
    if (bytes == 0) bytes = 64;
    if (bytes > SIZE_MAX - 64) return NULL;
    pthread_once(&once, make_key);
    if (mine.taken || bytes > ARENA_KEPT || !have_key) return allocate(bytes);
    if (bytes > mine.bytes) {
        void *bigger = allocate(bytes);
        if (!bigger) return NULL;
        free(mine.memory);
        mine.memory = bigger;
        mine.bytes = bytes;
        pthread_setspecific(key, bigger);
    }
    mine.taken = 1;
    return mine.memory;
}

void arena_give(void *memory)
{
    if (memory == mine.memory) mine.taken = 0;
    else free(memory);
}
