"""What all scripts do around their work: logging, and errors as one line with exit code 2."""

import logging
import sys
from collections.abc import Callable, Sequence

from semiuhpe.errors import SemiUHPEError


def run(command: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0, its own, 2 for an error that the user can mend, 130 for Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return command(sys.argv[1:] if argv is None else argv) or 0
    except SemiUHPEError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
