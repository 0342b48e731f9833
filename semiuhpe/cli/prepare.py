"""``semiuhpe prepare``: from a raw dataset to a head store."""

from collections.abc import Sequence
from pathlib import Path

from semiuhpe.config import FLAG, make_parser, require
from semiuhpe.data.importers import IMPORTERS
from semiuhpe.data.prepare import prepare


def main(argv: Sequence[str]) -> int:
    parser = make_parser("semiuhpe prepare", "Writes the head store of a raw dataset.", [])
    parser.add_argument("dataset", choices=tuple(IMPORTERS), help="which dataset the source is")
    parser.add_argument("--source", type=Path, metavar="DIR", help="the raw dataset as it was downloaded")
    parser.add_argument("--out", type=Path, metavar="STORE", help="store to write; data/DATASET.lmdb if not given")
    parser.add_argument("--split", help="split of the dataset; its first one if not given")
    parser.add_argument("--overwrite", help="replace a store that is there", **FLAG)
    options = parser.parse_args(argv)
    importer = IMPORTERS[options.dataset]
    split = options.split or importer.SPLITS[0]
    require(options.source is not None, f"--source is not given: the folder of the raw {options.dataset}")
    require(split in importer.SPLITS, f"--split {split}: {importer.NAME} has the splits {', '.join(importer.SPLITS)}")
    out = options.out or Path("data") / f"{importer.NAME}.lmdb"
    summary = prepare(importer, options.source, out, split, options.overwrite)
    print("\n".join(summary.lines()))
    print(f"written to {out}")
    return 1 if summary.broken else 0
