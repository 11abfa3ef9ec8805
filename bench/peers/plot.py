#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draws a record of bench/peers/run --json as bars: the time of each peer over heed's, case by case, as an SVG.

    bench/peers/plot.py peers.json >docs/peers.svg
"""
import json
import sys
from xml.sax.saxutils import escape

WIDTH, LEFT, BAR, GAP, TOP = 860, 330, 13, 9, 64
COLOURS = "#9400d3", "#009e73", "#56b4e9", "#e69f00", "#0072b2", "#d55e00"


def text(x, y, words, **more):
    attributes = "".join(f' {k.replace("_", "-")}="{v}"' for k, v in more.items())
    return f'<text x="{x}" y="{y}"{attributes}>{escape(words)}</text>'


def bars(case, y, names, scale):
    """The lines of one case, and where the next one begins. heed's own bar would be 1 long: the rule is there."""
    yield text(LEFT - 8, y + BAR * len(case["peers"]) / 2 + 4, f"{case['spec']}  {case['shape']}", text_anchor="end")
    for p in sorted(case["peers"], key=lambda p: names.index(p["name"])):
        colour = COLOURS[names.index(p["name"]) % len(COLOURS)]
        yield f'<rect x="{LEFT}" y="{y}" width="{p["ratio"] * scale:.1f}" height="{BAR - 2}" fill="{colour}"/>'
        yield text(LEFT + p["ratio"] * scale + 5, y + BAR - 3, f"{p['ratio']:.2f}")
        y += BAR


def draw(record):
    cases = [c for c in record["cases"] if c["peers"]]
    names = list(dict.fromkeys(p["name"] for c in cases for p in c["peers"]))
    scale = (WIDTH - LEFT - 60) / max([p["ratio"] for c in cases for p in c["peers"]] + [1])
    m, lines, y = record["machine"], [], TOP
    for c in cases:
        lines += bars(c, y, names, scale)
        y += BAR * len(c["peers"]) + GAP
    threads = max(c["threads"] for c in cases)
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 10}"'
           f' font-family="sans-serif" font-size="11">')
    yield f'<rect width="{WIDTH}" height="{y + 10}" fill="white"/>'
    yield text(12, 18, "time over heed's (the line: as fast as heed; longer bars: slower)", font_size=13)
    yield text(12, 35, f"{m['cpu']}, {threads} thread{'s'[threads == 1:]}, {m['date'][:10]}, timed on hardware")
    for i, name in enumerate(names):
        x = 12 + 190 * i
        yield f'<rect x="{x}" y="43" width="11" height="11" fill="{COLOURS[i % len(COLOURS)]}"/>'
        yield text(x + 16, 53, f"{name} {record['peers'].get(name, '')}")
    yield from lines
    yield f'<line x1="{LEFT + scale:.1f}" x2="{LEFT + scale:.1f}" y1="{TOP - 4}" y2="{y}" stroke="black"/>'
    yield "</svg>"


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: bench/peers/plot.py RECORD.json >PICTURE.svg")
    try:
        with open(sys.argv[1]) as f:
            record = json.load(f)
    except (OSError, ValueError) as e:
        sys.exit(f"plot.py: {sys.argv[1]}: {e}")
    if not isinstance(record, dict) or record.get("schema") != "heed.peers/1":
        sys.exit(f"plot.py: {sys.argv[1]} is no record of bench/peers/run --json")
    if not any(c["peers"] for c in record["cases"]):
        sys.exit(f"plot.py: {sys.argv[1]} has no case with a peer")
    if record["machine"].get("emulator"):
        sys.exit(f"plot.py: {sys.argv[1]} was made under an emulator, whose times tell nothing")
    print("\n".join(draw(record)))


if __name__ == "__main__":
    main()
