# SPDX-License-Identifier: MIT
"""What an arm of a claim is measured by, where that is not what training says itself."""
import array
import json
import struct
import sys


def tensors(path, ending):
    """{name: numbers} of a safetensors file's float32 tensors whose names end so, in the order of layers."""
    with open(path, "rb") as f:
        length, = struct.unpack("<Q", f.read(8))
        header, found = json.loads(f.read(length)), {}
        for name, entry in header.items():
            if name.endswith(ending):
                begin, end = entry["data_offsets"]
                f.seek(8 + length + begin)
                found[name] = array.array("f", f.read(end - begin))
                if sys.byteorder == "big":
                    found[name].byteswap()
    return {name: found[name] for name in sorted(found, key=lambda n: [int(w) if w.isdigit() else w for w in n.split(".")])}


def spans(path):
    """The mean span of each layer's heads, a share of the limit."""
    return [sum(min(1.0, max(0.0, z)) for z in layer) / len(layer) for layer in tensors(path, ".span").values()]


def lower_spans(model, score):
    layers = spans(model)
    return sum(layers[:len(layers) // 2]) / (len(layers) // 2)


def upper_spans(model, score):
    layers = spans(model)
    return sum(layers[-(len(layers) // 2):]) / (len(layers) // 2)


def mean_span(model, score):
    layers = spans(model)
    return sum(layers) / len(layers)


def mean_steps(model, score):
    """Layers that a token runs through until it halts."""
    return json.loads(score("--json"))["mean_steps"]


MEASURES = {
    "mean span of the lower half of the layers, of the limit": lower_spans,
    "mean span of the upper half of the layers, of the limit": upper_spans,
    "mean span, of the limit": mean_span,
    "layers a token": mean_steps,
}
