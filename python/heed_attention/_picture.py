# SPDX-License-Identifier: MIT
"""_picture.py: rows as a table, and bars by matplotlib where that is installed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns that are as wide as their longest word; all but the first two are flush right."""
    width = [max(map(len, column)) for column in zip(head, *rows)]
    return "\n".join(
        "  ".join(
            word.ljust(n) if i < 2 else word.rjust(n) for i, (word, n) in enumerate(zip(row, width))
        ).rstrip()
        for row in [head, *rows]
    )


def bars(
    title: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[float]],
    unit: str,
    path: str | os.PathLike[str] | None,
) -> Any:
    """A figure with a bar for each label and series, written to `path` if there is one: the ending
    of its name says in which format. Raises ImportError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            "a picture needs matplotlib, which can not be imported here: pip install matplotlib"
        ) from None
    each = len(series) * 0.22 + 0.18
    figure = Figure(figsize=(9, 1.2 + each * len(labels)), layout="constrained")
    axes = figure.add_subplot()
    height = 0.8 / max(len(series), 1)
    for i, (name, values) in enumerate(series.items()):
        places = [at + (i + 0.5) * height - 0.4 for at in range(len(labels))]
        drawn = axes.barh(places, values, height * 0.9, label=name)
        axes.bar_label(drawn, fmt="%.3g", padding=3, fontsize=8)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.set_title(title, fontsize=10)
    axes.margins(x=0.12)
    if len(series) > 1:
        axes.legend(fontsize=8)
    if path is not None:
        figure.savefig(os.fspath(path))
    return figure
