"""Networks of timm: real loading, from a local folder, where timm is installed."""

from __future__ import annotations

import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="exporting needs torch: pip install edge-imprint[export]")

from edge_imprint.errors import ExportError, MissingRuntimeError  # noqa: E402
from edge_imprint_export.sources import hub  # noqa: E402
from edge_imprint_export.sources.quiet import quiet  # noqa: E402

torch.set_num_threads(1)


def pictures(side, n=3):
    return torch.rand((n, 3, side, side), generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def timm():
    """timm; its import needs torchvision's operators to exist, which none of its classifiers calls.

    The wheel of torchvision on PyPI is built against CUDA and does not load its operators beside a torch for the CPU,
    so they are declared here, without code.
    """
    import importlib.util

    if importlib.util.find_spec("timm") is None or importlib.util.find_spec("torchvision") is None:
        pytest.skip("timm is not installed: pip install --no-deps timm torchvision")
    try:
        return hub._timm()
    except MissingRuntimeError:
        for name in [each for each in sys.modules if each.split(".")[0] in ("timm", "torchvision")]:
            del sys.modules[name]
    operators = ["nms", "qnms", "roi_align", "qroi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d"]
    operators += [f"_{name}_backward" for name in operators if name not in ("nms", "qnms", "qroi_align")]
    library = torch.library.Library("torchvision", "DEF")
    for name in operators:
        library.define(f"{name}(Tensor x, Tensor y) -> Tensor")
    timm = hub._timm()
    # Operators live as long as the object that declared them.
    timm.declared = library
    return timm


@pytest.mark.parametrize(("name", "dim"), [("mobilenetv3_small_050", 1024), ("convnext_atto", 320)])
def test_a_timm_folder(timm, tmp_path, name, dim):
    from safetensors.torch import save_file

    torch.manual_seed(0)
    with quiet():
        model = timm.create_model(name).eval()
        timm.models.save_for_hf(model, tmp_path, safe_serialization=False)
        save_file(model.state_dict(), tmp_path / "model.safetensors")
    source = hub.open_timm(f"timm:local-dir:{tmp_path}", side=64)
    assert (source.dim, source.licence) == (dim, "Apache-2.0")
    assert (source.input.height, source.input.resize_side) == (224, 256)
    np.testing.assert_allclose(source.input.mean, (123.675, 116.28, 103.53))
    with torch.no_grad():
        wanted = model.forward_head(model.forward_features(pictures(224)), pre_logits=True)
    torch.testing.assert_close(source.module(pictures(224)), wanted, rtol=1e-3, atol=1e-5)
    assert not any(1000 in value.shape for value in source.module.parameters())


def test_a_timm_name_that_is_not_there(timm, tmp_path):
    with pytest.raises(ExportError, match="timm cannot load no_such_network"):
        hub.open_timm("timm:no_such_network")
    with pytest.raises(ExportError, match=r"no config.json in "):
        hub.open_timm(f"timm:local-dir:{tmp_path}")
