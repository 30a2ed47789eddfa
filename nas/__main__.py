"""`nas` and `python -m nas`."""

import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN = signal.SIGURG  # sent to ourselves; nobody else uses it
SOON = 0.3  # seconds after a signal in which another is the same: timeout sends two, and so does a closed terminal
_ended_by: list[int] = []  # the signals that came
_raised: list[int] = []  # the one of which KeyboardInterrupt was raised


def main() -> None:
    """Run the command line, with this folder last on the path, where it hides none of the toolkit's packages.

    Ctrl-C ends it in order, with exit status 130, and so does what schedulers and closed terminals send, SIGTERM with
    143 and SIGHUP with 129; a second one, not as good as together with the first, at once.
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
    threading.Thread(target=_watch, args=(woken,), daemon=True).start()
    sys.unraisablehook = _unraised
    signal.signal(AGAIN, _interrupted)
    for number in ENDS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell's background ignores Ctrl-C
            signal.signal(number, _interrupted)


def _interrupted(number: int, _: object) -> None:
    if number in ENDS:
        _ended_by.append(number)
    if _ended_by and not _raised:
        _raised.append(number)
        raise KeyboardInterrupt


def _unraised(unraised: "sys.UnraisableHookArgs") -> None:
    """It came in a finalizer or a callback, where Python goes on after any exception; it is raised again."""
    if unraised.exc_type is KeyboardInterrupt:
        _raised.clear()
    else:
        sys.__unraisablehook__(unraised)


def _watch(woken: int) -> None:
    """End the program at the second signal, and see that the first is heard.

    Python runs handlers in its main thread alone, and not while that one is within a library.
    """
    came: list[int] = []
    again = 0.0  # when another is a second one
    lost = 0  # tenths of a second
    while len(came) < 2:
        ready, _, _ = select.select([woken], [], [], 0.1 if came else None)
        if ready:
            (number,) = os.read(woken, 1)
            if number in ENDS and time.monotonic() >= again:
                came.append(number)
                again = time.monotonic() + SOON
            continue
        lost = 0 if _raised else lost + 1
        if lost > 1:
            signal.pthread_kill(threading.main_thread().ident or 0, AGAIN)
    with suppress(OSError, ValueError):
        if os.isatty(1) and select.select([], [1], [], 0)[1]:  # a terminal may be held, and would be waited for
            os.write(1, b"\x1b[?25h\n")  # the cursor, which a status line hides
    os._exit(128 + came[1])


if __name__ == "__main__":
    main()
