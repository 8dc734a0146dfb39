"""Train a from-scratch Transformer: one trial, or a W&B sweep of trials.

The same command resumes a trial that was killed, and skips one that is done. Every key of
config.yml is a flag; flags win. With no W&B configured, the embedded server is used for as long as
the command lasts.

examples:
  python -m transformer_e2e.scripts.train --mode single \\
      --config transformer_e2e/configs/config.yml --learning_rate 1e-3 --max_steps 200
  python -m transformer_e2e.scripts.train --mode sweep --config transformer_e2e/configs/config.yml

on several processes (each step's sequences are shared; one GPU each, or the CPU; same trial, same
result):
  torchrun --standalone --nproc_per_node=2 -m transformer_e2e.scripts.train --config FILE

exit codes: 0 done (finished, early-stopped, pruned, diverged, or done before), 2 wrong input, 1 a
bug, a full disk or a spent disk budget, 75 another attempt holds the trial (--no_wait), 130 Ctrl-C,
140 preempted, 143 terminated; torchrun itself ends with 0 or 1 and prints the code of the process
that failed
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transformer_e2e.compute.place import Place, place
from transformer_e2e.config.parse import Resolved, add_settings, resolve
from transformer_e2e.config.settings import Settings
from transformer_e2e.config.sweep_spec import sweep_spec
from transformer_e2e.errors import ConfigError, exit_code_of
from transformer_e2e.launch.console import open_console
from transformer_e2e.launch.decoder_model import ARTIFACT_FILES
from transformer_e2e.launch.environment import DEFAULT_PROJECT, load_dotenv
from transformer_e2e.launch.ranks import await_own_signal, command_of, follow, lead, told_once
from transformer_e2e.runs.outcome import Outcome
from transformer_e2e.trainer.share import require_a_sequence_each

if TYPE_CHECKING:
    from transformer_e2e.runs.spec import Result, TrialSpec
    from transformer_e2e.runs.trial import Trial
    from transformer_e2e.trainer.meeting import Meeting


MODE_HELP = "one trial, or the sweep that the config file's HP_SEARCH_ keys describe [%(default)s]"


def main(argv: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if argv is None else argv)
    args, unknown = build_parser().parse_known_args(given)
    flags = vars(args)
    mode, config, show = flags.pop("mode"), flags.pop("config"), flags.pop("print_config")
    load_dotenv()

    def work(here: Place) -> int:
        resolved = resolve(flags, unknown, config, of_sweep=mode == "sweep")
        if show:
            if here.is_main:
                print_settings(resolved, config)
            return 0
        if mode == "sweep":
            require_alone(here)
            return sweep(resolved, flags, config)
        return single(resolved.settings, given, here)

    return exit_code_of(lambda: told_once(here := place(), lambda: work(here)))


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m transformer_e2e.scripts.train",
        usage="%(prog)s [--mode single|sweep] [--config FILE]\n          [--SETTING VALUE ...]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--mode", choices=("single", "sweep"), default="single", help=MODE_HELP)
    parser.add_argument("--config", type=Path, help="YAML file of settings, keys in upper case [none]")
    parser.add_argument(
        "--print_config", action="store_true", help="show every setting and where it came from, then end"
    )
    add_settings(parser)
    return parser


def single(settings: Settings, argv: Sequence[str], here: Place) -> int:
    """Do whatever is left to do for the one trial that the settings describe, on this process's rank."""
    require_a_sequence_each(here.size, settings.train)
    if here.size == 1:
        return attempt(settings, argv, here, None)
    if here.is_main:
        return lead(here, lambda meeting: attempt(settings, argv, here, meeting))
    return follow(here, lambda trial, meeting: [lambda: train_along(trial, settings, here, meeting)])


def attempt(settings: Settings, argv: Sequence[str], here: Place, meeting: Meeting | None) -> int:
    """One attempt at the trial: alone, or as the process that leads the others of `meeting`."""
    from transformer_e2e.launch.attempt import make_attempt

    def check() -> None:
        from transformer_e2e.trainer.language_model import check_inputs  # torch: only if there is work left

        check_inputs(settings, here)

    say = open_console(settings.run.log_file)
    spec = trial_spec(settings, argv, here)
    return make_attempt(
        spec,
        lambda trial: train(trial, settings, say, here, meeting),
        check_inputs=check,
        plot_dir=Path(settings.run.plot_dir),
        say=say,
        meeting=meeting,
    )


def train(
    trial: Trial, settings: Settings, say: Callable[[str], None], here: Place, meeting: Meeting | None
) -> Result:
    """The training itself; torch is imported only here, when there is something to train."""
    from transformer_e2e.compute.progress import training_progress
    from transformer_e2e.trainer.language_model import train_language_model

    if meeting:
        meeting.call_others()
    with training_progress(say) as progress:
        result = train_language_model(
            trial, settings, say=say, on_progress=progress, place=here, meeting=meeting
        )
    if meeting and result.outcome is Outcome.STOPPED:
        await_own_signal(trial)
    return result


def train_along(trial: Trial, settings: Settings, here: Place, meeting: Meeting) -> None:
    """What every rank but 0 does of it."""
    from transformer_e2e.trainer.language_model import train_language_model

    train_language_model(
        trial, settings, say=lambda _: None, on_progress=lambda _: None, place=here, meeting=meeting
    )


def trial_spec(settings: Settings, argv: Sequence[str], here: Place) -> TrialSpec:
    """Who the trial is, where it lives, and what becomes of its model."""
    from transformer_e2e.runs.identity import readable_name, run_id
    from transformer_e2e.runs.spec import TrialSpec

    run, counted = settings.run, settings.counted()
    readable = readable_name(
        counted, in_sweep="WANDB_SWEEP_ID" in os.environ, prefix=run.run_prefix, run_name=run.run_name
    )
    return TrialSpec(
        run_id=run_id(counted, readable=readable),
        counted=counted,
        settings=settings.flat(),
        root=Path(run.checkpoint_dir),
        project=run.project or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT,
        entity=run.entity or os.environ.get("WANDB_ENTITY"),
        upload=run.upload,
        upload_pruned=run.upload_pruned,
        keep_local=run.keep_local,
        force=run.force,
        no_wait=run.no_wait,
        keep_checkpoints=run.keep_checkpoints,
        disk_budget=round(run.disk_budget * 1e9),
        artifact_files=ARTIFACT_FILES,
        rerun_command=command_of(here, "transformer_e2e.scripts.train", [*argv, "--force"]),
    )


def require_alone(here: Place) -> None:
    if here.size > 1:
        raise ConfigError(
            f"--mode sweep starts its trials itself, and not {here.size} times over: start it without "
            f"torchrun. Trials that train on several processes: sweeps/lm_grid_torchrun.yaml"
        )


def sweep(resolved: Resolved, flags: Mapping[str, str], config: Path | None) -> int:
    """Make a sweep of the config file's HP_SEARCH_ keys and work on it; its trials get the other flags."""
    import yaml

    from transformer_e2e.launch.run_sweep import SweepOrder, run_sweep

    if config is None:
        raise ConfigError(
            "--mode sweep needs a --config with HP_SEARCH_ keys; transformer_e2e/configs/config.yml has some"
        )
    fixed = {name: value for name, value in flags.items() if name not in ("project", "entity")}
    spec = sweep_spec(resolved.search, resolved.settings.flat(), config=config, fixed=fixed)
    run = resolved.settings.run
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{config.stem}-sweep.yaml"
        path.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
        order = SweepOrder(
            spec=path,
            spec_name=f"the HP_SEARCH_ keys of {config}",
            project=flags.get("project"),
            entity=flags.get("entity"),
            plot_dir=Path(run.plot_dir),
            log_file=run.log_file,
        )
        return run_sweep(order)


def print_settings(resolved: Resolved, config: Path | None) -> None:
    """One `KEY: value` line a setting and search key, so that the output is a config file again."""
    from transformer_e2e.launch.console import reader_may_leave

    settings = {name.upper(): value for name, value in resolved.settings.flat().items()}
    sources = {name.upper(): source for name, source in resolved.sources.items()}
    lines = {key: f"{key}: {json.dumps(value)}" for key, value in (settings | resolved.search).items()}
    width = max(len(lines[key]) for key in settings)
    with reader_may_leave():
        for key, line in lines.items():
            print(f"{line:<{width}}  # {sources.get(key, config)}")


if __name__ == "__main__":
    sys.exit(main())
