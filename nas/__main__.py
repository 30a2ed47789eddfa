"""`nas` and `python -m nas`."""

import os
import signal
import sys
import threading
from pathlib import Path


def main() -> None:
    """Run the command line, with this folder last on the path, where it hides none of the toolkit's packages.

    Ctrl-C ends it in order, with exit status 130, and so does what schedulers and closed terminals send, SIGTERM with
    143 and SIGHUP with 129; a second one at once.
    """
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))  # a child's Ctrl-C is not ours
    threading.Thread(target=_end_at_once, args=(woken,), daemon=True).start()
    for number in ENDS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell's background ignores Ctrl-C
            signal.signal(number, _interrupted)
    try:
        _run()
    except (KeyboardInterrupt, SystemExit):
        if _ended_by:
            sys.exit(128 + _ended_by[0])
        raise


ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ended_by: list[int] = []  # the signals that came


def _run() -> None:
    here = {"", str(Path.cwd())}
    if Path(__file__).parents[1] != Path.cwd():
        sys.path[:] = [path for path in sys.path if path not in here]
    import controllers
    import search_spaces
    from nas import cli, cli_app

    assert controllers.__path__  # imported before a user's folder of that name could be
    assert search_spaces.__path__
    sys.path.append(str(Path.cwd()))
    cli.run(cli_app.app)


def _interrupted(number: int, _: object) -> None:
    _ended_by.append(number)
    raise KeyboardInterrupt


def _end_at_once(woken: int) -> None:
    """At the second signal; a handler would have to wait for Python's main thread, which may be within Ray."""
    came: list[int] = []
    while len(came) < 2:
        came += [number for number in os.read(woken, 1) if number in ENDS]
    os._exit(128 + came[1])


if __name__ == "__main__":
    main()
