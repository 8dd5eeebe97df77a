"""How a data set is to be read: what users say on the command line, in a YAML file or from Python."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from bitpick.errors import DataError
from bitpick.preprocessing import Preprocessing
from bitpick.recipe import did_you_mean

_STRICT = ConfigDict(frozen=True, extra="forbid")
Size = int | tuple[int, int]


def _pair(value: Any) -> Any:
    """`256` and `224x320` (height x width), as they are written."""
    if isinstance(value, str):
        sides = [int(each) for each in value.lower().replace("×", "x").split("x")]
        value = sides[0] if len(sides) == 1 else tuple(sides)
    if not all(side > 0 for side in ((value,) if isinstance(value, int) else value)):
        raise ValueError("a size is above 0")
    return value


def _numbers(value: Any) -> Any:
    """`127.5`, `1/2` and `0.485,0.456,0.406`, as they are written."""
    if isinstance(value, str):
        value = [float(Fraction(each.strip())) for each in value.split(",")]
    if isinstance(value, (list, tuple)):
        value = tuple(float(each) for each in value)
        return value[0] if len(value) == 1 else value
    return float(value)


def _names(value: Any) -> Any:
    return tuple(str(each).strip() for each in value) if isinstance(value, (list, tuple)) else value


Numbers = Annotated[float | tuple[float, ...], BeforeValidator(_numbers)]


class PixelOptions(BaseModel):
    """How samples become what the model takes; None is guessed from the model's input.

    Attributes:
        resize: the size pictures get, (height, width); or the length of their shorter side, before a crop.
        crop: the size of the middle that is kept: a side, or (height, width).
        fit: how a picture of another shape comes to the size: `stretch`, `crop` or `pad`.
        interpolation: Pillow's word for the filter.
        scale: values are divided by it, first.
        mean: taken off then; one number, or one for each channel.
        std: divides what is left, likewise.
        channels: what the model takes: `rgb`, `bgr` or `gray`.
        layout: where it takes them: `channels-first` or `channels-last`.
    """

    model_config = _STRICT

    resize: Annotated[Size, BeforeValidator(_pair)] | None = None
    crop: Annotated[Size, BeforeValidator(_pair)] | None = None
    fit: Literal["stretch", "crop", "pad"] | None = None
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    scale: Annotated[float, BeforeValidator(_numbers)] | None = None
    mean: Numbers | None = None
    std: Numbers | None = None
    channels: Literal["rgb", "bgr", "gray"] | None = None
    layout: Literal["channels-first", "channels-last"] | None = None

    @model_validator(mode="after")
    def _divides(self) -> PixelOptions:
        stds = self.std if isinstance(self.std, tuple) else (self.std,)
        if self.scale == 0 or 0 in stds:
            raise ValueError("scale and std divide: they are not 0")
        return self


def as_before(found: Preprocessing) -> PixelOptions:
    """The options that lead to a preprocessing again."""
    fields: dict[str, Any] = {}
    if (how := found.decoding) is not None:
        size = (how.height, how.width)
        fields = {"fit": how.fit, "interpolation": how.interpolation, "crop": size}
        fields["resize"] = size if how.resize is None else how.resize
        fields["channels"] = "gray" if how.channels == 1 else "bgr" if found.reverse_channels else "rgb"
    elif found.reverse_channels:
        fields["channels"] = "bgr"
    numbers = [found.offset, found.scale]
    if found.reverse_channels:  # they are said in the order of the model
        numbers = [each[::-1] if isinstance(each, tuple) else each for each in numbers]
    return PixelOptions(**fields, scale=1.0, mean=numbers[0], std=numbers[1])


class DataOptions(PixelOptions):
    """How a data set is read.

    Attributes:
        labels: where the labels are: a file, a column of a table, or an array's name; None looks under the usual names.
        classes: names of the classes in the order of the model's scores; or a file with one a line.
        split: the share of a set that has no splits of its own that is evaluated on; the rest is calibrated with.
        split_seed: of that division.
        inputs: for each input of the model, by its name, the array's name or the columns that it takes.
        preprocessing: for inputs that are prepared in another way than the rest, by their names.
        skip_damaged: leave image files out that cannot be read.
        batched: whether an iterable gives batches; None is told by the labels.
        calibration: the path of the calibration set, where it is one of its own.
        evaluation: that of the evaluation set.
        data: the path of both; relative ones are so to the YAML file.
    """

    labels: str | None = None
    classes: Annotated[str | tuple[str, ...], BeforeValidator(_names)] | None = None
    split: float | None = None
    split_seed: int = 0
    inputs: dict[str, str | tuple[str, ...]] = {}
    preprocessing: dict[str, PixelOptions] = {}
    skip_damaged: bool = False
    batched: bool | None = None
    calibration: Path | None = None
    evaluation: Path | None = None
    data: Path | None = None

    @model_validator(mode="after")
    def _share(self) -> DataOptions:
        if self.split is not None and not 0 < self.split < 1:
            raise ValueError("split is the share that is evaluated on: above 0, below 1")
        if (self.calibration is None) != (self.evaluation is None):
            raise ValueError("calibration and evaluation come together")
        return self

    def pixels(self, *names: str) -> PixelOptions:
        """What holds for one input, which may have two names: as it is stored, and the model's."""
        return next((self.preprocessing[name] for name in names if name in self.preprocessing), self)

    @property
    def says_pixels(self) -> bool:
        """Whether anything is said of how samples are prepared."""
        return bool(self.preprocessing) or not {*self.said}.isdisjoint(PixelOptions.model_fields)

    @property
    def said(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes, where they were given; see `classes`.

        Raises:
            DataError: there is no such file, or a name is there twice.
        """
        if self.classes is None:
            return None
        found = self.classes
        if isinstance(found, str):
            path = Path(found)
            if path.is_file():
                found = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
            elif "," in found:
                found = tuple(each.strip() for each in found.split(","))
            else:
                raise DataError(
                    f"there is no file {found!r} with the names of the classes",
                    expected="--classes FILE, with one name a line, or --classes cat,dog",
                )
        if twice := sorted({each for each in found if found.count(each) > 1}):
            raise DataError(f"the classes have {twice[0]!r} twice", expected="a name of its own for each")
        return tuple(found)


def checked(fields: Mapping[str, Any], where: str = "the data options") -> DataOptions:
    """Options from their fields.

    Raises:
        DataError: there is no such option, or it cannot be that.
    """
    try:
        return DataOptions.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][:2] if not str(part).startswith("function-"))
        known = DataOptions.model_fields
        if first["type"] == "extra_forbidden":
            raise DataError(
                f"{where}: there is no option {name!r}",
                expected=", ".join(known),
                fix=did_you_mean(name, tuple(known)),
            ) from None
        given = first["input"]
        told = first["msg"].removeprefix("Value error, ")
        what = f"{name}: {given!r} is not it: {told}" if name else f"{where}: {told}"
        raise DataError(what, expected=_expected(name)) from None
    except (TypeError, OverflowError) as error:
        raise DataError(f"{where} cannot be read: {error}") from error


def _expected(name: str) -> str:
    examples = {
        "resize": "256, the shorter side, or 224x224, height x width",
        "crop": "224 or 224x224, height x width",
        "mean": "a number, or one for each channel: 0.485,0.456,0.406",
        "std": "a number, or one for each channel: 0.229,0.224,0.225",
        "scale": "a number that values are divided by, as 255",
    }
    return examples.get(name.split(".", maxsplit=1)[0], "")


def read(path: Path) -> DataOptions:
    """Options in a YAML file; paths in it are relative to it.

    Raises:
        DataError: it cannot be read, or holds something else.
    """
    import yaml

    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}", expected="YAML") from error
    if not isinstance(fields, dict):
        raise DataError(f"{path} holds no options", expected="a mapping such as 'data: photos'")
    fields |= {
        name: path.parent / str(fields[name]) for name in ("data", "calibration", "evaluation") if name in fields
    }
    for name in ("labels", "classes"):
        if isinstance(fields.get(name), str) and (beside := path.parent / fields[name]).is_file():
            fields[name] = str(beside)
    found = checked(fields, str(path))
    if found.data is None and found.calibration is None:
        raise DataError(f"{path} names no data", expected="data: PATH, or calibration: PATH and evaluation: PATH")
    return found
