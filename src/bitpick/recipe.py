"""A recipe: how to quantize, as frozen data with an id that decodes.

The id is `<engine>:<dtypes>[-<granularity>-<calibration>][+<option>[=<value>]]…`, options in alphabetical order, for
example `onnxruntime:s8u8-per_channel-minmax+reduced_range`. Dtypes are weights, then activations; a single dtype
(`float32`, `float16`, `bfloat16`) is both. `float32` is the baseline.

No id can express a recipe that treats single layers differently or ships session settings. Such a recipe is kept in a
YAML file, and its id is `<engine>:<name>.<8 hex of its digest>`, followed by its options.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from bitpick.errors import RecipeError

BEST = "best"
"""The preset whose recipes a search finds."""
WIDEST = "full"
"""The preset with all recipes of an engine."""
PRESETS = ("reference", "basic", "standard", WIDEST, BEST)

DTYPES: dict[str, tuple[str, str]] = {
    "s8s8": ("s8", "s8"),
    "s8u8": ("s8", "u8"),
    "u8s8": ("u8", "s8"),
    "u8u8": ("u8", "u8"),
    "s8s16": ("s8", "s16"),
    "s4s8": ("s4", "s8"),
    "s4s16": ("s4", "s16"),
    "s8dynamic": ("s8", "dynamic"),
    "u8dynamic": ("u8", "dynamic"),
    "s4dynamic": ("s4", "dynamic"),
    "s8weights": ("s8", "float32"),
    "s4weights": ("s4", "float32"),
    "float16": ("float16", "float16"),
    "bfloat16": ("bfloat16", "bfloat16"),
    "float32": ("float32", "float32"),
}
_ID = re.compile(
    r"(?P<engine>\w+):(?P<dtypes>[a-z0-9]+)"
    r"(?:-(?P<granularity>per_tensor|per_channel)-(?P<calibration>[a-z_]+[0-9.]*))?"
    r"(?P<options>(?:\+\w+(?:=[\w.]+)?)*)"
)
_CALIBRATION = re.compile(r"minmax|moving_average|entropy|histogram|mse|percentile\d+(\.\d+)?")

SCOPING = ("exclude", "weights", "settings")
"""The fields that no id can express."""
# Layers of a recipe with one of these dtypes can have the weights of its partner.
_PARTNERS = (("s8s8", "s4s8"), ("s8s16", "s4s16"), ("s8dynamic", "s4dynamic"), ("s8weights", "s4weights"))
_PARTNER = {dtypes: other for pair in _PARTNERS for dtypes, other in (pair, pair[::-1])}

Kind = Literal["baseline", "quantized", "reduced_precision"]


class Recipe(BaseModel):
    """How to quantize a model with one engine.

    Attributes:
        engine: the engine's name.
        dtypes: weights then activations, as in the id: `s8u8`, `float32`.
        granularity: `per_tensor` or `per_channel` scales of the weights; None if nothing has a static scale.
        calibration: how activation ranges are found, e.g. `minmax`; None if no ranges are needed.
        options: further options of the engine. A flag's value is the empty string.
        exclude: patterns of the layers that stay in float, see `excludes`.
        weights: the dtype of the weights of single layers, by patterns as in `exclude`: `s8` where the others have
            `s4`, or the other way round.
        settings: the runtime's session settings when it opens the build, by its own names; they ship with it.
        name: the name of a recipe that no id can express; None for others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: str
    dtypes: str
    granularity: Literal["per_tensor", "per_channel"] | None = None
    calibration: str | None = None
    options: dict[str, str] = {}
    exclude: tuple[str, ...] = ()
    weights: dict[str, str] = {}
    settings: dict[str, str] = {}
    name: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _name(cls, fields: Any) -> Any:
        """Drop the name if an id can express the recipe, so that equal recipes compare equal."""
        if not isinstance(fields, dict):
            return fields
        if fields.get("name") and not any(fields.get(key) for key in SCOPING):
            return fields | {"name": None}
        exclude = fields.get("exclude")
        if isinstance(exclude, (list, tuple)) and all(isinstance(pattern, str) for pattern in exclude):
            return fields | {"exclude": sorted(set(exclude))}  # their order has no meaning
        return fields

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not re.fullmatch(r"\w+", self.engine):
            raise ValueError(f"{self.engine!r} is not the name of an engine")
        for name, value in self.options.items():
            if not re.fullmatch(r"\w+", name) or not re.fullmatch(r"[\w.]*", value):
                raise ValueError(f"{name}={value!r} is not an option: names have letters, digits and _, values . too")
        if self.dtypes not in DTYPES:
            raise ValueError(f"unknown dtypes {self.dtypes!r}: {', '.join(DTYPES)}")
        if (self.granularity is None) != (self.calibration is None):
            raise ValueError("granularity and calibration come together or not at all")
        if self.calibration is not None and not _CALIBRATION.fullmatch(self.calibration):
            raise ValueError(f"unknown calibration {self.calibration!r}")
        if self.static and self.calibration is None:
            raise ValueError("static quantization needs a granularity and a calibration, as in s8u8-per_channel-minmax")
        return self

    @model_validator(mode="after")
    def _check_scope(self) -> Self:
        """Check what no id can express."""
        if self.scoped and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.name or ""):
            raise ValueError(
                "a recipe with exclude, weights or settings needs a name of up to 64 letters, digits, - and _"
            )
        if self.weights and self.mixed_with is None:
            raise ValueError(
                f"with {self.dtypes} all layers have the same weights: only {', '.join(_PARTNER)} mix them"
            )
        if wrong := sorted({dtype for dtype in self.weights.values() if dtype != self.mixed_with}):
            raise ValueError(
                f"weights of {' and '.join(wrong)} for single layers: with {self.dtypes} they can be {self.mixed_with}"
            )
        if self.scoped and _ID.fullmatch(self.id):
            raise ValueError(f"the name {self.name!r} reads as a recipe of its own")
        return self

    @property
    def id(self) -> str:
        """The recipe's stable name."""
        options = "".join(f"+{k}={v}" if v else f"+{k}" for k, v in sorted(self.options.items()))
        if self.scoped:
            text = json.dumps(self.model_dump(mode="json", exclude={"name"}, exclude_defaults=True), sort_keys=True)
            return f"{self.engine}:{self.name}.{hashlib.sha256(text.encode()).hexdigest()[:8]}{options}"
        scheme = f"-{self.granularity}-{self.calibration}" if self.granularity else ""
        return f"{self.engine}:{self.dtypes}{scheme}{options}"

    @property
    def scoped(self) -> bool:
        """Whether no id can express the recipe."""
        return any(getattr(self, field) for field in SCOPING)

    @property
    def file_name(self) -> str:
        """The recipe's id as a file name."""
        return file_name(self.id)

    def excludes(self, layer: str) -> bool:
        """Whether a layer stays in float: a pattern matches its name, or its name with a `/` at both ends.

        `*` matches anything, so `dense*` and `*/dense*/*` both match `dense_1`, and the second one also
        `model/dense_1/MatMul`. Write `[*]` for a literal star.
        """
        return any(matches(pattern, layer) for pattern in self.exclude)

    def mixes(self, layer: str) -> bool:
        """Whether a layer has other weights than most: a pattern of `weights` matches it, as in `excludes`."""
        return any(matches(pattern, layer) for pattern in self.weights)

    @property
    def weight_dtype(self) -> str:
        """Dtype of the weights, e.g. `s8`; of most of them, if those of single layers differ."""
        return DTYPES[self.dtypes][0]

    @property
    def mixed_with(self) -> str | None:
        """Dtype that the weights of single layers can have instead; None if they cannot differ."""
        return DTYPES[_PARTNER[self.dtypes]][0] if self.dtypes in _PARTNER else None

    @property
    def with_other_weights(self) -> Recipe:
        """The recipe that gives all layers the weights that this one can give single ones."""
        return self.model_copy(update={"dtypes": _PARTNER[self.dtypes], "weights": {}})

    @property
    def activation_dtype(self) -> str:
        """Dtype of the activations, e.g. `u8`, `dynamic`, `float32`."""
        return DTYPES[self.dtypes][1]

    @property
    def static(self) -> bool:
        """Whether the scales of activations are fixed before the build ships."""
        return self.activation_dtype in ("s8", "u8", "s16")

    @property
    def weights_only(self) -> bool:
        """Whether weights alone are quantized, and the build computes in float."""
        return self.activation_dtype == "float32" and self.weight_dtype != "float32"

    @property
    def kind(self) -> Kind:
        """The role of the recipe's build in a comparison."""
        if self.dtypes == "float32":
            return "baseline"
        return "reduced_precision" if self.dtypes in ("float16", "bfloat16") else "quantized"

    def to_yaml(self) -> str:
        """Return the recipe as YAML, its id first; `read` is the inverse."""
        import yaml

        fields = self.model_dump(mode="json", exclude_defaults=True)
        return yaml.safe_dump({"id": self.id, **fields}, sort_keys=False)

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Read a recipe from a YAML file: a build's `recipe.yaml`, or one from a team's repository.

        Raises:
            RecipeError: the file cannot be read, or holds no recipe.
        """
        import yaml

        expected = (
            "engine, dtypes, and where they apply granularity, calibration, options, exclude, weights, settings; "
            "or an id"
        )
        try:
            fields = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RecipeError(
                f"the recipe {path} cannot be read: {error.strerror}",
                fix="check the path: a name that ends in .yaml or .yml is a file",
            ) from error
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            raise RecipeError(f"{path} is not YAML: {' '.join(str(error).split())}", expected=expected) from error
        if not isinstance(fields, dict):
            raise RecipeError(f"{path} holds no recipe", expected=expected)
        text = fields.pop("id", None)
        for key in ("files", "session", "interface", "activations"):  # of a build's recipe.yaml
            fields.pop(key, None)
        fields.setdefault("name", re.sub(r"[^A-Za-z0-9_-]+", "_", path.stem))
        try:
            recipe = cls.parse(str(text)) if text and not fields.keys() - {"name"} else cls.model_validate(fields)
        except ValidationError as error:
            reasons = "; ".join(f"{'.'.join(map(str, e['loc']))} {e['msg']}".strip() for e in error.errors())
            raise RecipeError(f"{path} holds no recipe: {reasons}", expected=expected) from error
        if text and recipe.id != text:
            raise RecipeError(f"{path} says it is {text}, and its fields say {recipe.id}", fix="leave one of them out")
        return recipe

    @classmethod
    def named(cls, text: str | Path | Recipe) -> Recipe:
        """Return the recipe that a user names: by its id, by a YAML file, or itself.

        Raises:
            RecipeError: there is no such recipe.
        """
        if isinstance(text, Recipe):
            return text
        return cls.read(Path(text)) if str(text).endswith((".yaml", ".yml")) else cls.parse(str(text))

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """Return the recipe with this id.

        Raises:
            RecipeError: the text is not a recipe id.

        Examples:
            >>> recipe = Recipe.parse("onnxruntime:s8u8-per_channel-minmax+reduced_range")
            >>> recipe.weight_dtype, recipe.activation_dtype, recipe.granularity
            ('s8', 'u8', 'per_channel')
        """
        match = _ID.fullmatch(text)
        if match is None:
            raise RecipeError(
                f"{text!r} is not a recipe id",
                expected="<engine>:<dtypes>-<granularity>-<calibration>, e.g. onnxruntime:s8u8-per_channel-minmax",
                fix="list each engine's recipes with: bitpick engines",
            )
        options = (o.partition("=") for o in match["options"].split("+")[1:])
        try:
            return cls(
                engine=match["engine"],
                dtypes=match["dtypes"],
                granularity=match["granularity"],  # type: ignore[arg-type]  # the pattern admits only the two
                calibration=match["calibration"],
                options={name: value for name, _, value in options},
            )
        except ValidationError as error:
            reasons = "; ".join(e["msg"].removeprefix("Value error, ") for e in error.errors())
            raise RecipeError(
                f"{text!r} is not a recipe: {reasons}", fix="list each engine's recipes with: bitpick engines"
            ) from error


def matches(pattern: str, layer: str) -> bool:
    """Whether a pattern of `exclude` or `weights` matches a layer's name, see `Recipe.excludes`."""
    parts = re.split(r"(\[\*\]|\*)", pattern)
    expression = "".join(".*" if part == "*" else re.escape("*" if part == "[*]" else part) for part in parts)
    return any(re.fullmatch(expression, name, re.DOTALL) for name in (layer, f"/{layer}/"))


def pattern_of(layer: str) -> str:
    """Return the pattern of `exclude` or `weights` that matches this layer name literally."""
    return layer.replace("*", "[*]")


def file_name(recipe_id: str) -> str:
    """Return a recipe id as a file name."""
    return recipe_id.replace(":", "__")


def baseline(engine: str) -> Recipe:
    """Return the float32 recipe of an engine."""
    return Recipe(engine=engine, dtypes="float32")
