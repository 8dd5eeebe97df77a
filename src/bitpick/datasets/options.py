"""Options for reading a data set, given on the command line, in a YAML file or from Python."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from bitpick.errors import DataError, did_you_mean
from bitpick.preprocessing import Preprocessing

_STRICT = ConfigDict(frozen=True, extra="forbid")
Size = int | tuple[int, int]


def _pair(value: Any) -> Any:
    """Parse a size such as `256` or `224x320` (height x width)."""
    if isinstance(value, str):
        sides = [int(each) for each in value.lower().replace("×", "x").split("x")]
        value = sides[0] if len(sides) == 1 else tuple(sides)
    if not all(side > 0 for side in ((value,) if isinstance(value, int) else value)):
        raise ValueError("a size is above 0")
    return value


def _numbers(value: Any) -> Any:
    """Parse numbers such as `127.5`, `1/2` or `0.485,0.456,0.406`."""
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
    """How samples become what the model takes. Options that are None are guessed from the model's input.

    Attributes:
        resize: size of the resized picture, (height, width); or the length of its shorter side, before a crop.
        crop: size of the center crop: a side, or (height, width).
        fit: how a picture of another shape is fitted to the size: `stretch`, `crop` or `pad`.
        interpolation: Pillow's name for the filter.
        scale: divisor of the stored values, applied first.
        mean: subtracted after that; one number, or one for each channel.
        std: divisor of the result; one number, or one for each channel.
        channels: channels that the model takes: `rgb`, `bgr` or `gray`.
        layout: where the model takes them: `channels-first` or `channels-last`.
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
    def _check_divisors(self) -> PixelOptions:
        stds = self.std if isinstance(self.std, tuple) else (self.std,)
        if self.scale == 0 or 0 in stds:
            raise ValueError("scale and std divide: they are not 0")
        return self


def from_preprocessing(preprocessing: Preprocessing) -> PixelOptions:
    """Return the options that reproduce a preprocessing."""
    fields: dict[str, Any] = {}
    if (how := preprocessing.decoding) is not None:
        size = (how.height, how.width)
        fields = {"fit": how.fit, "interpolation": how.interpolation, "crop": size}
        fields["resize"] = size if how.resize is None else how.resize
        fields["channels"] = "gray" if how.channels == 1 else "bgr" if preprocessing.reverse_channels else "rgb"
    elif preprocessing.reverse_channels:
        fields["channels"] = "bgr"
    numbers = [preprocessing.offset, preprocessing.scale]
    if preprocessing.reverse_channels:  # options list channels in the model's order
        numbers = [each[::-1] if isinstance(each, tuple) else each for each in numbers]
    return PixelOptions(**fields, scale=1.0, mean=numbers[0], std=numbers[1])


class DataOptions(PixelOptions):
    """How to read a data set.

    Attributes:
        labels: where the labels are: a file, a table column, or an array's name; None looks for the usual names.
        classes: class names in the order of the model's scores; or a file with one per line.
        split: share of samples to evaluate on, for a set without splits; the rest are for calibration.
        split_seed: seed of that division.
        inputs: by name, the array or the columns that each input of the model takes.
        preprocessing: by name, the options of inputs that are prepared differently from the others.
        skip_damaged: leave out image files that cannot be decoded.
        batched: whether an iterable yields batches; None decides it by the labels.
        calibration: path of the calibration set, if it has its own.
        evaluation: path of the evaluation set, if it has its own.
        data: path of both; in a YAML file, relative to that file.
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
    def _check_splits(self) -> DataOptions:
        if self.split is not None and not 0 < self.split < 1:
            raise ValueError("split is the share that is evaluated on: above 0, below 1")
        if (self.calibration is None) != (self.evaluation is None):
            raise ValueError("calibration and evaluation come together")
        return self

    def pixels(self, *names: str) -> PixelOptions:
        """Return the options of one input, which may have two names: as stored, and in the model."""
        return next((self.preprocessing[name] for name in names if name in self.preprocessing), self)

    @property
    def says_pixels(self) -> bool:
        """Whether any preprocessing option is set."""
        return bool(self.preprocessing) or not {*self.said}.isdisjoint(PixelOptions.model_fields)

    @property
    def said(self) -> dict[str, Any]:
        """The options that differ from the defaults, as JSON."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The class names, if they are given; see `classes`.

        Raises:
            DataError: the file does not exist, or a name occurs twice.
        """
        if self.classes is None:
            return None
        names = self.classes
        if isinstance(names, str):
            path = Path(names)
            if path.is_file():
                names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
            elif "," in names:
                names = tuple(each.strip() for each in names.split(","))
            else:
                raise DataError(
                    f"there is no file {names!r} with the names of the classes",
                    expected="--classes FILE, with one name a line, or --classes cat,dog",
                )
        if repeated := sorted({each for each in names if names.count(each) > 1}):
            raise DataError(f"the classes have {repeated[0]!r} twice", expected="a name of its own for each")
        return tuple(names)


def checked(fields: Mapping[str, Any], where: str = "the data options") -> DataOptions:
    """Validate fields and return them as options.

    Raises:
        DataError: an option does not exist, or its value is invalid.
    """
    try:
        return DataOptions.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][:2] if not str(part).startswith("function-"))
        options = DataOptions.model_fields
        if first["type"] == "extra_forbidden":
            raise DataError(
                f"{where}: there is no option {name!r}",
                expected=", ".join(options),
                fix=did_you_mean(name, tuple(options)),
            ) from None
        wrong = first["input"]
        message = first["msg"].removeprefix("Value error, ")
        what = f"{name}: {wrong!r} is not it: {message}" if name else f"{where}: {message}"
        raise DataError(what, expected=_example(name)) from None
    except (TypeError, OverflowError) as error:
        raise DataError(f"{where} cannot be read: {error}") from error


def _example(name: str) -> str:
    examples = {
        "resize": "256, the shorter side, or 224x224, height x width",
        "crop": "224 or 224x224, height x width",
        "mean": "a number, or one for each channel: 0.485,0.456,0.406",
        "std": "a number, or one for each channel: 0.229,0.224,0.225",
        "scale": "a number that values are divided by, as 255",
    }
    return examples.get(name.split(".", maxsplit=1)[0], "")


def read(path: Path) -> DataOptions:
    """Read options from a YAML file; paths in it are relative to the file.

    Raises:
        DataError: the file cannot be read, or holds no valid options.
    """
    import yaml

    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}", expected="YAML") from error
    if not isinstance(fields, dict):
        raise DataError(f"{path} holds no options", expected="a mapping such as 'data: photos'")
    fields |= {
        name: path.parent / str(fields[name]) for name in ("data", "calibration", "evaluation") if name in fields
    }
    for name in ("labels", "classes"):
        if isinstance(fields.get(name), str) and (beside := path.parent / fields[name]).is_file():
            fields[name] = str(beside)
    options = checked(fields, str(path))
    if options.data is None and options.calibration is None:
        raise DataError(f"{path} names no data", expected="data: PATH, or calibration: PATH and evaluation: PATH")
    return options
