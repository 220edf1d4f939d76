"""Backbones: from pictures to embeddings, on onnxruntime or TFLite."""

from edge_imprint.backbones.backbone import Backbone
from edge_imprint.backbones.bundle import BaseStatistics, file_spec, write_bundle
from edge_imprint.backbones.image import ImageLike, load_image
from edge_imprint.backbones.load import load_backbone
from edge_imprint.backbones.manifest import Manifest, read_manifest
from edge_imprint.backbones.preprocess import Preprocessor
from edge_imprint.backbones.spec import FileSpec, InputSpec, Quantisation, StatisticsSpec

__all__ = [
    "Backbone",
    "BaseStatistics",
    "FileSpec",
    "ImageLike",
    "InputSpec",
    "Manifest",
    "Preprocessor",
    "Quantisation",
    "StatisticsSpec",
    "file_spec",
    "load_backbone",
    "load_image",
    "read_manifest",
    "write_bundle",
]
