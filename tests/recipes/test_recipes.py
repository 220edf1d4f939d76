"""Each recipe's architecture with random weights: it opens, is cut at the right place, and can be exported again."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="recipes need torch: pip install edge-imprint[export] -c constraints.txt")

from edge_imprint_export.sources import open_source  # noqa: E402
from edge_imprint_export.sources.quiet import quiet  # noqa: E402

torch.set_num_threads(1)
RECIPES = Path(__file__).resolve().parents[2] / "export" / "recipes"
FAMILIES = ("mobilenet_v2", "mobilenet_v3_small", "efficientnet_lite0", "resnet_18", "mobilevit", "vit_small")


@pytest.fixture(scope="module")
def transformers():
    with quiet():
        return pytest.importorskip("transformers", reason="not installed: pip install 'edge-imprint[hub]'")


def hub_networks(t):
    """What each recipe's checkpoint is, narrower: network, image processor, side, width of the embedding."""
    return {
        "mobilenet_v2": (
            lambda: t.MobileNetV2ForImageClassification(t.MobileNetV2Config(depth_multiplier=0.35)),
            lambda: t.MobileNetV2ImageProcessor(size={"shortest_edge": 73}, crop_size={"height": 64, "width": 64}),
            64,
            1280,
        ),
        "resnet_18": (
            lambda: t.ResNetForImageClassification(
                t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[2, 2, 2, 2], layer_type="basic")
            ),
            lambda: t.ConvNextImageProcessor(size={"shortest_edge": 64}),
            64,
            32,
        ),
        "mobilevit": (
            lambda: t.MobileViTForImageClassification(
                t.MobileViTConfig(hidden_sizes=[16, 24, 32], neck_hidden_sizes=[8, 8, 16, 16, 24, 24, 40])
            ),
            lambda: t.MobileViTImageProcessor(size={"shortest_edge": 72}, crop_size={"height": 64, "width": 64}),
            64,
            40,
        ),
        "convnext_atto": (
            lambda: t.ConvNextForImageClassification(
                t.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[2, 2, 3, 2])
            ),
            lambda: t.ConvNextImageProcessor(size={"shortest_edge": 64}),
            64,
            32,
        ),
        "vit_small": (
            lambda: t.ViTForImageClassification(
                t.ViTConfig(
                    hidden_size=48,
                    num_hidden_layers=3,
                    num_attention_heads=3,
                    intermediate_size=96,
                    image_size=64,
                    patch_size=16,
                )
            ),
            lambda: t.ViTImageProcessor(size={"height": 64, "width": 64}),
            64,
            48,
        ),
    }


def check(source, dim, side):
    """Cut at `dim`, of any batch, and exportable again as every converter does it."""
    assert (source.dim, source.input.height, source.input.width) == (dim, side, side)
    assert any("classifier" in note and "cut off" in note for note in source.notes)
    x = torch.rand((3, 3, side, side), generator=torch.Generator().manual_seed(6)) * 2 - 1
    wanted = source.module(x)
    for batch, shapes in ((x[:2], ({0: torch.export.Dim("N")},)), (x[:1], None)):
        program = torch.export.export(source.module, (batch,), dynamic_shapes=shapes)
        given = x if shapes else x[:1]
        torch.testing.assert_close(program.module()(given), wanted[: len(given)], rtol=1e-4, atol=1e-6)
    # What makes a converter write the batch, a path or an unused mask into the file.
    assert not re.search(r"batch_norm|dropout|_assert|\.clone\.|attn_mask|\.view\.", source.module.code)


@pytest.mark.parametrize(
    "family",
    [
        pytest.param("mobilenet_v2", marks=pytest.mark.slow),
        "resnet_18",
        pytest.param("mobilevit", marks=pytest.mark.slow),
        "convnext_atto",
        "vit_small",
    ],
)
def test_a_hub_recipe(transformers, tmp_path, family):
    network, processor, side, dim = hub_networks(transformers)[family]
    torch.manual_seed(0)
    with quiet():
        network().save_pretrained(tmp_path)
        processor().save_pretrained(tmp_path)
    source = open_source(f"hf:{tmp_path}")
    check(source, dim, side)
    assert source.input.colour == ("bgr" if family == "mobilevit" else "rgb")


@pytest.mark.parametrize(("family", "dim"), [("mobilenet_v3_small", 1024), ("efficientnet_lite0", 1280)])
def test_a_network_of_its_own(monkeypatch, family, dim):
    monkeypatch.chdir(RECIPES / family)
    monkeypatch.delitem(sys.modules, family, raising=False)
    source = open_source(f"torch:{family}:untrained")
    assert source.name == family
    check(source, dim, 224)


@pytest.mark.parametrize("family", ["mobilenet_v3_small", "efficientnet_lite0"])
def test_build_reads_the_weights_beside_it(monkeypatch, tmp_path, family):
    safetensors = pytest.importorskip("safetensors.torch", reason="not installed: pip install 'edge-imprint[hub]'")
    (tmp_path / f"{family}.py").write_bytes((RECIPES / family / f"{family}.py").read_bytes())
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, family, raising=False)
    recipe = importlib.import_module(family)
    network, _ = recipe.untrained()
    network.classifier.bias.data.fill_(3)
    safetensors.save_file(network.state_dict(), tmp_path / "model.safetensors")
    built, spec = recipe.build()
    assert (spec.resize_side, spec.height) == (256, 224)
    assert all(torch.equal(value, built.state_dict()[name]) for name, value in network.state_dict().items())
    monkeypatch.delitem(sys.modules, family)


@pytest.mark.parametrize(
    ("family", "parameters"), [("mobilenet_v3_small", 2_542_856), ("efficientnet_lite0", 4_652_008)]
)
def test_the_size_is_that_of_the_published_network(monkeypatch, family, parameters):
    monkeypatch.syspath_prepend(str(RECIPES / family))
    monkeypatch.delitem(sys.modules, family, raising=False)
    network, _ = importlib.import_module(family).untrained()
    assert sum(value.numel() for value in network.parameters()) == parameters
    monkeypatch.delitem(sys.modules, family)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_recipe_says_how_and_under_which_licence(family):
    text = (RECIPES / family / "README.md").read_text()
    assert re.search(r"^edge-imprint export (hf|timm|torch):\S+ --out \w+ --calibration photos/$", text, re.M)
    assert "| licence |" in text
    assert "| input |" in text
    assert "| embedding |" in text
