"""Which outbox file is meant, and opening it with an explanation where that is not possible."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.cli.messages import tr
from agent.cli.output import Failed, say
from agent.configuration import load_configuration
from agent.settings import Settings
from agent.store.file_card import Damaged
from agent.store.inspection.outbox_file import OutboxFile, UnreadableFile, open_file
from agent.store.opening import OUTBOX_NAME
from agent.store.schema import known_version


def add_file(parser: argparse.ArgumentParser) -> None:
    what = "an outbox.db, or the folder it is in; default: the outbox of the configuration"
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help=what)


def file_of(args: argparse.Namespace) -> Path:
    """The file that the arguments mean."""
    if args.file is None:
        return own_file(load_configuration(args.config).settings)
    path: Path = args.file
    return path / OUTBOX_NAME if path.is_dir() else path


def own_file(settings: Settings) -> Path:
    """The outbox of a configuration."""
    return Path(settings.gateway.data_dir) / OUTBOX_NAME


@contextmanager
def opened(path: Path) -> Iterator[OutboxFile]:
    """Open a file to read it; raises `Failed`, which says what to try."""
    try:
        with open_file(path) as file:
            if file.how == "copied":
                say(tr("{file}: nothing can be written beside it, so a temporary copy of it is read", file=path))
            elif file.how == "alone":
                say(tr("{file}: nothing can be written beside it; it is read as it is", file=path))
            yield file
    except UnreadableFile as err:
        raise Failed(explained(err)) from err
    except Damaged as err:
        text = tr("{file}: {why}; see `oc-agent outbox verify`, then try `oc-agent outbox salvage`", file=path, why=err)
        raise Failed(text) from err


def explained(err: UnreadableFile) -> str:
    """What is wrong with a file, and what to try."""
    match err.why:
        case "missing":
            return tr("{file}: there is no such file: write the path of an outbox.db", file=err.path)
        case "forbidden":
            return tr("{file}: you may not read it: use sudo, or make a copy with sudo", file=err.path)
        case "failed":
            return tr("{file}: it cannot be read: {why}", file=err.path, why=err.detail)
        case "not_sqlite":
            return tr(
                "{file}: this is no SQLite file, or its beginning is destroyed and with it everything", file=err.path
            )
        case "not_outbox":
            return tr("{file}: this is an SQLite file, but no outbox of oc-agent", file=err.path)
        case "newer":
            return tr(
                "{file}: a newer oc-agent made it (schema {found}, this one knows up to {known}): install that one",
                file=err.path,
                found=err.detail,
                known=known_version(),
            )
        case "old":
            return tr("{file}: it has no index by time yet: start the agent once", file=err.path)
        case "damaged":
            return tr("{file}: it is damaged ({why}): try `oc-agent outbox salvage`", file=err.path, why=err.detail)
        case "held":
            return tr("{file}: another program holds it: close that, then try again", file=err.path)
