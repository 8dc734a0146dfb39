"""The state of an optimizer and its schedule as named tensors and JSON values, and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

Groups = list[dict[str, Any]]  # hyperparameters of each group of parameters


@dataclass(frozen=True)
class OptimizerState:
    """`tensors` and `plain` by `<what>/<parameter's name>`, e.g. `exp_avg/classifier.weight`."""

    tensors: dict[str, Tensor]
    plain: dict[str, Any] = field(default_factory=dict)
    groups: Groups = field(default_factory=list)
    given: Groups = field(default_factory=list)  # the groups as the arguments made them, before step 1
    schedule: dict[str, Any] = field(default_factory=dict)


def hyperparameters(optimizer: Optimizer) -> Groups:
    """Of each group, in the form that JSON gives back."""
    return [
        {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in group.items()
            if name != "params"
        }
        for group in optimizer.param_groups
    ]


def capture(model: nn.Module, optimizer: Optimizer, scheduler: LRScheduler, given: Groups) -> OptimizerState:
    """The state now, between two steps. The tensors are the optimizer's own and change with its next step."""
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for name, parameter in model.named_parameters():
        for what, value in sorted(optimizer.state.get(parameter, {}).items()):
            kept = tensors if isinstance(value, Tensor) else plain
            kept[f"{what}/{name}"] = value
    return OptimizerState(tensors, plain, hyperparameters(optimizer), given, scheduler.state_dict())


def restore(
    saved: OptimizerState, model: nn.Module, optimizer: Optimizer, scheduler: LRScheduler, given: Groups
) -> None:
    """Go on from `saved`. A hyperparameter that the arguments now give another value takes that one.

    The Trainer goes on with the checkpoint's learning rate, whatever the arguments say.
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    by_name: dict[str, dict[str, Any]] = {}
    for key, value in {**saved.tensors, **saved.plain}.items():
        what, name = key.split("/", 1)
        by_name.setdefault(name, {})[what] = value
    order = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
    groups = optimizer.state_dict()["param_groups"]
    changed = _take_over(groups, saved, given)
    state = {index: by_name[name] for index, name in enumerate(order) if name in by_name}
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    _restore_schedule(saved.schedule, optimizer, scheduler, changed)


def restore_hyperparameters(
    saved: OptimizerState, optimizer: Optimizer, scheduler: LRScheduler, given: Groups
) -> None:
    """As `restore`, for an optimizer whose state is restored already.

    DeepSpeed 0.19's ZeRO-3 gives every group those of the first one when it loads its universal format:
    biases decay from then on.
    """
    _restore_schedule(saved.schedule, optimizer, scheduler, _take_over(optimizer.param_groups, saved, given))
    for group, rate in zip(optimizer.param_groups, scheduler.get_last_lr(), strict=True):
        group["lr"] = rate


def _take_over(groups: Groups, saved: OptimizerState, given: Groups) -> bool:
    """Fill `groups` with what was saved, but for what is given otherwise now; whether a learning rate is."""
    for group, then, before, now in zip(groups, saved.groups, saved.given, given, strict=True):
        for name, value in then.items():
            if before.get(name) == now.get(name):
                group[name] = tuple(value) if isinstance(group.get(name), tuple) else value
    return [group.get("initial_lr") for group in saved.given] != [group.get("initial_lr") for group in given]


def _restore_schedule(
    saved: dict[str, Any], optimizer: Optimizer, scheduler: LRScheduler, changed: bool
) -> None:
    if not (changed and isinstance(scheduler, LambdaLR)):
        scheduler.load_state_dict(saved)
        return
    own = scheduler.base_lrs
    scheduler.load_state_dict({**saved, "base_lrs": own})
    rates = [
        rate * factor(scheduler.last_epoch) for rate, factor in zip(own, scheduler.lr_lambdas, strict=True)
    ]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    scheduler._last_lr = rates
