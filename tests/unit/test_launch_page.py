"""The page about a sweep: whole in one file, safe from what trials are called, with commands that work."""

from __future__ import annotations

import shlex
from html.parser import HTMLParser
from pathlib import Path

from transformer_e2e.config.parse import resolve
from transformer_e2e.config.settings import Settings
from transformer_e2e.launch.page import reproduce, write_page
from transformer_e2e.launch.sweep import SweepPath
from transformer_e2e.launch.trials import TrialRow
from transformer_e2e.plots.canvas import new_figure, write
from transformer_e2e.scripts.train import build_parser


class Page(HTMLParser):
    """Which addresses a page names, and whether its elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def trial(name: str, value: float | None, outcome: str = "finished", **settings: object) -> TrialRow:
    counted = {**Settings().flat(), **settings}
    return TrialRow(
        run=name, run_id=name, outcome=outcome, value=value, settings=counted, started=0.0, ended=75.0
    )


def test_the_page_is_one_file_that_needs_nothing_else(tmp_path: Path) -> None:
    picture = write(new_figure(1, 1)[0], tmp_path / "s" / "curves.png")
    (tmp_path / "good.png").write_bytes(picture.read_bytes())
    rows = [
        trial("<script>alert(1)</script>", None, "failed"),
        trial("good", 2.5, learning_rate=1e-3, plot_dir=str(tmp_path)),
        trial("pruned", 2.4, "pruned", learning_rate=2e-3),
    ]
    path = SweepPath("local", "p", "s")
    page = write_page(
        tmp_path / "s", path, rows, ["learning_rate"], ("eval/loss", "minimize"), [picture], ["a <note>"]
    )
    content = Page(page.read_text())
    assert content.open == []
    assert [address for address in content.addresses if not address.startswith("data:image/png;base64,")] == [
        "../good.png"
    ]
    text = " ".join(content.texts)
    assert "<script>alert(1)</script>" in text and "a <note>" in text  # as words, not as elements
    assert "--artifact local/p/model-good:best" in text  # of the best that finished
    assert "3 trials: " in text and "1:15" in text


def test_the_command_that_trains_the_best_again_gives_its_very_settings(tmp_path: Path) -> None:
    row = trial("best", 1.0, learning_rate=1.5e-3, dropout=0.25, dataset="my texts/a b.txt", device="cpu")
    command = reproduce(row.settings)
    assert command is not None
    args, unknown = build_parser().parse_known_args(shlex.split(command)[3:])
    flags = {
        name: value for name, value in vars(args).items() if name not in ("mode", "config", "print_config")
    }
    counted = resolve(flags, unknown, None).settings.counted()
    assert {name: row.settings[name] for name in counted} == counted
    assert reproduce({"lr": 1}) is None


def test_a_sweep_without_a_finished_trial_has_a_page_too(tmp_path: Path) -> None:
    path = SweepPath("local", "p", "s", "http://127.0.0.1:1/local/p/sweeps/s")
    page = write_page(tmp_path, path, [trial("a", None, "running")], [], ("eval/loss", "minimize"), [], [])
    content = Page(page.read_text())
    assert "No trial has finished yet." in content.texts and content.addresses == [path.url]
