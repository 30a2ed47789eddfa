"""`nas` and `python -m nas`."""

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn


def main() -> None:
    """Run the command line, with this folder last on the path, where it hides none of the toolkit's packages.

    Ctrl-C ends it in order, with exit status 130; a second one at once.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background ignores it
        signal.signal(signal.SIGINT, _interrupted)
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(130)


def _run() -> None:
    here = {"", str(Path.cwd())}
    if Path(__file__).parents[1] != Path.cwd():
        sys.path[:] = [path for path in sys.path if path not in here]
    import controllers
    import nas.cli
    import search_spaces

    assert controllers.__path__  # imported before a user's folder of that name could be
    assert search_spaces.__path__
    sys.path.append(str(Path.cwd()))
    nas.cli.run()


def _interrupted(*_: object) -> NoReturn:
    signal.signal(signal.SIGINT, _interrupted_again)
    raise KeyboardInterrupt


def _interrupted_again(*_: object) -> NoReturn:
    from nas.cluster import abandon

    abandon()
    os._exit(130)


if __name__ == "__main__":
    main()
