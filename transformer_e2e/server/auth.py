"""Who may call: the API key of this root, and URLs that carry their own permission."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlencode

from starlette.requests import Request

from transformer_e2e.server.settings import ServerSettings

URL_LIFETIME = 24 * 3600.0  # seconds; an upload may wait that long behind others or a server that is down


def stored(path: Path, create: Callable[[], str]) -> str:
    """The text kept in `path`, readable by its owner only; made by `create` at first use.

    Written beside its place and linked, so that a kill leaves a whole file or none and two processes
    that start at once agree on one text.
    """
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(create())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    return path.read_text().strip()


def new_key() -> str:
    """An API key in the form that wandb's own check accepts: 40 hex digits."""
    return secrets.token_hex(20)


def has_key(request: Request, settings: ServerSettings) -> bool:
    """Whether the request carries this server's API key (HTTP Basic, any user name)."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        _, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(password.encode(), settings.api_key.encode())


def sign(path: str, method: str, settings: ServerSettings, base_url: str = "") -> str:
    """A URL of `path` (unquoted, beginning with a slash) that permits one method for a day without a key.

    wandb-core sends no key to the URLs it is given, and needs them absolute: pass `context.base_url`.
    """
    expires = str(int(time.time() + URL_LIFETIME))
    query = urlencode({"expires": expires, "signature": _signature(settings, method, path, expires)})
    return f"{base_url}{quote(path)}?{query}"


def check(request: Request, settings: ServerSettings) -> bool:
    """Whether the request's URL was signed by `sign` for its method and has not expired.

    A URL signed for GET also permits HEAD.
    """
    method = "GET" if request.method == "HEAD" else request.method
    expires = request.query_params.get("expires", "")
    expected = _signature(settings, method, request.scope["path"], expires)
    given = request.query_params.get("signature", "")
    return (
        hmac.compare_digest(given.encode(), expected.encode())
        and expires.isdigit()
        and int(expires) >= time.time()
    )


def _signature(settings: ServerSettings, method: str, path: str, expires: str) -> str:
    return hmac.new(settings.secret, f"{method}\n{path}\n{expires}".encode(), hashlib.sha256).hexdigest()
