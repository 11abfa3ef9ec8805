/* SPDX-License-Identifier: MIT
 *
 * heed.h: libheed, the engine, for applications. Link with `pkg-config --cflags --libs heed`.
 *
 *     heed_error e;
 *     heed_engine *engine = heed_engine_new(NULL, &e);
 *     heed_instance *softmax = heed_instance_open(engine, "attention/softmax(causal=true)", NULL, &e);
 *     heed_binding in[] = {{"q", q}, {"k", k}, {"v", v}}, out[] = {{"out", o}};
 *     if (heed_run(softmax, in, 3, out, 1, NULL, &e)) fprintf(stderr, "%s\n", e.text);
 *
 * The library never prints and never aborts: a function that can fail takes a heed_error, which may be NULL, and
 * returns NULL or one of HEED_E_* (negative). Handles belong to the caller and are freed by the function beside their
 * maker, instances before their engine. Thread tags: [any] = any thread at any time; [one] = one thread at a time per
 * handle. Text is UTF-8, sizes are in elements unless bytes are said, all results are deterministic.
 */
#ifndef HEED_H
#define HEED_H

#include <heed/abi/abi.h>
#include <heed/abi/grad.h>
#include <heed/abi/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HEED_API __attribute__((visibility("default")))

typedef struct heed_error {
    int32_t code;    /* HEED_OK or HEED_E_* */
    char text[1020]; /* one sentence, and for a spec the place with a caret under it; "" when all went well */
} heed_error;

/* ---- the engine ---- */

typedef struct heed_engine heed_engine;

#define HEED_PIN_COMPACT 0u /* worker i on the i-th core: neighbours share caches */
#define HEED_PIN_SCATTER 1u /* spread over packages and NUMA nodes */
#define HEED_PIN_NONE 2u

typedef struct heed_options {
    uint32_t size;         /* sizeof(heed_options) */
    uint32_t threads;      /* workers; 0 = one a core of this process's cpuset, and no more than the CPUs, rounded up,
                              that the quota of its control groups pays for */
    uint32_t pinning;      /* HEED_PIN_* */
    uint32_t smt;          /* 1: a worker a hardware thread, not a core */
    const char
        *plugins; /* folders to load plugins from, or single plugins, separated by ':'; a ':' at the end stands for
                     the installed ones. NULL = HEED_PLUGINS, else the installed ones */
    const char *isa;       /* the highest path to use, "scalar", "avx2", "avx512", "neon"; or "avx512_bf16" and
                              "neon_bf16": these give other bits, never used unasked; NULL = HEED_ISA, else all */
    const heed_host *host; /* an application's own pool: its parallel_for is used, and no thread is made. NULL: ours.
                              Then `threads` must say how many lanes it has, from 1 on. Of its other functions any may
                              be NULL. `cancelled` is asked before each op and each tile; once it says so, the call
                              ends with HEED_E_CANCELLED, and sequences and sessions are as before it */
    uint64_t page_limit;   /* most bytes that the pages of all sequences and sessions have together; 0: no limit. A call
                              that needs one more fails with HEED_E_MEMORY and its sequences are as before; all others
                              go on */
    int32_t (*pages_full)(void *user, uint64_t bytes); /* first asked then, in the caller's thread, to free sequences
                              that the call does not have; 1: some were, try again; NULL: never asked */
    void *user;
} heed_options;

/* Finds the plugins. A file is loaded when an op is asked for that may be in it: KIND_NAME.so for kind/name, and any
 * other name for whatever is not found so; one that `plugins` names by itself is loaded at once. Of two ops of one id
 * that of the earlier folder counts, and in a folder that of the file named after it. A refused plugin stops nothing (see
 * heed_refusal). No thread starts before the first parallel work. [any] */
HEED_API heed_engine *heed_engine_new(const heed_options *options, heed_error *error);
HEED_API void heed_engine_free(heed_engine *engine);
/* Bytes of all pages that sequences and sessions of the engine have now; what forks share counts once. [any] */
HEED_API uint64_t heed_engine_pages(const heed_engine *engine);

/* Descriptors, as vetted and copied; they live as long as the engine. The two counts load all plugins that are there.
 * [any] */
HEED_API uint32_t heed_op_count(const heed_engine *engine);
HEED_API const heed_op *heed_op_at(const heed_engine *engine, uint32_t index);
HEED_API const char *heed_op_plugin(const heed_engine *engine, uint32_t index); /* path of its .so */
HEED_API const heed_path *heed_op_path(const heed_engine *engine, uint32_t index); /* the one that would run here */
/* The op of that id, "attention/softmax", or NULL; loads what may have it, and not the rest. [any] */
HEED_API const heed_op *heed_op_find(const heed_engine *engine, const char *id);
HEED_API uint32_t heed_refusal_count(const heed_engine *engine);
/* Why a plugin was refused; *path is its file. [any] */
HEED_API const char *heed_refusal(const heed_engine *engine, uint32_t index, const char **path);

/* Number of lanes that parallel work runs on. [any] */
HEED_API uint32_t heed_lanes(const heed_engine *engine);

/* ---- one op ---- */

typedef struct heed_instance heed_instance;

/* A tensor for a port. */
typedef struct heed_binding {
    const char *port;
    heed_tensor *tensor;
} heed_binding;

typedef struct heed_opening {
    uint32_t size;
    uint32_t n_weights;
    const heed_binding
        *weights; /* kept by pointer: they must outlive the instance. "position.table" is the port `table`
                                    of the op that is the param `position` */
    const int64_t *axes;         /* [HEED_AXES] sizes known beforehand, -1 = not; or NULL */
    const char *isa;             /* a path for this instance alone; or NULL */
} heed_opening;

/* Opens an op from its spec. `opening` may be NULL. Immutable afterwards: any number of threads may run it. [any] */
HEED_API heed_instance *heed_instance_open(heed_engine *engine, const char *spec, const heed_opening *opening,
                                           heed_error *error);
HEED_API void heed_instance_close(heed_instance *instance);

HEED_API const heed_op *heed_instance_op(const heed_instance *instance);
HEED_API const heed_path *heed_instance_path(const heed_instance *instance);
/* The spec in its one canonical form; belongs to the instance. [any] */
HEED_API const char *heed_instance_spec(const heed_instance *instance);

/* Shape and dtype of an output for these inputs, in tensor (data NULL). [any] */
HEED_API int32_t heed_infer(const heed_instance *instance, const heed_binding *in, uint32_t n_in, const char *port,
                            heed_tensor *tensor, heed_error *error);

typedef struct heed_sequence heed_sequence;

/* Runs one call. Outputs are memory of the caller, of the shapes that heed_infer tells; an optional one may be left
 * out. `sequences`, one a batch row, hold what the op remembers and are advanced by the new keys; NULL = a one-off
 * call. On failure sequences are as before; outputs are undefined. [any], but a sequence is in one call at a time. */
HEED_API int32_t heed_run(const heed_instance *instance, const heed_binding *in, uint32_t n_in, const heed_binding *out,
                          uint32_t n_out, heed_sequence *const *sequences, heed_error *error);

/* What the backward of an op has, on one of its paths: heed.grad/1. NULL: there is none. [any] */
HEED_API const heed_grad *heed_op_grad(const heed_op *op, const heed_path *path);
/* The gradients of a call that has been run: `in` and `out` are its inputs, and those of its outputs that
 * heed_op_grad says backward reads (others may be left out). `gradients` are float32 tensors of the
 * shapes of their ports: of an output, the gradient that comes (one that is left out is zero); of an input,
 * where its gradient is written; of a weight, what its gradient is added to. Those that are left out are not
 * computed. They must not overlap anything else. On failure those wanted are undefined. [any] */
HEED_API int32_t heed_backward(const heed_instance *instance, const heed_binding *in, uint32_t n_in,
                               const heed_binding *out, uint32_t n_out,
                               const heed_binding *gradients, uint32_t n_gradients,
                               heed_error *error);
/* After the numbers of weights have changed: the instance takes them over, as if it had been opened with them.
 * Weights that `weights` names come from these tensors from now on, of the shapes of the former ones; the others
 * from where they were. On failure the instance is as before. [one], and no call of it may be running. */
HEED_API int32_t heed_instance_rebind(heed_instance *instance, const heed_binding *weights,
                                      uint32_t n_weights, heed_error *error);

/* What a call of these shapes costs, by the op's heed.cost/1; data may be NULL. HEED_E_UNSUPPORTED if it has none.
 * [any] */
HEED_API int32_t heed_estimate(const heed_instance *instance, const heed_binding *in, uint32_t n_in, heed_cost *cost,
                               heed_error *error);

/* Merges what two attentions of the same queries, over two sets of keys with none in common, gave: (out, lse) is then
 * what one attention over all these keys gives, but for rounding. a, b and out are [B, T, H, E] (float32, float16,
 * bfloat16), the three lse [B, T, H] (float32), as ports `out` and `lse` of attention/softmax; all are the caller's.
 * out may be the very view a, and lse lse_a, so that parts are added up in place; lse NULL is not wanted. A side
 * without a key in a row (-inf) leaves the other's bits as they are; the bits do not depend on which side is a. NaNs
 * pass on. Errors: as of heed_run; HEED_E_ARGUMENT if no plugin has merge/attention, which does the work. arXiv
 * 2205.14135, section 3.1; a prefix that sequences share and each one's own end: arXiv 2402.05099, section 3.1.
 * [any] */
HEED_API int32_t heed_merge(heed_engine *engine, const heed_tensor *a, const heed_tensor *lse_a, const heed_tensor *b,
                            const heed_tensor *lse_b, heed_tensor *out, heed_tensor *lse, heed_error *error);

/* ---- what an op remembers of one sequence ---- */

/* An empty sequence, for the sizes of axes that the state depends on (a KV cache: G, D, E). [any] */
HEED_API heed_sequence *heed_sequence_new(const heed_instance *instance, const int64_t *axes, heed_error *error);
/* A second one with the same content, which shares its pages until one of them writes. [one] */
HEED_API heed_sequence *heed_sequence_fork(heed_sequence *sequence, heed_error *error);
/* Forgets all but the first `length` tokens. A recurrent state can go to 0, and as far back as it says: one in chunks
 * of 32 tokens to the beginning of the last whole chunk. To go back further, fork it before. [one] */
HEED_API int32_t heed_sequence_truncate(heed_sequence *sequence, int64_t length, heed_error *error);
/* All that it remembers, as bytes for a file, a socket or another machine: writes them to the caller's `to`, which has
 * `room` bytes, and returns how many they are, or HEED_E_*. `to` NULL only counts. They hold no address and are the
 * same on every machine and path; the unused end of a page may still have tokens that a cut has forgotten. [one] */
HEED_API int64_t heed_sequence_save(const heed_sequence *sequence, void *to, uint64_t room, heed_error *error);
/* A sequence from such bytes, which goes on with the bits that the saved one would have. `axes` are those of
 * heed_sequence_new: the sizes are the caller's, and bytes of another op, format, size, schema or length, or which were
 * changed or cut, are refused. They may come from anybody. [any] */
HEED_API heed_sequence *heed_sequence_load(const heed_instance *instance, const int64_t *axes, const void *from,
                                           uint64_t bytes, heed_error *error);
HEED_API int64_t heed_sequence_length(const heed_sequence *sequence);
HEED_API uint64_t heed_sequence_bytes(const heed_sequence *sequence); /* of its pages */
HEED_API void heed_sequence_free(heed_sequence *sequence);

/* ---- ranks: processes, or threads, that share the keys of one text ---- */

typedef struct heed_group heed_group;

/* Joins the other ranks of a transport, which the group takes over, also where this fails; all of them make a group
 * at the same time, and then the same calls in the same order. `seconds`: how long one waits for another, beside three
 * times what it has worked since they last agreed; 30 for instance. What differs between ranks is refused. After a
 * failure every call of the group fails: ranks are at different places then, and the group is to be freed.
 * docs/ranks.md [any] */
HEED_API heed_group *heed_group_new(heed_engine *engine, const heed_transport *transport, double seconds,
                                    heed_error *error);
/* The same by transport_NAME.so, which lies among the plugins: "mpi". [any] */
HEED_API heed_group *heed_group_join(heed_engine *engine, const char *name, double seconds, heed_error *error);
/* After the sequences and sessions that it shares. */
HEED_API void heed_group_free(heed_group *group);
HEED_API uint32_t heed_group_rank(const heed_group *group);
HEED_API uint32_t heed_group_ranks(const heed_group *group);
/* Bytes that this rank has sent and received, and seconds that it has waited for messages. [one] */
HEED_API void heed_group_counted(const heed_group *group, uint64_t *sent, uint64_t *received, double *seconds);
/* Transports of ranks that are threads of this process: to[ranks], one for each thread's heed_group_new. [any] */
HEED_API int32_t heed_transport_threads(uint32_t ranks, heed_transport *to, heed_error *error);

/* Of so many rows of a text, those that a rank has: two blocks [2], an early and a late one, so that a causal mask
 * leaves all ranks about as much to do. [any] */
HEED_API void heed_group_share(uint32_t rank, uint32_t ranks, int64_t rows, int64_t *first, int64_t *count);
/* heed_run without sequences, of a text of which each rank has its share: tensors have the rows of its two blocks,
 * one behind the other, of `queries` along T and, as k and v, of `keys` along S; other inputs with an axis S are
 * whole. Outputs have the bits of one rank. For ops that have heed.partial/1. [one] */
HEED_API int32_t heed_group_run(heed_group *group, const heed_instance *instance, const heed_binding *in,
                                uint32_t n_in, const heed_binding *out, uint32_t n_out, int64_t queries,
                                int64_t keys, heed_error *error);
/* An empty sequence of which each rank will remember a part: spans of keys, dealt out so that no rank has much more
 * than another, whatever the length will be. heed_sequence_* but save go on it; its length is that of the whole text.
 * [one] */
HEED_API heed_sequence *heed_group_sequence(heed_group *group, const heed_instance *instance, const int64_t *axes,
                                            heed_error *error);
/* heed_run with such sequences: every rank has the same inputs and gets the same outputs, with the bits of one rank
 * that remembers all. For few new tokens, one for instance: what ranks send is some rows a rank. [one] */
HEED_API int32_t heed_group_attend(heed_group *group, const heed_instance *instance, const heed_binding *in,
                                   uint32_t n_in, const heed_binding *out, uint32_t n_out,
                                   heed_sequence *const *sequences, heed_error *error);
/* Whether all ranks are where this one is, with the same bytes `alike`, and none has failed: else all fail, with the
 * sentence of the first that has. `failed` and `error` are how this one stands. [one] */
HEED_API int32_t heed_group_agree(heed_group *group, const void *alike, uint64_t bytes, int32_t failed,
                                  heed_error *error);

/* ---- tensors ---- */

/* A contiguous tensor over `data`, or shapes alone if data is NULL. [any] */
HEED_API heed_tensor heed_tensor_of(void *data, uint32_t dtype, int32_t rank, const int64_t *dim);
/* Allocates data for the shape in tensor: contiguous, 64-byte aligned, zeroed; free(tensor->data). [any] */
HEED_API int32_t heed_tensor_alloc(heed_tensor *tensor, heed_error *error);
HEED_API int64_t heed_tensor_elements(const heed_tensor *tensor);
HEED_API const char *heed_dtype_name(uint32_t dtype); /* "f32" */
HEED_API uint32_t heed_dtype_bytes(uint32_t dtype);

/* DLPack, which PyTorch, NumPy and JAX speak, without a copy. `dltensor` points to a DLTensor on the CPU; the view is
 * good as long as that is. Export makes a DLManagedTensor over the tensor's data; its deleter calls release(owner) if
 * that is not NULL. [any] */
HEED_API int32_t heed_dlpack_view(const void *dltensor, heed_tensor *tensor, heed_error *error);
HEED_API void *heed_dlpack_export(const heed_tensor *tensor, void *owner, void (*release)(void *owner),
                                  heed_error *error);

/* .npy files (NumPy format 1.0 - 3.0, little-endian; bf16 as type '<V2'). Read allocates: free(tensor->data). [any] */
HEED_API int32_t heed_npy_read(const char *path, heed_tensor *tensor, heed_error *error);
HEED_API int32_t heed_npy_write(const char *path, const heed_tensor *tensor, heed_error *error);

/* safetensors files, mapped read-only; every number in the header is bounded by the file's size before use. Or the
 * folder of a checkpoint of transformers, or a GGUF file (docs/checkpoints.md), whose tensors are views of its files by the
 * names of a network, and whose spec is the metadata's. */
typedef struct heed_weights heed_weights;
HEED_API heed_weights *heed_weights_open(const char *path, heed_error *error);
HEED_API void heed_weights_close(heed_weights *weights);
/* The tensors of a network that has learned nothing yet, made as the ports of its ops say and from the seed: the same
 * on every machine. Optional ones that would begin with zeros or ones are left out. [any] */
HEED_API heed_weights *heed_weights_random(heed_engine *engine, const char *spec, uint64_t seed, heed_error *error);
HEED_API uint32_t heed_weights_count(const heed_weights *weights);
HEED_API const char *heed_weights_name(const heed_weights *weights, uint32_t index);
/* The tensor of that name, or NULL; it views the mapped file. [any] */
HEED_API heed_tensor *heed_weights_find(const heed_weights *weights, const char *name);
/* An entry of __metadata__, or NULL. [any] */
HEED_API const char *heed_weights_metadata(const heed_weights *weights, const char *key);

/* ---- a whole network ---- */

typedef struct heed_stack heed_stack;
typedef struct heed_session heed_session;

/* Builds a network from a stack spec, whose grammar and names of tensors docs/networks.md has. `spec`
 * NULL takes it from the weights' metadata, key "heed.spec". The weights must outlive the stack. [any] */
HEED_API heed_stack *heed_stack_open(heed_engine *engine, const char *spec, const heed_weights *weights,
                                     heed_error *error);
HEED_API void heed_stack_close(heed_stack *stack);
/* The canonical spec; belongs to the stack. */
HEED_API const char *heed_stack_spec(const heed_stack *stack);
/* A number of the spec: "vocab", "width", "layers", "heads", "kv_heads", "context", "bos"; -1 if it has none. */
HEED_API int64_t heed_stack_number(const heed_stack *stack, const char *key);
/* Floats of a row of what a feed gives: vocab, or, of a network whose output is hidden or pooled, width, or classes. */
HEED_API int64_t heed_stack_outputs(const heed_stack *stack);

/* Has the ranks of a group share every text of the stack: the sessions that are made from now on remember on each rank
 * a part, and a long feed is divided. All ranks make the same calls, and have the same results, with the bits of one.
 * All have all weights, by their checksum. Refused, by name, with an attention that has no heed.partial/1. [one] */
HEED_API int32_t heed_group_spread(heed_group *group, heed_stack *stack, heed_error *error);
/* One sequence that runs through the stack: all layers' states. [one] */
HEED_API heed_session *heed_session_new(heed_stack *stack, heed_error *error);
HEED_API void heed_session_free(heed_session *session);
/* Of a network with an encoder: encodes a text of n tokens, and begins an empty one that attends to it. Its keys and
 * values are made here, once; they stay until the next text is encoded, also when the session is reset. [one] */
HEED_API int32_t heed_session_encode(heed_session *session, const int32_t *tokens, int64_t n,
                                     heed_error *error);
/* Appends n tokens. logits [rows, heed_stack_outputs] of the last `rows` of them (float32, caller's memory), or hidden
 * states, or the one row of a pooled text. Tokens that see those behind them, for want of a causal mask or in a prefix,
 * are fed at once: a second feed is refused. [one] */
HEED_API int32_t heed_session_feed(heed_session *session, const int32_t *tokens, int64_t n, float *logits, int64_t rows,
                                   heed_error *error);
/* The same, with a type for each token, as BERT has them for the two texts of a pair: of a network with
 * the key `types`. NULL: all are of type 0, as where heed_session_feed is called. [one] */
HEED_API int32_t heed_session_feed_types(heed_session *session, const int32_t *tokens,
                                         const int32_t *types, int64_t n, float *logits,
                                         int64_t rows, heed_error *error);
/* Appends n[i] tokens to each of `count` sessions of one stack, whatever their lengths: one product
 * over the tokens of all, and each session with its own state. logits[i], if it and `logits` are not
 * NULL, gets the row [heed_stack_outputs] of the last token of session i, where n[i] > 0. The bits
 * are those of feeding them one by one. If any can not be fed, none is, and the sentence names it.
 * [one, for all of them] */
HEED_API int32_t heed_session_feed_many(heed_session *const *sessions, uint32_t count,
                                        const int32_t *const *tokens, const int64_t *n,
                                        float *const *logits, heed_error *error);
/* Draws the next token from logits [vocab]: temperature 0 = the most likely one. `draw` in [0,1). [one] */
HEED_API int32_t heed_session_sample(heed_session *session, const float *logits, double temperature, double draw,
                                     int32_t *token, heed_error *error);
/* The same by all settings of sample/categorical: "temperature=0.8, top_k=40, top_p=0.95, min_p=0.05". [one] */
HEED_API int32_t heed_session_draw(heed_session *session, const float *logits, const char *settings,
                                   double draw, int32_t *token, heed_error *error);
/* Of a network whose tokens halt (the key `halting`): how many tokens the session has read since it
 * was made. *steps is the sum of the layers that each of them ran through, and *rest that of what was
 * left of its weight for the last one: the ponder cost of arXiv 1603.08983 is (steps + rest) / tokens.
 * `encoded` 1: of the texts that were encoded. 0: no token of that side halts. [one] */
HEED_API int64_t heed_session_ponder(const heed_session *session, uint32_t encoded, double *steps,
                                     double *rest);
HEED_API int32_t heed_session_reset(heed_session *session, heed_error *error);
/* Tokens that it has read, since it was made or reset. [any] */
HEED_API int64_t heed_session_length(const heed_session *session);
/* A second session of the stack with the same content, which shares its pages until one of them writes: several texts
 * that begin alike, or a draft that may be dropped. Refused where an encoder is. [one] */
HEED_API heed_session *heed_session_fork(heed_session *session, heed_error *error);
/* Forgets all but the first `length` tokens, as heed_sequence_truncate does, in all layers or in none. [one] */
HEED_API int32_t heed_session_truncate(heed_session *session, int64_t length, heed_error *error);

/* Guesses of what comes next, as a tree: a draft of a smaller network, or what has come after these
 * words before. All are read at once, and what turns out right need not be computed again.
 *
 *     heed_tree *t = heed_tree_read(session, tokens, parents, n, logits, &e);
 *     ... logits tell what comes behind each token: follow the guesses that are right ...
 *     heed_tree_accept(t, last, &e);
 *     heed_tree_free(t);
 */
typedef struct heed_tree heed_tree;
#define HEED_TREE_TOKENS 64 /* at most */
/* Token i stands behind token parents[i], or, where that is -1, behind what the session has read; a
 * parent comes before its children. logits [n, heed_stack_outputs] gets a row for each, with the bits
 * of feeding its path alone. The session stays as it is. NULL after an error. [one] */
HEED_API heed_tree *heed_tree_read(heed_session *session, const int32_t *tokens,
                                   const int32_t *parents, int64_t n, float *logits,
                                   heed_error *error);
/* Makes the session one that has read the path to this token, behind what it had read when the tree
 * was. A recurrent network may not be able to go back there, and says so: feed the path then. [one] */
HEED_API int32_t heed_tree_accept(heed_tree *tree, int64_t token, heed_error *error);
HEED_API void heed_tree_free(heed_tree *tree); /* before the session */

/* Texts that were read already, for those that begin alike: a system prompt, an earlier turn. It keeps forks of up to
 * `most` sessions of one stack, whose pages they share; the one that was asked for longest ago goes first. Functions
 * on one store, and on the sessions in it, must not run at once. */
typedef struct heed_prefixes heed_prefixes;
HEED_API heed_prefixes *heed_prefixes_new(heed_stack *stack, uint32_t most, heed_error *error);
HEED_API void heed_prefixes_free(heed_prefixes *prefixes);
/* Keeps what the session remembers, which has read these n tokens and no others. [one] */
HEED_API int32_t heed_prefixes_put(heed_prefixes *prefixes, heed_session *session, const int32_t *tokens, int64_t n,
                                   heed_error *error);
/* A session that has read the first tokens of this text, as many as any text here begins with alike, and at most
 * n - 1, so that the last one gives logits: *known, 0 if none does. Its bits are those of reading them. NULL after an
 * error. [one] */
HEED_API heed_session *heed_prefixes_take(heed_prefixes *prefixes, const int32_t *tokens, int64_t n, int64_t *known,
                                          heed_error *error);
/* Forgets the text that was asked for longest ago, as a pages_full may; 0: there was none. [one] */
HEED_API int32_t heed_prefixes_drop(heed_prefixes *prefixes);
/* As of a sequence: what all layers remember, so that a prompt is read once. Only into a session of the same spec and
 * weights, of which a stack takes the checksum the first time; a session that can not be loaded is as it was. [one] */
HEED_API int64_t heed_session_save(const heed_session *session, void *to, uint64_t room, heed_error *error);
HEED_API int32_t heed_session_load(heed_session *session, const void *from, uint64_t bytes, heed_error *error);

/* ---- training ---- */

/* A network whose weights learn: what it has read of them is its own, float32. A step is a sum of
 * gradients over one micro-batch or several (learn), and then the optimiser (step):
 *
 *     for (...) {
 *         heed_trainer_learn(t, tokens, targets, batch, length, 1.0 / (batch * length), &nats, &e);
 *         heed_trainer_step(t, rate, NULL, &e);
 *     }
 *
 * All of it has the same bits on every machine, path and number of threads, and after a save and a
 * load. Memory is linear in batch * length. */
typedef struct heed_trainer heed_trainer;

#define HEED_ADAMW 0u /* arXiv 1711.05101 */
#define HEED_SGD 1u   /* with momentum: m = beta1 m + g, w = w - rate m; decay as AdamW has it */

typedef struct heed_recipe {
    uint32_t size;      /* sizeof(heed_recipe) */
    uint32_t optimiser; /* what makes a step of gradients: HEED_ADAMW or HEED_SGD */
    uint64_t seed; /* of the first weights, and of dropout */
    /* share of the elements that are left out of what flows into the first layer, and of what each
     * sublayer adds to the stream (arXiv 1706.03762, section 5.4); 0: none */
    double dropout;
    /* of AdamW: 0.9, 0.98 and 1e-8, say; of HEED_SGD beta1 is the momentum, and the others do nothing */
    double beta1, beta2, epsilon;
    double decay;                 /* of the weights that are matrices, times the rate, a step */
    double span; /* of what spans cost, if they are learned (arXiv 1905.07799, section 2.1) */
    double clip; /* the largest Euclidean norm of all gradients together; 0: none */
    double
        ponder; /* of what a token's layers cost, where it halts: arXiv 1603.08983, section 2.1 */
} heed_recipe;

/* Texts that are learned at once, and what is to be said of them. */
typedef struct heed_batch {
    uint32_t size; /* sizeof(heed_batch) */
    uint32_t
        follows; /* 1: each text goes on where that of the last batch ended, see heed_trainer_remember */
    int64_t texts, length; /* how many they are, and tokens of the longest */
    const int32_t *tokens; /* [texts, length] */
    /* [texts, length], what is to be predicted behind each token, or the class of each; of a network that
     * makes one row of a text [texts], the class of each. Of -100 nothing is said. */
    const int32_t *targets;
    const int32_t
        *lengths; /* [texts], from 1 on: what stands behind has no part. NULL: all are `length` */
    /* of a network with an encoder, the same of the texts that it reads */
    const int32_t *source, *source_lengths;
    int64_t source_length;
} heed_batch;

/* Weights NULL: those of a network that has learned nothing, from the seed. Others are copied; they may
 * be float16 and bfloat16 too, and spec NULL is theirs. HEED_E_UNSUPPORTED, with its name, if an op has
 * no backward (heed.grad/1), and for a network whose results are neither logits nor classes. [any] */
HEED_API heed_trainer *heed_trainer_new(heed_engine *engine, const char *spec,
                                        const heed_weights *weights, const heed_recipe *recipe,
                                        heed_error *error);
HEED_API void heed_trainer_free(heed_trainer *trainer);
/* A micro-batch: tokens [batch, length], and targets [batch, length], what is to be predicted behind
 * each; of a target of -100 nothing is said. *nats, if nats is not NULL, is the sum of all losses, and
 * the gradient of share times it is added to those of the weights. After a failure the sums are
 * undefined: heed_trainer_forget. [one] */
HEED_API int32_t heed_trainer_learn(heed_trainer *trainer, const int32_t *tokens,
                                    const int32_t *targets, int64_t batch, int64_t length,
                                    double share, double *nats, heed_error *error);
/* The same of a batch of any task: of a network with an encoder, or of classes (the key `classes`). [one] */
HEED_API int32_t heed_trainer_learn_batch(heed_trainer *trainer, const heed_batch *batch,
                                          double share, double *nats, heed_error *error);
/* From now on texts are learned in segments (arXiv 1901.02860, section 3.2): the attentions of a batch that
 * `follows` see the keys and values of so many tokens before it, at most, as they were then; no gradient
 * flows there. A checkpoint has them. HEED_E_UNSUPPORTED, with its name, if an attention has no mask
 * causal=true over keys and values, and for tokens that halt and networks with an encoder. [one] */
HEED_API int32_t heed_trainer_remember(heed_trainer *trainer, int64_t tokens, heed_error *error);
/* One step of the optimiser at this rate, by the gradients that were added up, which begin anew. *norm, if not
 * NULL, is theirs before they were clipped. HEED_E_DATA if one is no finite number, with the step
 * and the tensor: the weights are then as they were. [one] */
HEED_API int32_t heed_trainer_step(heed_trainer *trainer, double rate, double *norm,
                                   heed_error *error);
/* From now on the rate of the weight of that name is times `factor`, from 0 on; 1 at first. One of 0
 * is frozen: it has no gradient and does not change, and what lies below all that learn has no
 * backward. A checkpoint does not have the factors. [one] */
HEED_API int32_t heed_trainer_scale(heed_trainer *trainer, const char *name, double factor,
                                    heed_error *error);
/* Of a network with auxiliary classifiers (arXiv 1808.04444, section 3): from now on the loss of that
 * layer's for its target-th next token, from 1, times `weight` has gradients too; 0 at first. It is no
 * part of *nats, and a checkpoint does not have the weights. [one] */
HEED_API int32_t heed_trainer_weigh(heed_trainer *trainer, int64_t layer, int64_t target,
                                    double weight, heed_error *error);
/* The gradients begin anew, without a step. [one] */
HEED_API void heed_trainer_forget(heed_trainer *trainer);
/* Losses [batch, length] in nats, without dropout; nothing is learned. [one] */
HEED_API int32_t heed_trainer_loss(heed_trainer *trainer, const int32_t *tokens,
                                   const int32_t *targets, int64_t batch, int64_t length,
                                   float *nll, heed_error *error);
/* The same of a batch: a loss for each target; and results, if not NULL: [targets, heed_stack_outputs]. [one] */
HEED_API int32_t heed_trainer_loss_batch(heed_trainer *trainer, const heed_batch *batch, float *nll,
                                         float *results, heed_error *error);
/* From now on the ranks of a group share each batch: all have the same trainer and are given the same
 * batches, of as many texts as there are ranks at least; each runs some of the texts, and all have the
 * gradients, losses and weights of one, to the bit. HEED_E_UNSUPPORTED, with its name, with an op whose
 * rows depend on one another, and for segments. [one] */
HEED_API int32_t heed_group_train(heed_group *group, heed_trainer *trainer, heed_error *error);
HEED_API int64_t heed_trainer_steps(const heed_trainer *trainer); /* that were made */
/* The weights as they are now, the sum of the gradients of one of them (NULL: there is none of that
 * name), and the network, which runs with them: all the trainer's. A session of the network, fed
 * between two calls of the trainer, sees what it has learned. */
HEED_API const heed_weights *heed_trainer_weights(const heed_trainer *trainer);
HEED_API const heed_tensor *heed_trainer_gradient(const heed_trainer *trainer, const char *name);
HEED_API heed_stack *heed_trainer_stack(const heed_trainer *trainer);
/* Weights, moments and the step to a file, whole, or what was there stays; with a note of the caller's, or
 * NULL. Into a trainer of the same network and recipe: then the training goes on to the same bits as
 * without the interruption. Between two steps: sums of gradients are not saved. [one] */
HEED_API int32_t heed_trainer_save(const heed_trainer *trainer, const char *path, const char *note,
                                   heed_error *error);
HEED_API int32_t heed_trainer_load(heed_trainer *trainer, const char *path, heed_error *error);
/* The weights alone, as float32, float16 or bfloat16, to a file that heed_weights_open and heed_stack_open
 * read; what they learn from stays float32. [one] */
HEED_API int32_t heed_trainer_export(const heed_trainer *trainer, const char *path, uint32_t dtype,
                                     heed_error *error);
/* ---- texts of a checkpoint ---- */

/* Texts as the numbers of tokens and back, by the tokenizer.json of a folder, or by the metadata of a GGUF file or of
 * a safetensors file that heed train made of such a folder (docs/checkpoints.md). HEED_E_UNSUPPORTED from all where
 * libheed was built without PCRE2 and utf8proc. */
typedef struct heed_tokenizer heed_tokenizer;
HEED_API heed_tokenizer *heed_tokenizer_open(const char *folder, heed_error *error);
HEED_API void heed_tokenizer_close(heed_tokenizer *tokenizer);
/* How many tokens n bytes of UTF-8 are, or HEED_E_*; *tokens are good until the next call. `special`: with those in
 * front and behind that models read. most > 0: no more than so many, with these. [one] */
HEED_API int64_t heed_tokenizer_encode(heed_tokenizer *tokenizer, const char *text, uint64_t n, uint32_t special,
                                       uint64_t most, const int32_t **tokens, heed_error *error);
#define HEED_TEXT_BEGINS 1u /* the first tokens of a text */
#define HEED_TEXT_ENDS 2u   /* the last: what waits for the rest of a character comes out as well */
/* Bytes of the text that n tokens make behind those before them; *text, whole characters and no NUL at its end, is good
 * until the next call. Special tokens make none. [one] */
HEED_API int64_t heed_tokenizer_decode(heed_tokenizer *tokenizer, const int32_t *tokens, uint64_t n, uint32_t flags,
                                       const char **text, heed_error *error);
/* Bytes of the text that the folder's chat_template makes of a message of the user's, n bytes, behind one of the
 * system's (NULL: none), up to where the answer begins; *text as of decoding. It is encoded without `special`. A
 * template that is none of the known forms is refused (docs/checkpoints.md). [one] */
HEED_API int64_t heed_tokenizer_chat(heed_tokenizer *tokenizer, const char *system,
                                     const char *prompt, uint64_t n, const char **text,
                                     heed_error *error);
/* The spec of a network that makes one vector of a text, of the weights of an encoder's folder: as its modules.json of
 * sentence-transformers says, or `pooling`, "mean", "first", "last" or "max" (NULL: not said), and l2, 1 or 0 (-1: not
 * said). Writes it to the caller's `to`, which has `room` bytes, and returns how many it takes with its NUL; `to` NULL
 * only counts. *most: tokens of a text that the folder allows, 0: it does not say. [any] */
HEED_API int64_t heed_sentence_spec(const heed_weights *weights, const char *folder, const char *pooling, int32_t l2,
                                    char *to, uint64_t room, uint64_t *most, heed_error *error);

#ifdef __cplusplus
}
#endif
#endif
