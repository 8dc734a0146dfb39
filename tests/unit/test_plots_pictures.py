"""Pictures: which are written, that they are pictures, and how axes are chosen."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from transformer_e2e.plots.canvas import count_ticks, new_figure
from transformer_e2e.plots.curves import draw_curves
from transformer_e2e.plots.importance import importance
from transformer_e2e.plots.point import SweepPoint
from transformer_e2e.plots.scale import label, readable_limits, scale_of
from transformer_e2e.plots.sweep import plot_sweep

PNG = b"\x89PNG\r\n\x1a\n"


def points(count: int) -> list[SweepPoint]:
    return [
        SweepPoint(
            name=f"trial-{n}",
            settings={"learning_rate": 10.0 ** (-n / 9 - 1), "schedule": "wsd" if n % 2 else "cosine"},
            value=3.0 + n / 10,
            finished=n != 1,
            number=n + 1,
            ended=n / 10,
            curve=[(10 * step, 3.0 + n / 10 + 1 / step) for step in range(1, 5)],
        )
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "names"),
    [
        (0, set()),
        (1, {"curves.png"}),
        (4, {"curves.png", "progress.png", "settings.png", "parallel.png"}),
        (20, {"curves.png", "progress.png", "settings.png", "parallel.png", "importance.png"}),
    ],
)
def test_a_sweep_gets_the_pictures_that_its_trials_allow(tmp_path: Path, count: int, names: set[str]):
    done = plot_sweep(points(count), "eval/loss", "minimize", tmp_path / "new")
    assert {path.name for path in done.paths} == names
    assert all(path.read_bytes().startswith(PNG) for path in done.paths)
    assert len(list(tmp_path.rglob("*.*"))) == len(names)  # no draft stays behind


def test_a_trial_beyond_the_axis_is_marked_at_its_edge(tmp_path: Path):
    def legend(*trials: SweepPoint) -> list[str]:
        (axis,) = draw_curves(trials, "eval/loss").axes
        return [text.get_text() for text in axis.get_legend().get_texts()]

    stopped = replace(points(1)[0], name="stopped", finished=False, curve=[(10, 60.0)])
    assert "beyond the axis (1)" in legend(*points(8), stopped)
    assert not any("beyond" in line for line in legend(*points(8)))


def test_odd_trials_do_not_keep_a_sweep_from_its_pictures(tmp_path: Path):
    odd = [
        SweepPoint(name="none", settings={"a": 1}, value=None, finished=False),
        SweepPoint(name="nan", settings={"a": 2}, value=math.nan, finished=False),
        SweepPoint(name="missing", settings={"a": None}, value=2.0, finished=True),
        SweepPoint(name="text", settings={"a": "b"}, value=1.0, finished=True, curve=[(1, math.inf)]),
    ]
    done = plot_sweep(odd, "eval/f1", "maximize", tmp_path)
    assert {path.name for path in done.paths} == {"settings.png", "parallel.png"}  # no curve, no number
    assert done.notes == ("importance.png is drawn from 8 finished trials on; there are 2",)


def test_importance_of_an_earlier_look_does_not_outlive_its_reason(tmp_path: Path):
    (tmp_path / "importance.png").write_bytes(PNG)
    plot_sweep(points(4), "eval/loss", "minimize", tmp_path)
    assert not (tmp_path / "importance.png").exists()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1e-4, 1e-3, 2e-3, 3e-2], "log"),
        ([0.003, 0.09, 0.12, 0.1, 0.14, 0.066, 0.15], "linear"),  # uniform, by chance over a decade
        ([0.1, 0.2, 0.3], "linear"),
        ([0.0, 0.1, 0.1], "category"),
        ([64, 96, 64], "category"),
        (["cosine", "wsd"], "category"),
        ([True, False], "category"),
        ([None, 1.0], "category"),
    ],
)
def test_an_axis_suits_its_values(values: list, kind: str):
    assert scale_of(values).kind == kind


def test_positions_on_a_log_axis_go_by_ratio():
    scale = scale_of([1e-4, 1e-3, 3e-3, 1e-2])
    assert scale.fraction(1e-3, 1e-4, 1e-2) == pytest.approx(0.5)
    assert scale.fraction(1e-3, 1e-3, 1e-3) == 0.5


def test_numbers_are_written_as_people_write_them():
    written = [label(value) for value in (3e-4, 0.15, 64, True, "wsd", 0.0)]
    assert written == [
        "3e-04",
        "0.15",
        "64",
        "true",
        "wsd",
        "0",
    ]


def test_long_names_are_shortened_and_still_told_apart():
    """Written out, one of them pushed the panels apart and ran into the next axis of parallel.png."""
    long = ["Salesforce/some-long-tokenizer", "Salesforce/some-log-tokenizer", "bytes"]
    scale = scale_of(long)
    assert scale.position("bytes") == 2.0 and scale.shown[2] == "bytes"
    assert len(set(scale.shown)) == 3 and scale.shown[0].startswith("Sales") and "…" in scale.shown[0]
    assert [text for _, text in scale.ticks(0, 2)] == list(scale.shown)
    assert max(map(len, scale_of(["a" * 60, "b" * 60]).shown)) <= 16


@pytest.mark.parametrize("last", [1, 3, 7, 48, 20_000])
def test_ticks_of_steps_are_whole_numbers_and_none_is_written_twice(last: int):
    figure, axes = new_figure(4, 3)
    axes[0, 0].plot([0, last], [1.0, 2.0])
    count_ticks(axes[0, 0])
    figure.canvas.draw()
    texts = [text.get_text() for text in axes[0, 0].get_xticklabels()]
    assert len(set(texts)) == len(texts) >= 2
    assert all(place == int(place) for place in axes[0, 0].get_xticks())


def test_one_diverged_trial_does_not_flatten_the_others():
    low, high = readable_limits([3.0, 3.1, 3.2, 3.3, 900.0])
    assert low < 3.0 and 3.3 < high < 5
    assert readable_limits([2.0])[0] < 2.0 < readable_limits([2.0])[1]


def test_importance_finds_the_setting_that_matters_and_says_how_sure_it_is():
    settings = [{"matters": n / 24, "noise": (n * 7) % 24, "constant": 1} for n in range(24)]
    found = importance(settings, [row["matters"] for row in settings])
    assert found is not None and set(found.shares) == {"matters", "noise"} and found.trials == 24
    assert found.shares["matters"].share > 0.8 and found.explained > 0.5
    assert sum(share.share for share in found.shares.values()) == pytest.approx(1.0)
    assert all(0 <= share.low <= share.share <= share.high <= 1 for share in found.shares.values())


def test_importance_is_not_guessed_from_few_trials_equal_ones_or_chance():
    settings = [{"a": n, "b": (n * 5) % 7} for n in range(16)]
    assert importance(settings[:7], list(range(7))) is None
    assert importance([{"a": 1}] * 9, [1.0] * 9) is None
    draw = random.Random(3)
    assert importance(settings, [draw.random() for _ in settings]) is None
