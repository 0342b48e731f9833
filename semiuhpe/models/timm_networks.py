"""Networks from timm: the paper's EfficientNet-B4 and TinyViT-21M, and any other model as ``timm:<name>[:<stages>]``.

State dicts of TinyViT have the keys of the released checkpoints, in saving and in loading. Pictures are normalized with
ImageNet's mean and deviation, whatever a model was trained with.
"""

import difflib
import re
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from semiuhpe.errors import CheckpointError, ConfigError
from semiuhpe.models.pose_head import pose_head
from semiuhpe.models.registry import NetworkSpec, register_family, register_model
from semiuhpe.models.weights import WEIGHTS, no_imagenet_weights
from semiuhpe.models.weights_files import SAFETENSORS, read_safetensors


@register_model("effinet", has_pretrained=True)
def effinet(pretrained: bool) -> nn.Module:
    """EfficientNet-B4 (Tan and Le, ICML 2019)."""
    network = timm_model("effinet", "efficientnet_b4.ra2_in1k", pretrained)
    network.classifier = pose_head(1792, (512, 128))
    return network


@register_model("tinyvit", has_pretrained=True)
def tinyvit(pretrained: bool | str) -> nn.Module:
    """TinyViT-21M (Wu et al., ECCV 2022), with its ImageNet-1k weights, or those of another of timm's tags."""
    tag = pretrained if isinstance(pretrained, str) else "in1k"
    network = timm_model("tinyvit", f"tiny_vit_21m_224.{tag}", bool(pretrained))
    network.get_submodule("head").fc = pose_head(576, (128, 64))
    _rename_keys(network, {key: _released_tinyvit_key(key) for key in network.state_dict()})
    return network


class TimmNet(nn.Module):
    """A timm model with the pose head in place of its classifier."""

    def __init__(self, spec: NetworkSpec, backbone: nn.Module):
        super().__init__()
        self.spec = spec
        self.backbone = backbone
        width = getattr(backbone, "head_hidden_size" if hasattr(backbone, "head_hidden_size") else "num_features")
        self.head = pose_head(width, (512, 128))

    def forward(self, image: Tensor) -> Tensor:
        self.spec.check_image_size(image.shape[-1])
        return self.head(self.backbone(image))


class FirstStages(nn.Module):
    """The first stages of a timm model: (B, 3, H, W) -> (B, channels), the mean over the last one's feature map."""

    def __init__(self, features: nn.Module):
        super().__init__()
        self.features = features
        [self.num_features] = features.feature_info.channels()  # type: ignore[union-attr, operator]

    def forward(self, image: Tensor) -> Tensor:
        [level] = self.features(image)
        return level.mean((-2, -1))


@register_family("timm")
def timm_network(model: str) -> NetworkSpec:
    """Return the network ``timm:<model>``, or ``timm:<model>:<stages>``, which ends after that many of its stages.

    The model may have a tag that names its weights, as in resnet50.a1_in1k. A network that ends early is smaller and
    faster, and still starts from ImageNet weights.

    Raises:
        ConfigError: the installed timm has no such model, no such tag, or the model has not that many stages.
    """
    name = f"timm:{model}"
    model, colon, stages = model.partition(":")
    architecture, _, tag = model.partition(".")
    if not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, timm.list_models(), n=3)
        hint = f"did you mean {', '.join(f'timm:{other}' for other in close)}?" if close else "see timm.list_models()"
        raise ConfigError(f"--network {name}: timm {timm.__version__} has no such model; {hint}")
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise ConfigError(f"--network {name}: timm has no weights of that tag; it has {', '.join(tags) or 'none'}")
    if colon:
        _check_stages(name, model, stages)

    def build(pretrained: bool) -> nn.Module:
        if not colon:
            return TimmNet(spec, timm_model(name, model, pretrained))
        last = int(stages) - 1
        return TimmNet(
            spec,
            FirstStages(
                timm_model(name, model, pretrained, features_only=True, feature_cls="getter", out_indices=(last,))
            ),
        )

    config = timm.models.get_pretrained_cfg(model)
    image_size = config.input_size[-1] if config and config.fixed_input_size else None
    spec = NetworkSpec(name, build, timm.models.is_model_pretrained(model), image_size)
    return spec


def timm_model(network: str, model: str, pretrained: bool, **options: Any) -> nn.Module:
    """Return a timm model without classifier; its weights are read from ``weights/`` if they are there, else fetched.

    Args:
        network: its name here, for errors.
        model: its name in timm.
        pretrained: whether to load weights.
        options: more arguments of ``timm.create_model``.

    Raises:
        ConfigError: the weights can't be found or fetched.
    """
    if pretrained:
        config = timm.models.get_pretrained_cfg(model)
        if config is None or not (config.hf_hub_id or config.url):
            raise ConfigError(f"--network {network}: timm has no weights for it; pass --pretrained false")
        hub = f"https://huggingface.co/{config.hf_hub_id}/resolve/main/model.safetensors"
        source = hub if config.hf_hub_id else str(config.url)
        place = WEIGHTS / f"{config.architecture}.{config.tag}{source[source.rindex('.') :]}"
        if place.is_file():
            options["pretrained_cfg_overlay"] = {"file": str(place)}
    try:
        if "pretrained_cfg_overlay" in options:
            _check_network(network, model, place)
        backbone = timm.create_model(model, pretrained=pretrained, num_classes=0, **options)
    except (OSError, RuntimeError, ValueError, SafetensorError, CheckpointError) as error:
        if not pretrained:
            raise
        raise no_imagenet_weights(network, error, source, place) from error
    backbone.register_forward_hook(_forget_attention_biases)
    return backbone


def _check_stages(network: str, model: str, stages: str) -> None:
    """Check the number of stages in a network's name.

    Raises:
        ConfigError: it is none, the model has fewer, or timm gives no feature maps of the model.
    """
    try:
        with torch.device("meta"):
            features: Any = timm.create_model(model, features_only=True, feature_cls="getter")
            count = len(features.feature_info)
    except (RuntimeError, AttributeError, AssertionError) as error:
        raise ConfigError(f"--network {network}: timm can't end this model early; pass timm:{model}") from error
    if not (stages.isdecimal() and 1 <= int(stages) <= count):
        raise ConfigError(
            f"--network {network}: {model} has {count} stages; pass timm:{model}:1 to timm:{model}:{count}, or "
            f"timm:{model} for all of it"
        )


def _check_network(network: str, model: str, file: Path) -> None:
    """Check a file of safetensors, as timm ignores weights that don't fit.

    Raises:
        ConfigError: it is of another network.
        CheckpointError: it is damaged.
    """
    if file.suffix != SAFETENSORS:
        return  # other files may have other names, which timm knows
    stored = {name: value.shape for name, value in read_safetensors(file)[0].items()}
    with torch.device("meta"):
        expected = dict(timm.create_model(model, pretrained=False, num_classes=0).named_parameters())
    if lacking := [name for name, value in expected.items() if stored.get(name) != value.shape]:
        raise ConfigError(
            f"--network {network}: {file} is of another network: {len(lacking)} of {len(expected)} weights, such as "
            f"{lacking[0]}, are missing or have another shape; remove it, or start from random weights with "
            "--pretrained false"
        )


def _forget_attention_biases(network: nn.Module, _: Any, __: Any) -> None:
    """Clear attention biases, which some models cache in eval mode: a teacher's would never follow its weights."""
    for module in network.modules():
        if cache := getattr(module, "attention_bias_cache", None):
            cache.clear()


def _released_tinyvit_key(key: str) -> str:
    """Return a key of timm's TinyViT in its authors' layout, where the next stage's downsampling ends a stage."""
    key = re.sub(r"^stages\.(\d)\.downsample", lambda stage: f"layers.{int(stage[1]) - 1}.downsample", key)
    for pattern, replacement in (
        (r"^stages", "layers"),
        (r"^patch_embed\.conv1", "patch_embed.seq.0"),
        (r"^patch_embed\.conv2", "patch_embed.seq.2"),
        (r"\.conv\.", ".c."),
        (r"^head\.norm", "norm_head"),
        (r"^head\.fc", "head"),
    ):
        key = re.sub(pattern, replacement, key)
    return key


def _rename_keys(network: nn.Module, names: dict[str, str]) -> None:
    """Give a network's state dict other keys, in saving and in loading."""
    own_names = {theirs: own for own, theirs in names.items()}

    def rename(state: dict[str, Any], prefix: str, renaming: dict[str, str]) -> None:
        values = {key: state.pop(key) for key in list(state) if key.startswith(prefix)}
        for key, value in values.items():
            state[prefix + renaming.get(key[len(prefix) :], key[len(prefix) :])] = value

    def after_reading(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
        rename(state, prefix, names)

    def before_loading(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
        rename(state, prefix, own_names)

    network.register_state_dict_post_hook(after_reading)
    network.register_load_state_dict_pre_hook(before_loading)
