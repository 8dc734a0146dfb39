"""What to generate: flags over the file, every text to the letter, every problem at once."""

from __future__ import annotations

import argparse
import io
import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest

from transformer_e2e.config.generation import GenerationSettings
from transformer_e2e.config.parse import add_settings, resolve_use
from transformer_e2e.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "transformer_e2e" / "configs" / "generate_config.yml"


def parse(*argv: str, text: str | None = None, folder: Path = Path()) -> GenerationSettings:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_settings(parser, {"generation": GenerationSettings})
    known, unknown = parser.parse_known_args(argv)
    config = None
    if text is not None:
        config = folder / "generate.yml"
        config.write_text(text)
    return resolve_use(GenerationSettings, vars(known), unknown, config)


def test_the_shipped_file_says_what_the_defaults_are() -> None:
    assert resolve_use(GenerationSettings, {}, [], SHIPPED) == GenerationSettings()
    names = {
        line.lstrip("# ").split(":")[0].lower() for line in SHIPPED.read_text().splitlines() if ":" in line
    }
    known = {item.name for item in fields(GenerationSettings) if item.name != "cache"}  # for comparisons
    assert known - {"project", "entity"} <= names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('PROMPT: " two  blanks "', (" two  blanks ",)),
        ('PROMPT: ""', ("",)),
        ("PROMPT: none", ("none",)),
        ('PROMPTS: ["a ", "b\\n"]', ("a ", "b\n")),
        ("PROMPT: [a, b]", ("a", "b")),
        ("SEED: 3", ("Return a",)),
    ],
)
def test_prompts_are_taken_to_the_letter(tmp_path: Path, text: str, expected: tuple[str, ...]) -> None:
    assert parse(text=text, folder=tmp_path).prompt == expected


def test_a_flag_may_be_repeated_and_replaces_the_whole_list(tmp_path: Path) -> None:
    settings = parse("--prompt= x ", "--prompt", "y", "--stop=.", text="PROMPTS: [a, b]", folder=tmp_path)
    assert settings.prompts() == [" x ", "y"]
    assert settings.stop == (".",)


def test_a_flag_makes_the_files_other_way_to_say_it_void(tmp_path: Path) -> None:
    settings = parse("--artifact=a", "--prompt=x", text="RUN_ID: r\nPROMPT_FILE: f", folder=tmp_path)
    assert (settings.run_id, settings.artifact, settings.prompt_file) == (None, "a", None)
    (tmp_path / "lines").write_bytes(b"\xef\xbb\xbfone \r\n\n  \n two")
    settings = parse(f"--prompt_file={tmp_path / 'lines'}", text="PROMPT: x", folder=tmp_path)
    assert settings.prompts() == ["one ", " two"]


def test_prompts_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO("é\nb".encode())))
    assert parse("--prompt_file=-").prompts() == ["é", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\n \n", "holds no prompt"), (b"ab\xff", r"no UTF-8 text \(byte 2\)"), (None, "No such file")],
)
def test_a_prompt_file_that_cannot_be_used_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "prompts.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        parse(f"--prompt_file={path}").prompts()


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    text = "PROMPT: 5\nPROMPTS: [a]\nTOPK: 3\nHP_SEARCH_METHOD: grid\nWANDB_RUN_PREFIX: x\nMIN_P: 2"
    flags = ("--run_id=a", "--artifact=b", "--prompt=c", "--prompt_file=d", "--top_p=0", "--temperature=-1")
    with pytest.raises(ConfigError) as caught:
        parse(*flags, "--sed=3", "stray", text=text, folder=tmp_path)
    for part in (
        "PROMPTS is another name of PROMPT",
        "unknown key TOPK; did you mean TOP_K?",
        "unknown key HP_SEARCH_METHOD",
        "unknown key WANDB_RUN_PREFIX",
        "--prompt=5",
        "--min_p=2.0 must be at most 1",
        "--run_id and --artifact exclude each other",
        "--prompt and --prompt_file exclude each other",
        "--top_p=0.0 must be greater than 0",
        "--temperature=-1.0 must be at least 0",
        "unknown flag --sed; did you mean --seed?",
        "unexpected argument 'stray'",
    ):
        assert part in str(caught.value), part
