"""A profile as an image, by Matplotlib (the extra ``plot``)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from litert.errors import MissingExtraError, OptionError
from litert.printing import count
from litert.profiling.table import place_of, shortened

if TYPE_CHECKING:
    from litert.profiling.profile import Profile

# Apart also for eyes that cannot tell red from green.
_COLOURS = {"XNNPACK": "#3b75af", "builtin": "#e08a2e"}
_LABELS = {"XNNPACK": "on XNNPACK", "builtin": "on builtin kernels"}
_NAME_LENGTH = 44
_WIDTH_INCHES = 10.0
_BAR_INCHES = 0.28
_FRAME_INCHES = 1.5  # title, legend and axis


def plot_operators(profile: Profile, path: str | os.PathLike[str], max_bars: int) -> None:
    """Draw what ``Profile.plot`` says."""
    shown = profile.operators[: max(1, max_bars)]
    try:
        # Not pyplot, which has global state and may open windows.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch
    except ModuleNotFoundError as err:
        raise MissingExtraError(
            "a plot needs Matplotlib: pip install 'litert-native[plot]'"
        ) from err
    rows, widths = range(len(shown)), [operator.run_us for operator in shown]
    height = _FRAME_INCHES + _BAR_INCHES * max(2, len(shown))
    figure = Figure(figsize=(_WIDTH_INCHES, height), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    bars = axes.barh(rows, widths, color=[_COLOURS[one.kernels] for one in shown], height=0.75)
    axes.bar_label(
        bars, [f"{one.run_us:,.1f}  ({one.share:.1%})" for one in shown], padding=4, fontsize=8
    )
    labels = [f"{_literal(shortened(one.name, _NAME_LENGTH))}  {place_of(one)}" for one in shown]
    axes.set_yticks(rows, labels, fontsize=8)
    axes.set_ylim(max(2, len(shown)) - 0.4, -0.6)  # the slowest on top
    axes.set_xlim(0, 1.18 * max(widths, default=0) or 1)  # room for the numbers
    axes.set_xlabel("microseconds of a run")
    axes.xaxis.grid(True, color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.suptitle(_title(profile, len(shown)), x=0.01, ha="left", fontsize=11)
    if shown:
        # Above the bars, where it covers none.
        axes.legend(
            handles=[
                Patch(color=_COLOURS[row.kernels], label=f"{_LABELS[row.kernels]}: {row.share:.1%}")
                for row in profile.placement
                if row.kernels in _COLOURS and row.num_operators
            ],
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncol=2,
            frameon=False,
            fontsize=9,
        )
    try:
        canvas.print_figure(path, dpi=150)
    except ValueError as err:
        raise OptionError(f"path: cannot plot to {os.fspath(path)!r}: {err}") from err


def _title(profile: Profile, num_shown: int) -> str:
    if not num_shown:
        return "No runs were recorded"
    num_all, num_runs = len(profile.operators), profile.num_runs
    if num_shown < num_all:
        which = f"the {num_shown} slowest of {num_all} operators"
    else:
        which = count(num_all, "operator")
    runs = "1 run" if num_runs == 1 else f"mean of {num_runs:,} runs"
    threads = count(profile.num_threads, "thread")
    return f"Where the {profile.run_us:,.0f} us of a run go: {which} ({runs}, {threads})"


def _literal(text: str) -> str:
    """Keep Matplotlib from reading a formula between dollar signs."""
    return text.replace("$", r"\$")
