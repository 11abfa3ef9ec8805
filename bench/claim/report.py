# SPDX-License-Identifier: MIT
"""docs/claims.md and docs/claims.svg from the records: nothing in them is written by hand."""
import html

from speeds import ROUNDS, SPEEDS
from table import CLAIMS, RATES, SEEDS, cited

HEAD = """# What the papers say, trained again on a small machine

Made by `bench/claims --report` from the records in `bench/claim/records/`; `bench/claims NAME` runs a claim, and
`bench/claims --again NAME` runs its record once more and compares the files bit by bit. Each claim was written down, with its
margin, before its first result (`bench/claim/table.py`).

Two byte-level networks, whose parameters stand behind their names, are trained on the same tokens; each one's learning rate is the
best of {rates} on one seed, and the comparison is of {seeds} other seeds. The text, unless said otherwise, is the one of
Debian's package fortunes, 2.4 MB of quotations; texts of sums, brackets and pairs to recall are made by a seed
(`bench/claim/texts.py`); lines with a class are of the same package, and pairs of paragraphs of Debian's manual pages. What is
compared is bits per byte of the tenth of the text that is held out, unless said otherwise; the difference is that of the
second arm less the first, with its 95 % interval, paired by seed. *undecided*: the interval lies on both sides of the margin;
behind it stands how many seeds it would take at the spread that these have, if the mean stayed. What holds at this size need
not hold at another.

![differences with their intervals](claims.svg)

| claim | source | first; second | measured | difference | margin | verdict |
|---|---|---|---|---|---|---|
"""


def measured(claim):
    """What is compared, where it is not bits per byte."""
    what = claim.first.measure or {"classify": "share of errors", "pairs": "bits per byte of the targets"}.get(claim.task)
    return f" ({what})" if what else ""


def line(study):
    c = study.claim
    (a, b), (mean, half) = study.means(), study.difference()
    margin = f"within {c.margin:g}" if c.kind == "equal" else f"above {c.margin:g}"
    thousands = [f"{study.find(arm, SEEDS[0]).get('parameters', 0) / 1000:.0f}k" for arm in (c.first, c.second)]
    return (f"| `{c.name}`: {c.says} | {cited(c)} | {c.first.name}, {thousands[0]}; {c.second.name}, {thousands[1]} | "
            f"{a:.3f}; {b:.3f}{measured(c)} | {mean:+.3f} ± {half:.3f} | {margin} | **{study.verdict()}**"
            f"{', ' + study.would_tell() if study.verdict() == 'undecided' else ''} |\n")


TIMED = """| claim | source | faster; slower | ratio | at least | verdict |
|---|---|---|---|---|---|
"""


def speed(timing):
    c, (ratio, low, high) = timing.claim, timing.ratio()
    return (f"| `{c.name}`: {c.says} | {cited(c)} | {c.faster.name}; {c.slower.name} | "
            f"{ratio:.2f} ({low:.2f} to {high:.2f}) | {c.least:g} | **{timing.verdict()}** |\n")


def speeds(timed):
    machines = sorted({t.record["machine"] for t in timed})
    text = f"""
## What a clock decides

A layer is its attention, its projections and a feed-forward, forward or, where the claim says so, as a step of training; one thread
of {' and '.join(machines)}. The ratio is that of the times, the mean of {ROUNDS} rounds with its 95 % interval; what papers
print are ratios of other machines and programs, and stand behind the source. `bench/claim/speeds.py` has shapes and ops.

"""
    return text + TIMED + "".join(map(speed, timed))


def page(studies, timed):
    text = HEAD.format(rates=", ".join(map(str, RATES)), seeds=len(SEEDS))
    text += "".join(line(s) for s in studies)
    minutes = sum(r["seconds"] for s in studies for r in s.record["runs"]) / 60
    text += f"\nAll {sum(len(s.record['runs']) for s in studies)} runs took {minutes:.0f} minutes.\n"
    if timed:
        text += speeds(timed)
    left = [c.name for c in (*CLAIMS, *SPEEDS) if c.name not in {s.claim.name for s in (*studies, *timed)}]
    if left:
        text += f"\nNot run yet: {', '.join(f'`{name}`' for name in left)}.\n"
    return text


def picture(studies):
    """A row a claim: its interval, cut at the edges, and the margin that it has to be beyond or within."""
    row, left, width, most = 22, 330, 420, 0.25

    def at(bits):
        return left + width * (min(most, max(-most, bits)) + most) / (2 * most)

    height = row * len(studies) + 60
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 130} {height}" '
           'font-family="sans-serif" font-size="12">',
           "<style>text{fill:#333}line{stroke:#666}.m{stroke:#c60;stroke-dasharray:3 2}.z{stroke:#bbb}circle{fill:#06c}"
           "@media(prefers-color-scheme:dark){text{fill:#ddd}line{stroke:#aaa}.z{stroke:#555}circle{fill:#6af}}</style>",
           f'<text x="{at(0)}" y="16" text-anchor="middle">the second less the first, in bits per byte or in the share of errors</text>',
           f'<line class="z" x1="{at(0)}" x2="{at(0)}" y1="24" y2="{height - 30}"/>']
    for i, s in enumerate(studies):
        (mean, half), y = s.difference(), 36 + row * i
        margins = (-s.claim.margin, s.claim.margin) if s.claim.kind == "equal" else (s.claim.margin,)
        out.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{html.escape(s.claim.name)}</text>')
        out += [f'<line class="m" x1="{at(m):.1f}" x2="{at(m):.1f}" y1="{y - 8}" y2="{y + 8}"/>' for m in margins]
        out.append(f'<line x1="{at(mean - half):.1f}" x2="{at(mean + half):.1f}" y1="{y}" y2="{y}"/>')
        out.append(f'<circle cx="{at(mean):.1f}" cy="{y}" r="3.5"/>')
        out.append(f'<text x="{left + width + 10}" y="{y + 4}">{s.verdict()}</text>')
    for bits in (-most, 0, most):
        out.append(f'<text x="{at(bits)}" y="{height - 10}" text-anchor="middle">{bits:+g}</text>')
    return "\n".join(out) + "\n</svg>\n"
