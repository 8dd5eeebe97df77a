"""A run of which only the inputs are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bitpick.datasets.dataset import Dataset
from bitpick.models.model import Format, Model, Signature, Tensor
from bitpick.pipeline import fit
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.workshop import Workshop
from bitpick.tasks.classification import Classification
from tests.conftest import CLASSES, SIDE


@dataclass(frozen=True)
class Known:
    """A run of which only the inputs are known: nothing was converted."""

    shop: Workshop
    inputs: Inputs
    model: Model


@pytest.fixture
def known(new_shop: Callable[..., Workshop], dataset: Dataset, model_file: Path) -> Known:
    """Of the linear model."""
    signature = Signature((Tensor("image", (SIDE, SIDE, 3)),), (Tensor("scores", (len(CLASSES),)),))
    samples, task = dataset.samples(dataset.evaluation), Classification(classes=CLASSES)
    inputs = Inputs(
        source=model_file,
        format=Format.RAW_ONNX,
        signature=signature,
        task=task,
        interface=fit.interface(signature, samples, task),
        calibration=dataset.samples(dataset.calibration).head(50),
        training=dataset.samples(dataset.calibration),
        training_minutes=5.0,
        seed=3,
        evaluation=samples,
        check=samples.head(200),
        check_places=np.arange(200),
        rewriting=samples.head(100),
        threads=1,
        digests=np.empty(0, "S32"),
    )
    return Known(new_shop(), inputs, Model(model_file, Format.RAW_ONNX, "0" * 64, signature, 196, 192))
