"""Check a GPU in eight minutes: right numbers, speed, waiting.

    python -m benchmarks.gpu_check [--device cpu --small] [--wheels FOLDER] [--out FILE] [PART ...]

`make gpu-check` does the same. Rows are printed, and written to the table, as they are found. Every
part runs in a process of its own for a limited time: one that hangs or breaks leaves the others.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from benchmarks.gpu_check.rows import BAD, ERROR, Row

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks"))
RESULTS = ROOT / "benchmarks" / "results" / "gpu_check.csv"
LIMITS_S = {"correctness": 110, "steps": 130, "study": 190, "utilisation": 48}
"""Seconds that each part may take, its imports included; together under eight minutes."""
STAMP = ("device", "commit", "date", "versions")
COLUMNS = ("part", "what", "value", "unit", "wanted", "verdict", "note", *STAMP)
OPTIONAL = {
    "pydantic": "settings are not validated, and nothing is cached on disk",
    "numba": "the selection cannot be imported: nothing of ours can run",
    "transformers": "no language model: activations are made up",
    "zarr": "nothing is cached on disk",
    "sae_lens": "SAELens' step is not timed",
}
"""What the check does without, and what then is missing."""
SMALL_FACTOR = 4
"""How much longer a part may take with `--small`, on a CPU that others use too."""
ROUNDED = "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"
"""What has torch round float32 products to TF32: unset, as jobs of the pipeline do."""
TAIL = 12
"""Lines of a broken part's output that are shown."""


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="benchmarks.gpu_check", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(LIMITS_S))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="small shapes, for a CPU")
    parser.add_argument("--wheels", type=Path, help="folder of wheels to use, not installed")
    parser.add_argument("--out", type=Path, help=f"the table; of a whole check on a GPU {RESULTS}")
    parser.add_argument("--commit", help="where git cannot tell it")
    options = parser.parse_args()
    if unknown := sorted(set(options.parts) - set(LIMITS_S)):
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(LIMITS_S)}")
    if options.wheels is not None and not list(options.wheels.glob("*.whl")):
        parser.error(f"no wheel in {options.wheels}; name a folder that holds *.whl files")
    return options


def main() -> int:
    """Run the parts; return 1 if a number is wrong or a part broke."""
    options = arguments()
    started = time.monotonic()
    # The table that the documents are made from is of a whole check on a GPU.
    whole = options.device == "cuda" and not options.small and not options.parts
    out = options.out or (RESULTS if whole else None)
    with tempfile.TemporaryDirectory() as scratch:
        environment = environment_with(options.wheels, scratch)
        say_what_is_missing(environment)
        stamp = {"commit": options.commit or commit(), "date": today()}
        rows: list[Row] = []
        with Table(out) as table:
            for name in options.parts or LIMITS_S:
                begun = time.monotonic()
                print(f"{name} (at most {limit_s(name, options.small)} s)", flush=True)
                for row in run_part(name, options, environment, stamp):
                    rows.append(row)
                    table.write(row, stamp)
                    print(row.line(), flush=True)
                print(f"  {time.monotonic() - begun:.0f} s", flush=True)
    bad = [row for row in rows if row.verdict in BAD]
    for row in bad:
        print(f"{row.verdict}: {row.part}: {row.what} {row.note}".rstrip())
    device = stamp.get("device", "no device")
    print(f"{device}, commit {stamp['commit']}; {stamp.get('versions', '')}")
    print(f"{len(rows)} rows, {len(bad)} wrong or broken, {time.monotonic() - started:.0f} s")
    return 1 if bad or not rows else 0


class Table:
    """The table on disk, written row by row beside its place: a machine can be taken away.

    It takes its place at the end, if the check came to it and anything was measured.
    """

    def __init__(self, path: Path | None) -> None:
        self._path, self._measured = path, 0
        self._file: TextIO | None = None

    def __enter__(self) -> Table:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(f"{self._path}.partial", "w", newline="")
            csv.writer(self._file, lineterminator="\n").writerow(COLUMNS)
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if self._file is None or self._path is None:
            return
        self._file.close()
        if not self._measured:
            os.unlink(self._file.name)
        elif error is None:
            os.replace(self._file.name, self._path)

    def write(self, row: Row, stamp: dict[str, str]) -> None:
        """Write a row, so that it is on disk at once."""
        if self._file is None:
            return
        self._measured += row.value is not None
        values = asdict(row) | stamp
        if row.value is not None:
            values["value"] = f"{row.value:.6g}"
        writer = csv.DictWriter(self._file, COLUMNS, lineterminator="\n")
        writer.writerow(values)
        self._file.flush()
        os.fsync(self._file.fileno())


def run_part(
    name: str, options: argparse.Namespace, environment: dict[str, str], stamp: dict[str, str]
) -> Iterator[Row]:
    """Run one part, yield its rows as they come, and fill in the stamp."""
    size, limit = "small" if options.small else "full", limit_s(name, options.small)
    command = [sys.executable, "-m", "benchmarks.gpu_check.part", name, options.device, size]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True,
            start_new_session=True,
        )  # fmt: skip
        late = threading.Event()

        def stop() -> None:
            late.set()
            os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(limit, stop)
        timer.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                found = json.loads(line)
                if "stamp" in found:
                    stamp.update(found["stamp"])
                else:
                    yield Row(**found)
            status = process.wait()
        finally:
            timer.cancel()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if late.is_set():
            yield Row(name, f"{name}: the rest", verdict=ERROR, note=f"over {limit} s")
        elif status:
            log.seek(0)
            lines = log.read().strip().splitlines() or [f"ended with status {status}"]
            print("\n".join(lines[-TAIL:]), file=sys.stderr)
            yield Row(name, f"{name}: the rest", verdict=ERROR, note=lines[-1][:200])


def limit_s(name: str, small: bool) -> float:
    """Return the seconds that a part may take."""
    return LIMITS_S[name] * (SMALL_FACTOR if small else 1)


def environment_with(wheels: Path | None, scratch: str) -> dict[str, str]:
    """Return the environment of the parts; unpack wheels where they alone look."""
    paths = [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    if wheels is not None:
        site = str(Path(scratch) / "site")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
        pip += ["--no-compile", "--no-cache-dir", "--target", site]
        subprocess.run([*pip, *map(str, sorted(wheels.glob("*.whl")))], check=True)
        paths.insert(0, site)
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "WANDB_MODE": "disabled"}
    kept = {name: value for name, value in os.environ.items() if name != ROUNDED}
    return {**kept, **quiet, "PYTHONPATH": os.pathsep.join(paths)}


def say_what_is_missing(environment: dict[str, str]) -> None:
    """Print which packages are not there, before any time is spent."""
    paths = environment["PYTHONPATH"].split(os.pathsep)
    for name, without in OPTIONAL.items():
        carried = any((Path(path) / name).is_dir() for path in paths if path)
        if not carried and importlib.util.find_spec(name) is None:
            print(f"not installed: {name}; {without}", flush=True)


def commit() -> str:
    """Return the commit that is measured."""
    import collect

    return collect.commit()


def today() -> str:
    """Return the date."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


if __name__ == "__main__":
    sys.exit(main())
