"""Train a Hugging Face model: masked or causal LM, classification, or question answering. One trial.

The same command resumes a trial that was killed, and skips one that is done. Names are those of
Hugging Face's examples; a YAML or JSON file of them works too. With no W&B configured, the
embedded server is used for as long as the command lasts. With no data set named, it is made from
this interpreter's documentation.

examples:
  python -m transformer_e2e.scripts.train_hf --task classification --num_train_epochs 5
  python -m transformer_e2e.scripts.train_hf transformer_e2e/configs/hf/mlm_wikitext.yaml \\
      --learning_rate 3e-5

on several processes (one GPU each, or the CPU; the batch size is one process's), with DeepSpeed:
  torchrun --standalone --nproc_per_node=2 -m transformer_e2e.scripts.train_hf --task mlm \\
      --deepspeed transformer_e2e/configs/deepspeed/zero2.json

short names: --lr --bs --wd --epochs; older spellings such as --evaluation_strategy are
understood. Ready-made files for BERT, GPT-2, SciBERT and BLOOM: transformer_e2e/configs/hf.
--report_to none logs nothing to W&B; WANDB_LOG_MODEL=false uploads no model, and so deletes none
here.

exit codes: 0 done (finished, early-stopped, pruned, diverged, or done before), 1 a bug, 2 wrong
input, 75 another attempt holds the trial (--no_wait), 130 Ctrl-C, 140 preempted, 143 terminated;
torchrun itself ends with 0 or 1 and prints the code of the process that failed
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transformer_e2e.compute.place import Place, place
from transformer_e2e.errors import ConfigError, DataError, exit_code_of
from transformer_e2e.launch.console import open_console, reader_may_leave
from transformer_e2e.launch.ending import end_with
from transformer_e2e.launch.environment import DEFAULT_PROJECT, load_dotenv
from transformer_e2e.launch.ranks import Stage, await_own_signal, command_of, follow, lead, told_once
from transformer_e2e.runs.outcome import ExitCode, Outcome

if TYPE_CHECKING:
    from transformer_e2e.hf.parser import Given, TrialArgumentParser
    from transformer_e2e.hf.prepared import Prepared
    from transformer_e2e.runs.spec import Result, TrialSpec
    from transformer_e2e.runs.trial import Trial
    from transformer_e2e.trainer.meeting import Meeting

Say = Callable[[str], None]


def main(argv: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if argv is None else argv)
    flags, unknown = build_parser().read(given)
    show = flags.pop("print_config")
    load_dotenv()

    def work(here: Place) -> int:
        from transformer_e2e.hf.parser import collect

        settings, problems = collect(flags, unknown)
        with everything_told(settings, here):
            ConfigError.raise_if(problems)
        if show:
            with reader_may_leave():
                if here.is_main:
                    print_settings(settings)
                    sys.stdout.flush()
            return 0
        return single(settings, given, here)

    return exit_code_of(lambda: told_once(here := place(), lambda: work(here)))


def build_parser() -> TrialArgumentParser:
    from transformer_e2e.hf.parser import TrialArgumentParser

    parser = TrialArgumentParser(
        prog="python -m transformer_e2e.scripts.train_hf",
        usage="%(prog)s [FILE.yaml|FILE.json] [--NAME VALUE ...]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--print_config", action="store_true", help="show every setting and where it came from, then end"
    )
    return parser


def single(given: Given, argv: Sequence[str], here: Place) -> int:
    """Do whatever is left to do for the one trial that the settings describe, on this process's rank."""
    if here.size == 1:
        return attempt(given, argv, here, None)
    if here.is_main:
        return lead(here, lambda meeting: attempt(given, argv, here, meeting))
    return follow(here, lambda trial, _: stages(given, argv, here, trial))


def attempt(given: Given, argv: Sequence[str], here: Place, meeting: Meeting | None) -> int:
    """One attempt at the trial: alone, or as the process that leads the others of `meeting`."""
    from transformer_e2e.launch.attempt import make_attempt

    say = open_console(given.values["log_file"])
    with everything_told(given, here):
        spec = trial_of(given, argv, here, say)
    training = Training(given, spec, here, say, meeting)

    def check_inputs() -> None:
        with everything_told(given, here):
            training.open()

    plot_dir = Path(given.values["plot_dir"])
    code = make_attempt(
        spec, training.run, check_inputs=check_inputs, plot_dir=plot_dir, say=say, meeting=meeting
    )
    if code == ExitCode.DONE and given.values["task"] == "generative_qa":
        say_summary(given, spec, say)
    return code


@contextmanager
def everything_told(given: Given, here: Place) -> Iterator[None]:
    """What is wrong with the inputs comes with all else that is wrong with them."""
    try:
        yield
    except (ConfigError, DataError) as error:
        from transformer_e2e.launch.hf_inputs import with_all_problems

        raise with_all_problems(error, given, here) from None


def stages(given: Given, argv: Sequence[str], here: Place, trial: Trial) -> list[Stage]:
    """What every rank but 0 does when rank 0 calls: open the inputs, which joins all processes, and train."""
    opened: list[Training] = []

    def open_inputs() -> None:
        training = Training(given, trial_of(given, argv, here, lambda _: None), here, lambda _: None, None)
        training.open()
        opened.append(training)

    return [open_inputs, lambda: opened[0].run(trial)]


def trial_of(given: Given, argv: Sequence[str], here: Place, say: Say) -> TrialSpec:
    from transformer_e2e.hf.identity import deciding_metric
    from transformer_e2e.hf.reporting import reporting
    from transformer_e2e.hf.trial_settings import trial_spec
    from transformer_e2e.tasks.registry import task

    reports = reporting(given.values, given.sources, os.environ)
    module = task(given.values["task"])
    spec = trial_spec(
        given,
        reports,
        metric=deciding_metric(given.values, metric=module.METRIC, goal=module.GOAL, known=module.METRICS),
        project=DEFAULT_PROJECT,
        entity=os.environ.get("WANDB_ENTITY"),
        rerun_command=command_of(here, "transformer_e2e.scripts.train_hf", [*argv, "--force"]),
        processes=here.size,
    )
    for note in (*given.notes, *reports.notes):
        say(f"note: {note}")
    if reports.silent:
        os.environ["WANDB_MODE"] = "disabled"
    return spec


@dataclass
class Training:
    """The training of one trial: its inputs are opened and checked first, the long rest is done at once."""

    given: Given
    spec: TrialSpec
    here: Place
    say: Say
    meeting: Meeting | None  # of the processes that this one leads
    _prepare: Callable[[], Prepared] | None = None

    def open(self) -> None:
        """Load the raw data and check all inputs. Raises UserErrors."""
        from transformer_e2e.hf.trial_settings import arguments_of
        from transformer_e2e.tasks.registry import task

        if self.meeting:
            self.meeting.call_others()
        self.arguments, notes = arguments_of(self.given, self.spec.directory, self.here)
        for note in notes:
            self.say(f"note: {note}")
        with self.arguments.training.main_process_first():  # the others find what it prepared
            self._prepare = task(self.arguments.task).open_task(self.arguments, self.say)

    def run(self, trial: Trial) -> Result:
        from transformer_e2e.compute.generators import seed_all
        from transformer_e2e.compute.progress import training_progress
        from transformer_e2e.hf.training import train

        if self._prepare is None:  # its record was there a moment ago, and was cleared
            self.open()
        assert self._prepare is not None
        if self.meeting:
            self.meeting.call_others()
        seed_all(self.arguments.seed)
        with self.arguments.training.main_process_first():
            prepared = self._prepare()
        with training_progress(self.say) if self.here.is_main else nullcontext(lambda _: None) as progress:
            result = train(
                trial,
                prepared,
                self.arguments,
                say=self.say,
                metric_name=self.spec.metric_name,
                goal=self.spec.goal,
                on_progress=progress,
            )
        if self.meeting and result.outcome is Outcome.STOPPED:
            await_own_signal(trial)
        return result


def say_summary(given: Given, spec: TrialSpec, say: Say) -> None:
    """The last line of generative_qa: what people compare, by short names; a Python dictionary."""
    from transformer_e2e.runs.completion import read

    record = read(spec.root, spec.run_id)
    if record is None:
        return
    names = {"eval_loss": "eval/loss", "exact_match": "eval/exact_match", "f1": "eval/f1"}
    of_the_best = {key: record.metrics.get(f"best/{name}") for key, name in names.items()}
    summary = {
        "lr": given.values["learning_rate"],
        "bs": given.values["per_device_train_batch_size"],
        "wd": given.values["weight_decay"],
        **of_the_best,
        "runtime": round(record.seconds, 2),  # [s], of all attempts
    }
    say(str(summary))


def print_settings(given: Given) -> None:
    """One `name: value` line a setting, so that the output is an argument file again."""
    from transformer_e2e.hf.spelling import known_words

    other_words = set(known_words())
    for note in given.notes:
        print(f"# note: {note}")
    for name, value in given.values.items():
        if name not in other_words:
            print(f"{f'{name}: {json.dumps(value)}':<52} # {given.sources[name]}")


if __name__ == "__main__":
    end_with(main)
