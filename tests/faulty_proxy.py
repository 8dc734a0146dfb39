"""A network that misbehaves on demand, between the real client and the real server."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# (method, path) -> "404" or "503"; "truncate" or "corrupt" the answer; "shorten" the request; "hang"
Fault = Callable[[str, str], str | None]


class FaultyProxy:
    """Forwards to `target`, except where `fault` says otherwise. A context manager; clients use `.url`."""

    def __init__(self, target: str, fault: Fault) -> None:
        self.target, self.fault = target, fault
        self.injected = 0
        self.closing = threading.Event()
        self._server = _QuietServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fault = proxy.fault(self.command, self.path)
                proxy.injected += fault is not None
                if fault == "shorten":
                    body = body[: len(body) // 2]
                if fault == "hang":
                    proxy.closing.wait()
                refused = fault in ("404", "503")
                status, headers, content = (int(fault or 0), {}, b"") if refused else self.ask(body)
                if fault == "corrupt":
                    content = bytes([content[0] ^ 1]) + content[1:]
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content[: len(content) // 2] if fault == "truncate" else content)
                self.close_connection = fault == "truncate"

            do_GET = do_POST = do_PUT = do_HEAD = forward

            def ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
                # The client's Host header goes along, so that the addresses the server makes lead here again.
                request = urllib.request.Request(
                    proxy.target + self.path,
                    data=body or None,
                    headers={**self.headers, "Content-Length": str(len(body))},
                    method=self.command,
                )
                try:
                    with urllib.request.urlopen(request, timeout=30) as answer:
                        return answer.status, dict(answer.headers), answer.read()
                except urllib.error.HTTPError as error:
                    return error.code, dict(error.headers), error.read()
                except OSError:
                    return 502, {}, b""

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is killed, or gives up on a fault, is part of the test."""
