"""Options that several scripts share. A method's options are with the method, those of data with the data."""

import argparse
from typing import Any

from semiuhpe.config import FLAG, AddOptions, make_parser, natural, positive_int, require
from semiuhpe.data import experiment
from semiuhpe.distributions.registry import DISTRIBUTIONS
from semiuhpe.methods import METHODS
from semiuhpe.models import network_choices
from semiuhpe.rotation import CONVENTIONS


def experiment_parser(prog: str, description: str):
    """Parser of everything that a settings file may say: training and evaluation read the same files."""
    return make_parser(prog, description, experiment_options())


def experiment_options() -> list[AddOptions]:
    """What adds the options of a settings file."""
    groups = [add_basic, experiment.add_options, add_network, add_training]
    return groups + [method.add_options for method in METHODS.values()]


def refuse_unused(method: str, options: argparse.Namespace) -> None:
    """Raises ConfigError if an option that only other methods have has another value than its default.

    Args:
        method: the run's.
        options: what a user has set, and defaults. The settings of an earlier run are not a user's.
    """
    used = {*_defaults(method), *getattr(METHODS[method], "USED_OPTIONS", ())}
    for other in METHODS:
        for name, default in _defaults(other).items():
            value = getattr(options, name)
            require(
                name in used or value == default,
                f"--{name} {value}: --method {method} has no use for this option of --method {other}; leave it out",
            )


def _defaults(method: str) -> dict[str, Any]:
    """The options that a method adds, with their defaults."""
    parser = argparse.ArgumentParser(add_help=False)
    METHODS[method].add_options(parser)
    return vars(parser.parse_args([]))


def add_basic(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("basic")
    group.add_argument("--exp_name", default="experiment", help="first folder of the run below --exps_dir")
    group.add_argument("--exp_detail", help="second folder; made from the options if not given")
    group.add_argument("--exps_dir", metavar="DIR", default="exps", help="where run folders are")
    group.add_argument("--is_full_range", help="all of SO(3), not just front to profile", **FLAG)
    group.add_argument("--gpu_ids", "-g", metavar="N", help="GPU to use; the CPU where there is none")
    group.add_argument("--seed", type=natural, default=0, help="of weights, order and augmentation")
    group.add_argument("--debug", help="write to exps/<exp_name>/debug/debug, over what is there", **FLAG)


def add_network(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("network")
    group.add_argument("--network", default="resnet50", help=f"backbone with pose head: {network_choices()}")
    group.add_argument(
        "--pretrained", help="start from ImageNet weights; where they exist if not given", **{**FLAG, "default": None}
    )
    group.add_argument("--image_size", type=positive_int, default=224, help="side of the network's input in pixels")
    group.add_argument("--distribution", choices=tuple(DISTRIBUTIONS), default="matrixFisher", help="of rotations")


def add_checkpoint(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """The checkpoint that a script uses, and what it may have to be told about one that was trained elsewhere.

    It may be left out where there is a default.
    """
    help_text = "a checkpoint file, EXP_DETAIL/DATE/best of a run, or a released one's name"
    parser.add_argument("checkpoint", nargs="?" if default else None, default=default, help=help_text)
    parser.add_argument("--convention", choices=CONVENTIONS, help="of the output, where the checkpoint doesn't tell it")


def add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument("--method", choices=tuple(METHODS), default="semiuhpe", help="training method")
    group.add_argument("--lr", type=float, default=1e-4, help="learning rate")
    group.add_argument("--batch_size", type=positive_int, default=32, help="labeled heads per step, all processes")
    group.add_argument("--eval_batch_size", type=positive_int, default=128, help="heads per evaluation batch")
    group.add_argument("--num_workers", type=natural, default=4, help="processes that decode pictures, per stream")
    group.add_argument("--max_iteration", type=positive_int, default=150000, help="length of the whole run")
    group.add_argument("--log_frequency", type=positive_int, default=100, help="steps between logged scalars")
    group.add_argument("--val_frequency", type=positive_int, default=1000, help="steps between validations")
    group.add_argument("--save_frequency", type=positive_int, default=10000, help="steps between dynamic thresholds")
    group.add_argument("--best_metric", metavar="NAME", help="what `best` is chosen by; the mean geodesic error")
    group.add_argument("--bf16", help="networks compute in bfloat16, everything else in float32", **FLAG)
    group.add_argument("--compile", help="compile the networks with torch.compile", **FLAG)
    group.add_argument("--save_feat", help="at the end write features of the unlabeled heads, for t-SNE", **FLAG)
    group.add_argument("--cont_ckpt", metavar="CKPT", help="continue a run, EXP_DETAIL/DATE/last, with its settings")
    group.add_argument("--init_from", metavar="CKPT", help="start from the weights of another run")
