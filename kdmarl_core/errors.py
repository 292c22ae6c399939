"""The one error that users see, and how commands show it."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


class KdmarlError(Exception):
    """Something a user can mend: one sentence naming the thing, its value and the remedy.

    Command lines print the sentence and exit non-zero; nodes log it and stay unconfigured. Anything
    else that escapes is a bug.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence))


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Begin the sentence of a :class:`KdmarlError` that is raised within by ``where``, unless it does so already."""
    try:
        yield
    except KdmarlError as error:
        sentence = str(error)
        raise KdmarlError(sentence if sentence.startswith(f"{where}: ") else f"{where}: {sentence}") from None


def printable(text: str) -> str:
    """``text`` as one line that does nothing to a terminal or a log, whatever a file or a message put into it."""
    return "".join(character if character.isprintable() else " " for character in text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The remedy for a word that is not one of ``known``: the nearest of them, or to remove it."""
    nearest = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    return f"did you mean '{nearest[0]}'?" if nearest else "remove it"


def run_command(command: Callable[[], object], name: str) -> int:
    """Run a command line and return its exit code; errors of the user and of files are one sentence and code 2.

    Args:
        command: calls a typer application with ``standalone_mode=False``; may return an exit code.
        name: begins the sentence.
    """
    try:
        result = command()
        return result if isinstance(result, int) else 0
    except KdmarlError as error:
        sentence = str(error)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        # Where a command touches many files it does not say for each what the operating system may refuse.
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        sentence = f"{what}; check that it is there and yours, and the disk"
    except Exception as error:
        # Bad options: typer raises click's errors or, since it holds a copy of click, its own. Both format themselves.
        if not hasattr(error, "format_message"):
            raise
        sentence = error.format_message()
    print(f"{name}: {' '.join(sentence.split())}", file=sys.stderr)
    return 2
