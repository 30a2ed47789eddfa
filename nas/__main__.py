"""`nas` and `python -m nas`."""

import sys
from pathlib import Path


def main() -> None:
    """Run the command line, with this folder last on the path, where it hides none of the toolkit's packages."""
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


if __name__ == "__main__":
    main()
