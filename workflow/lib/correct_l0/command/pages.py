"""A study's report, opened or served."""

from __future__ import annotations

import webbrowser
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from correct_l0.errors import InputError
from correct_l0.study.plan import RESULTS

PAGE = "report.html"


def find_report(directory: Path, study: str = "") -> Path:
    """Return the report of a study, or the newest.

    Raises
    ------
    InputError
        If there is none.
    """
    results = directory / RESULTS
    if study:
        page = results / study / PAGE
        if not page.exists():
            there = sorted(path.parent.name for path in results.glob(f"*/{PAGE}"))
            known = f"reports are there of {', '.join(there)}" if there else "no report is there"
            raise InputError(f"{page}: no such report ({known}); run the study, or name another")
        return page
    pages = sorted(results.glob(f"*/{PAGE}"), key=lambda path: path.stat().st_mtime)
    if not pages:
        raise InputError(f"{results}: no report is there; run a study, or name its --directory")
    return pages[-1]


def open_report(page: Path) -> bool:
    """Open a page in the browser; return whether there is one."""
    return webbrowser.open(page.absolute().as_uri())


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing of each request."""


def serve_report(page: Path, port: int) -> ThreadingHTTPServer:
    """Return a server of a page's folder that only this machine reaches.

    Raises
    ------
    InputError
        If the port is taken.
    """
    handler = partial(_Quiet, directory=str(page.parent.absolute()))
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise InputError(
            f"--port {port}: {error.strerror}; name another, or 0 for any that is free"
        ) from None
