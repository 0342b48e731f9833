"""``image.py``: the poses of all heads on pictures, drawn and as numbers, for one picture or millions."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

import sim3dr
from semiuhpe.cli.checkpoint_options import TrainedOptions, bind_trained, trained_parser
from semiuhpe.cli.config import bind, parse
from semiuhpe.cli.options import OptionalCheckpointOptions
from semiuhpe.cli.outputs import check_outputs
from semiuhpe.cli.pose_options import (
    AS_ORIGINAL,
    SAMPLES,
    FoundModel,
    HeadOptions,
    PictureHeadOptions,
    check_heads,
    find_model,
    samples_if_none,
)
from semiuhpe.distributed import Process, start_process
from semiuhpe.drawing.axes import save_picture
from semiuhpe.drawing.overlay import NONE, draw_heads
from semiuhpe.errors import DataError, require
from semiuhpe.files import sha256
from semiuhpe.foreign import files_of, model_sha256
from semiuhpe.inference.detectors import Source, TiledDetector, check_tiles
from semiuhpe.inference.pipeline import HeadPipeline, HeadPoses
from semiuhpe.inference.records import picture_line
from semiuhpe.inference.result_files import (
    SETTINGS,
    FailedFile,
    ResultFile,
    Share,
    check_folder,
    check_settings,
    done_pictures,
    other_files,
    truncate_torn_lines,
    write_csv,
)
from semiuhpe.models.reliability import calibration_file
from semiuhpe.options import OptionGroup, option
from semiuhpe.pictures import MAX_PIXELS, SUFFIXES, Picture, count_pixels, find_pictures, read_picture, warn_of_unread

logger = logging.getLogger(__name__)

DRAWN = "pictures"
PICTURES_AT_ONCE = 32
"""Pictures whose heads share forward passes; fewer where they have more than MAX_PIXELS together."""
_QUALITY = 92  # of drawn JPEGs and WebPs
JSON, CSV = "json", "csv"

Decoded = list[tuple[str, Future[Picture]]]


class Posed(NamedTuple):
    """A picture with its heads."""

    name: str
    picture: Picture
    poses: HeadPoses


@dataclass(frozen=True)
class ImageOptions(OptionGroup, title="pictures"):
    """The options of pictures and their results."""

    input: tuple[str, ...] | None = option(
        None, f"pictures, folders of pictures, globs in quotes; {SAMPLES} if not given", metavar="PATH"
    )
    output: Path = option(Path("outputs/image"), "folder of results", metavar="DIR")
    save: Literal["json", "csv"] = option(JSON, "form of the results: JSON Lines, or a table beside them")
    tiles: bool = option(False, "look for heads in overlapping tiles, too: for small heads on large pictures")


def main(
    argv: Sequence[str],
    prog: str = "image.py",
    group: type[ImageOptions] = ImageOptions,
    own_detector: str | None = None,
) -> int:
    """Poses the heads on pictures.

    Args:
        argv: the command line.
        prog: the script that is run.
        group: its options of pictures.
        own_detector: what finds the heads where ``--detector`` is not given; the default detector if None.
    """
    help_text = "Poses of the heads on pictures, drawn and as numbers. Goes on where it was."
    groups = (OptionalCheckpointOptions, group, PictureHeadOptions)
    parser = trained_parser(prog, help_text, groups, ("num_workers", "bf16"), original=AS_ORIGINAL)
    parsed = parse(parser, argv)
    options, heads, given = bind(parsed, group), bind(parsed, PictureHeadOptions), bind_trained(parsed)
    given.model.obey_offline()
    samples, default_detector = samples_if_none(bool(options.input), given.original, own_detector)
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # read_picture has limits of its own
    output = options.output
    names, unread = find_pictures(options.input or [samples], output / DRAWN)
    warn_of_unread(unread)
    check_folder(output)
    check_drawings(output)
    check_heads(heads, given.model.checkpoint, default_detector)
    if options.tiles and heads.detector:
        check_tiles(heads.detector)
    model = find_model(parser, argv, given, heads)
    check_written(options, heads, names, [given.config, *heads.files(), *files_of(model.path)])
    return pose(options, model, names, default_detector)


def pose(options: ImageOptions, model: FoundModel, names: Sequence[str], default_detector: str) -> int:
    """Pose the heads of pictures in as many processes as were started, and return the exit code."""
    output = options.output
    process = start_process(model.options.run.gpu_ids, in_step=False)
    try:
        estimator, detector, heads = model.load(process.device, default_detector)
        detector = TiledDetector(detector) if options.tiles else detector
        share = Share(process.rank, process.world_size)
        settings = common_settings(model.options, heads, model.path, options.tiles)
        if process.is_main:
            check_settings(output, settings)
            truncate_torn_lines(output, share)
        process.wait()
        check_settings(output, settings)
        with ResultFile(output / share.file("heads", ".jsonl")) as results:
            done = done_pictures(output)
            own = [name for name in names if share.has(name) and name not in done]
            pipeline, full_range = HeadPipeline(detector, estimator), estimator.description.full_range
            threads = max(model.options.training.num_workers, 1)
            drawing = Drawing(heads.draw, output / DRAWN, full_range, model.mesh)
            job = Job(pipeline, drawing, threads, results, FailedFile(output, share))
            count = job.run(own, quiet=not process.is_main)
        if job.animations:
            logger.info("%d animations: their first frame was posed; video.py poses all frames", job.animations)
        if options.save == CSV:
            for lines in [results.path, *(other_files(output, share) if process.is_main else ())]:
                write_csv(lines)
        return _conclude(process, [len(own) - job.failed.count, count, job.failed.count], len(names), output)
    finally:
        process.close()


def check_written(
    options: ImageOptions, heads: HeadOptions, names: Sequence[str], others: Sequence[Path | None]
) -> None:
    """Raises ConfigError if a table or a drawing in the output folder is one of the pictures, or of other inputs."""
    output = options.output
    tables = sorted(output.glob("heads-*.csv")) if options.save == CSV else []
    check_outputs([("--output", table) for table in tables], others)
    if heads.draw != NONE and (output / DRAWN).is_dir():  # else no picture can be in it
        for name in names:
            check_outputs([("--output", drawing_path(output / DRAWN, name))], [name])


def common_settings(trained: TrainedOptions, heads: HeadOptions, path: Path, tiled: bool) -> dict[str, object]:
    """What all results in a folder have in common."""
    calibration = calibration_file(files_of(path)[0])
    return {
        "checkpoint": str(path),
        "checkpoint_sha256": model_sha256(path),
        "convention": trained.model.convention,
        "student": heads.student,
        "bf16": trained.training.bf16,
        "detector": heads.detector,
        "min_score": heads.min_score,
        "draw": heads.draw,
        "mesh": heads.mesh,
        **({"tiles": True} if tiled else {}),
        **({"original": True} if trained.original else {}),
        **({"calibration_sha256": sha256(calibration)} if calibration.is_file() else {}),
    }


@dataclass(frozen=True)
class Drawing:
    """How heads are drawn.

    Attributes:
        kind: one of ``DRAWINGS``.
        folder: where drawings go.
        full_range: which Euler angles are written beside a head.
        mesh: drawn over heads; the one that comes with the package if None.
    """

    kind: str
    folder: Path
    full_range: bool
    mesh: sim3dr.Mesh | None

    def write(self, posed: Posed, boxes: np.ndarray) -> None:
        """Write the drawing of a picture's heads, whose (N, 4) boxes are x, y, w, h."""
        if self.kind == NONE:
            return
        poses = posed.poses
        labels = [self._label(poses, number) for number in range(len(poses))]
        drawn = draw_heads(posed.picture.image, boxes, poses.rotations, self.kind, labels=labels, mesh=self.mesh)
        save_picture(drawing_path(self.folder, posed.name), drawn, quality=_QUALITY)

    def _label(self, poses: HeadPoses, number: int) -> str:
        pitch, yaw, roll = (poses.euler_full_deg if self.full_range else poses.euler_front_deg)[number]
        return f"y {yaw:.0f} p {pitch:.0f} r {roll:.0f}"


class Job:
    """The pictures of one process: decoded ahead and drawn in threads, their heads posed together."""

    def __init__(
        self, pipeline: HeadPipeline, drawing: Drawing, threads: int, results: ResultFile, failed: FailedFile
    ) -> None:
        self.pipeline, self.drawing, self.threads = pipeline, drawing, threads
        self.results, self.failed = results, failed
        self.animations = 0

    def run(self, names: Sequence[str], quiet: bool) -> int:
        """Does all pictures and returns how many heads they have.

        Raises:
            DataError: a result can't be written.
        """
        heads = 0
        bar = tqdm(total=len(names), unit="picture", disable=True if quiet else None)
        with ThreadPoolExecutor(self.threads) as pool, bar:
            ahead: list[Decoded] = []
            for group in groups(names):
                ahead.append([(name, pool.submit(read_picture, name)) for name in group])
                if len(ahead) == 2:
                    heads += self._finish(ahead.pop(0), pool, bar)
            for decoded in ahead:
                heads += self._finish(decoded, pool, bar)
        return heads

    def _finish(self, group: Decoded, pool: ThreadPoolExecutor, bar: tqdm) -> int:
        pictures = []
        for name, future in group:
            try:
                pictures.append((name, future.result()))
            except DataError as error:
                self._report(name, error)
        posed = self._pose(pictures)
        # Its drawing comes first, then its line, which says that the picture is done.
        for done, _ in zip(posed, pool.map(self._write_drawing, posed), strict=True):
            self.animations += done.picture.animated
            self.results.add(picture_line(done.name, done.picture, done.poses))
        bar.update(len(group))
        return sum(len(done.poses) for done in posed)

    def _pose(self, pictures: Sequence[tuple[str, Picture]]) -> list[Posed]:
        """Pictures with their heads; if one of them can't be used, each is tried alone."""
        if not pictures:
            return []
        try:
            poses = self.pipeline(
                [picture.image for _, picture in pictures],
                [Source(name) for name, _ in pictures],
                [picture.scale for _, picture in pictures],
            )
        except DataError as error:
            if len(pictures) > 1:
                return [posed for picture in pictures for posed in self._pose([picture])]
            self._report(pictures[0][0], error)
            return []
        return [Posed(name, picture, heads) for (name, picture), heads in zip(pictures, poses, strict=True)]

    def _write_drawing(self, posed: Posed) -> None:
        self.drawing.write(posed, self.pipeline.head_boxes(posed.poses.boxes))

    def _report(self, name: str, error: DataError) -> None:
        message = str(error) if str(error).startswith(name) else f"{name}: {error}"
        logger.warning("%s", message)
        self.failed.add(message)


def groups(names: Sequence[str]) -> Iterator[list[str]]:
    """The names in groups that fit into memory together."""
    group: list[str] = []
    pixels = 0
    for name in names:
        more = min(count_pixels(name), MAX_PIXELS)
        if group and (len(group) == PICTURES_AT_ONCE or pixels + more > MAX_PIXELS):
            yield group
            group, pixels = [], 0
        group.append(name)
        pixels += more
    if group:
        yield group


def drawing_path(folder: Path, name: str) -> Path:
    """Where the drawing of a picture goes: its path below the folder, with an ending that can be written."""
    path = Path(name)
    if ".." in path.parts:
        path = path.resolve()
    path = folder / path.relative_to(path.anchor)
    return path if path.suffix.lower() in SUFFIXES else path.with_name(f"{path.name}.jpg")


def check_drawings(output: Path) -> None:
    """Raises ConfigError if the folder of drawings has files, but no run has made them."""
    folder = output / DRAWN
    require(
        (output / SETTINGS).exists() or not folder.is_dir() or not any(folder.iterdir()),
        f"--output {output}: drawings go into its folder {DRAWN}, which has other files; name another folder",
    )


def _conclude(process: Process, counts: Sequence[int], pictures: int, output: Path) -> int:
    """Waits for the other processes, says what was done, and returns the exit code: 1 if a picture failed.

    The code is the same in all processes: torchrun would stop those that still work when one ends with another than 0.
    """
    done, heads, failed = process.gather(torch.tensor([counts])).sum(dim=0).tolist()
    if process.is_main:
        before = pictures - done - failed
        summary = f"{done} pictures done with {heads} heads" + (f", {before} were done before" if before else "")
        print(f"{summary}; results in {output}")
        if failed:
            print(f"{failed} failed; {output}/failed-*.txt says why")
    return 1 if failed else 0
