"""The one error that users see, and how commands show it."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


class KdmarlError(Exception):
    """Something a user can fix: one sentence naming the thing, its value and the remedy.

    Command lines print the sentence and exit non-zero; nodes log it and stay unconfigured. Anything
    else that escapes is a bug.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence))


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Prefix the sentence of a :class:`KdmarlError` raised in the block with ``where``, unless it begins so already."""
    try:
        yield
    except KdmarlError as error:
        sentence = str(error)
        raise KdmarlError(sentence if sentence.startswith(f"{where}: ") else f"{where}: {sentence}") from None


def printable(text: str) -> str:
    """``text`` as one line without control characters, safe for terminals and logs even if it is untrusted."""
    return "".join(character if character.isprintable() else " " for character in text)


def reason(error: BaseException) -> str:
    """The type of an error of other people's code and what it says, as one line; of a long one its two ends."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 200 else f"{text[:120]} … {text[-60:]}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The remedy for a word that is not one of ``known``: the closest match, or to remove it."""
    near = nearest(word, known)
    return f"did you mean '{near}'?" if near else "remove it"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The closest match to ``word``; None if none is near."""
    return next(iter(difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.5)), None)


def with_article(name: str) -> str:
    """``name`` of a type after its indefinite article, such as ``an int``."""
    return f"{'an' if name[:1].lower() in tuple('aeio') or name == 'ndarray' else 'a'} {name}"


def run_command(command: Callable[[], object], name: str) -> int:
    """Run a command line and return its exit code; user and file errors are one sentence on stderr and exit code 2.

    Args:
        command: calls a typer application with ``standalone_mode=False``; may return an exit code.
        name: of the command, put before the sentence.
    """
    try:
        result = command()
        return result if isinstance(result, int) else 0
    except KdmarlError as error:
        sentence = str(error)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        # Commands that touch many files do not handle the operating system's errors for each of them.
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        sentence = f"{what}; check that it exists, its permissions, and the disk space"
    except Exception as error:
        # Bad options: typer raises click's errors or, since it holds a copy of click, its own. Both format themselves.
        if not hasattr(error, "format_message"):
            raise
        sentence = error.format_message()
    print(f"{name}: {' '.join(sentence.split())}", file=sys.stderr)
    return 2
