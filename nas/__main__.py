"""`nas` and `python -m nas`."""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
UNHEARD = 0  # no signal has this number
_ended_by: list[int] = []  # the signals that came


def main() -> None:
    """Run the command line, with this folder last on the path, where it hides none of the toolkit's packages.

    Ctrl-C ends it in order, with exit status 130, and so does what schedulers and closed terminals send, SIGTERM with
    143 and SIGHUP with 129; a second one at once.
    """
    try:
        _catch()
        _run()
    except (KeyboardInterrupt, SystemExit):
        if not _ended_by:
            raise
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(128 + _ended_by[0])  # all is closed, and threads of libraries fall when Python goes from under them


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


def _catch() -> None:
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))  # what comes to a child is not ours
    threading.Thread(target=_hears, args=(woken,), daemon=True).start()
    sys.unraisablehook = partial(_unraised, wakes)
    for number in ENDS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell's background ignores Ctrl-C
            signal.signal(number, _interrupted)


def _interrupted(number: int, _: object) -> None:
    _ended_by.append(number)
    if len(_ended_by) == 1:
        raise KeyboardInterrupt
    os._exit(128 + number)


def _hears(woken: int) -> None:
    """End the program at the second signal: where Python's main thread is within Ray, no handler runs there."""
    came: list[int] = []
    while len(came) < 2:
        (number,) = os.read(woken, 1)
        if number == UNHEARD:
            time.sleep(0.1)  # until Python is out of there
            signal.pthread_kill(threading.main_thread().ident or 0, came.pop())
        elif number in ENDS:
            came.append(number)
    os._exit(128 + came[1])


def _unraised(wakes: int, unraised: "sys.UnraisableHookArgs") -> None:
    """Have a signal sent once more that came in a finalizer or a callback, where Python goes on after any exception."""
    if unraised.exc_type is KeyboardInterrupt and _ended_by:
        _ended_by.pop()
        os.write(wakes, bytes([UNHEARD]))
    else:
        sys.__unraisablehook__(unraised)


if __name__ == "__main__":
    main()
