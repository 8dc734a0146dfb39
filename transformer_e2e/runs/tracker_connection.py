"""Plain GraphQL requests to W&B, for questions that must be answered quickly or not at all.

The client retries for minutes, which is right for metrics and wrong for "was I told to stop?".
"""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from transformer_e2e.errors import TrackerError

OFFLINE_MODES = ("offline", "dryrun", "disabled")


class Denied(TrackerError):
    """W&B answered, and does not accept the API key."""


class Unreachable(TrackerError):
    """No answer, or one that a later try may better (5xx)."""


class Refused(TrackerError):
    """W&B answered that the request itself is wrong; another server version may know other fields."""


def is_online() -> bool:
    """Whether the environment lets runs talk to a server at all."""
    return os.environ.get("WANDB_MODE", "online") not in OFFLINE_MODES


def is_switched_off() -> bool:
    """Whether runs are not even written down for a later `wandb sync`."""
    return os.environ.get("WANDB_MODE") == "disabled"


@dataclass(frozen=True)
class Connection:
    """Where W&B is, and the key for it."""

    base_url: str
    api_key: str

    @classmethod
    def configured(cls) -> Connection:
        """From the environment, else from what `wandb login` left. Raises Denied if there is no key."""
        url, key = os.environ.get("WANDB_BASE_URL"), os.environ.get("WANDB_API_KEY")
        if not (url and key):
            import wandb  # 1 s
            from wandb.sdk.lib import wbauth

            url = url or wandb.setup().settings.base_url
            try:
                key = key or wbauth.read_netrc_auth(host=url)
            except wandb.errors.AuthenticationError as error:
                raise Denied(f"the API key stored for {url} cannot be used: {error}") from None
        if not key:
            raise Denied(
                f"there is no API key for {url}: set WANDB_API_KEY, or run `wandb login`, or train without a "
                f"server by WANDB_MODE=offline"
            )
        return cls(url.rstrip("/"), key)

    def query(self, text: str, variables: dict[str, Any], *, seconds: float = 5.0) -> dict[str, Any]:
        """The `data` of one GraphQL request, tried once. Raises Denied, Unreachable or Refused."""
        credentials = base64.b64encode(f"api:{self.api_key}".encode()).decode()
        request = urllib.request.Request(
            f"{self.base_url}/graphql",
            data=json.dumps({"query": text, "variables": variables}).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Basic {credentials}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=seconds) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            raise self._judge(error) from None
        except (OSError, ValueError, HTTPException) as error:  # refused, timed out, TLS, half an answer
            raise Unreachable(f"W&B at {self.base_url} cannot be reached: {error}") from None
        if answer.get("errors"):
            raise Refused(f"W&B at {self.base_url} answers: {_first_message(answer)}")
        return answer.get("data") or {}

    def viewer(self, *, seconds: float = 5.0) -> str:
        """The entity that the key belongs to. Raises as `query`; an anonymous answer is Denied too."""
        viewer = self.query("query Viewer { viewer { entity username } }", {}, seconds=seconds).get("viewer")
        if not viewer:
            raise Denied(_wrong_key(self.base_url))
        return str(viewer.get("entity") or viewer.get("username") or "")

    def _judge(self, error: urllib.error.HTTPError) -> TrackerError:
        if error.code in (401, 403):
            return Denied(_wrong_key(self.base_url))
        if error.code >= 500 or error.code in (408, 429):
            return Unreachable(f"W&B at {self.base_url} answers {error.code} {error.reason}")
        try:
            message = _first_message(json.load(error))
        except (OSError, ValueError):
            message = f"{error.code} {error.reason}"
        return Refused(f"W&B at {self.base_url} answers: {message}")


def _wrong_key(url: str) -> str:
    return (
        f"W&B at {url} does not accept the API key: check WANDB_API_KEY and WANDB_BASE_URL, or run "
        f"`wandb login`; the embedded server's key is in its api_key file"
    )


def _first_message(answer: Any) -> str:
    try:
        return str(answer["errors"][0]["message"])
    except (KeyError, IndexError, TypeError):
        return str(answer)[:200]
