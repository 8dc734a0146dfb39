"""How a process that may have trained with others ends."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn


def end_with(main: Callable[[], int]) -> NoReturn:
    """Run `main`, and end this process with the exit code that it returns.

    As `sys.exit` does: threads are waited for, and what is registered with `atexit` since this call runs.
    But where a library has joined processes and keeps them joined, as Trainer and DeepSpeed do, that is the
    end, before the interpreter is taken down. A thread of gloo's may still be about to give a tensor of the
    last collective back to it, and aborts the process (SIGABRT) when it finds the interpreter gone: torchrun
    would end the other processes, too, with the trial on its way to W&B.
    """
    code = 1

    def end_while_the_interpreter_is_there() -> None:
        if _is_joined():
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):  # nobody reads it; closed
                    stream.flush()
            os._exit(code)

    atexit.register(end_while_the_interpreter_is_there)  # before all others, hence run after them
    code = main()
    sys.exit(code)


def _is_joined() -> bool:
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and distributed.is_initialized()
