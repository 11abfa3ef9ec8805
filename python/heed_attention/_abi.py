# SPDX-License-Identifier: MIT
# Made by python/generate.py from abi/*.h and engine/heed.h: change those, and run
# `python/generate.py --write`.
"""_abi.py: libheed's structs, constants and functions as ctypes has them. Pointers are addresses,
but for text that is read.
"""

from __future__ import annotations

import ctypes as c
from typing import Any

Bytes = bytes  # some structs have a field of that name

HEED_ABI_MAJOR = 0
HEED_ABI_MINOR = 1
HEED_ABI_VERSION = 1
HEED_OK = 0
HEED_E_ARGUMENT = -1
HEED_E_SHAPE = -2
HEED_E_UNSUPPORTED = -3
HEED_E_MEMORY = -4
HEED_E_ABI = -5
HEED_E_DATA = -6
HEED_E_CANCELLED = -7
HEED_E_SYSTEM = -8
HEED_MASK_CAUSAL = 1
HEED_MASK_KEY_LENGTHS = 2
HEED_MASK_WINDOW = 4
HEED_MASK_PREFIX = 8
HEED_MASK_SINKS = 16
HEED_MASK_DOCUMENTS = 32
HEED_MASK_BLOCKS = 64
HEED_MASK_KINDS = 7
HEED_ALIGN_TOP_LEFT = 0
HEED_ALIGN_BOTTOM_RIGHT = 1
HEED_ALIGN_OFFSET = 2
HEED_STATE_CAUSAL = 1
HEED_MAX_RANK = 8
HEED_F32 = 0
HEED_F16 = 1
HEED_BF16 = 2
HEED_I8 = 3
HEED_U8 = 4
HEED_I32 = 5
HEED_I64 = 6
HEED_F64 = 7
HEED_DTYPES = 8
HEED_Q8_0 = 16
HEED_Q4_0 = 17
HEED_BLOCK = 32
HEED_AXES = 26
HEED_INPUT = 0
HEED_WEIGHT = 1
HEED_OUTPUT = 2
HEED_PORT_OPTIONAL = 1
HEED_PORT_IN_PLACE = 2
HEED_PORT_REPEATS = 4
HEED_SCOPE_LAYER = 0
HEED_SCOPE_STACK = 1
HEED_INIT_NORMAL = 0
HEED_INIT_ZEROS = 1
HEED_INIT_ONES = 2
HEED_PARAM_INT = 0
HEED_PARAM_FLOAT = 1
HEED_PARAM_BOOL = 2
HEED_PARAM_CHOICE = 3
HEED_PARAM_OP = 4
HEED_PARAM_AUTO = 1
HEED_PARAM_REQUIRED = 2
HEED_PARAM_RUNTIME = 4
HEED_PARAM_COUPLES = 8
HEED_CPU_AVX2 = 1
HEED_CPU_AVX512 = 2
HEED_CPU_NEON = 4
HEED_CPU_AVX512_BF16 = 8
HEED_CPU_SVE = 16
HEED_CPU_NEON_BF16 = 32
HEED_PATH_INEXACT = 1
HEED_ACTS_NOWHERE = 0
HEED_ACTS_INPUT = 1
HEED_ACTS_QK = 2
HEED_ACTS_SCORES = 3
HEED_TILE_CONSECUTIVE = 1
HEED_FIELD_RUNS = 4
HEED_FIELD_BOUND = 1
HEED_FIELD_MOVES = 2
HEED_GRAD_ADDS = 1
HEED_GRAD_INNER = 2
HEED_GRAD_ROWS = 4
HEED_GRAD_BLOCK = 256
HEED_KV_ROWS = 4
HEED_MESSAGE_MOST = 1073741824
HEED_PIN_COMPACT = 0
HEED_PIN_SCATTER = 1
HEED_PIN_NONE = 2
HEED_TREE_TOKENS = 64
HEED_ADAMW = 0
HEED_SGD = 1
HEED_TEXT_BEGINS = 1
HEED_TEXT_ENDS = 2
HEED_COST_ID = "heed.cost/1"
HEED_ENTRY_NAME = "heed_plugin_v0"
HEED_SCORE_ID = "heed.score/1"
HEED_FIELD_ID = "heed.field/1"
HEED_GRAD_ID = "heed.grad/1"
HEED_SCORE_GRAD_ID = "heed.score_grad/1"
HEED_FILL_GRAD_ID = "heed.fill_grad/1"
HEED_KV_ID = "heed.kv/1"
HEED_NETWORK_ID = "heed.network/1"
HEED_ORACLE_ENTRY_NAME = "heed_oracle_v0"
HEED_PARTIAL_ID = "heed.partial/1"
HEED_RELAY_ID = "heed.relay/1"
HEED_TRANSPORT_ENTRY_NAME = "heed_transport_v0"


class heed_table(c.Structure):
    data: int | None
    count: int
    stride: int
    _fields_ = [
        ("data", c.c_void_p),
        ("count", c.c_uint32),
        ("stride", c.c_uint32),
    ]


class heed_sink(c.Structure):
    size: int
    capacity: int
    text: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("capacity", c.c_uint32),
        ("text", c.c_void_p),
    ]


class heed_host(c.Structure):
    size: int
    reserved: int
    self: int | None
    parallel_for: int | None
    log: int | None
    cancelled: int | None
    get_extension: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("self", c.c_void_p),
        ("parallel_for", c.c_void_p),
        ("log", c.c_void_p),
        ("cancelled", c.c_void_p),
        ("get_extension", c.c_void_p),
    ]


class heed_mask(c.Structure):
    size: int
    kinds: int
    align: int
    reserved: int
    offset: int
    left: int
    right: int
    prefix: int
    sinks: int
    block_queries: int
    block_keys: int
    _fields_ = [
        ("size", c.c_uint32),
        ("kinds", c.c_uint32),
        ("align", c.c_uint32),
        ("reserved", c.c_uint32),
        ("offset", c.c_int64),
        ("left", c.c_int64),
        ("right", c.c_int64),
        ("prefix", c.c_int64),
        ("sinks", c.c_int64),
        ("block_queries", c.c_int64),
        ("block_keys", c.c_int64),
    ]


class heed_state_size(c.Structure):
    size: int
    version: int
    format: Bytes | None
    page_bytes: int
    page_tokens: int
    recent: int
    first: int
    flags: int
    reserved: int
    _fields_ = [
        ("size", c.c_uint32),
        ("version", c.c_uint32),
        ("format", c.c_char_p),
        ("page_bytes", c.c_uint64),
        ("page_tokens", c.c_int64),
        ("recent", c.c_int64),
        ("first", c.c_int64),
        ("flags", c.c_uint32),
        ("reserved", c.c_uint32),
    ]


class heed_state(c.Structure):
    size: int
    pages: int
    length: int
    page_bytes: int
    page: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("pages", c.c_uint32),
        ("length", c.c_int64),
        ("page_bytes", c.c_uint64),
        ("page", c.c_void_p),
    ]


class heed_tensor(c.Structure):
    size: int
    dtype: int
    rank: int
    flags: int
    data: int | None
    bytes: int
    dim: c.Array[c.c_int64]
    stride: c.Array[c.c_int64]
    _fields_ = [
        ("size", c.c_uint32),
        ("dtype", c.c_uint32),
        ("rank", c.c_int32),
        ("flags", c.c_uint32),
        ("data", c.c_void_p),
        ("bytes", c.c_uint64),
        ("dim", c.c_int64 * 8),
        ("stride", c.c_int64 * 8),
    ]


class heed_value(c.Structure):
    size: int
    given: int
    i: int
    f: float
    _fields_ = [
        ("size", c.c_uint32),
        ("given", c.c_uint32),
        ("i", c.c_int64),
        ("f", c.c_double),
    ]


class heed_child(c.Structure):
    size: int
    reserved: int
    instance: int | None
    op: int | None
    path: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("instance", c.c_void_p),
        ("op", c.c_void_p),
        ("path", c.c_void_p),
    ]


class heed_open(c.Structure):
    size: int
    reserved: int
    value: int | None
    child: int | None
    weight: int | None
    axis: int | None
    host: int | None
    sink: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("value", c.c_void_p),
        ("child", c.c_void_p),
        ("weight", c.c_void_p),
        ("axis", c.c_void_p),
        ("host", c.c_void_p),
        ("sink", c.c_void_p),
    ]


class heed_call_size(c.Structure):
    size: int
    reserved: int
    workspace: int
    scratch: int
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("workspace", c.c_uint64),
        ("scratch", c.c_uint64),
    ]


class heed_call(c.Structure):
    size: int
    lanes: int
    tensor: int | None
    axis: int | None
    value: int | None
    mask: int | None
    state: int | None
    workspace: int | None
    scratch: int | None
    scratch_stride: int
    host: int | None
    sink: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("lanes", c.c_uint32),
        ("tensor", c.c_void_p),
        ("axis", c.c_void_p),
        ("value", c.c_void_p),
        ("mask", c.c_void_p),
        ("state", c.c_void_p),
        ("workspace", c.c_void_p),
        ("scratch", c.c_void_p),
        ("scratch_stride", c.c_uint64),
        ("host", c.c_void_p),
        ("sink", c.c_void_p),
    ]


class heed_cost(c.Structure):
    size: int
    reserved: int
    flops: float
    bytes: float
    state_bytes: float
    receptive_field: float
    executed: float
    algorithm: Bytes | None
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("flops", c.c_double),
        ("bytes", c.c_double),
        ("state_bytes", c.c_double),
        ("receptive_field", c.c_double),
        ("executed", c.c_double),
        ("algorithm", c.c_char_p),
    ]


class heed_coster(c.Structure):
    size: int
    reserved: int
    cost: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("cost", c.c_void_p),
    ]


class heed_port(c.Structure):
    size: int
    role: int
    flags: int
    dtypes: int
    scope: int
    init: int
    name: Bytes | None
    axes: Bytes | None
    doc: Bytes | None
    _fields_ = [
        ("size", c.c_uint32),
        ("role", c.c_uint32),
        ("flags", c.c_uint32),
        ("dtypes", c.c_uint32),
        ("scope", c.c_uint32),
        ("init", c.c_uint32),
        ("name", c.c_char_p),
        ("axes", c.c_char_p),
        ("doc", c.c_char_p),
    ]


class heed_param(c.Structure):
    size: int
    type: int
    flags: int
    axis: int
    min: float
    max: float
    standard: float
    key: Bytes | None
    choices: Bytes | None
    doc: Bytes | None
    _fields_ = [
        ("size", c.c_uint32),
        ("type", c.c_uint32),
        ("flags", c.c_uint32),
        ("axis", c.c_uint32),
        ("min", c.c_double),
        ("max", c.c_double),
        ("standard", c.c_double),
        ("key", c.c_char_p),
        ("choices", c.c_char_p),
        ("doc", c.c_char_p),
    ]


class heed_path(c.Structure):
    size: int
    flags: int
    needs: int
    name: Bytes | None
    forward: int | None
    get_extension: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("flags", c.c_uint32),
        ("needs", c.c_uint64),
        ("name", c.c_char_p),
        ("forward", c.c_void_p),
        ("get_extension", c.c_void_p),
    ]


class heed_op(c.Structure):
    size: int
    acts: int
    masks: int
    reserved: int
    id: Bytes | None
    version: Bytes | None
    summary: Bytes | None
    formula: Bytes | None
    reference: Bytes | None
    ports: heed_table
    params: heed_table
    paths: heed_table
    measure: int | None
    init: int | None
    fini: int | None
    measure_call: int | None
    measure_state: int | None
    get_extension: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("acts", c.c_uint32),
        ("masks", c.c_uint32),
        ("reserved", c.c_uint32),
        ("id", c.c_char_p),
        ("version", c.c_char_p),
        ("summary", c.c_char_p),
        ("formula", c.c_char_p),
        ("reference", c.c_char_p),
        ("ports", heed_table),
        ("params", heed_table),
        ("paths", heed_table),
        ("measure", c.c_void_p),
        ("init", c.c_void_p),
        ("fini", c.c_void_p),
        ("measure_call", c.c_void_p),
        ("measure_state", c.c_void_p),
        ("get_extension", c.c_void_p),
    ]


class heed_offer(c.Structure):
    size: int
    abi_min: int
    abi_max: int
    reserved: int
    host: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("abi_min", c.c_uint32),
        ("abi_max", c.c_uint32),
        ("reserved", c.c_uint32),
        ("host", c.c_void_p),
    ]


class heed_reply(c.Structure):
    size: int
    abi: int
    name: Bytes | None
    licence: Bytes | None
    ops: heed_table
    _fields_ = [
        ("size", c.c_uint32),
        ("abi", c.c_uint32),
        ("name", c.c_char_p),
        ("licence", c.c_char_p),
        ("ops", heed_table),
    ]


class heed_score_tile(c.Structure):
    size: int
    flags: int
    s: int | None
    key_stride: int
    row_stride: int
    keys: int
    rows: int
    first_key: int
    position: int | None
    head: int | None
    query: int | None
    query_stride: int
    batch: int
    unit: float
    query_unit: float
    key: int | None
    key_row: int
    key_step: int
    width: int
    _fields_ = [
        ("size", c.c_uint32),
        ("flags", c.c_uint32),
        ("s", c.c_void_p),
        ("key_stride", c.c_int64),
        ("row_stride", c.c_int64),
        ("keys", c.c_int64),
        ("rows", c.c_int64),
        ("first_key", c.c_int64),
        ("position", c.c_void_p),
        ("head", c.c_void_p),
        ("query", c.c_void_p),
        ("query_stride", c.c_int64),
        ("batch", c.c_int64),
        ("unit", c.c_float),
        ("query_unit", c.c_float),
        ("key", c.c_void_p),
        ("key_row", c.c_int64),
        ("key_step", c.c_int64),
        ("width", c.c_int64),
    ]


class heed_score_fit(c.Structure):
    size: int
    reserved: int
    first: int
    positions: int
    heads: int
    query_width: int
    key_width: int
    sink: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("first", c.c_int64),
        ("positions", c.c_int64),
        ("heads", c.c_int64),
        ("query_width", c.c_int64),
        ("key_width", c.c_int64),
        ("sink", c.c_void_p),
    ]


class heed_score(c.Structure):
    size: int
    fills: int
    tile: int | None
    fits: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("fills", c.c_uint32),
        ("tile", c.c_void_p),
        ("fits", c.c_void_p),
    ]


class heed_field_run(c.Structure):
    size: int
    reserved: int
    first: int
    last: int
    phase: int
    step: int
    length: int
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("first", c.c_int64),
        ("last", c.c_int64),
        ("phase", c.c_int64),
        ("step", c.c_int64),
        ("length", c.c_int64),
    ]


class heed_field(c.Structure):
    size: int
    flags: int
    runs: int
    reserved: int
    longest: int
    loose: int
    run: c.Array[heed_field_run]
    _fields_ = [
        ("size", c.c_uint32),
        ("flags", c.c_uint32),
        ("runs", c.c_uint32),
        ("reserved", c.c_uint32),
        ("longest", c.c_int64),
        ("loose", c.c_int64),
        ("run", heed_field_run * 4),
    ]


class heed_fielder(c.Structure):
    size: int
    reserved: int
    field: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("field", c.c_void_p),
    ]


class heed_grad_call(c.Structure):
    size: int
    reserved: int
    call: int | None
    child: int | None
    weight: int | None
    gradient: int | None
    inner: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("call", c.c_void_p),
        ("child", c.c_void_p),
        ("weight", c.c_void_p),
        ("gradient", c.c_void_p),
        ("inner", c.c_void_p),
    ]


class heed_grad(c.Structure):
    size: int
    flags: int
    gives: int
    takes: int
    reads: int
    reserved: int
    measure: int | None
    backward: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("flags", c.c_uint32),
        ("gives", c.c_uint32),
        ("takes", c.c_uint32),
        ("reads", c.c_uint32),
        ("reserved", c.c_uint32),
        ("measure", c.c_void_p),
        ("backward", c.c_void_p),
    ]


class heed_score_grad(c.Structure):
    size: int
    reserved: int
    floats: int | None
    tile: int | None
    add: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("floats", c.c_void_p),
        ("tile", c.c_void_p),
        ("add", c.c_void_p),
    ]


class heed_fill_tile(c.Structure):
    size: int
    reserved: int
    tile: int | None
    weight: int | None
    query: int | None
    key: int | None
    key_row: int
    gradient: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("tile", c.c_void_p),
        ("weight", c.c_void_p),
        ("query", c.c_void_p),
        ("key", c.c_void_p),
        ("key_row", c.c_int64),
        ("gradient", c.c_void_p),
    ]


class heed_fill_grad(c.Structure):
    size: int
    reserved: int
    tile: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("tile", c.c_void_p),
    ]


class heed_kv_block(c.Structure):
    size: int
    by_channels: int
    data: int | None
    rows: int
    width: int
    _fields_ = [
        ("size", c.c_uint32),
        ("by_channels", c.c_uint32),
        ("data", c.c_void_p),
        ("rows", c.c_int64),
        ("width", c.c_int64),
    ]


class heed_kv_rows(c.Structure):
    size: int
    masked: int
    block: int | None
    next: int | None
    rows: int
    first: int
    count: int
    input: int | None
    input_step: int
    alpha: int | None
    out: int | None
    out_step: int
    _fields_ = [
        ("size", c.c_uint32),
        ("masked", c.c_uint32),
        ("block", c.c_void_p),
        ("next", c.c_void_p),
        ("rows", c.c_int64),
        ("first", c.c_int64),
        ("count", c.c_int64),
        ("input", c.c_void_p),
        ("input_step", c.c_int64),
        ("alpha", c.c_void_p),
        ("out", c.c_void_p),
        ("out_step", c.c_int64),
    ]


class heed_kv(c.Structure):
    size: int
    version: int
    format: Bytes | None
    bytes: int | None
    encode: int | None
    decode: int | None
    scores: int | None
    values: int | None
    rotate: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("version", c.c_uint32),
        ("format", c.c_char_p),
        ("bytes", c.c_void_p),
        ("encode", c.c_void_p),
        ("decode", c.c_void_p),
        ("scores", c.c_void_p),
        ("values", c.c_void_p),
        ("rotate", c.c_void_p),
    ]


class heed_network_input(c.Structure):
    size: int
    reserved: int
    port: Bytes | None
    param: Bytes | None
    choices: Bytes | None
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("port", c.c_char_p),
        ("param", c.c_char_p),
        ("choices", c.c_char_p),
    ]


class heed_network(c.Structure):
    size: int
    reserved: int
    inputs: heed_table
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("inputs", heed_table),
    ]


class heed_oracle_call(c.Structure):
    size: int
    ports: int
    params: int
    reserved: int
    axis: c.Array[c.c_int64]
    rows: int
    port: int | None
    d: int | None
    f: int | None
    param: int | None
    value: int | None
    mask: int | None
    position: Bytes | None
    past: int
    _fields_ = [
        ("size", c.c_uint32),
        ("ports", c.c_uint32),
        ("params", c.c_uint32),
        ("reserved", c.c_uint32),
        ("axis", c.c_int64 * 26),
        ("rows", c.c_int64),
        ("port", c.c_void_p),
        ("d", c.c_void_p),
        ("f", c.c_void_p),
        ("param", c.c_void_p),
        ("value", c.c_void_p),
        ("mask", c.c_void_p),
        ("position", c.c_char_p),
        ("past", c.c_int64),
    ]


class heed_oracle(c.Structure):
    size: int
    reserved: int
    id: Bytes | None
    f64: int | None
    f32: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("id", c.c_char_p),
        ("f64", c.c_void_p),
        ("f32", c.c_void_p),
    ]


class heed_oracle_reply(c.Structure):
    size: int
    abi: int
    oracles: heed_table
    _fields_ = [
        ("size", c.c_uint32),
        ("abi", c.c_uint32),
        ("oracles", heed_table),
    ]


class heed_partial_call(c.Structure):
    size: int
    nodes: int
    call: int | None
    first_query: int
    queries: int
    first_key: int
    node: int | None
    to: int | None
    rows: int | None
    lift: int | None
    round: int
    _fields_ = [
        ("size", c.c_uint32),
        ("nodes", c.c_uint32),
        ("call", c.c_void_p),
        ("first_query", c.c_int64),
        ("queries", c.c_int64),
        ("first_key", c.c_int64),
        ("node", c.c_void_p),
        ("to", c.c_void_p),
        ("rows", c.c_void_p),
        ("lift", c.c_void_p),
        ("round", c.c_int64),
    ]


class heed_partial(c.Structure):
    size: int
    reserved: int
    span: int
    floats: int | None
    measure: int | None
    compute: int | None
    merge: int | None
    finish: int | None
    seen: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("span", c.c_int64),
        ("floats", c.c_void_p),
        ("measure", c.c_void_p),
        ("compute", c.c_void_p),
        ("merge", c.c_void_p),
        ("finish", c.c_void_p),
        ("seen", c.c_void_p),
    ]


class heed_relay_call(c.Structure):
    size: int
    reserved: int
    call: int | None
    wanted: int
    first: int
    count: int
    carry: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("call", c.c_void_p),
        ("wanted", c.c_int64),
        ("first", c.c_int64),
        ("count", c.c_int64),
        ("carry", c.c_void_p),
    ]


class heed_relay_plan(c.Structure):
    size: int
    reserved: int
    units: int
    bytes: int
    room: int
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("units", c.c_int64),
        ("bytes", c.c_uint64),
        ("room", c.c_uint64),
    ]


class heed_relay(c.Structure):
    size: int
    reserved: int
    plan: int | None
    measure: int | None
    run: int | None
    page: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("plan", c.c_void_p),
        ("measure", c.c_void_p),
        ("run", c.c_void_p),
        ("page", c.c_void_p),
    ]


class heed_transport(c.Structure):
    size: int
    rank: int
    ranks: int
    reserved: int
    self: int | None
    name: Bytes | None
    host: Bytes | None
    sink: int | None
    send: int | None
    receive: int | None
    wait: int | None
    abandon: int | None
    close: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("rank", c.c_uint32),
        ("ranks", c.c_uint32),
        ("reserved", c.c_uint32),
        ("self", c.c_void_p),
        ("name", c.c_char_p),
        ("host", c.c_char_p),
        ("sink", c.c_void_p),
        ("send", c.c_void_p),
        ("receive", c.c_void_p),
        ("wait", c.c_void_p),
        ("abandon", c.c_void_p),
        ("close", c.c_void_p),
    ]


class heed_error(c.Structure):
    code: int
    text: Bytes
    _fields_ = [
        ("code", c.c_int32),
        ("text", c.c_char * 1020),
    ]


class heed_options(c.Structure):
    size: int
    threads: int
    pinning: int
    smt: int
    plugins: Bytes | None
    isa: Bytes | None
    host: int | None
    page_limit: int
    pages_full: int | None
    user: int | None
    _fields_ = [
        ("size", c.c_uint32),
        ("threads", c.c_uint32),
        ("pinning", c.c_uint32),
        ("smt", c.c_uint32),
        ("plugins", c.c_char_p),
        ("isa", c.c_char_p),
        ("host", c.c_void_p),
        ("page_limit", c.c_uint64),
        ("pages_full", c.c_void_p),
        ("user", c.c_void_p),
    ]


class heed_binding(c.Structure):
    port: Bytes | None
    tensor: int | None
    _fields_ = [
        ("port", c.c_char_p),
        ("tensor", c.c_void_p),
    ]


class heed_opening(c.Structure):
    size: int
    n_weights: int
    weights: int | None
    axes: int | None
    isa: Bytes | None
    _fields_ = [
        ("size", c.c_uint32),
        ("n_weights", c.c_uint32),
        ("weights", c.c_void_p),
        ("axes", c.c_void_p),
        ("isa", c.c_char_p),
    ]


class heed_recipe(c.Structure):
    size: int
    optimiser: int
    seed: int
    dropout: float
    beta1: float
    beta2: float
    epsilon: float
    decay: float
    span: float
    clip: float
    ponder: float
    _fields_ = [
        ("size", c.c_uint32),
        ("optimiser", c.c_uint32),
        ("seed", c.c_uint64),
        ("dropout", c.c_double),
        ("beta1", c.c_double),
        ("beta2", c.c_double),
        ("epsilon", c.c_double),
        ("decay", c.c_double),
        ("span", c.c_double),
        ("clip", c.c_double),
        ("ponder", c.c_double),
    ]


class heed_batch(c.Structure):
    size: int
    follows: int
    texts: int
    length: int
    tokens: int | None
    targets: int | None
    lengths: int | None
    source: int | None
    source_lengths: int | None
    source_length: int
    _fields_ = [
        ("size", c.c_uint32),
        ("follows", c.c_uint32),
        ("texts", c.c_int64),
        ("length", c.c_int64),
        ("tokens", c.c_void_p),
        ("targets", c.c_void_p),
        ("lengths", c.c_void_p),
        ("source", c.c_void_p),
        ("source_lengths", c.c_void_p),
        ("source_length", c.c_int64),
    ]


# axis -> what it is, and how long where nobody says: factor * the axes / the part (abi/axes.h)
AXES: dict[str, tuple[str, int, str, str]] = {
    "B": ("batch", 1, "", ""),
    "T": ("queries", 2048, "", ""),
    "S": ("keys", 1, "T", ""),
    "H": ("query heads", 8, "", ""),
    "G": ("key/value heads", 1, "H", ""),
    "D": ("head width", 64, "", ""),
    "E": ("value width", 1, "D", ""),
    "M": ("model width", 1, "HD", ""),
    "N": ("output width", 1, "M", ""),
    "F": ("hidden width", 4, "M", ""),
    "V": ("vocabulary", 256, "", ""),
    "C": ("longest sequence", 1, ".", ""),
    "W": ("heads of the weights", 1, "H", ""),
    "J": ("rank", 16, "", ""),
    "A": ("positions of a run", 64, "", ""),
    "U": ("runs", 1, ".", "A"),
    "K": ("buckets or taps", 0, "", ""),
    "P": ("distances", 0, "", ""),
    "Q": ("heads of the shares", 0, "", ""),
    "I": ("blocks of queries", 0, "", ""),
    "Y": ("blocks in a list", 0, "", ""),
}


STRUCTS: dict[str, type[c.Structure]] = {
    "heed_table": heed_table,
    "heed_sink": heed_sink,
    "heed_host": heed_host,
    "heed_mask": heed_mask,
    "heed_state_size": heed_state_size,
    "heed_state": heed_state,
    "heed_tensor": heed_tensor,
    "heed_value": heed_value,
    "heed_child": heed_child,
    "heed_open": heed_open,
    "heed_call_size": heed_call_size,
    "heed_call": heed_call,
    "heed_cost": heed_cost,
    "heed_coster": heed_coster,
    "heed_port": heed_port,
    "heed_param": heed_param,
    "heed_path": heed_path,
    "heed_op": heed_op,
    "heed_offer": heed_offer,
    "heed_reply": heed_reply,
    "heed_score_tile": heed_score_tile,
    "heed_score_fit": heed_score_fit,
    "heed_score": heed_score,
    "heed_field_run": heed_field_run,
    "heed_field": heed_field,
    "heed_fielder": heed_fielder,
    "heed_grad_call": heed_grad_call,
    "heed_grad": heed_grad,
    "heed_score_grad": heed_score_grad,
    "heed_fill_tile": heed_fill_tile,
    "heed_fill_grad": heed_fill_grad,
    "heed_kv_block": heed_kv_block,
    "heed_kv_rows": heed_kv_rows,
    "heed_kv": heed_kv,
    "heed_network_input": heed_network_input,
    "heed_network": heed_network,
    "heed_oracle_call": heed_oracle_call,
    "heed_oracle": heed_oracle,
    "heed_oracle_reply": heed_oracle_reply,
    "heed_partial_call": heed_partial_call,
    "heed_partial": heed_partial,
    "heed_relay_call": heed_relay_call,
    "heed_relay_plan": heed_relay_plan,
    "heed_relay": heed_relay,
    "heed_transport": heed_transport,
    "heed_error": heed_error,
    "heed_options": heed_options,
    "heed_binding": heed_binding,
    "heed_opening": heed_opening,
    "heed_recipe": heed_recipe,
    "heed_batch": heed_batch,
}

FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {  # result, parameters
    "heed_engine_new": (c.c_void_p, [c.c_void_p, c.c_void_p]),
    "heed_engine_free": (None, [c.c_void_p]),
    "heed_engine_pages": (c.c_uint64, [c.c_void_p]),
    "heed_op_count": (c.c_uint32, [c.c_void_p]),
    "heed_op_at": (c.POINTER(heed_op), [c.c_void_p, c.c_uint32]),
    "heed_op_plugin": (c.c_char_p, [c.c_void_p, c.c_uint32]),
    "heed_op_path": (c.POINTER(heed_path), [c.c_void_p, c.c_uint32]),
    "heed_op_find": (c.POINTER(heed_op), [c.c_void_p, c.c_char_p]),
    "heed_refusal_count": (c.c_uint32, [c.c_void_p]),
    "heed_refusal": (c.c_char_p, [c.c_void_p, c.c_uint32, c.c_void_p]),
    "heed_lanes": (c.c_uint32, [c.c_void_p]),
    "heed_instance_open": (c.c_void_p, [c.c_void_p, c.c_char_p, c.c_void_p, c.c_void_p]),
    "heed_instance_close": (None, [c.c_void_p]),
    "heed_instance_op": (c.POINTER(heed_op), [c.c_void_p]),
    "heed_instance_path": (c.POINTER(heed_path), [c.c_void_p]),
    "heed_instance_spec": (c.c_char_p, [c.c_void_p]),
    "heed_infer": (c.c_int32, [c.c_void_p, c.c_void_p, c.c_uint32, c.c_char_p, c.c_void_p, c.c_void_p]),
    "heed_run": (c.c_int32, [c.c_void_p, c.c_void_p, c.c_uint32, c.c_void_p, c.c_uint32, c.c_void_p, c.c_void_p]),
    "heed_op_grad": (c.POINTER(heed_grad), [c.c_void_p, c.c_void_p]),
    "heed_backward": (
        c.c_int32,
        [c.c_void_p, c.c_void_p, c.c_uint32, c.c_void_p, c.c_uint32, c.c_void_p, c.c_uint32, c.c_void_p],
    ),
    "heed_instance_rebind": (c.c_int32, [c.c_void_p, c.c_void_p, c.c_uint32, c.c_void_p]),
    "heed_estimate": (c.c_int32, [c.c_void_p, c.c_void_p, c.c_uint32, c.c_void_p, c.c_void_p]),
    "heed_merge": (c.c_int32, [c.c_void_p, c.c_void_p, c.c_void_p, c.c_void_p, c.c_void_p, c.c_void_p, c.c_void_p, c.c_void_p]),
    "heed_sequence_new": (c.c_void_p, [c.c_void_p, c.c_void_p, c.c_void_p]),
    "heed_sequence_fork": (c.c_void_p, [c.c_void_p, c.c_void_p]),
    "heed_sequence_truncate": (c.c_int32, [c.c_void_p, c.c_int64, c.c_void_p]),
    "heed_sequence_save": (c.c_int64, [c.c_void_p, c.c_void_p, c.c_uint64, c.c_void_p]),
    "heed_sequence_load": (c.c_void_p, [c.c_void_p, c.c_void_p, c.c_void_p, c.c_uint64, c.c_void_p]),
    "heed_sequence_length": (c.c_int64, [c.c_void_p]),
    "heed_sequence_bytes": (c.c_uint64, [c.c_void_p]),
    "heed_sequence_free": (None, [c.c_void_p]),
    "heed_group_new": (c.c_void_p, [c.c_void_p, c.c_void_p, c.c_double, c.c_void_p]),
    "heed_group_join": (c.c_void_p, [c.c_void_p, c.c_char_p, c.c_double, c.c_void_p]),
    "heed_group_free": (None, [c.c_void_p]),
    "heed_group_rank": (c.c_uint32, [c.c_void_p]),
    "heed_group_ranks": (c.c_uint32, [c.c_void_p]),
    "heed_group_counted": (None, [c.c_void_p, c.c_void_p, c.c_void_p, c.c_void_p]),
    "heed_transport_threads": (c.c_int32, [c.c_uint32, c.c_void_p, c.c_void_p]),
    "heed_group_share": (None, [c.c_uint32, c.c_uint32, c.c_int64, c.c_void_p, c.c_void_p]),
    "heed_group_run": (
        c.c_int32,
        [c.c_void_p, c.c_void_p, c.c_void_p, c.c_uint32, c.c_void_p, c.c_uint32, c.c_int64, c.c_int64, c.c_void_p],
    ),
    "heed_group_sequence": (c.c_void_p, [c.c_void_p, c.c_void_p, c.c_void_p, c.c_void_p]),
    "heed_group_attend": (
        c.c_int32,
        [c.c_void_p, c.c_void_p, c.c_void_p, c.c_uint32, c.c_void_p, c.c_uint32, c.c_void_p, c.c_void_p],
    ),
    "heed_group_agree": (c.c_int32, [c.c_void_p, c.c_void_p, c.c_uint64, c.c_int32, c.c_void_p]),
    "heed_tensor_of": (heed_tensor, [c.c_void_p, c.c_uint32, c.c_int32, c.c_void_p]),
    "heed_tensor_alloc": (c.c_int32, [c.c_void_p, c.c_void_p]),
    "heed_tensor_elements": (c.c_int64, [c.c_void_p]),
    "heed_dtype_name": (c.c_char_p, [c.c_uint32]),
    "heed_dtype_bytes": (c.c_uint32, [c.c_uint32]),
    "heed_dlpack_view": (c.c_int32, [c.c_void_p, c.c_void_p, c.c_void_p]),
    "heed_dlpack_export": (c.c_void_p, [c.c_void_p, c.c_void_p, c.c_void_p, c.c_void_p]),
    "heed_npy_read": (c.c_int32, [c.c_char_p, c.c_void_p, c.c_void_p]),
    "heed_npy_write": (c.c_int32, [c.c_char_p, c.c_void_p, c.c_void_p]),
    "heed_weights_open": (c.c_void_p, [c.c_char_p, c.c_void_p]),
    "heed_weights_close": (None, [c.c_void_p]),
    "heed_weights_random": (c.c_void_p, [c.c_void_p, c.c_char_p, c.c_uint64, c.c_void_p]),
    "heed_weights_count": (c.c_uint32, [c.c_void_p]),
    "heed_weights_name": (c.c_char_p, [c.c_void_p, c.c_uint32]),
    "heed_weights_find": (c.POINTER(heed_tensor), [c.c_void_p, c.c_char_p]),
    "heed_weights_metadata": (c.c_char_p, [c.c_void_p, c.c_char_p]),
    "heed_stack_open": (c.c_void_p, [c.c_void_p, c.c_char_p, c.c_void_p, c.c_void_p]),
    "heed_stack_close": (None, [c.c_void_p]),
    "heed_stack_spec": (c.c_char_p, [c.c_void_p]),
    "heed_stack_number": (c.c_int64, [c.c_void_p, c.c_char_p]),
    "heed_stack_outputs": (c.c_int64, [c.c_void_p]),
    "heed_group_spread": (c.c_int32, [c.c_void_p, c.c_void_p, c.c_void_p]),
    "heed_session_new": (c.c_void_p, [c.c_void_p, c.c_void_p]),
    "heed_session_free": (None, [c.c_void_p]),
    "heed_session_encode": (c.c_int32, [c.c_void_p, c.c_void_p, c.c_int64, c.c_void_p]),
    "heed_session_feed": (c.c_int32, [c.c_void_p, c.c_void_p, c.c_int64, c.c_void_p, c.c_int64, c.c_void_p]),
    "heed_session_feed_types": (c.c_int32, [c.c_void_p, c.c_void_p, c.c_void_p, c.c_int64, c.c_void_p, c.c_int64, c.c_void_p]),
    "heed_session_feed_many": (c.c_int32, [c.c_void_p, c.c_uint32, c.c_void_p, c.c_void_p, c.c_void_p, c.c_void_p]),
    "heed_session_sample": (c.c_int32, [c.c_void_p, c.c_void_p, c.c_double, c.c_double, c.c_void_p, c.c_void_p]),
    "heed_session_draw": (c.c_int32, [c.c_void_p, c.c_void_p, c.c_char_p, c.c_double, c.c_void_p, c.c_void_p]),
    "heed_session_ponder": (c.c_int64, [c.c_void_p, c.c_uint32, c.c_void_p, c.c_void_p]),
    "heed_session_reset": (c.c_int32, [c.c_void_p, c.c_void_p]),
    "heed_session_length": (c.c_int64, [c.c_void_p]),
    "heed_session_fork": (c.c_void_p, [c.c_void_p, c.c_void_p]),
    "heed_session_truncate": (c.c_int32, [c.c_void_p, c.c_int64, c.c_void_p]),
    "heed_tree_read": (c.c_void_p, [c.c_void_p, c.c_void_p, c.c_void_p, c.c_int64, c.c_void_p, c.c_void_p]),
    "heed_tree_accept": (c.c_int32, [c.c_void_p, c.c_int64, c.c_void_p]),
    "heed_tree_free": (None, [c.c_void_p]),
    "heed_prefixes_new": (c.c_void_p, [c.c_void_p, c.c_uint32, c.c_void_p]),
    "heed_prefixes_free": (None, [c.c_void_p]),
    "heed_prefixes_put": (c.c_int32, [c.c_void_p, c.c_void_p, c.c_void_p, c.c_int64, c.c_void_p]),
    "heed_prefixes_take": (c.c_void_p, [c.c_void_p, c.c_void_p, c.c_int64, c.c_void_p, c.c_void_p]),
    "heed_prefixes_drop": (c.c_int32, [c.c_void_p]),
    "heed_session_save": (c.c_int64, [c.c_void_p, c.c_void_p, c.c_uint64, c.c_void_p]),
    "heed_session_load": (c.c_int32, [c.c_void_p, c.c_void_p, c.c_uint64, c.c_void_p]),
    "heed_trainer_new": (c.c_void_p, [c.c_void_p, c.c_char_p, c.c_void_p, c.c_void_p, c.c_void_p]),
    "heed_trainer_free": (None, [c.c_void_p]),
    "heed_trainer_learn": (
        c.c_int32,
        [c.c_void_p, c.c_void_p, c.c_void_p, c.c_int64, c.c_int64, c.c_double, c.c_void_p, c.c_void_p],
    ),
    "heed_trainer_learn_batch": (c.c_int32, [c.c_void_p, c.c_void_p, c.c_double, c.c_void_p, c.c_void_p]),
    "heed_trainer_remember": (c.c_int32, [c.c_void_p, c.c_int64, c.c_void_p]),
    "heed_trainer_step": (c.c_int32, [c.c_void_p, c.c_double, c.c_void_p, c.c_void_p]),
    "heed_trainer_scale": (c.c_int32, [c.c_void_p, c.c_char_p, c.c_double, c.c_void_p]),
    "heed_trainer_weigh": (c.c_int32, [c.c_void_p, c.c_int64, c.c_int64, c.c_double, c.c_void_p]),
    "heed_trainer_forget": (None, [c.c_void_p]),
    "heed_trainer_loss": (c.c_int32, [c.c_void_p, c.c_void_p, c.c_void_p, c.c_int64, c.c_int64, c.c_void_p, c.c_void_p]),
    "heed_trainer_loss_batch": (c.c_int32, [c.c_void_p, c.c_void_p, c.c_void_p, c.c_void_p, c.c_void_p]),
    "heed_group_train": (c.c_int32, [c.c_void_p, c.c_void_p, c.c_void_p]),
    "heed_trainer_steps": (c.c_int64, [c.c_void_p]),
    "heed_trainer_weights": (c.c_void_p, [c.c_void_p]),
    "heed_trainer_gradient": (c.POINTER(heed_tensor), [c.c_void_p, c.c_char_p]),
    "heed_trainer_stack": (c.c_void_p, [c.c_void_p]),
    "heed_trainer_save": (c.c_int32, [c.c_void_p, c.c_char_p, c.c_char_p, c.c_void_p]),
    "heed_trainer_load": (c.c_int32, [c.c_void_p, c.c_char_p, c.c_void_p]),
    "heed_trainer_export": (c.c_int32, [c.c_void_p, c.c_char_p, c.c_uint32, c.c_void_p]),
    "heed_tokenizer_open": (c.c_void_p, [c.c_char_p, c.c_void_p]),
    "heed_tokenizer_close": (None, [c.c_void_p]),
    "heed_tokenizer_encode": (c.c_int64, [c.c_void_p, c.c_char_p, c.c_uint64, c.c_uint32, c.c_uint64, c.c_void_p, c.c_void_p]),
    "heed_tokenizer_decode": (c.c_int64, [c.c_void_p, c.c_void_p, c.c_uint64, c.c_uint32, c.c_void_p, c.c_void_p]),
    "heed_tokenizer_chat": (c.c_int64, [c.c_void_p, c.c_char_p, c.c_char_p, c.c_uint64, c.c_void_p, c.c_void_p]),
    "heed_sentence_spec": (
        c.c_int64,
        [c.c_void_p, c.c_char_p, c.c_char_p, c.c_int32, c.c_void_p, c.c_uint64, c.c_void_p, c.c_void_p],
    ),
}
