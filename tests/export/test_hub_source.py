"""Networks of transformers, from small local folders as `save_pretrained` writes them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="exporting needs torch: pip install edge-imprint[export]")

from edge_imprint.backbones.preprocess import Preprocessor  # noqa: E402
from edge_imprint.errors import ExportError, MissingRuntimeError  # noqa: E402
from edge_imprint_export.sources import hub  # noqa: E402
from edge_imprint_export.sources.quiet import quiet  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def transformers():
    with quiet():
        return pytest.importorskip("transformers", reason="not installed: pip install 'edge-imprint[hub]'")


def saved(folder, model, processor=None, card=None):
    """Write a checkpoint whose batch norms do something, and its card."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
        elif isinstance(module, torch.nn.Conv2d):
            # The real initialisation shrinks values to nothing over many layers.
            torch.nn.init.kaiming_normal_(module.weight)
    with quiet():
        model.eval().save_pretrained(folder)
        if processor is not None:
            processor.save_pretrained(folder)
    if card is not None:
        (folder / "README.md").write_text(card)
    return f"hf:{folder}"


def pictures(side, n=3):
    return torch.rand((n, 3, side, side), generator=torch.Generator().manual_seed(2))


def vit(transformers, kind, **more):
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, image_size=32, patch_size=8
    )
    with quiet():
        return getattr(transformers, kind)(config, **more)


def networks(t):
    """Classifiers, each with the side of its pictures and the width that its classifier sees."""
    yield "vit", lambda: vit(t, "ViTForImageClassification"), 32, 32
    yield (
        "convnext",
        lambda: t.ConvNextForImageClassification(
            t.ConvNextConfig(hidden_sizes=[8, 16, 16, 24], depths=[1, 1, 1, 1], image_size=64)
        ),
        64,
        24,
    )
    yield (
        "resnet",
        lambda: t.ResNetForImageClassification(
            t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
        ),
        64,
        16,
    )
    yield (
        "mobilevit",
        lambda: t.MobileViTForImageClassification(
            t.MobileViTConfig(hidden_sizes=[16, 24, 32], neck_hidden_sizes=[8, 8, 16, 16, 24, 24, 40], image_size=64)
        ),
        64,
        40,
    )
    yield (
        "dinov2",
        lambda: t.Dinov2ForImageClassification(
            t.Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8)
        ),
        32,
        32,
    )


@pytest.mark.parametrize(
    "index",
    [0, 1, 2, pytest.param(3, marks=pytest.mark.slow), 4],
    ids=["vit", "convnext", "resnet", "mobilevit", "dinov2"],
)
def test_a_classifier_gives_what_its_last_layer_saw(transformers, tmp_path, index):
    _, build, side, dim = list(networks(transformers))[index]
    with quiet():
        model = build()
    text = saved(tmp_path, model)
    seen = {}
    last = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    last.register_forward_hook(lambda module, args, output: seen.update(x=args[0]))
    with torch.no_grad():
        model(pictures(side))
    source = hub.open_hf(text, side=side)
    assert (source.dim, source.input.height) == (dim, side)
    assert float(seen["x"].std()) > 1e-3
    torch.testing.assert_close(source.module(pictures(side)), seen["x"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(source.module(pictures(side)[:1]), seen["x"][:1], rtol=1e-4, atol=1e-5)


def test_a_trained_pooler_is_used_and_a_missing_one_is_not(transformers, tmp_path):
    model = vit(transformers, "ViTModel")
    source = hub.open_hf(saved(tmp_path / "pooler", model))
    with torch.no_grad():
        states = model(pictures(32))
    torch.testing.assert_close(source.module(pictures(32)), states.pooler_output, rtol=1e-4, atol=1e-5)
    assert source.embedding == "pooler_output"
    model = vit(transformers, "ViTModel", add_pooling_layer=False)
    source = hub.open_hf(saved(tmp_path / "bare", model))
    with torch.no_grad():
        states = model(pictures(32))
    torch.testing.assert_close(source.module(pictures(32)), states.last_hidden_state[:, 0], rtol=1e-4, atol=1e-5)
    assert any("class token" in note for note in source.notes)


def test_a_network_without_a_head_gives_its_pooled_map(transformers, tmp_path):
    with quiet():
        model = transformers.MobileNetV2Model(transformers.MobileNetV2Config(depth_multiplier=0.35, image_size=32))
    source = hub.open_hf(saved(tmp_path, model))
    with torch.no_grad():
        wanted = model(pictures(32)).pooler_output
    torch.testing.assert_close(source.module(pictures(32)), wanted, rtol=1e-3, atol=1e-4)


def test_of_a_network_of_pictures_and_texts_the_pictures_half_is_taken(transformers, tmp_path):
    half = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    with quiet():
        model = transformers.CLIPModel(
            transformers.CLIPConfig(
                text_config={**half, "vocab_size": 50, "max_position_embeddings": 8, "projection_dim": 12},
                vision_config={**half, "image_size": 32, "patch_size": 8, "projection_dim": 12},
                projection_dim=12,
            )
        )
    source = hub.open_hf(saved(tmp_path, model))
    with torch.no_grad():
        wanted = model.visual_projection(model.vision_model(pictures(32)).pooler_output)
    assert (source.dim, source.input.height) == (12, 32)
    torch.testing.assert_close(source.module(pictures(32)), wanted, rtol=1e-4, atol=1e-5)
    assert not any("text" in name for name, _ in source.module.named_parameters())


PROCESSORS = [
    ("ViTImageProcessor", {}, "squash"),
    ("MobileNetV2ImageProcessor", {}, "shorter_side_then_centre_crop"),
    ("ConvNextImageProcessor", {"size": {"shortest_edge": 224}, "resample": 2}, "shorter_side_then_centre_crop"),
    ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}, "resample": 2}, "squash"),
    (
        "MobileViTImageProcessor",
        {"size": {"shortest_edge": 288}, "resample": 2},
        "shorter_side_then_centre_crop",
    ),
    ("EfficientNetImageProcessor", {"size": {"height": 96, "width": 96}, "resample": 2}, "squash"),
    ("CLIPImageProcessor", {"resample": 2}, "shorter_side_then_centre_crop"),
]


@pytest.mark.parametrize(("kind", "settings", "resize"), PROCESSORS)
def test_an_image_processor_becomes_an_input_rule(transformers, kind, settings, resize):
    """The bundle's own preprocessing gives the numbers that the processor gives."""
    with quiet():
        processor = getattr(transformers, kind)(**settings)
    notes = []
    spec = hub.probe(processor, notes)
    assert (spec.resize, notes) == (resize, [])
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    step = max(map(abs, spec.scale))
    for size, most, mean in (((640, 640), 4, 0.5), ((640, 480), 40, 8)):
        picture = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
        with quiet():
            wanted = np.asarray(processor(picture, return_tensors="pt")["pixel_values"], np.float32)
        ours = Preprocessor(spec, layout="nchw", dtype="float32")([picture])
        assert ours.shape == wanted.shape
        # A processor crops whole pixels of the resized picture; where its width is no whole number, ours lies between.
        assert np.abs(ours - wanted).max() <= most * step
        assert np.abs(ours - wanted).mean() <= mean * step


def test_what_cannot_be_copied_of_a_processor_is_noted(transformers):
    with quiet():
        processor = transformers.DeiTImageProcessor()
    notes = []
    spec = hub.probe(processor, notes)
    assert (spec.height, spec.resize_side) == (224, 256)
    assert any("squashes a picture before it crops" in note for note in notes)
    assert any("bilinearly" in note for note in notes)
    with quiet():
        processor = transformers.ViTImageProcessor(do_normalize=False, do_rescale=False)
    assert hub.probe(processor, []).scale == (1, 1, 1)
    assert hub.probe(lambda picture, return_tensors: {}, notes) is None


def test_the_processor_of_a_folder_is_found(transformers, tmp_path):
    with quiet():
        processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.1, 0.2, 0.3])
    source = hub.open_hf(saved(tmp_path, vit(transformers, "ViTForImageClassification"), processor))
    assert source.input.height == 32
    np.testing.assert_allclose(source.input.mean, (25.5, 51, 76.5), rtol=1e-5)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\ntags:\n- vision\n---\n# A network\nlicense: mit\n", "Apache-2.0"),
        ("---\nlicense:\napache-2.0\n---\n", "Apache-2.0"),
        ("---\nlicense:\n- mit\n---\n", "MIT"),
        ("---\nlicense: other\nlicense_name: apple-ascl\n---\n", "apple-ascl"),
        ("---\nlicense: other\n---\n", "other"),
        ("# No front matter\nlicense: mit\n", "unknown"),
        (None, "unknown"),
    ],
)
def test_the_licence_is_read_from_the_card(transformers, tmp_path, card, licence):
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert hub._card_licence(str(tmp_path)) == licence


def test_a_checkpoint_that_lacks_weights_is_refused(transformers, tmp_path):
    from safetensors.torch import load_file, save_file

    text = saved(tmp_path, vit(transformers, "ViTForImageClassification"), card="---\nlicense: mit\n---\n")
    assert hub.open_hf(text).licence == "MIT"
    weights = load_file(tmp_path / "model.safetensors")
    lost = next(name for name in weights if "layernorm_before.weight" in name)
    del weights[lost]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ExportError, match=r"lacks 1 weights of its network, among them .*layernorm_before.weight"):
        hub.open_hf(text)


def test_what_is_not_there_is_named(transformers, tmp_path):
    with pytest.raises(ExportError, match=r"no folder \./missing"):
        hub.open_hf("hf:./missing")
    with pytest.raises(ExportError, match="got no name"):
        hub.open_hf("hf:")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ExportError, match="cannot be loaded by transformers"):
        hub.open_hf(f"hf:{tmp_path}")


def test_without_transformers_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingRuntimeError, match=r"pip install 'edge-imprint\[hub\]'"):
        hub.open_hf("hf:google/anything")


def test_without_timm_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingRuntimeError, match="pip install timm"):
        hub.open_timm("timm:mobilenetv3_small_100")


@pytest.mark.slow
def test_nothing_but_the_answer_is_printed(transformers, tmp_path):
    with quiet():
        processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    text = saved(tmp_path, vit(transformers, "ViTForImageClassification"), processor)
    code = f"from edge_imprint_export.sources.hub import open_hf; print(open_hf({text!r}).dim)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("32\n", "")
