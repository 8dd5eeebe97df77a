"""Slot variables of SavedModels: the state of an optimizer, which only an optimizer of Keras 2 can take back.

Every model that Keras 2 saved as a folder after it was compiled and trained has them, and TensorFlow without Keras 2
cannot open it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

_FILE = "saved_model.pb"


def found(path: Path) -> bool:
    """Whether the SavedModel in a folder has slot variables."""
    return any(node.slot_variables for graph in _parsed(path).meta_graphs for node in graph.object_graph_def.nodes)


def drop(path: Path, out: Path) -> None:
    """Write a SavedModel without its slot variables, which matter in training alone.

    Args:
        path: its folder.
        out: another folder that exists.
    """
    model = _parsed(path)
    for graph in model.meta_graphs:
        for node in graph.object_graph_def.nodes:
            del node.slot_variables[:]
    shutil.copytree(path, out, dirs_exist_ok=True)
    written = out / _FILE
    written.chmod(0o600)
    written.write_bytes(model.SerializeToString())


def _parsed(path: Path) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    model.ParseFromString((path / _FILE).read_bytes())
    return model
