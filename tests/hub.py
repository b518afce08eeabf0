"""A small hub on loopback, with its faults: repositories are folders, a commit stands for all."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors", ".npz", ".pt")
"""Kept as large files, whose sha256 the hub tells."""

FAULTS = {"gated": (403, "GatedRepo"), "gone": (404, "RepoNotFound"), "busy": (429, "")}
"""Status and error code of every answer about a repository whose name ends so."""


class Hub:
    """Serves the folders `<owner>/<name>` below a folder.

    Attributes
    ----------
    asked
        Method, path and range of every request.
    cut
        Files whose next download breaks off after so many bytes, by name; once.
    damaged
        Files that are served with other bytes than the hub says they have.
    short
        Files that are served with half of the bytes that the hub says they have.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[tuple[str, str, str]] = []
        self.cut: dict[str, int] = {}
        self.damaged: set[str] = set()
        self.short: set[str] = set()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_HEAD(self) -> None:
                self.answer(with_body=False)

            def do_GET(self) -> None:
                self.answer(with_body=True)

            def answer(self, with_body: bool) -> None:
                path = unquote(urlsplit(self.path).path)
                hub.asked.append((self.command, path, self.headers.get("Range", "")))
                parts = path.strip("/").split("/")
                if parts[0] == "datasets":
                    del parts[0]
                repository = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
                for end, (status, code) in FAULTS.items():
                    if repository.endswith(end):
                        return self.say(status, b"{}", {"X-Error-Code": code, "Retry-After": "0"})
                if not (hub.root / repository).is_dir():
                    return self.say(404, b"{}", {"X-Error-Code": "RepoNotFound"})
                if parts[0] == "api":
                    return self.listing(repository)
                return self.file(repository, "/".join(parts[4:]), with_body)

            def listing(self, repository: str) -> None:
                folder = hub.root / repository
                names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*"))
                siblings = [{"rfilename": name} for name in names if (folder / name).is_file()]
                told = {"id": repository, "sha": COMMIT, "siblings": siblings, "tags": []}
                return self.say(200, json.dumps(told).encode(), {})

            def file(self, repository: str, name: str, with_body: bool) -> None:
                path = hub.root / repository / name
                if not path.is_file():
                    return self.say(404, b"", {"X-Error-Code": "EntryNotFound"})
                content = path.read_bytes()
                digest = hashlib.sha256(content).hexdigest()
                etag = digest if name.endswith(LARGE) else digest[:40]
                headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
                if name in hub.damaged:
                    content = bytes(len(content))
                size, start = len(content), 0
                if span := self.headers.get("Range"):
                    start = int(span.removeprefix("bytes=").split("-")[0])
                    headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
                rest = content[start:]
                if with_body and name in hub.short:
                    return self.say(200, content[: size // 2], headers)
                if with_body and name in hub.cut:
                    cut = hub.cut.pop(name)
                    self.say(200, rest, headers, length=len(rest), send=cut)
                    self.close_connection = True
                    return self.connection.close()
                return self.say(206 if start else 200, rest if with_body else b"", headers,
                                length=len(rest))  # fmt: skip

            def say(self, status, body, headers, length=None, send=None) -> None:
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body[:send])
                    self.wfile.flush()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def downloads(self, name: str) -> list[str]:
        """Return the ranges of the requests for a file's content."""
        return [span for how, path, span in self.asked if how == "GET" and path.endswith(name)]


@contextmanager
def serve(root: Path) -> Iterator[Hub]:
    """Serve a folder while the block runs."""
    hub = Hub(root)
    thread = threading.Thread(target=hub.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.server.shutdown()
        hub.server.server_close()
        thread.join()
