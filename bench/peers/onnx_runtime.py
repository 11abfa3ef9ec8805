# SPDX-License-Identifier: MIT
"""onnx_runtime.py: ONNX Runtime on its CPU provider: a model of one node for each operator that can do the case."""
import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from cases import bounds

name, version = "onnxruntime", ort.__version__
MICROSOFT = "com.microsoft"
TYPES = {"f32": TensorProto.FLOAT, "f16": TensorProto.FLOAT16}
options = ort.SessionOptions()


def start(settings):
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # threads that spin between calls would run while others are timed
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")


def form(case, op, domain, inputs, shape, constants=None, outputs=("out",), opset=23, shared=None,
         **attributes):
    """inputs: names to arrays, "" = left out; constants are initializers, which a session may pack beforehand; shared:
    outputs that are written where an input lies."""
    constants = constants or {}
    given = {n: a for n, a in inputs.items() if a is not None and n not in constants}
    node = helper.make_node(op, [n if a is not None else "" for n, a in inputs.items()], list(outputs), domain=domain,
                            **attributes)
    type_of = helper.np_dtype_to_tensor_dtype
    graph = helper.make_graph(
        [node], "case", [helper.make_tensor_value_info(n, type_of(a.dtype), a.shape) for n, a in given.items()],
        [helper.make_tensor_value_info(n, TYPES[case.dtype], shape if n == "out" else None) for n in outputs],
        [numpy_helper.from_array(a, n) for n, a in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)],
                              ir_version=11)
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    kept = [ort.OrtValue.ortvalue_from_numpy(a) for a in given.values()]
    for n, value in zip(given, kept):
        binding.bind_ortvalue_input(n, value)
    out = ort.OrtValue.ortvalue_from_shape_and_type(shape, case_dtype(case), "cpu")
    for n in outputs:
        if n == "out":
            binding.bind_ortvalue_output(n, out)
        elif shared:
            binding.bind_ortvalue_output(n, kept[list(given).index(shared[n])])
        else:
            binding.bind_output(n, "cpu")

    def run():
        session.run_with_iobinding(binding)

    run.keep = given, kept
    return run, lambda: out.numpy().astype(np.float32)


def case_dtype(case):
    return np.float16 if case.dtype == "f16" else np.float32


def attention(case):
    B, T, S, H, G, D = (case.size(a) for a in "BTSHGD")
    if case.decode:
        yield "GroupQueryAttention, a shared buffer", lambda: step(case)
        return
    q, k, v = (case.data[p].reshape(B, n, -1) for p, n in (("q", T), ("k", S), ("v", S)))
    qkv, see, shape = {"query": q, "key": k, "value": v}, case.allowed(), (B, T, H * D)
    plain = see is None or (case.causal and not case.window and not case.documents)
    mask = None if plain else see[None, None]
    bias = None if plain else np.where(mask, 0, np.finfo(case_dtype(case)).min).astype(case_dtype(case))
    read = lambda f: (f[0], lambda: f[1]().reshape(B, T, H, D))
    if G == H:
        yield "MultiHeadAttention", lambda: read(form(
            case, "MultiHeadAttention", MICROSOFT,
            {**qkv, "bias": None, "key_padding_mask": None, "attention_bias": bias}, shape, num_heads=H,
            unidirectional=int(plain and case.causal)))
    yield "Attention-23", lambda: read(form(
        case, "Attention", "", {**qkv, "attn_mask": mask}, shape, q_num_heads=H, kv_num_heads=G,
        is_causal=int(plain and case.causal)))
    if case.causal and not case.documents:
        past = np.zeros((B, G, 0, D), case_dtype(case))
        yield "GroupQueryAttention", lambda: read(form(
            case, "GroupQueryAttention", MICROSOFT,
            {**qkv, "past_key": past, "past_value": past, "seqlens_k": np.full(B, S - 1, np.int32),
             "total": np.array([S], np.int32)}, shape, outputs=("out", "present_key", "present_value"), num_heads=H,
            kv_num_heads=G, local_window_size=case.window or -1))
    if case.documents:
        yield "MultiHeadAttention, each document", lambda: each_document(case, qkv)
    if case.documents and T % case.documents == 0:  # equal ones are a batch
        n = T // case.documents
        batch = {p: a.reshape(case.documents, n, -1) for p, a in qkv.items()}
        yield "MultiHeadAttention, documents as a batch", lambda: read(form(
            case, "MultiHeadAttention", MICROSOFT, batch, (case.documents, n, H * D), num_heads=H,
            unidirectional=int(case.causal)))


def step(case):
    """One token behind a cache: its key and value are written into the buffer that holds the others."""
    B, T, S, H, G, D = (case.size(a) for a in "BTSHGD")
    new = {n: case.data[p][:, -T:].reshape(B, T, -1).copy() for n, p in (("query", "q"), ("key", "k"), ("value", "v"))}
    past = {f"past_{n}": np.ascontiguousarray(case.data[p].transpose(0, 2, 1, 3))
            for n, p in (("key", "k"), ("value", "v"))}
    run, read = form(
        case, "GroupQueryAttention", MICROSOFT,
        {**new, **past, "seqlens_k": np.full(B, S - 1, np.int32), "total": np.array([S], np.int32)}, (B, T, H * D),
        outputs=("out", "present_key", "present_value"),
        shared={"present_key": "past_key", "present_value": "past_value"}, num_heads=H, kv_num_heads=G)
    return run, lambda: read().reshape(B, T, H, D)


def recurrent(case):
    """The standard operator of opset 27, https://onnx.ai/onnx/operators/onnx__LinearAttention.html"""
    B, T, H, G, D, E = (case.size(a) for a in "BTHGDE")
    names = {"q": "query", "k": "key", "v": "value", "gate": "decay", "beta": "beta"}

    def make(first, last, past):
        packed = {names[n]: a[:, first:last].reshape(B, last - first, -1).copy() for n, a in case.data.items()}
        inputs = {n: packed.get(n) for n in ("query", "key", "value")} | {"past_state": past} | \
            {n: packed.get(n) for n in ("decay", "beta")}
        return form(case, "LinearAttention", "", inputs, (B, last - first, H * E), outputs=("out", "present_state"),
                    opset=27, update_rule=case.rule, q_num_heads=H, kv_num_heads=G, scale=1.0)

    def whole():
        past = state_after(case) if case.decode else None
        run, read = make(case.decode, case.decode + T, past)
        return run, lambda: read().reshape(B, T, H, E)

    yield "LinearAttention-27", whole


def state_after(case):
    """[B, G, D, E]: what the tokens before leave, by the rule in float64, so that it is no contender's own."""
    data = {n: a[:, :case.decode].astype(np.float64) for n, a in case.data.items()}
    S = np.zeros((case.size("B"), case.size("G"), case.size("D"), case.size("E")))
    for t in range(case.decode):
        k, v = data["k"][:, t], data["v"][:, t]
        if "gate" in data:
            S *= np.exp(data["gate"][:, t])[..., None, None]
        if "beta" in data:
            v = data["beta"][:, t][..., None] * (v - np.einsum("bgd,bgde->bge", k, S))
        S += k[..., :, None] * v[..., None, :]
    return S.astype(np.float32)


def each_document(case, qkv):
    H, D = case.size("H"), case.size("D")
    parts = [form(case, "MultiHeadAttention", MICROSOFT, {p: a[:, first:last].copy() for p, a in qkv.items()},
                  (1, last - first, H * D), num_heads=H, unidirectional=int(case.causal)) for first, last in bounds(case)]
    return (lambda: [run() for run, read in parts],
            lambda: np.concatenate([read() for run, read in parts], 1).reshape(1, case.size("T"), H, D))


def rope(case):
    B, T, H, D = (case.size(a) for a in "BTHD")
    angle = np.arange(T)[:, None] * 10000.0 ** (-np.arange(D // 2)[None, :] / (D // 2))
    inputs = {"x": case.data["x"].reshape(B, T, H * D), "positions": np.arange(T)[None, :],
              "cos": np.cos(angle).astype(np.float32), "sin": np.sin(angle).astype(np.float32)}

    def make():
        run, read = form(case, "RotaryEmbedding", MICROSOFT, inputs, (B, T, H * D), num_heads=H,
                         constants={n: inputs[n] for n in ("cos", "sin")})
        return run, lambda: read().reshape(B, T, H, D)

    yield "RotaryEmbedding", make


def offers(case):
    data = case.data
    if case.rule:
        yield from recurrent(case)
    elif case.kind == "attention/softmax":
        yield from attention(case)
    elif case.kind == "position/rope":
        yield from rope(case)
    elif case.kind == "linear/projection":
        weight = np.ascontiguousarray(data["weight"].T)
        yield "MatMul", lambda: form(case, "MatMul", "", {"x": data["x"], "weight": weight},
                                     (case.size("T"), case.size("N")), constants={"weight": weight})
    elif case.kind == "norm/rms":
        for op, domain in (("RMSNormalization", ""), ("SimplifiedLayerNormalization", "")):
            yield op, lambda op=op, domain=domain: form(
                case, op, domain, {"x": data["x"], "gain": data["gain"]}, data["x"].shape,
                constants={"gain": data["gain"]}, axis=-1, epsilon=1e-6)
    elif case.kind == "norm/layer":
        yield "LayerNormalization", lambda: form(
            case, "LayerNormalization", "", {n: data[n] for n in ("x", "gain", "bias")}, data["x"].shape,
            constants={n: data[n] for n in ("gain", "bias")}, axis=-1, epsilon=1e-5)


def forms(case):
    if case.dtype not in TYPES:
        return
    for label, make in offers(case):
        try:
            yield label, *make()
        except Exception as e:  # a type or an opset that this version has not: said, and the others go on
            print(f"  onnxruntime: {label} is not offered: {str(e).splitlines()[0][:100]}")
