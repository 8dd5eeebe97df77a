"""The paths in a run directory."""

from __future__ import annotations

from pathlib import Path

from bitpick.models.model import Form
from bitpick.recipe import file_name


class RunPaths:
    """The paths in a run directory.

    Args:
        root: the run directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def logs(self) -> Path:
        """The folder of the workers' logs."""
        return self.root / "logs"

    def form(self, form: Form) -> Path:
        """The file of a form that this run makes."""
        return self.root / "forms" / f"{form}{form.suffix}"

    def outputs(self, form: Form) -> Path:
        """The file of a form's outputs for the samples that hops are verified on."""
        return self.root / "forms" / f"{form}.outputs.npz"

    def checkpoint(self, form: Form) -> Path:
        """The file that the training of a form continues from after a kill."""
        return self.root.absolute() / "forms" / f"{form}.checkpoint.pt"

    @property
    def reference_answers(self) -> Path:
        """The file of the float model's answers for the evaluation set, used if there are no labels."""
        return self.root / "forms" / "reference_answers.npy"

    @property
    def reference_outputs(self) -> Path:
        """The file of the float model's outputs for some samples, if the task needs them."""
        return self.root / "forms" / "reference_outputs.npz"

    @property
    def evaluation(self) -> Path:
        """The file that describes the evaluation set after the run; see `evaluation_set`."""
        return self.root / "forms" / "evaluation.npz"

    def indices(self, part: str) -> Path:
        """The file of the sample indices of a part, such as the calibration set, if they are not the first ones."""
        return self.root / "forms" / f"{part}_indices.npy"

    def matches(self, engine: str, form: Form) -> Path:
        """The file that says which layer of an engine is which layer of a clean graph."""
        return self.root / "forms" / f"{form}.{engine}.json"

    def ranges(self, name: str) -> Path:
        """The file of activation ranges that recipes share."""
        return self.root / "ranges" / f"{name}.json"

    @property
    def examples(self) -> Path:
        """The folder of images of evaluation samples."""
        return self.root / "examples"

    def build(self, recipe_id: str) -> Path:
        """The folder of a build."""
        return self.root / "builds" / file_name(recipe_id)

    def draws(self, seed: int) -> Path:
        """The folder of one further calibration draw."""
        return self.root / "draws" / f"seed-{seed}"

    def draw(self, seed: int, recipe_id: str) -> Path:
        """The folder of a recipe's build from a further calibration draw."""
        return self.draws(seed) / file_name(recipe_id)
