"""The command ``semiuhpe`` with a dataset, a network and a method of one's own.

python examples/extending/mine.py train --network mixer --method consistency --train_labeled Turntable ...
"""

import consistency  # noqa: F401  (each registers what it has)
import mixer  # noqa: F401
import turntable  # noqa: F401

from semiuhpe.cli.main import main

if __name__ == "__main__":
    main()
