"""Measures the way from pictures on disk to the views that training sees.

    python benchmarks/data.py speed [--pictures DIR]
    python benchmarks/data.py memory
    python benchmarks/data.py waiting [--pictures DIR]

``speed``: heads per second on one core; read, decode, crop, weak and strong view. A training store is measured against
the straightforward way, file by file: Pillow, scipy for the .mat, torchvision. ``memory``: that of the training process
and its loader workers while they go through 100,000 heads. ``waiting``: how long a ResNet-18's training steps wait for
the loader. Pictures are rendered ones of 450 px in the layout of 300W-LP, or those of any folder with NAME.jpg and
NAME.mat as in 300W-LP and AFLW2000.
"""

import argparse
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import scipy.io
import torch
import torchvision
from PIL import Image, ImageFilter
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import transforms

from semiuhpe.augment import views
from semiuhpe.data import HeadStore, StoreWriter
from semiuhpe.data.batches.heads import HeadBatch, ShuffledStream, training_batches
from semiuhpe.data.crop import HEAD_BOX, JPEG_QUALITY, LANDMARKS, StoredCrop, cut, encode, landmark_rectangle
from semiuhpe.data.importers import w300lp
from semiuhpe.data.preparing import prepare
from semiuhpe.data.stores import StoredHead, head_meta
from semiuhpe.distributions import MatrixFisher
from semiuhpe.rotation import matrix_to_euler
from semiuhpe.synthetic.render_head import render_head
from semiuhpe.synthetic.rotations import random_rotations

RAW_PX, RAW_COUNT = 450, 200
VIEW_PX = 224
LABELED, UNLABELED = 32, 128
MEMORY_PX = 64
MIB = 2**20


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        if options.command == "memory":
            measure_memory(Path(folder), options.heads, options.workers)
            return
        raw = Path(folder) / "300W_LP"
        link_pictures(options.pictures, raw) if options.pictures else render_pictures(raw)
        prepare(w300lp, raw, Path(folder) / "train.lmdb", split="train")
        store = HeadStore(Path(folder) / "train.lmdb")
        if options.command == "speed":
            measure_speed(raw, store, options.runs)
        else:
            measure_waiting(store, options.workers, options.steps)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    speed = commands.add_parser("speed", help="a store against reading file by file")
    speed.add_argument("--runs", type=int, default=25, help="batches of each way, in turn; medians are printed")
    memory = commands.add_parser("memory", help="over 100,000 heads")
    memory.add_argument("--heads", type=int, default=100_000, help="to go through")
    memory.add_argument("--workers", type=int, default=2, help="that decode")
    waiting = commands.add_parser("waiting", help="of training steps for the loader")
    waiting.add_argument("--workers", type=int, default=2, help="of each of the two streams")
    waiting.add_argument("--steps", type=int, default=8, help="measured after two that are not")
    for command in (speed, waiting):
        command.add_argument("--pictures", type=Path, metavar="DIR", help="folder of NAME.jpg and NAME.mat")
    return parser.parse_args()


def render_pictures(raw: Path) -> None:
    """Rendered heads in the layout and with the contents of 300W-LP."""
    (raw / "AFW").mkdir(parents=True)
    rotations = random_rotations(RAW_COUNT, np.random.default_rng(0), "front")
    euler = matrix_to_euler(torch.from_numpy(rotations)).numpy()
    for number, rotation in enumerate(rotations):
        rng = np.random.default_rng([1, number])
        head = render_head(rotation, rng, "wild", RAW_PX)
        path = raw / "AFW" / f"{number:05d}.jpg"
        Image.fromarray(head.image).save(path, quality=90)
        x, y, w, h = head.box
        # In 300W-LP the landmarks spread over some 180 of 450 px.
        points = np.array([[x + w / 2], [y + h / 2]]) + np.array([[w], [h]]) * rng.uniform(-0.28, 0.28, (2, 68))
        pose = np.concatenate([np.radians(euler[number]), np.zeros(4)])[None]
        other = {"Shape_Para": (199, 1), "Exp_Para": (29, 1), "Illum_Para": (1, 10), "Color_Para": (1, 7)}
        other |= {"Tex_Para": (199, 1), "roi": (1, 4)}
        contents = {"pt2d": points, "Pose_Para": pose} | {name: rng.normal(size=s) for name, s in other.items()}
        scipy.io.savemat(path.with_suffix(".mat"), contents)


def link_pictures(source: Path, raw: Path) -> None:
    """Links to the pictures of a folder, at any depth, that have a .mat beside them."""
    (raw / "AFW").mkdir(parents=True)
    found = [path for path in sorted(source.rglob("*.jpg")) if path.with_suffix(".mat").is_file()]
    if not found:
        sys.exit(f"--pictures {source}: has no NAME.jpg with NAME.mat beside it")
    for number, path in enumerate(found):
        for file in (path, path.with_suffix(".mat")):
            (raw / "AFW" / f"{number:06d}{file.suffix}").symlink_to(file.absolute())


class FileByFile(Dataset):
    """The straightforward way: each head is read, cropped and augmented by itself, each view step by step."""

    def __init__(self, raw: Path):
        self.paths = sorted(raw.rglob("*.jpg"))
        self.weak, self.strong = (
            transforms.Compose([
                transforms.RandomResizedCrop(VIEW_PX, scale, ratio=(1.0, 1.0)),
                transforms.ToTensor(),
                transforms.Normalize(views.IMAGENET_MEAN, views.IMAGENET_STD),
            ])
            for scale in (views.WEAK_SCALE, views.STRONG_SCALE)
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, float, Tensor]:
        path = self.paths[index]
        image = np.asarray(Image.open(path).convert("RGB"))
        mat = scipy.io.loadmat(path.with_suffix(".mat"))
        height, width = image.shape[:2]
        margin = random.uniform(*LANDMARKS.margin_range)
        head = Image.fromarray(cut(image, landmark_rectangle(mat["pt2d"].T, margin, width, height), VIEW_PX))
        if random.random() < views.FLIP_PROBABILITY:
            head = head.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if random.random() < views.BLUR_PROBABILITY:
            head = head.filter(ImageFilter.BLUR)
        angle = random.uniform(-views.MAX_TURN_DEG, views.MAX_TURN_DEG)
        turned = head.rotate(-angle, Image.Resampling.BILINEAR)
        pose = torch.from_numpy(mat["Pose_Para"][0, :3])
        return self.weak(head), self.strong(turned), angle, pose


def measure_speed(raw: Path, store: HeadStore, runs: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    generator = torch.Generator().manual_seed(0)
    heads = training_batches(store, ShuffledStream(len(store), UNLABELED, seed=0), num_workers=0)
    endless = RandomSampler(range(len(store)), replacement=True, num_samples=(runs + 1) * UNLABELED)
    files = iter(DataLoader(FileByFile(raw), UNLABELED, sampler=endless))
    ways: dict[str, Callable[[], object]] = {
        "file by file": lambda: next(files),
        "training store": lambda: views.unlabeled_views(next(heads), LANDMARKS, VIEW_PX, True, generator),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs + 1):
        for name, batch in ways.items():
            start = time.process_time()  # one thread: what others do on the machine counts little
            batch()
            seconds[name].append(time.process_time() - start)
    slow, fast = (times[1:] for times in seconds.values())  # the first run warms up
    ratios = [s / f for s, f in zip(slow, fast, strict=True)]
    lower, _, upper = statistics.quantiles(ratios, n=4)
    rates = [UNLABELED / statistics.median(times) for times in (slow, fast)]
    print(f"{len(store)} pictures, stored at {store.size} px; views of {VIEW_PX} px; {runs} batches of {UNLABELED}\n")
    print("| heads per second and core | file by file | training store | ratio | its quartiles |")
    print("| --- | ---: | ---: | ---: | ---: |")
    ratio = statistics.median(ratios)
    print(f"| both views | {rates[0]:.0f} | {rates[1]:.0f} | {ratio:.1f} | {lower:.1f} to {upper:.1f} |")


def small_store(path: Path, count: int) -> HeadStore:
    """Many small heads, of few different pictures."""
    rotations = random_rotations(64, np.random.default_rng(0), "front")
    crops = []
    for number, rotation in enumerate(rotations):
        head = render_head(rotation, np.random.default_rng(number), "wild", MEMORY_PX)
        bounds = np.array([0.0, 0.0, MEMORY_PX, MEMORY_PX])
        crops.append(StoredCrop(encode(head.image, JPEG_QUALITY), head.box, bounds))
    meta = head_meta(
        dataset="benchmark", split="train", size=MEMORY_PX, crop_rule=HEAD_BOX, loose=True, full_range=False,
        source="benchmarks/data.py", settings={},
    )  # fmt: skip
    with StoreWriter(path, meta) as writer:
        for number in range(count):
            which = number % len(crops)
            writer.add(StoredHead(f"{number:06d}", crops[which], rotations[which]))
    return HeadStore(path)


def own_memory(process: int) -> dict[str, float]:
    """MiB of a process: its own and its share of what it shares with others, without mapped files; and those."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return {
        "own": (kib["Pss_Anon"] + kib["Pss_Shmem"]) * 1024 / MIB,
        "files": kib["Pss_File"] * 1024 / MIB,
    }


def measure_memory(folder: Path, count: int, workers: int) -> None:
    torch.set_num_threads(1)
    batch_size, points = UNLABELED, 10
    store = small_store(folder / "small.lmdb", count)
    generator = torch.Generator().manual_seed(0)
    stream = training_batches(store, ShuffledStream(count, batch_size, seed=0), workers)
    steps = -(-count // batch_size)
    measured = {max(steps * point // points, min(50, steps)) for point in range(points + 1)}
    print("| heads | this process, MiB | its workers, MiB | mapped files, MiB |\n| ---: | ---: | ---: | ---: |")
    totals = []
    for step in range(1, steps + 1):
        views.unlabeled_views(next(stream), HEAD_BOX, MEMORY_PX, True, generator)
        if step in measured:
            own, *others = [
                own_memory(process) for process in (os.getpid(), *(c.pid for c in multiprocessing.active_children()))
            ]
            files = sum(memory["files"] for memory in (own, *others))
            map_in_workers = sum(memory["own"] for memory in others)
            totals.append(own["own"] + map_in_workers)
            print(f"| {step * batch_size} | {own['own']:.1f} | {map_in_workers:.1f} | {files:.1f} |", flush=True)
    print(f"\nfrom the first to the last line: {totals[-1] - totals[0]:+.1f} MiB")


def training_step() -> Callable[[HeadBatch, HeadBatch], None]:
    """A step of a ResNet-18 as in stage 2: a teacher's pseudo labels, and one pass of the student over both streams."""
    student, teacher = (torchvision.models.resnet18(num_classes=9) for _ in range(2))
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-4)
    generator = torch.Generator().manual_seed(0)

    def step(labeled: HeadBatch, unlabeled: HeadBatch) -> None:
        known = views.labeled_view(labeled, LANDMARKS, VIEW_PX, True, generator)
        weak, strong = views.unlabeled_views(unlabeled, LANDMARKS, VIEW_PX, True, generator)
        with torch.no_grad():
            pseudo = MatrixFisher(teacher(weak.image).unflatten(-1, (3, 3)))
        out = student(torch.cat([known.image, strong.image])).unflatten(-1, (3, 3))
        loss = pseudo.cross_entropy(MatrixFisher(out[LABELED:])).mean()
        loss = loss - MatrixFisher(out[:LABELED]).log_prob(known.rotation).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def measure_waiting(store: HeadStore, workers: int, steps: int) -> None:
    streams: list[Iterator[HeadBatch]] = [
        training_batches(store, ShuffledStream(len(store), size, seed=size), workers) for size in (LABELED, UNLABELED)
    ]
    step = training_step()
    waits, lengths = [], []
    for _ in range(steps + 2):
        start = time.perf_counter()
        batches = [next(stream) for stream in streams]
        waits.append(time.perf_counter() - start)
        step(*batches)
        lengths.append(time.perf_counter() - start)
    waits, lengths = waits[2:], lengths[2:]  # the first two steps wait for the workers to start
    print("| workers | step, ms | waiting, ms | longest wait, ms | share |\n| ---: | ---: | ---: | ---: | ---: |")
    print(
        f"| {2 * workers} | {1e3 * statistics.mean(lengths):.0f} | {1e3 * statistics.mean(waits):.1f} | "
        f"{1e3 * max(waits):.1f} | {sum(waits) / sum(lengths):.2%} |"
    )


if __name__ == "__main__":
    main()
