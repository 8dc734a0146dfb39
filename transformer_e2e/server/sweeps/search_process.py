"""The server's end of `python -m transformer_e2e.search`: a question a line, an answer a line."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import transformer_e2e

ROOT = Path(transformer_e2e.__file__).parents[1]
log = logging.getLogger(__name__)


class SearchFailed(Exception):
    """No answer: the search raised, died twice or took too long."""


class SearchProcess:
    """Finds points in a process of its own, started when first needed and replaced when it dies or hangs.

    Bayesian search needs torch and scipy (2 s to import, 300 MB, up to 1 s of computing a point): nothing for
    the server itself. Not to be used by two threads at once: the sweep's lock sees to it.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._used_at = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        """Time since the last question; 0 where no process is held."""
        return time.monotonic() - self._used_at if self._process else 0.0

    def ask(self, question: dict[str, Any], timeout: float) -> dict[str, Any] | None:
        """The parameters of the next point, or None if the search has none left. Raises SearchFailed."""
        line = json.dumps(question).encode() + b"\n"
        deadline = time.monotonic() + timeout
        answer = self._exchange(line, deadline) or self._exchange(line, deadline)
        self._used_at = time.monotonic()
        if not answer:
            raise SearchFailed(
                f"no answer within {timeout:.0f} s" if self._used_at >= deadline else "it died twice"
            )
        try:
            found = json.loads(answer)
        except ValueError:
            self.close()
            raise SearchFailed(f"an answer that is not JSON: {answer[:200]!r}") from None
        if "error" in found:
            raise SearchFailed(str(found["error"]))
        params: dict[str, Any] | None = found["params"]
        return params

    def close(self) -> None:
        """End the process, if there is one; the next question starts another."""
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._process = None

    def _exchange(self, line: bytes, deadline: float) -> bytes:
        """The answer, or b"" after the process has died or the time is up; then it is gone."""
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return b""
        process = self._running()
        assert process.stdin and process.stdout
        # A kill unblocks both the write and the read, whichever it hangs in.
        watchdog = threading.Timer(remaining, process.kill)
        watchdog.start()
        try:
            process.stdin.write(line)
            process.stdin.flush()
            answer: bytes = process.stdout.readline()
        except OSError:
            answer = b""
        finally:
            watchdog.cancel()
        if not answer.endswith(b"\n"):
            log.warning("the search process ended with code %s without an answer", process.poll())
            self.close()
            return b""
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "transformer_e2e.search"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=ROOT,
                start_new_session=True,  # a Ctrl-C meant for the server must not cost an answer
            )
        return self._process
