"""What a deployer needs besides a build's files: its inputs, their preprocessing, and its outputs."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from bitpick.models.model import Signature, Tensor
from bitpick.preprocessing import Preprocessing

_STRICT = ConfigDict(frozen=True, extra="forbid")


class Input(BaseModel):
    """An input of a build.

    Attributes:
        name: name in the reference graph.
        shape: shape of one sample, without the batch axis; None for a free dimension. If the engine takes only samples
            of one shape, this is the shape of the data.
        dtype: dtype that the float model takes; a build may take integers with a scale and a zero point instead.
        preprocessing: how a stored sample becomes what the float model takes.
        stored: dtype of a stored sample; None if it is unknown.
        stored_shape: shape of a stored sample, without the batch axis; None if it is unknown.
    """

    model_config = _STRICT

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str = "float32"
    preprocessing: Preprocessing = Preprocessing()
    stored: str | None = None
    stored_shape: tuple[int, ...] | None = None


class Output(BaseModel):
    """An output of a build, see `Input`."""

    model_config = _STRICT

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str = "float32"


class Interface(BaseModel):
    """The inputs and outputs of a build, in the order of the reference graph.

    Attributes:
        inputs: inputs of the build.
        outputs: outputs of the build.
        task: the model's task, see `Run.task`.
        output: index of the output that the task is about.
        classes: class names, in the order of that output's scores; empty if there are none.
        threshold: for a single score for two classes, or a score for each label: scores above it mean the second class,
            or that the label applies.
    """

    model_config = _STRICT

    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    task: str
    output: int = 0
    classes: tuple[str, ...] = ()
    threshold: float = 0.5

    def fixed(self, shapes: Sequence[tuple[int, ...]]) -> Interface:
        """Return the interface of a build that takes only samples of these shapes.

        Args:
            shapes: shape of one sample of each input, without the batch axis.
        """
        pairs = zip(self.inputs, shapes, strict=True)
        return self.model_copy(update={"inputs": tuple(e.model_copy(update={"shape": shape}) for e, shape in pairs)})

    @property
    def signature(self) -> Signature:
        """The inputs and outputs of the model."""
        return Signature(
            tuple(Tensor(each.name, each.shape, each.dtype) for each in self.inputs),
            tuple(Tensor(each.name, each.shape, each.dtype) for each in self.outputs),
        )
