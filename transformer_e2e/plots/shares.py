"""The picture of what mattered in a sweep."""

from __future__ import annotations

from pathlib import Path

from transformer_e2e.plots.canvas import CALM, INK, new_figure, write
from transformer_e2e.plots.importance import ROUNDS, Importance


def plot_shares(found: Importance, metric: str, left_out: int, path: Path) -> Path:
    """Bars with whiskers, and in words what they are and how far to trust them."""
    figure, axes = new_figure(8, 1.9 + 0.36 * len(found.shares))
    axis = axes[0, 0]
    ordered = sorted(found.shares.items(), key=lambda item: item[1].share)
    for place, (_, share) in enumerate(ordered):
        axis.barh(place, share.share, color=CALM, height=0.55)
        axis.plot(
            [share.low, share.high], [place, place], color="black", linewidth=1.3, marker="|", markersize=7
        )
        axis.text(
            share.high + 0.012,
            place,
            f"{share.share:.0%}" if share.share > 0.005 else "under 1%",
            fontsize=8.5,
            va="center",
        )
    axis.set_yticks(range(len(ordered)), [name for name, _ in ordered], fontsize=9)
    axis.set_xlim(0, 1.08 * max(share.high for _, share in ordered) + 0.03)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.grid(False, axis="y")
    axis.set_title(f"What decided {metric}", fontsize=11, fontweight="bold", loc="left")
    others = f"; {left_out} that were pruned or failed are left out" if left_out else ""
    note = (
        f"Share of the prediction that is lost when one setting is shuffled (random forest, judged on trials "
        f"that it has not seen).\nWhiskers: 8 of 10 of {ROUNDS} random splits. From {found.trials} finished "
        f"trials{others}.\n"
        f"The settings predict {found.explained:.0%} of the differences in rank"
        + (": a hint at most." if found.explained < 0.3 or found.trials < 20 else ".")
    )
    figure.supxlabel(note, fontsize=8, color=INK, x=0.01, ha="left")
    return write(figure, path)
