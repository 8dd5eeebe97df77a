"""What a deployer must know of a build beside its files: what goes in, how it is prepared, what comes out."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from bitpick.models.model import Signature, Tensor
from bitpick.preprocessing import Preprocessing

_STRICT = ConfigDict(frozen=True, extra="forbid")


class Input(BaseModel):
    """An input of a build.

    Attributes:
        name: as the reference graph calls it.
        shape: of one sample, without the batch axis; None for a free dimension. A build whose engine takes samples of
            one shape alone has the shape of the data here.
        dtype: as the float model takes it; a build may take integers with a scale and a zero point in its place.
        preprocessing: from a stored sample to what the float model takes.
        stored: dtype of a stored sample; None where it is not known.
        stored_shape: shape of a stored sample, without the batch axis; None where it is not known.
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
        inputs: what goes in.
        outputs: what comes out.
        task: what the model is for, see `Run.task`.
        output: the place of the output that the task is about.
        classes: names of the classes, in the order of its scores; empty where there are none.
        threshold: of one score for two classes, or one for each label: above which it is that class, or that label.
    """

    model_config = _STRICT

    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    task: str
    output: int = 0
    classes: tuple[str, ...] = ()
    threshold: float = 0.5

    def fixed(self, shapes: Sequence[tuple[int, ...]]) -> Interface:
        """This, for a build that takes samples of one shape alone.

        Args:
            shapes: of one sample of each input, without the batch axis.
        """
        pairs = zip(self.inputs, shapes, strict=True)
        return self.model_copy(update={"inputs": tuple(e.model_copy(update={"shape": shape}) for e, shape in pairs)})

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""
        return Signature(
            tuple(Tensor(each.name, each.shape, each.dtype) for each in self.inputs),
            tuple(Tensor(each.name, each.shape, each.dtype) for each in self.outputs),
        )
