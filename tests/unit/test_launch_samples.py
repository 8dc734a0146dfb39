"""A sweep's best model is shown by the command for its kind, with inputs that its task can take."""

from __future__ import annotations

from transformer_e2e.config.hf_settings import TASKS
from transformer_e2e.launch.samples import uses
from transformer_e2e.scripts import generate, infer


def test_a_decoder_writes_and_a_model_of_a_task_takes_what_it_needs() -> None:
    (command,) = uses({"batch_size": 8}, ["--artifact", "me/p/model-x:v0"], "Return a")
    module, *flags = command[1:]
    assert module == "transformer_e2e.scripts.generate"
    args = generate.build_parser().parse_args(flags)
    assert (args.artifact, args.prompt) == ("me/p/model-x:v0", ["Return a"])
    for task in TASKS:
        shown, judged = uses({"task": task}, ["--artifact", "me/p/model-x:v0"], "Return a")
        module, *flags = shown[1:]
        assert module == "transformer_e2e.scripts.infer"
        args = infer.build_parser().parse_intermixed_args(flags)
        assert args.artifact == "me/p/model-x:v0"
        assert judged[1:] == ["transformer_e2e.scripts.evaluate", "--artifact", "me/p/model-x:v0"]
        assert len(args.texts) == {"mlm": 1, "clm": 1}.get(task, 2)
