"""Where the embedding of a network is found, and that nothing behind it is left."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="exporting needs torch: pip install edge-imprint[export]")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from edge_imprint.errors import ExportError  # noqa: E402
from edge_imprint_export.sources.torch_module import source_from_module  # noqa: E402

torch.set_num_threads(1)


def features(width=16):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, width, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU6(inplace=True),
    )


def settled(network):
    """Batch norms that do something, so that folding them is put to the test."""
    torch.manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return network.eval()


def pictures(n=3, side=32):
    return torch.rand((n, 3, side, side), generator=torch.Generator().manual_seed(4))


def check(network, wanted, dim, *, embedding=None, side=32, **more):
    """The source of a network gives what `wanted` computes, for several batch sizes, and can be exported again."""
    settled(network)
    with torch.no_grad():
        expected = wanted(pictures(side=side))
    source = source_from_module(network, embedding, side=side, **more)
    assert source.dim == dim
    for n in (1, 3):
        torch.testing.assert_close(source.module(pictures(side=side)[:n]), expected[:n], rtol=1e-4, atol=1e-5)
    shapes = ({0: torch.export.Dim("N")},)
    again = torch.export.export(source.module, (pictures(2, side),), dynamic_shapes=shapes)
    assert len(again.graph_signature.user_outputs) == 1
    return source


def weights(source):
    return {name: tuple(value.shape) for name, value in source.module.named_parameters()}


class Classifier(nn.Module):
    def __init__(self, head):
        super().__init__()
        self.features = features()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = head

    def embed(self, x):
        return self.pool(self.features(x)).flatten(1)

    def forward(self, x):
        return self.head(self.embed(x))


@pytest.mark.parametrize(
    "head",
    [
        nn.Linear(16, 7),
        nn.Sequential(nn.Dropout(0.3), nn.Linear(16, 7), nn.Softmax(-1)),
        nn.Sequential(nn.Linear(16, 7), nn.LogSoftmax(1), nn.Identity()),
        nn.Sequential(nn.Unflatten(1, (16, 1, 1)), nn.Conv2d(16, 7, 1), nn.Flatten(), nn.Sigmoid()),
        nn.Linear(16, 7, bias=False),
    ],
    ids=["linear", "dropout and softmax", "log softmax", "1x1 convolution", "no bias"],
)
def test_a_classifier_is_cut_off(head):
    network = Classifier(head)
    source = check(network, network.embed, 16)
    assert not any(7 in shape for shape in weights(source).values())
    assert any("was cut off" in note for note in source.notes)


def test_only_the_last_layer_of_a_head_is_the_classifier():
    hidden = nn.Sequential(nn.Linear(16, 24), nn.Hardswish(), nn.Dropout(), nn.Linear(24, 7))
    network = Classifier(hidden)
    source = check(network, lambda x: hidden[:2](network.embed(x)), 24)
    assert source.embedding == "head.1"


@pytest.mark.parametrize("name", ["embed", "projection", "neck"])
def test_a_last_layer_that_is_called_an_embedding_stays(name):
    class Embedder(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = features()
            setattr(self, name, nn.Linear(16, 12))

        def forward(self, x):
            return getattr(self, name)(self.features(x).mean((2, 3)))

    network = Embedder()
    assert check(network, network, 12).embedding == "output"


def test_the_whole_output_can_be_asked_for():
    network = Classifier(nn.Linear(16, 7))
    assert check(network, network, 7, embedding="output").embedding == "output"


def test_a_network_without_a_classifier_is_kept_whole():
    """MobileNetV2 without its head ends in a 1x1 convolution that is no classifier."""
    network = Classifier(nn.Identity())
    source = check(network, network.embed, 16)
    assert any("No classifier was found" in note for note in source.notes)


class SqueezeExcite(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(width, 4, 1), nn.Conv2d(4, width, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.expand(F.relu(self.reduce(F.adaptive_avg_pool2d(x, 1)))))


@pytest.mark.parametrize("pooled", [True, False])
def test_a_gate_is_not_taken_for_the_pooling(pooled):
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.features, self.gate, self.fc = features(), SqueezeExcite(16), nn.Linear(16, 7)

        def map(self, x):
            return self.gate(self.features(x))

        def forward(self, x):
            return self.fc(self.map(x).mean((2, 3))) if pooled else self.map(x)

    network = Gated()
    check(network, lambda x: network.map(x).mean((2, 3)), 16)


def test_a_map_is_pooled_by_an_operator_that_converters_know():
    network = features()
    source = check(network, lambda x: network(x).mean((2, 3)), 16)
    assert "adaptive_avg_pool2d" in source.module.code
    assert "mean" not in source.module.code
    assert any("averaged over its sides" in note for note in source.notes)


def test_a_map_with_channels_last_is_pooled_over_its_sides():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.features, self.norm = features(24), nn.LayerNorm(24)

        def forward(self, x):
            return self.norm(self.features(x).permute(0, 2, 3, 1))

    network = Last()
    check(network, lambda x: network(x).mean((1, 2)), 24)


def test_a_map_of_class_scores_is_cut_only_where_it_is_called_so():
    class Squeeze(nn.Module):
        def __init__(self, name):
            super().__init__()
            self.features = features()
            self.name = name
            setattr(self, name, nn.Conv2d(16, 7, 1))

        def forward(self, x):
            return F.adaptive_avg_pool2d(F.relu(getattr(self, self.name)(self.features(x))), 1).flatten(1)

    network = Squeeze("classifier")
    check(network, lambda x: network.features(x).mean((2, 3)), 16)
    network = Squeeze("widen")
    check(network, network, 7)


class Transformer(nn.Module):
    def __init__(self, token=True, pool="none"):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 16)) if token else None
        self.block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.norm, self.head, self.pool = nn.LayerNorm(16), nn.Linear(16, 7), pool

    def tokens(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        if self.token is not None:
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        return self.norm(self.block(x))

    def forward(self, x):
        tokens = self.tokens(x)
        if self.pool == "none":
            return tokens
        return self.head(tokens[:, 0] if self.pool == "token" else tokens.mean(1))


def test_tokens_are_read_as_the_network_reads_them():
    network = Transformer(pool="token")
    check(network, lambda x: network.tokens(x)[:, 0], 16)
    network = Transformer(token=False, pool="mean")
    check(network, lambda x: network.tokens(x).mean(1), 16)


def test_bare_tokens_give_the_class_token_or_else_their_mean():
    network = Transformer()
    source = check(network, lambda x: network.tokens(x)[:, 0], 16)
    assert any("class token" in note for note in source.notes)
    network = Transformer(token=False)
    source = check(network, lambda x: network.tokens(x).mean(1), 16)
    assert any("averaged" in note for note in source.notes)


def test_a_module_can_be_named():
    network = Classifier(nn.Linear(16, 7))
    source = check(network, lambda x: network.features[:3](x).mean((2, 3)), 8, embedding="features.2")
    # Everything behind it is gone, the in-place activations too.
    assert all(shape[0] == 8 for shape in weights(source).values())
    assert "hardtanh" not in source.module.code
    assert {"features", "features.2", "pool", "output"} <= set(source.candidates)
    assert source.candidates.index("features.2") < source.candidates.index("pool")


def test_an_operator_of_the_exported_graph_can_be_named():
    network = settled(Classifier(nn.Linear(16, 7)))
    names = [node.name for node in torch.export.export(network, (pictures(),)).graph.nodes]
    assert "flatten" in names
    assert check(network, network.embed, 16, embedding="flatten").embedding == "flatten"


def test_a_name_that_is_not_there_lists_what_is_near():
    with pytest.raises(ExportError, match=r"named 'feature'.*near it: features"):
        source_from_module(Classifier(nn.Linear(16, 7)), "feature", side=32)


class Several(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.features, self.fc, self.kind = features(), nn.Linear(16, 7), kind

    def forward(self, x):
        y = self.features(x)
        scores = self.fc(y.mean((2, 3)))
        if self.kind == "dict":
            return {"logits": scores, "map": y}
        return {"a": scores, "b": [y, y.relu()]} if self.kind == "unknown" else (scores, y)


def test_several_outputs_are_named_and_can_be_chosen():
    with pytest.raises(ExportError, match=r"has 2: output.0 \(n, 7\), output.1 \(n, 16, 16, 16\).*--embedding NAME"):
        source_from_module(Several("tuple"), side=32)
    with pytest.raises(ExportError, match=r"has 3: a \(n, 7\), b.0"):
        source_from_module(Several("unknown"), side=32)
    network = Several("tuple")
    check(network, lambda x: network.features(x).mean((2, 3)), 16, embedding="output.1")
    network = Several("dict")
    check(network, lambda x: network.features(x).mean((2, 3)), 16)


def test_shapes_that_hold_no_embedding_are_refused():
    class Five(nn.Module):
        def forward(self, x):
            return x[:, :, None].exp()

    with pytest.raises(ExportError, match=r"rank 2 to 4.*'output' has shape \(n, 3, 1, 32, 32\)"):
        source_from_module(Five(), side=32)

    class Labels(nn.Module):
        def forward(self, x):
            return x.flatten(1).argmax(1, keepdim=True)

    with pytest.raises(ExportError, match=r"tensor of floats; 'output' is int64"):
        source_from_module(Labels(), side=32)

    class Nothing(nn.Module):
        def forward(self, x):
            return 3

    with pytest.raises(ExportError, match="gives no tensor"):
        source_from_module(Nothing(), side=32)


def test_batch_norm_is_folded_and_the_users_network_is_left_alone():
    network = settled(Classifier(nn.Linear(16, 7)))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    source = check(network, network.embed, 16)
    assert "batch_norm" not in source.module.code
    settled(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_no_path_of_this_machine_is_kept():
    source = source_from_module(Classifier(nn.Linear(16, 7)), side=32)
    assert not any(node.meta for node in source.module.graph.nodes)


@pytest.mark.parametrize(
    ("layer", "padded"), [(nn.ReLU(), True), (nn.ReLU6(), True), (nn.Hardtanh(), False), (nn.Identity(), False)]
)
def test_max_pooling_pads_with_zero_where_that_is_the_same(layer, padded):
    network = nn.Sequential(nn.Conv2d(3, 8, 3), layer, nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 6, 3))
    source = check(network, lambda x: network(x).mean((2, 3)), 6)
    assert ("constant_pad_nd" in source.module.code) == padded
