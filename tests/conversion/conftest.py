"""Worker processes for conversions, and what they write for the tests of several files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conversion import format_steps
from tests.kept import SharedWorkers


@pytest.fixture(scope="session")
def pool(workers: SharedWorkers) -> SharedWorkers:
    """Workers of every environment, whose jobs may name the functions of this folder."""
    return workers


@pytest.fixture(scope="session")
def files(pool: SharedWorkers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The net of `format_steps` in every format of Keras and TensorFlow, with what it computes."""
    folder = tmp_path_factory.mktemp("files")
    np.save(folder / "samples.npy", format_steps.samples())
    np.savez(folder / "inputs.npz", format_steps.samples())
    pool.run("keras", "format_steps:write_keras", {"folder": folder})
    pool.run("keras", "format_steps:write_legacy", {"source": folder / "net.h5", "out": folder / "legacy.h5"})
    return folder


@pytest.fixture(scope="session")
def programs(pool: SharedWorkers, files: Path) -> Path:
    """The same folder, with the net in every format of PyTorch, too."""
    pool.run("pytorch", "format_steps:write_torch", {"folder": files})
    return files


@pytest.fixture(scope="session")
def free(pool: SharedWorkers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nets for samples of any size, in formats of Keras and TensorFlow."""
    folder = tmp_path_factory.mktemp("free")
    pool.run("keras", "format_steps:write_free_keras", {"folder": folder})
    return folder


@pytest.fixture(scope="session")
def free_programs(pool: SharedWorkers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs for sequences of any length."""
    folder = tmp_path_factory.mktemp("free-programs")
    pool.run("pytorch", "format_steps:write_free_torch", {"folder": folder})
    return folder


@pytest.fixture(scope="session")
def saved_models(pool: SharedWorkers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SavedModels of `saved_model_steps`, and some samples for them, x.npy."""
    folder = tmp_path_factory.mktemp("saved-models")
    np.save(folder / "x.npy", np.random.default_rng(1).normal(size=(4, 5)).astype(np.float32))
    pool.run("keras", "saved_model_steps:write", {"folder": folder})
    return folder
