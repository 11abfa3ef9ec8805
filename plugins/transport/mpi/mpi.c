/* SPDX-License-Identifier: MIT
 *
 * transport_mpi.so: ranks are the processes that mpirun, or Slurm, has started. It is compiled for
 * the MPI that it is built with, and linked against it; nothing else of heed is.
 *
 * Only the thread that is inside of a call talks to MPI (MPI_THREAD_SERIALIZED). Without a launcher
 * there is one rank.
 */
#include <heed/abi/transport.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct state {
    MPI_Comm comm; /* of its own: no message of an application's meets ours */
    int began;     /* MPI_Init was called here */
    char host[MPI_MAX_PROCESSOR_NAME];
    char text[MPI_MAX_ERROR_STRING + 64];
    heed_sink sink;
} state;

/* Writes what MPI says; HEED_E_SYSTEM. */
static int32_t fail(const heed_sink *sink, const char *what, int code)
{
    char why[MPI_MAX_ERROR_STRING] = "";
    int n = 0;
    MPI_Error_string(code, why, &n);
    if (sink && sink->capacity) snprintf(sink->text, sink->capacity, "%s: %s", what, why);
    return HEED_E_SYSTEM;
}

static int32_t mpi_begin(const heed_transport *t, int sends, uint32_t other, void *bytes,
                         uint64_t n, void **request)
{
    const state *s = t->self;
    MPI_Request *own = malloc(sizeof *own);
    *request = NULL;
    if (!own) return HEED_E_MEMORY;
    const int code = sends ? MPI_Isend(bytes, (int)n, MPI_BYTE, (int)other, 0, s->comm, own)
                           : MPI_Irecv(bytes, (int)n, MPI_BYTE, (int)other, 0, s->comm, own);
    if (code == MPI_SUCCESS) return *request = own, HEED_OK;
    free(own);
    return fail(&s->sink, sends ? "MPI_Isend" : "MPI_Irecv", code);
}

static int32_t mpi_send(const heed_transport *t, uint32_t to, const void *bytes, uint64_t n,
                        void **request)
{
    return mpi_begin(t, 1, to, (void *)bytes, n, request); /* only read */
}

static int32_t mpi_receive(const heed_transport *t, uint32_t from, void *bytes, uint64_t n,
                           void **request)
{
    return mpi_begin(t, 0, from, bytes, n, request);
}

static int64_t milliseconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Asks again and again, for MPI moves bytes only while it is asked; after a millisecond with pauses,
 * so that ranks that share a core get it. */
static int32_t mpi_wait(const heed_transport *t, void **request, int64_t milliseconds)
{
    const state *s = t->self;
    const struct timespec pause = {0, 20000};
    const int64_t begin = milliseconds_now();
    for (int64_t asked = 0;; asked++) {
        int done = 0;
        MPI_Status status;
        const int code = MPI_Test(*request, &done, &status);
        if (code != MPI_SUCCESS) return fail(&s->sink, "MPI_Test", code);
        if (done) {
            free(*request);
            *request = NULL;
            return HEED_OK;
        }
        const int64_t waited = milliseconds_now() - begin;
        if (waited >= milliseconds) return 1;
        if (waited > 1) nanosleep(&pause, NULL);
    }
}

/* What has begun to be sent MPI may go on to read: a rank that gives up leaves soon, by MPI_Abort. */
static void mpi_abandon(const heed_transport *t, void **request)
{
    (void)t;
    if (!*request) return;
    MPI_Cancel(*request);
    MPI_Request_free(*request);
    free(*request);
    *request = NULL;
}

static void mpi_close(heed_transport *t, int32_t failed)
{
    state *s = t->self;
    int ended = 0;
    if (!s) return;
    MPI_Finalized(&ended);
    if (failed && !ended) {
        fflush(NULL);
        MPI_Abort(s->comm, 1); /* the others may wait for this rank; does not return */
    }
    if (!ended) MPI_Comm_free(&s->comm);
    if (!ended && s->began) MPI_Finalize();
    free(s);
    t->self = NULL;
}

__attribute__((visibility("default"))) heed_transport_fn heed_transport_v0;
int32_t heed_transport_v0(uint32_t abi, heed_transport *to, const heed_sink *sink)
{
    int ready = 0, has = 0, rank, ranks, length = 0;
    if (abi != HEED_ABI_VERSION) return HEED_E_ABI;
    state *s = calloc(1, sizeof *s);
    if (!s) return HEED_E_MEMORY;
    MPI_Initialized(&ready);
    int code =
        ready ? MPI_Query_thread(&has) : MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &has);
    s->began = !ready;
    if (code == MPI_SUCCESS) code = MPI_Comm_dup(MPI_COMM_WORLD, &s->comm);
    if (code != MPI_SUCCESS) {
        free(s);
        return fail(sink, "MPI_Init_thread", code);
    }
    MPI_Comm_set_errhandler(s->comm, MPI_ERRORS_RETURN);
    MPI_Comm_rank(s->comm, &rank), MPI_Comm_size(s->comm, &ranks);
    if (MPI_Get_processor_name(s->host, &length) != MPI_SUCCESS) s->host[0] = 0;
    s->sink = (heed_sink){sizeof s->sink, sizeof s->text, s->text};
    *to = (heed_transport){.size = sizeof *to,
                           .rank = (uint32_t)rank,
                           .ranks = (uint32_t)ranks,
                           .self = s,
                           .name = "mpi",
                           .host = s->host,
                           .sink = &s->sink,
                           .send = mpi_send,
                           .receive = mpi_receive,
                           .wait = mpi_wait,
                           .abandon = mpi_abandon,
                           .close = mpi_close};
    return HEED_OK;
}
