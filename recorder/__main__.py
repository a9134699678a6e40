"""`python -m recorder` is `recorder`: listens for signals where they matter, then loads the command line."""

import sys
from typing import NoReturn

from recorder import signals


def main() -> NoReturn:
    """A recorder that is told to end while it still loads ends well; any other command just ends."""
    if sys.argv[1:2] == ["run"]:
        signals.listen()
    from recorder.cli import main as command_line  # only now: loading it takes time

    command_line()


if __name__ == "__main__":
    main()
