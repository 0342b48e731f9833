import hashlib
import json
import zlib

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from support.paths import GOLDEN

from semiuhpe.cli.train import parse_options
from semiuhpe.errors import ConfigError
from semiuhpe.methods.teacher import Teacher
from semiuhpe.models import create_model, list_models, network_spec, register_model, reparametrize, repvgg
from semiuhpe.models.registry import NETWORKS as REGISTRY

NETWORKS = json.loads((GOLDEN / "networks.json").read_text())["networks"]


@pytest.mark.parametrize("name", list_models())
def test_every_network_gives_nine_numbers(name):
    network = create_model(name).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 9)


@pytest.mark.parametrize("name", NETWORKS)
def test_layouts_and_outputs_are_those_of_the_released_networks(name):
    network, state = filled(name)
    layout = "\n".join(f"{key} {tuple(value.shape)}" for key, value in sorted(state.items()))
    assert len(state) == NETWORKS[name]["tensors"]
    assert hashlib.sha256(layout.encode()).hexdigest() == NETWORKS[name]["layout_sha256"]
    assert sum(parameter.numel() for parameter in network.parameters()) == NETWORKS[name]["parameters"]
    with torch.no_grad():
        np.testing.assert_allclose(network(pictures(224)), NETWORKS[name]["output"], atol=1e-3)


def pictures(size):
    return torch.from_numpy(np.random.RandomState(7).standard_normal((2, 3, size, size)).astype(np.float32))


def filled(name):
    """A network with the deterministic filling that the reference outputs were made with, and its state dict."""
    network = create_model(name).eval()
    state = {key: torch.as_tensor(fill(key, tuple(v.shape))).to(v.dtype) for key, v in network.state_dict().items()}
    network.load_state_dict(state)
    return network, state


def fill(key, shape):
    z = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    if key.endswith("num_batches_tracked"):
        return np.array(1)
    if key.endswith("running_var"):
        return 1 + 0.1 * np.abs(z)
    if key.endswith(("running_mean", "bias")):
        return 0.1 * z
    return 1 + 0.1 * z if len(shape) <= 1 else z / np.sqrt(np.prod(shape[1:]))


def test_unknown_network_gets_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean resnet50"):
        create_model("resnet5O")


def test_networks_without_imagenet_weights_say_so():
    with pytest.raises(ConfigError, match="--pretrained false"):
        create_model("plainnet", pretrained=True)


def test_unreachable_imagenet_weights_are_an_error_and_no_random_start(monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(ConfigError, match="--pretrained false"):
        create_model("resnet18", pretrained=True)


def test_a_network_from_outside_is_registered_by_a_decorator():
    @register_model("outsider", has_pretrained=False)
    def outsider(pretrained):
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(9))

    try:
        assert create_model("outsider")(torch.zeros(1, 3, 8, 8)).shape == (1, 9)
    finally:
        REGISTRY.unregister("outsider")


@pytest.fixture
def small_repvgg(monkeypatch):
    monkeypatch.setattr(repvgg, "STAGES", ((16, 3), (16, 2), (32, 2), (64, 1)))


def test_reparametrized_repvgg_computes_the_same():
    network, state = filled("repvgg")
    merged = reparametrize(network)
    with torch.no_grad():
        np.testing.assert_allclose(merged(pictures(64)), network(pictures(64)), atol=1e-3)
        difference = merged.double()(pictures(64).double()) - network.double()(pictures(64).double())
    assert difference.abs().max() < 1e-3
    convolutions = [module for module in merged.modules() if isinstance(module, torch.nn.Conv2d)]
    assert len(convolutions) == 1 + 4 + 6 + 16 + 1
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in merged.modules())
    assert network.state_dict().keys() == state.keys(), "the original must stay as it was"


def test_reparametrization_is_exact_but_for_rounding(small_repvgg):
    network = create_model("repvgg").double()
    for _ in range(3):
        network(torch.randn(8, 3, 64, 64, dtype=torch.float64))  # statistics other than 0 and 1
    merged = reparametrize(network)
    assert not merged.training and network.training
    picture = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    torch.testing.assert_close(merged(picture), network.eval()(picture), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["resnet18", "tinyvit", "timm:test_resnet", "timm:repvgg_a0"])
def test_any_network_can_be_reparametrized(name):
    network = create_model(name).eval()
    with torch.no_grad():
        torch.testing.assert_close(reparametrize(network)(pictures(64)), network(pictures(64)), rtol=1e-4, atol=1e-4)


def test_a_teachers_attention_follows_the_student():
    student = create_model("tinyvit").eval()
    teacher = Teacher(student, decay=0.0)
    before = teacher.network(pictures(64))
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            if name.endswith("attention_biases"):
                parameter.normal_(std=3.0)
    teacher.update(student, 1)
    with torch.no_grad():
        after = teacher.network(pictures(64))
        torch.testing.assert_close(after, student(pictures(64)))
    assert (after - before).abs().max() > 1e-5


def test_repvgg_starts_from_its_authors_file(small_repvgg, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        create_model("repvgg", pretrained=True)
    assert str(tmp_path / "weights" / "RepVGG-B1g2-train.pth") in str(error.value)
    assert "--pretrained false" in str(error.value)

    authors = {
        key.replace("layer", "stage"): torch.randn(value.shape)
        for key, value in create_model("repvgg").state_dict().items()
        if key.startswith("layer")
    }
    (tmp_path / "weights").mkdir()
    path = tmp_path / "weights" / "RepVGG-B1g2-train.pth"
    torch.save(authors | {"linear.weight": torch.zeros(1000, 64), "linear.bias": torch.zeros(1000)}, path)
    state = create_model("repvgg", pretrained=True).state_dict()
    for key, value in authors.items():
        loaded = state[key.replace("stage", "layer")]
        torch.testing.assert_close(loaded, value.to(loaded.dtype))

    del authors["stage1.0.rbr_dense.conv.weight"]
    for content in (authors, {"state_dict": 1}, [1]):
        torch.save(content, path)
        with pytest.raises(ConfigError, match="--pretrained false"):
            create_model("repvgg", pretrained=True)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ConfigError, match="--pretrained false"):
        create_model("repvgg", pretrained=True)


def test_timm_networks():
    network = create_model("timm:test_resnet").eval()
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 9)
    assert network_spec("timm:test_resnet").has_pretrained


def test_timm_networks_can_end_early():
    pictures = torch.randn(2, 3, 64, 64)
    network = create_model("timm:test_resnet:2").eval()
    backbone = create_model("timm:test_resnet").eval().backbone
    backbone.load_state_dict(network.backbone.features.model.state_dict(), strict=False)
    whole, taken = backbone.forward_intermediates(pictures, intermediates_only=True), 1
    torch.testing.assert_close(network.backbone(pictures), whole[taken].mean((-2, -1)))
    weights = {name: len(list(create_model(name).parameters())) for name in ("timm:test_resnet:2", "timm:test_resnet")}
    assert weights["timm:test_resnet:2"] < weights["timm:test_resnet"]  # what comes later is gone
    assert create_model("timm:test_vit:1").eval()(torch.zeros(2, 3, 160, 160)).shape == (2, 9)


@pytest.mark.parametrize(
    "name, words",
    [
        ("timm:resnet5O", "did you mean timm:resnet50"),
        ("timm:", "timm:"),
        ("timm:hf_hub:someone/something", "someone/something"),
        ("timm:resnet18.nope", "a1_in1k"),
        ("timm:resnet18:6", "resnet18 has 5 stages; pass timm:resnet18:1 to timm:resnet18:5"),
        ("timm:resnet18:0", "has 5 stages"),
        ("timm:resnet18:", "has 5 stages"),
        ("timm:resnet18:two", "has 5 stages"),
        ("nothing", "resnet18.*timm:<name>"),
    ],
)
def test_unknown_networks_are_errors_that_help(name, words):
    with pytest.raises(ConfigError, match=words):
        network_spec(name)


def test_timm_networks_of_one_size_say_so():
    network = create_model("timm:test_vit")
    with pytest.raises(ConfigError, match="--image_size 160"):
        network(torch.zeros(2, 3, 64, 64))
    assert network(torch.zeros(2, 3, 160, 160)).shape == (2, 9)
    with pytest.raises(ConfigError, match=r"timm:test_vit.*160 px|160 px.*timm:test_vit"):
        parse_options(["--network", "timm:test_vit", "--image_size", "64"])


def test_timm_weights_come_from_the_weights_folder(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", offline)
    place = tmp_path / "weights" / "test_resnet.r160_in1k.safetensors"
    with pytest.raises(ConfigError) as error:
        create_model("timm:test_resnet", pretrained=True)
    assert str(place) in str(error.value) and "--pretrained false" in str(error.value)
    assert "https://huggingface.co/timm/test_resnet.r160_in1k/resolve/main/model.safetensors" in str(error.value)

    place.parent.mkdir()
    theirs = timm.create_model("test_resnet").state_dict()
    save_file(theirs, place)
    state = create_model("timm:test_resnet", pretrained=True).state_dict()
    key = "layer1.0.conv1.weight"
    torch.testing.assert_close(state[f"backbone.{key}"], theirs[key])
    early = create_model("timm:test_resnet:2", pretrained=True).state_dict()
    torch.testing.assert_close(early[f"backbone.features.model.{key}"], theirs[key])
    place.write_bytes(place.read_bytes()[:1000])
    with pytest.raises(ConfigError, match="--pretrained false"):
        create_model("timm:test_resnet", pretrained=True)
