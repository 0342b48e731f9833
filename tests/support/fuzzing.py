"""Damaged and forged files for the tests that read them: only this project's errors may come out, and nothing hangs.

The examples of a test are the same in every run, and few. ``FUZZ_EXAMPLES=2000 python -m pytest tests/test_fuzz*.py``
tries that many new ones per reader.
"""

import copy
import io
import json
import os
import signal
from contextlib import contextmanager

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from semiuhpe.errors import SemiUHPEError

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
BUSY_S, HANGS_S = 20, 300
"""Longer than this no file may keep a reader busy, in seconds of the processor, or waiting."""


def fuzzed(examples):
    """Settings of a test: so many examples in CI, always the same; more, and new ones, where asked for."""
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        deadline=None,
        phases=[Phase.generate],  # what fails is short enough, and to make it shorter takes minutes
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def only_ours(*others):
    """Lets errors of the project pass, and what else is documented; fails on any other and on what takes too long."""

    def hangs(*_):
        raise TimeoutError(f"busy for {BUSY_S} s, or waiting for {HANGS_S} s")

    before = {number: signal.signal(number, hangs) for number in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, BUSY_S)
    signal.alarm(HANGS_S)
    try:
        yield
    except (SemiUHPEError, *others) as error:
        assert str(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)


edits = st.lists(
    st.tuples(
        st.sampled_from(("flip", "write", "insert", "delete", "cut")),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 255),
        st.binary(min_size=1, max_size=9),
    ),
    min_size=1,
    max_size=4,
)


def edited(data, changes):
    """Bytes with changes at places given as shares of the length."""
    data = bytearray(data)
    for kind, share, number, new in changes:
        place = int(share * len(data))
        if kind == "flip" and data:
            data[place] ^= 1 << number % 8
        elif kind == "write":
            data[place : place + len(new)] = new
        elif kind == "insert":
            data[place:place] = new * (1 + number % 3)
        elif kind == "delete":
            del data[place : place + 1 + number]
        elif kind == "cut" and number < 64:
            del data[place:]
    return bytes(data)


leaves = (
    st.sampled_from((None, True, False, 0, 1, -1, "", ".", "..", "0", "nan", "a\0b", "\ud800", 1e308, -1e308, 10**400))
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=6)
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
forgeries = st.lists(st.tuples(st.lists(st.integers(0, 30), max_size=6), st.booleans(), values), min_size=1, max_size=3)


def forged(value, changes):
    """A structure of lists and dictionaries in which some parts are replaced or left out."""
    value = copy.deepcopy(value)
    for path, leave_out, new in changes:
        parent, key, part = None, None, value
        for step in path:
            if not isinstance(part, list | dict) or not part:
                break
            parent, key = part, list(part)[step % len(part)] if isinstance(part, dict) else step % len(part)
            part = part[key]
        if parent is None:
            value = new
        elif leave_out:
            del parent[key]
        else:
            parent[key] = new
    return value


arrays = st.builds(
    lambda shape, kind, number: np.full(shape, number).astype(kind),
    st.lists(st.integers(0, 13), max_size=3),
    st.sampled_from(("f4", "f8", "i8", "u4", "?", "U3", "S2", "c8", "f2")),
    st.sampled_from((0, 1, -1, 5)),
)
array_changes = st.dictionaries(st.integers(0, 9), arrays | st.none() | st.floats(width=32), max_size=2)


def forged_arrays(packed, changes):
    """Labels in which some arrays are others, left out, or hold a number everywhere."""
    with np.load(io.BytesIO(packed)) as found:
        labels = dict(found)
    for number, new in changes.items():
        name = list(labels)[number % len(labels)]
        if new is None:
            del labels[name]
        elif isinstance(new, np.ndarray):
            labels[name] = new
        elif labels[name].dtype.kind == "f":
            labels[name] = np.full_like(labels[name], new)
    file = io.BytesIO()
    np.savez_compressed(file, **labels)
    return file.getvalue()


def as_bytes(content):
    if isinstance(content, bytes):
        return content
    return content.encode("utf-8", "surrogatepass") if isinstance(content, str) else json.dumps(content).encode()


def npz(**entries):
    file = io.BytesIO()
    np.savez(file, **entries)
    return file.getvalue()
