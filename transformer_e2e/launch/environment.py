"""What a started program finds in its environment: `.env`, W&B's folders, an own share of the cores."""

from __future__ import annotations

import configparser
import netrc
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

WANDB_CLOUD = "https://api.wandb.ai"
DEFAULT_PROJECT = "transformer-e2e"  # where neither a flag nor WANDB_PROJECT names one
# The BLAS behind numpy and torch start one thread a core each, whatever the neighbours do.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# `wandb agent` leaves after 3 failures in its first minute, or 5 at the start; one bad corner of the
# search space must not end a sweep, a program that cannot work at all still does.
INITIAL_FAILURES = 10


def load_dotenv(path: Path = Path(".env")) -> None:
    """Put the variables of `path` (if it exists) into this process; those already set win."""
    from dotenv import load_dotenv as load

    load(path, override=False)


def configured() -> bool:
    """Whether the user has a W&B already: a key, a server, a login, or a mode that needs none.

    Call `load_dotenv` first.
    """
    if os.environ.get("WANDB_MODE", "online") != "online":
        return True
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_BASE_URL"):
        return True
    return _has_login(_settings_base_url() or WANDB_CLOUD)


def available_cores() -> int:
    """Cores this process may use; a container's or a scheduler's limit counts, not the machine's size."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def default_agents(cores: int) -> int:
    """Agents that suit `cores`: two trials side by side need two cores, more than four need memory too."""
    return max(1, min(4, cores))


def with_own_python_first(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` in which the word `python` means this interpreter.

    `wandb agent` replaces `${interpreter}` by the bare word `python`.
    """
    path = [str(Path(sys.executable).parent), *environment.get("PATH", os.defpath).split(os.pathsep)]
    return {**environment, "PATH": os.pathsep.join(dict.fromkeys(path)), "PYTHONUNBUFFERED": "1"}


def for_agent(environment: Mapping[str, str], *, agents: int, cores: int) -> dict[str, str]:
    """The environment of one of `agents` agents that share `cores`; what the user has set wins."""
    share = str(max(1, cores // agents))
    defaults = {
        **dict.fromkeys(THREAD_VARIABLES, share),
        "WANDB_AGENT_DISABLE_FLAPPING": "true",
        "WANDB_AGENT_MAX_INITIAL_FAILURES": str(INITIAL_FAILURES),
    }
    return with_own_python_first({**defaults, **environment})


def client_folders(root: Path) -> dict[str, str]:
    """Where W&B's client keeps its files, below the embedded server's `root` instead of home and here."""
    client = root.resolve() / "client"
    return {
        "WANDB_DIR": str(client),
        "WANDB_CACHE_DIR": str(client / "cache"),
        "WANDB_DATA_DIR": str(client / "data"),
    }


def _settings_base_url() -> str | None:
    """The server that `wandb login --host` wrote down, if it did."""
    folder = Path(os.environ.get("WANDB_CONFIG_DIR", "~/.config/wandb")).expanduser()
    parser = configparser.ConfigParser()
    try:
        parser.read(folder / "settings")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return None
    return parser.get("default", "base_url", fallback=None)


def _has_login(url: str) -> bool:
    """Whether ~/.netrc (or NETRC) holds a key for the host of `url`."""
    path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        return netrc.netrc(path).authenticators(urlsplit(url).hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False
