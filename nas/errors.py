"""The one exception for what a user can mend, and the words of its messages."""

import difflib
import traceback
from collections.abc import Iterable
from pathlib import Path


class UserError(Exception):
    """Says what was found, what was expected and how to mend it; the command line prints it and exits with 2."""


def where(error: BaseException) -> str:
    """The place that raised an error, as "(mine.py, line 7)"; empty for one that was not raised."""
    places = traceback.extract_tb(error.__traceback__)
    return f"({Path(places[-1].filename).name}, line {places[-1].lineno})" if places else ""


def near(typed: str, known: Iterable[str]) -> str:
    """The known name that is most like the typed one, as "; did you mean chain?"; empty if none is like it."""
    found = difflib.get_close_matches(typed[:100], list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""


def plain(text: str) -> str:
    """The text with all that a terminal would not show as it is, but line breaks, written out: an escape is \\x1b."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
