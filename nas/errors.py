"""The one exception for what a user can mend, and where in a user's code it is to be mended."""

import traceback
from pathlib import Path


class UserError(Exception):
    """Says what was found, what was expected and how to mend it; the command line prints it and exits with 2."""


def where(error: BaseException) -> str:
    """The place that raised an error, as "(mine.py, line 7)"; empty for one that was not raised."""
    places = traceback.extract_tb(error.__traceback__)
    return f"({Path(places[-1].filename).name}, line {places[-1].lineno})" if places else ""
