"""``video.py``: the heads of a video, a webcam or a folder of frames, drawn over it and as JSON Lines."""

import contextlib
import json
import logging
import signal
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Annotated

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from semiuhpe.cli.checkpoint_options import bind_trained, trained_parser
from semiuhpe.cli.config import bind, parse
from semiuhpe.cli.options import OptionalCheckpointOptions
from semiuhpe.cli.outputs import check_outputs
from semiuhpe.cli.pose_options import AS_ORIGINAL, SAMPLES, HeadOptions, check_heads, find_model, samples_if_none
from semiuhpe.distributed import pick_device
from semiuhpe.drawing.overlay import NONE
from semiuhpe.errors import ConfigError, DataError, require
from semiuhpe.files import atomic_path, is_writable
from semiuhpe.foreign import files_of
from semiuhpe.inference.pipeline import HeadPipeline
from semiuhpe.options import InvalidValue, OptionGroup, Parser, option
from semiuhpe.video.pipeline import PosedFrame, frame_record, pose_video
from semiuhpe.video.source import VideoSource, open_source
from semiuhpe.video.writer import FORMATS, VideoWriter, check_video_name

logger = logging.getLogger(__name__)
INTERRUPTED = 130
FPS, SAMPLES_FPS = Fraction(25), Fraction(2)
MIN_FPS, MAX_FPS = Fraction(1, 1000), Fraction(1000)


def frame_rate(text: str) -> Fraction:
    """A number of frames per second: whole, decimal, or a ratio. The customary 29.97 is 30000/1001.

    Raises:
        InvalidValue: it is no such number, or out of bounds.
    """
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise InvalidValue(f"{text} is no number of frames per second") from error
    if not MIN_FPS <= rate <= MAX_FPS:
        raise InvalidValue(f"{text} is not between {MIN_FPS} and {MAX_FPS}")
    broadcast = Fraction(round(rate * 1001 / 1000) * 1000, 1001)  # which are written with two or three digits
    if broadcast and abs(broadcast - rate) < Fraction(1, 200) and rate.denominator > 1:
        return broadcast
    return rate.limit_denominator(1001)


@dataclass(frozen=True)
class VideoOptions(OptionGroup, title="video"):
    """The options of videos and their results."""

    input: str | None = option(
        None,
        f"a video, a folder of frames, an address, or a webcam's number, from 0; {SAMPLES} if not given",
        metavar="SOURCE",
    )
    output: Path | None = option(
        None, f"video to write; NAME_heads.mp4 here if not given; ends in {', '.join(FORMATS)}", metavar="FILE"
    )
    jsonl: Path | None = option(None, "file to write the heads of each frame to, as JSON Lines", metavar="FILE")
    track: bool = option(False, "number the persons (pip install 'semiuhpe[track]')")
    smooth: bool = option(False, "smooth each person's rotation (one-euro filter)")
    fps: Annotated[Fraction, Parser(frame_rate)] | None = option(
        None, f"frames per second of a folder of frames, such as 29.97 or 30000/1001; {FPS} if not given"
    )


def main(argv: Sequence[str]) -> int:
    help_text = "Head poses on a video, drawn over it and as JSON Lines."
    groups = (OptionalCheckpointOptions, VideoOptions, HeadOptions)
    parser = trained_parser("video.py", help_text, groups, ("bf16",), original=AS_ORIGINAL)
    parsed = parse(parser, argv)
    options, heads, given = bind(parsed, VideoOptions), bind(parsed, HeadOptions), bind_trained(parsed)
    given.model.obey_offline()
    samples, default_detector = samples_if_none(bool(options.input), given.original)
    require(not options.smooth or options.track, "--smooth needs --track, which tells the persons apart")
    require(heads.draw != NONE or options.jsonl is not None, "--draw none writes no video: --jsonl has to be given")
    video = open_source(options.input or samples, options.fps or (SAMPLES_FPS if samples else FPS))
    output = _output(options.output, heads.draw, video.name)
    require(not options.jsonl or is_writable(options.jsonl), f"--jsonl {options.jsonl}: can't be written; name another")
    outputs = (("--output", output), ("--jsonl", options.jsonl))
    check_outputs(outputs, [*video.files, given.config, *heads.files()])
    check_heads(heads, given.model.checkpoint, default_detector)
    model = find_model(parser, argv, given, heads)
    check_outputs(outputs, files_of(model.path))
    estimator, detector, heads = model.load(pick_device(model.options.run.gpu_ids), default_detector)
    with _stop_at_interrupt() as stop:
        draw = None if output is None else heads.draw
        pipeline = HeadPipeline(detector, estimator)
        frames = pose_video(video, pipeline, draw, options.track, options.smooth, stop, model.mesh)
        _write(frames, video, output, options.jsonl, stop)
    for remark in [] if stop.is_set() else detector.remarks():
        logger.warning("%s", remark)
    return INTERRUPTED if stop.is_set() and not video.live else 0


def _output(named: Path | None, draw: str, name: str) -> Path | None:
    """The video to write; ConfigError if it can't be."""
    if draw == NONE:
        require(named is None, "--draw none writes no video; leave --output out")
        return None
    output = named or Path(f"{name}_heads.mp4")
    check_video_name(output)
    return output


def _write(
    frames: Generator[PosedFrame, None, None],
    video: VideoSource,
    output: Path | None,
    jsonl: Path | None,
    stop: threading.Event,
) -> None:
    """Writes what comes until there is no more; what was interrupted is finished, what failed leaves nothing."""
    done, heads, start = 0, 0, time.monotonic()
    with contextlib.ExitStack() as stack:
        stack.enter_context(logging_redirect_tqdm())
        lines = stack.enter_context(_whole_file(jsonl)) if jsonl else None
        writer = stack.enter_context(VideoWriter(output, video)) if output else None
        bar = stack.enter_context(tqdm(total=video.count, unit="frame", disable=None))
        stack.enter_context(contextlib.closing(frames))
        for posed in frames:
            if writer:
                writer.write(posed.picture, posed.frame.pts)
            if lines:
                print(json.dumps(frame_record(posed)), file=lines)
            done, heads = done + 1, heads + len(posed)
            bar.update()
        if writer:
            writer.close(whole_sound=not stop.is_set())
    speed = done / max(time.monotonic() - start, 1e-9)
    written = ", ".join(str(path) for path in (output, jsonl) if path and path.exists())
    hint = "" if heads or not done else "; no head was found: lower --min_score, or check the detector"
    print(f"{done} frames, {heads} heads, {speed:.1f} frames per second; written: {written or 'nothing'}{hint}")


@contextlib.contextmanager
def _whole_file(path: Path) -> Iterator[IO[str]]:
    """A text file that gets its name when it is complete."""
    try:
        with (
            atomic_path(path) as partial,
            open(partial, "w", encoding="utf-8", buffering=1) as file,  # line by line, for those who watch it grow
        ):
            yield file
    except OSError as error:
        raise DataError(f"{path}: can't be written ({error})") from error


@contextlib.contextmanager
def _stop_at_interrupt() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second one interrupts."""
    stop = threading.Event()

    def interrupt(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        logger.info("finishing what has been begun; Ctrl-C again to give it up")

    try:
        before = signal.signal(signal.SIGINT, interrupt)
    except ValueError as error:
        raise ConfigError("video.py has to run in the main thread, so that it can be stopped") from error
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
