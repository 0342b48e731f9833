"""What all scripts do around their work: logging, and errors as one line with exit code 2."""

import logging
import os
import sys
from collections.abc import Callable, Sequence

from semiuhpe.errors import SemiUHPEError, Stopped, machine_fault


def run(command: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0, its own, 2 for an error that the user can mend, 130 for
    Ctrl-C and when a signal has stopped training among other work.

    Faults of the machine, such as a full disk, are errors of that kind. A process of ``torchrun`` doesn't return, but
    ends here.
    """
    code = _run(command, argv)
    if os.environ.get("TORCHELASTIC_RUN_ID"):
        # While Python takes itself apart, threads of PyTorch's connections may abort it, and torchrun would say that
        # work failed which is done.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(command: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return command(sys.argv[1:] if argv is None else argv) or 0
    except SemiUHPEError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, OSError, MemoryError) as error:
        message = machine_fault(error)
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        return 2
    except Stopped:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
