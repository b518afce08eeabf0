"""The command `correct-l0`. What a command needs is imported when it runs."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from correct_l0.errors import InputError
from correct_l0.jobs.job import print_what_can_be_printed

app = typer.Typer(
    help="Which L0 should a sparse autoencoder have?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Config = Annotated[Path, typer.Option("--configfile", help="The study's configuration.")]
Directory = Annotated[Path, typer.Option(help="Where results/ is.", exists=True, file_okay=False)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status. What a person can mend is a line."""
    print_what_can_be_printed()
    try:
        app(args=None if arguments is None else list(arguments), prog_name="correct-l0")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except InputError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        return 1
    except OSError as error:
        if not error.filename:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def say(text: str) -> None:
    """Print; whoever reads may have enough, as in `correct-l0 why | head`."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Python would flush once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@app.command()
def new(
    config: Annotated[Path, typer.Argument(help="The file to write, such as config/mine.yaml.")],
    model: Annotated[str, typer.Option(help="A model's folder or hub name.")] = "",
    text: Annotated[str, typer.Option(help="Text files, or a dataset's hub name.")] = "",
    hook: Annotated[str, typer.Option(help="The tensor; unset: after the middle block.")] = "",
    d_sae: Annotated[int, typer.Option(min=0, help="Number of latents; 0: proposed.")] = 0,
    training_tokens: Annotated[int, typer.Option(min=0, help="Of each SAE; 0: proposed.")] = 0,
    text_field: Annotated[str, typer.Option(help="Field of the text in .jsonl.")] = "text",
    cost: Annotated[bool, typer.Option(help="Say what would run, and what it costs.")] = True,
) -> None:
    """Write a commented configuration for your model and text; ask for what no flag says."""
    from correct_l0.command.proposal import Asked, Wishes, propose
    from correct_l0.command.written import write_new

    asks = sys.stdin.isatty()
    wishes = Wishes(model, text, hook, d_sae, training_tokens, text_field)
    proposal = propose(wishes, config, Asked() if asks else None)
    written = write_new(config, proposal)
    say(f"{config}: written. Change what you like; config/README.md explains every option.\n")
    for warning in proposal.warnings:
        say(f"Warning: {warning}.\n")
    if cost:
        from correct_l0.why.explained import describe

        say(describe(config, Path(), None, []))
    say(f"\nNext: {written}")


@app.command()
def why(
    configfile: Config = Path("config/config.yaml"),
    directory: Directory = Path(),
    jobs: Annotated[str, typer.Option(help="GPUs, or cores without them, at once.")] = "",
    beside: Annotated[
        Path | None, typer.Option(help="A study whose cost to state beside a search's.")
    ] = None,
    snakemake: Annotated[
        list[str] | None, typer.Argument(help="After --: more arguments for snakemake.")
    ] = None,
) -> None:
    """Say what would run and why, and what it would cost. Nothing is run."""
    from correct_l0.why import explained

    if jobs and (not jobs.strip().isdecimal() or int(jobs) < 1):
        raise InputError(f"--jobs {jobs}: not a number of GPUs or cores; give 1 or more")
    at_once = int(jobs) if jobs else None
    say(explained.describe(configfile, directory, at_once, snakemake or [], beside))


@app.command()
def verify(
    manifest: Annotated[Path, typer.Argument(help="The cache's manifest.json, or its folder.")],
    depth: Annotated[
        Literal["sizes", "indexes", "checksums"], typer.Option(help="How much is read.")
    ] = "checksums",
    repair: Annotated[
        bool, typer.Option("--repair", help="Delete what is damaged; the next run makes it again.")
    ] = False,
) -> None:
    """Verify an activation cache, or delete what is damaged of it while nothing runs on it."""
    if manifest.is_dir():
        manifest /= "manifest.json"
    if manifest.name != "manifest.json":
        raise InputError(
            f"{manifest}: no manifest of a cache; name its manifest.json, or its folder"
        )
    if repair:
        from correct_l0.sources.language_model import repair as repairs

        changed = repairs.repair(manifest.parent)
        for path in changed:
            say(f"{path}: {'written anew' if path.exists() else 'deleted'}")
        nothing = f"{manifest.parent}: nothing damaged"
        return say("Run again: what was deleted is made anew." if changed else nothing)
    from correct_l0.sources.language_model import seal

    store = seal.verify(manifest, depth)
    rows = f"{store.layout.training:,} training and {store.layout.held_out:,} held-out rows"
    say(f"{manifest}: {rows} of {store.d_in}, {depth} verified")


@app.command()
def report(
    study: Annotated[str, typer.Argument(help="Its name; unset: that of the newest report.")] = "",
    directory: Directory = Path(),
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve it on this machine's loopback, for a tunnel.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port to serve on; 0: any that is free.")
    ] = 8000,
) -> None:
    """Open a study's report in the browser, or serve it."""
    from correct_l0.command.pages import find_report, open_report, serve_report

    page = find_report(directory, study)
    if serve:
        with serve_report(page, port) as server:
            say(f"http://127.0.0.1:{server.server_port}/{page.name} (Ctrl-C ends it)")
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                return
    elif not open_report(page):
        say(f"{page}: no browser was found; open it, or serve it with --serve")


@app.command()
def share(
    study: Annotated[str, typer.Argument(help="Its name; of a sweep, <study>/<sweep>.")],
    folder: Annotated[Path, typer.Argument(help="The folder to write.")],
    l0: Annotated[list[float] | None, typer.Option(help="Only this L0; again for more.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Only this seed; again for more.")] = None,
    licence: Annotated[str, typer.Option("--license", help="For the card, such as mit.")] = "",
    directory: Directory = Path(),
) -> None:
    """Write a folder of a study's SAEs for a model hub, with a card and the answer's figure."""
    from correct_l0.command.share import find_saes, hub_name, write_shared
    from correct_l0.study.plan import RESULTS

    results = directory / RESULTS / study
    saes = find_saes(results, l0 or (), seed or ())
    write_shared(saes, results, folder, licence)
    say(f"{folder}: {len(saes)} SAEs and README.md, which is yours to complete")
    say(f"To upload it: hf upload <user>/{hub_name(folder)} {shlex.quote(str(folder))}")


@app.command()
def schema(
    write: Annotated[
        bool, typer.Option("--write", help="Write config/schema.json and config/README.md's table.")
    ] = False,
) -> None:
    """Print the JSON schema of a configuration, for an editor."""
    from correct_l0.study.docs import schema_text, write_docs

    if write:
        return write_docs(Path("config"))
    say(schema_text().rstrip())
