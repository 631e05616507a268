"""Draw a series: a panel for each figure, the same picture for the same points."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

PANEL_INCHES = (3.6, 3.0)
LINE, LIMIT = "#1f5fa8", "#b03030"
WIDE = 8.0
"""A figure whose largest point is so many times its smallest has a logarithmic axis."""
STYLE = {
    "svg.hashsalt": "understudy",  # else the names within the picture are random
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.alpha": 0.3,
}


def is_wide(values: list[float]) -> bool:
    """Whether an axis for these is to be logarithmic; nothing is logarithmic that has a zero."""
    return min(values) > 0 and max(values) / min(values) >= WIDE


def draw(result: Mapping[str, Any], picture: Path) -> None:
    """Write a series as JSON keeps it as an SVG; needs the extra "bench" (requirements-bench.lock)."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    figures = result["figures"]
    sizes = [point["size"] for point in result["points"]]
    with mpl.rc_context(STYLE):
        page = Figure(figsize=(PANEL_INCHES[0] * len(figures), PANEL_INCHES[1]), layout="constrained")
        page.suptitle(result["title"], fontsize=10)
        for panel, figure in zip(page.subplots(1, len(figures), squeeze=False)[0], figures, strict=True):
            values = [point[figure["name"]] for point in result["points"]]
            shown = values if figure["limit"] is None else [*values, figure["limit"]]
            panel.plot(sizes, values, marker="o", markersize=4, color=LINE)
            for size, value in zip(sizes, values, strict=True):
                panel.annotate(f"{value:.3g}", (size, value), textcoords="offset points", xytext=(0, 6), ha="center")
            if figure["limit"] is not None:
                panel.axhline(figure["limit"], color=LIMIT, linestyle="--", linewidth=1)
                panel.annotate(
                    "limit", (sizes[0], figure["limit"]), color=LIMIT, xytext=(0, 3), textcoords="offset points"
                )
            if is_wide(shown):
                panel.set_yscale("log")
            else:
                panel.set_ylim(0, max(shown) * 1.2)
            if is_wide(sizes):
                panel.set_xscale("log")
            panel.set_xticks(sizes)
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
                axis.set_minor_formatter(NullFormatter())
            panel.margins(x=0.1)
            panel.set_xlabel(result["by"])
            panel.set_ylabel(figure["label"])
        picture.parent.mkdir(parents=True, exist_ok=True)
        page.savefig(picture, format="svg", metadata={"Date": None})
