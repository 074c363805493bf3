# SPDX-License-Identifier: MIT OR Apache-2.0
"""Tables, JSON files and figures in one style."""

from __future__ import annotations

import json
from datetime import date
from math import ceil
from typing import TYPE_CHECKING

import matplotlib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from typing import Any

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .setting import Setting


matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

# Okabe and Ito's colours, told apart by everybody; the teacher is black.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
TEACHER_COLOR = "black"

plt.rcParams.update(
    {
        "figure.dpi": 130,
        "figure.constrained_layout.use": True,
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 9,
        "legend.frameon": False,
        "lines.linewidth": 1.4,
    }
)


def color(index: int) -> str:
    """The colour of model `index`."""
    return COLORS[index % len(COLORS)]


def panels(
    count: int, most: int, xlabel: str, ylabel: str, size: tuple[float, float], **options: Any
) -> tuple[Figure, Sequence[Axes]]:
    """A figure with `count` panels of a size (inches) in rows of at most `most`, and the panels.

    The last row is as full as can be; axes are named at the left and below.
    """
    rows = ceil(count / most)
    columns = ceil(count / rows)
    size = size[0] * columns, size[1] * rows
    figure, grid = plt.subplots(rows, columns, sharex=True, squeeze=False, figsize=size, **options)
    for axis in grid.flat[count:]:
        axis.set_visible(False)
    for axis in grid[:, 0]:
        axis.set_ylabel(ylabel)
    # The last one of each column.
    for axis in grid.flat[count - columns : count]:
        axis.set_xlabel(xlabel)
        axis.tick_params(labelbottom=True)
    return figure, grid.flat[:count]


def legend(figure: Figure, panel: Axes) -> None:
    """Names what is drawn in a panel, below all of them."""
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))


def table(header: Sequence[str], rows: list[list]) -> str:
    """Rows as aligned text, numbers to the right."""
    rows = [[cell if isinstance(cell, str) else number(cell) for cell in row] for row in rows]
    widths = [max(len(row[k]) for row in [header, *rows]) for k in range(len(header))]
    numeric = [all(looks_numeric(row[k]) for row in rows) for k in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric)
        ).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, rows)])


def number(value: Any) -> str:
    """A number with three digits; "–" for None and NaN."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, (int, np.integer)):
        return str(value)
    value += 0.0  # -0 is 0
    return f"{value:.3g}" if abs(value) < 1e5 else f"{value:.3e}"


def verdict(fine: bool) -> str:
    """Whether a requirement is met, as tables say it."""
    return "ok" if fine else "NOT MET"


def looks_numeric(text: str) -> bool:
    """Whether a cell's text is a number."""
    return text == "–" or text.lstrip("+-")[:1].isdigit() or text.startswith(("inf", "-inf"))


def left_out(
    names: Sequence[str], reason: str = "not all know their elements", shown: int = 12
) -> str:
    """A sentence for the notes; "" where nothing was left out."""
    if not names:
        return ""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"Left out, as {reason}: {', '.join(names[:shown])}{more}."


def finish(
    setting: Setting,
    name: str,
    title: str,
    notes: Iterable[str],
    tables: Iterable[str],
    values: dict[str, Any],
    figure: Figure | None = None,
) -> dict[str, Any]:
    """Prints the tables, writes JSON, PNG and this property's part of the report.

    Notes are several texts; empty ones are left out. Returns what the JSON file holds.
    """
    notes = " ".join(filter(None, notes))
    text = "\n\n".join(tables)
    print(f"\n== {title}\n\n{notes}\n\n{text}\n", flush=True)
    values = {
        "property": name,
        "date": date.today().isoformat(),
        "quick": setting.quick,
        "notes": notes,
        **values,
    }
    (setting.out / f"{name}.json").write_text(json.dumps(plain(values), indent=1) + "\n")
    lines = [f"## {title}", "", notes, "", "```text", text, "```", ""]
    if figure is not None:
        figure.savefig(setting.out / f"{name}.png")
        plt.close(figure)
        lines += [f"![{title}]({name}.png)", ""]
    (setting.out / f"{name}.md").write_text("\n".join(lines))
    return values


def plain(value: Any) -> Any:
    """A value for JSON: without numpy, and null in place of NaN and infinity."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    return None if isinstance(value, float) and not np.isfinite(value) else value


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """The result of `make`, kept in a JSON file: it is made once, also when a run is started
    again.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        value = json.dumps(plain(make()))
        # A file that is there is whole.
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(value)
        unfinished.rename(path)
    return json.loads(path.read_text())
