"""Opening PyTorch networks: factories, files, sizes, and what is refused."""

from __future__ import annotations

import sys
import warnings

import pytest

torch = pytest.importorskip("torch", reason="exporting needs torch: pip install edge-imprint[export]")

from torch import nn  # noqa: E402

from edge_imprint.backbones import InputSpec  # noqa: E402
from edge_imprint.errors import ExportError  # noqa: E402
from edge_imprint_export.sources.torch_module import open_torch, source_from_module  # noqa: E402

torch.set_num_threads(1)

FACTORIES = """
import torch
from torch import nn
from edge_imprint.backbones import InputSpec

class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.fc = nn.Linear(8, 5)
    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))

def build():
    torch.manual_seed(0)
    return Tiny()

def with_input():
    return build(), InputSpec(height=24, width=40, mean=(1, 2, 3))

def needs_arguments(width):
    return build()

def numbers():
    return [1, 2]

def broken():
    raise OSError("no weights here")
"""


class Tiny(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, width, 3, 2), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(width, 5)

    def forward(self, x):
        return self.fc(torch.flatten(self.pool(self.features(x)), 1))

    def embed(self, x):
        return torch.flatten(self.pool(self.features(x)), 1)


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return Tiny().eval()


@pytest.fixture
def factories(tmp_path, monkeypatch):
    (tmp_path / "my_factories.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    yield "torch:my_factories"
    sys.modules.pop("my_factories", None)


def pictures(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(3))


def test_a_factory_in_the_current_folder(factories):
    before = list(sys.path)
    source = open_torch(f"{factories}:build", side=32)
    assert (source.dim, source.name, source.input.height) == (8, "my_factories", 32)
    assert sys.path == before
    assert not any(p.requires_grad for p in source.module.parameters())
    assert not source.module.training


def test_a_factory_brings_its_input_and_the_caller_overrules_it(factories):
    assert open_torch(f"{factories}:with_input").input == InputSpec(height=24, width=40, mean=(1, 2, 3))
    asked = InputSpec(height=32, width=32)
    assert open_torch(f"{factories}:with_input", None, asked).input == asked


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("", "torch:package.module:factory; got torch:my_factories"),
        (":nothing", r"has no function nothing; it has .*build"),
        (":numbers", "must return an nn.Module, or .*; got list"),
        (":needs_arguments", "fails: TypeError.*without arguments"),
        (":broken", "fails: OSError: no weights here"),
    ],
)
def test_factories_that_do_not_work(factories, rest, message):
    with pytest.raises(ExportError, match=message):
        open_torch(factories + rest)


def test_a_module_that_is_not_there():
    with pytest.raises(ExportError, match=r"no_such_module cannot be imported.*current folder"):
        open_torch("torch:no_such_module:build")


@pytest.mark.parametrize("dynamic", [True, False], ids=["any batch", "batch of one"])
def test_a_pt2_file(tiny, tmp_path, dynamic):
    batch = pictures(2 if dynamic else 1, 3, 20, 28)
    shapes = ({0: torch.export.Dim("N")},) if dynamic else None
    torch.export.save(torch.export.export(tiny, (batch,), dynamic_shapes=shapes), tmp_path / "net.pt2")
    source = open_torch(str(tmp_path / "net.pt2"))
    assert (source.input.height, source.input.width, source.dim, source.name) == (20, 28, 8, "net")
    x = pictures(5, 3, 20, 28)
    torch.testing.assert_close(source.module(x), tiny.embed(x), rtol=1e-5, atol=1e-6)


def test_a_pt2_file_keeps_the_size_it_was_made_for(tiny, tmp_path):
    torch.export.save(torch.export.export(tiny, (pictures(1, 3, 20, 28),)), tmp_path / "net.pt2")
    with pytest.raises(ExportError, match=r"exported for pictures of 20 x 28; the InputSpec says 32 x 32"):
        open_torch(str(tmp_path / "net.pt2"), None, InputSpec(height=32, width=32))


class FixedViews(nn.Module):
    """A class token and attention by hand; `len` writes the batch down."""

    def __init__(self):
        super().__init__()
        self.cut = nn.Conv2d(3, 16, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.mix, self.head = nn.Linear(16, 48), nn.Linear(16, 5)

    def states(self, x):
        patches = self.cut(x).reshape(len(x), 16, -1).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), patches], 1)
        heads = self.mix(tokens).reshape(len(x), tokens.shape[1], 3, 4, 4).permute(2, 0, 3, 1, 4)
        mixed = (heads[0] @ heads[1].mT).softmax(-1) @ heads[2]
        return tokens + mixed.transpose(1, 2).reshape(len(x), tokens.shape[1], 16)

    def forward(self, x):
        return self.head(self.states(x)[:, 0])


class FixedBatchInside(FixedViews):
    """The same with the batch in second place, where it cannot be told from other sides of 1."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def states(self, x):
        tokens = super().states(x)
        return tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]


@pytest.mark.parametrize("saved", [True, False], ids=["pt2", "module"])
@pytest.mark.parametrize("kind", [FixedViews, FixedBatchInside])
def test_a_batch_of_one_that_is_written_down_becomes_any_batch(tmp_path, kind, saved):
    torch.manual_seed(1)
    network = kind().eval()
    if saved:
        torch.export.save(torch.export.export(network, (pictures(1, 3, 32, 32),)), tmp_path / "fixed.pt2")
        source = open_torch(str(tmp_path / "fixed.pt2"))
    else:
        source = source_from_module(network, side=32)
    x = pictures(3, 3, 32, 32)
    torch.testing.assert_close(source.module(x), network.states(x)[:, 0], rtol=1e-5, atol=1e-6)
    assert any("one picture at a time" in note for note in source.notes) == (kind is FixedBatchInside)
    shapes = ({0: torch.export.Dim("N")},) if kind is FixedViews else None
    torch.export.export(source.module, (x if shapes else x[:1],), dynamic_shapes=shapes)


@pytest.mark.parametrize("kind", ["script", "trace"])
def test_torchscript(tiny, tmp_path, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.jit.script(tiny) if kind == "script" else torch.jit.trace(tiny, pictures(1, 3, 32, 32))
        torch.jit.save(made, str(tmp_path / "net.pt"))
    source = open_torch(str(tmp_path / "net.pt"), side=32)
    x = pictures(3, 3, 32, 32)
    torch.testing.assert_close(source.module(x), tiny.embed(x), rtol=1e-5, atol=1e-6)


def test_what_would_have_to_be_unpickled_is_refused(tiny, tmp_path):
    torch.save(tiny.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ExportError, match=r"weights.pt holds weights without their network.*torch:my_file:build"):
        open_torch(str(tmp_path / "weights.pt"))
    torch.save(tiny, tmp_path / "module.pth")
    with pytest.raises(ExportError, match=r"module.pth is a pickled module, which can run any code"):
        open_torch(str(tmp_path / "module.pth"))
    (tmp_path / "noise.pt2").write_bytes(b"\x80\x02not a zip file")
    with pytest.raises(ExportError, match=r"noise.pt2 is no .pt2 and no TorchScript file"):
        open_torch(str(tmp_path / "noise.pt2"))
    with pytest.raises(ExportError, match=r"no file .*missing.pt2"):
        open_torch(str(tmp_path / "missing.pt2"))


def test_a_damaged_pt2_file(tiny, tmp_path):
    torch.export.save(torch.export.export(tiny, (pictures(1, 3, 20, 28),)), tmp_path / "net.pt2")
    content = (tmp_path / "net.pt2").read_bytes()
    for end in (100, len(content) // 2, len(content) - 30):
        (tmp_path / "cut.pt2").write_bytes(content[:end])
        with pytest.raises(ExportError, match=r"cut.pt2"):
            open_torch(str(tmp_path / "cut.pt2"))


def test_the_size_comes_from_the_module_or_is_tried(tiny):
    source = source_from_module(tiny)
    assert source.input.height == 224
    assert any("224 x 224 was tried" in note for note in source.notes)
    tiny.pretrained_cfg = {"input_size": (3, 48, 40)}
    assert (source_from_module(tiny).input.height, source_from_module(tiny).input.width) == (48, 40)
    assert source_from_module(tiny, None, InputSpec(height=16, width=16)).input.height == 16


def test_a_size_that_does_not_fit_is_named():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 10))
    with pytest.raises(ExportError, match=r"fails on an input of shape \(1, 3, 32, 32\)"):
        source_from_module(network, side=32)


def test_training_mode_and_half_precision_are_put_right(tiny):
    x = pictures(2, 3, 32, 32)
    wanted = tiny.embed(x)
    tiny.train()
    torch.testing.assert_close(source_from_module(tiny, side=32).module(x), wanted, rtol=1e-5, atol=1e-6)
    source = source_from_module(tiny.bfloat16(), side=32)
    assert source.module(x).dtype == torch.float32
    assert any("half-precision" in note for note in source.notes)


def test_weights_that_are_not_finite_are_named(tiny):
    tiny.features[0].weight.data[2, 1, 0, 0] = float("nan")
    with pytest.raises(ExportError, match=r"'features.0.weight' has 1 of 216 values"):
        source_from_module(tiny, side=32)
    tiny.features[0].weight.data.zero_()
    tiny.features[1].running_var[3] = float("inf")
    with pytest.raises(ExportError, match=r"'features.1.running_var' has 1 of 8"):
        source_from_module(tiny, side=32)


def test_weights_elsewhere_than_on_the_cpu_are_refused(tiny):
    with pytest.raises(ExportError, match=r"'features.0.weight' is on meta.*\.cpu\(\)"):
        source_from_module(tiny.to("meta"), side=32)


def test_integer_weights_are_refused():
    class Integers(Tiny):
        def __init__(self):
            super().__init__()
            self.steps = nn.Parameter(torch.ones(3, dtype=torch.int8), requires_grad=False)

    with pytest.raises(ExportError, match=r"'steps' is int8.*before it was quantised"):
        source_from_module(Integers(), side=32)


def test_several_inputs_are_named():
    class Two(Tiny):
        def forward(self, x, mask):
            return super().forward(x * mask)

    with pytest.raises(ExportError, match=r"has 2: x, mask"):
        source_from_module(Two(), side=32)


def test_other_inputs_than_pictures_are_refused(tmp_path):
    sound = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 47 * 8, 5)).eval()
    torch.export.save(torch.export.export(sound, (pictures(1, 1, 49, 10),)), tmp_path / "sound.pt2")
    with pytest.raises(ExportError, match=r"must be pictures \(n, 3, height, width\).*got \(1, 1, 49, 10\)"):
        open_torch(str(tmp_path / "sound.pt2"))


def test_branches_on_values_are_refused_with_their_place():
    class Branching(Tiny):
        def forward(self, x):
            if x.mean() > 0:
                return super().forward(x)
            return super().forward(-x)

    said = r"torch.export cannot follow the network \(test_torch_source.py:\d+, in forward\): [^:]*\. A network must"
    with pytest.raises(ExportError, match=said):
        source_from_module(Branching(), side=32)


def test_a_program_in_training_mode_is_refused(tmp_path):
    class Careless(Tiny):
        def forward(self, x):
            return nn.functional.dropout(super().forward(x), 0.5)

    with pytest.raises(ExportError, match=r"'dropout' is in training mode; call .eval\(\)"):
        source_from_module(Careless(), side=32)


def test_a_network_that_mixes_the_pictures_of_a_batch_is_refused():
    class Mixing(Tiny):
        def forward(self, x):
            return super().forward(x - x.mean(0, keepdim=True))

    with pytest.raises(ExportError, match=r"another embedding beside others than alone"):
        source_from_module(Mixing(), side=32)


def test_opening_twice_gives_the_same(tiny):
    x = pictures(1, 3, 32, 32)
    first, second = source_from_module(tiny, side=32), source_from_module(tiny, side=32)
    assert torch.equal(first.module(x), second.module(x))
    assert first.module.code == second.module.code
    assert (first.notes, first.candidates) == (second.notes, second.candidates)
