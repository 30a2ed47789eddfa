"""`nas` and `python -m nas`."""

import sys
from pathlib import Path


def main() -> None:
    """Run the command line, with this folder last on the path, where it hides none of the toolkit's packages."""
    here = {"", str(Path.cwd())}
    if not any((Path(path or ".") / "nas" / "__main__.py").resolve() == Path(__file__).resolve() for path in here):
        sys.path[:] = [path for path in sys.path if path not in here]
    sys.path.append(str(Path.cwd()))
    from nas.cli import run

    run()


if __name__ == "__main__":
    main()
