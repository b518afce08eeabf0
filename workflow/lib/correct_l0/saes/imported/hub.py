"""What is asked of the hub: the list of a repository, and its files; each fault is one line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from correct_l0.errors import DISK_FULL, InputError
from correct_l0.provenance.manifest import read_or_empty, sha256_of
from correct_l0.saes.imported.listing import Listing

Kind = Literal["model", "dataset"]
"""SAEs are in model repositories, scores of them in those of data sets."""


@contextmanager
def _in_words(repository: str, revision: str, kind: Kind = "model") -> Iterator[None]:
    """Turn what the hub's library raises into one line."""
    from huggingface_hub import errors

    at = f" at revision {revision}" if revision else ""
    section = "saes.import" if kind == "model" else "saes.import.scores"
    try:
        yield
    except errors.GatedRepoError:
        words = "is gated; accept its terms on its page, log in with `hf auth login`, run again"
    except errors.RepositoryNotFoundError:
        words = (
            f"is no {kind} repository on the hub, or is private; correct its name or log in with "
            "`hf auth login`"
        )
    except errors.HFValidationError:
        words = "is no name of a repository; give <owner>/<name>"
    except errors.RevisionNotFoundError:
        words = f"has no revision {revision}; correct {section}.revision"
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        words = (
            "is not on this machine, and no hub is asked as HF_HUB_OFFLINE is set; unset it and "
            "run again"
            if _is_offline()
            else f"cannot be reached ({_short(error.__cause__ or error)}); run again, downloads go "
            "on where they stopped"
        )
    except errors.EntryNotFoundError as error:
        words = f"has no such file ({_short(error)}); correct saes.import.select"
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "?"
        words = (
            "asks to wait (429, too many requests); run again later, or log in with `hf auth login`"
            if status == 429
            else f"answers {status}; run again, downloads go on where they stopped"
        )
    except (errors.HTTPError, OSError) as error:
        if getattr(error, "errno", None) in DISK_FULL:
            raise
        words = f"broke off ({_short(error)}); run again, downloads go on where they stopped"
    else:
        return
    raise InputError(f"repository {repository}{at} {words}")


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def hub_listing(repository: str, revision: str, kind: Kind = "model") -> Listing:
    """Return the files of a repository, and what the small ones of its SAEs say.

    Raises
    ------
    InputError
        If the hub has none, or cannot be asked.
    """
    from huggingface_hub import HfApi

    hub = HfApi()
    ask = hub.dataset_info if kind == "dataset" else hub.model_info
    with _in_words(repository, revision, kind):
        info = ask(repository, revision=revision or None)
        names = tuple(x.rfilename for x in info.siblings or ())
    commit = str(info.sha)

    def read(name: str) -> dict[str, Any]:
        return read_or_empty(fetch_file(repository, name, commit, kind))

    return Listing(repository, names, read, revision=commit)


def fetch_file(repository: str, name: str, revision: str, kind: Kind = "model") -> Path:
    """Return where a file lies on this machine, downloading it where it does not.

    What is there is not downloaded again; a download that broke off goes on; what the hub tells of
    its content is checked.

    Raises
    ------
    InputError
        If it cannot be had, or its content is not what the hub says.
    """
    from huggingface_hub import hf_hub_download

    with _in_words(repository, revision, kind):
        path = Path(hf_hub_download(repository, name, revision=revision or None, repo_type=kind))
    # The hub names content that it keeps as a large file by its sha256, and so does the cache.
    told = path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", told) and sha256_of(path) != told:
        path.resolve().unlink()
        raise InputError(
            f"{name} of {repository}: its content is not what the hub says it is; removed, run "
            "again to fetch it once more"
        )
    return path


def file_if_there(repository: str, name: str, revision: str) -> Path | None:
    """Return where a file that may be missing lies, `None` where the repository has none."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    with _in_words(repository, revision):
        try:
            return Path(hf_hub_download(repository, name, revision=revision or None))
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError:
            return None


def commit_of(repository: str, revision: str) -> str:
    """Return the commit of a revision.

    Raises
    ------
    InputError
        If the hub has none, or cannot be asked.
    """
    from huggingface_hub import HfApi

    if re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    with _in_words(repository, revision):
        return str(HfApi().model_info(repository, revision=revision or None).sha)


def cached_file(repository: str, name: str, revision: str) -> Path:
    """Return where a fetched file lies; no hub is asked.

    Raises
    ------
    InputError
        If it is not there any more.
    """
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, name, revision=revision)
    if not isinstance(found, str):
        raise InputError(
            f"{name} of {repository} is not in the hub's cache any more; delete the study's "
            "weights/ and run again to fetch it"
        )
    return Path(found)
