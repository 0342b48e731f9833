"""The command ``semiuhpe`` with a dataset, a network and a method of one's own.

python examples/extending/mine.py train --network mixer --method consistency --train_labeled Turntable ...
"""

import consistency
import mixer  # noqa: F401  (registers its network)
import turntable

from semiuhpe.cli.main import main
from semiuhpe.data.importers import register_importer
from semiuhpe.methods import register_method

register_importer(turntable)
register_method("consistency", consistency)

if __name__ == "__main__":
    main()
