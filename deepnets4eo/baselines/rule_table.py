"""A table of expert rules as users write it: an ordered list of classes with ranges of quantities of a pixel.

Errors name the rule's number, the key and the nearest key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from deepnets4eo.baselines.rule_quantities import quantity
from deepnets4eo.cards.catalog import model_path
from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.files import plain, read_yaml
from deepnets4eo.options import Section, refused_value

FILE = "rules.yaml"
MODEL = "baselines/expert-rules"

InfraredRole = Literal["nir", "intensity"]


class Range(Section):
    """Values above one limit, below another, or both; the limits themselves do not belong to it."""

    above: float | None = Field(default=None, allow_inf_nan=False)
    below: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _not_empty(self) -> Range:
        if self.above is None and self.below is None:
            raise ValueError("has neither above nor below. Give one or both, as in {above: 0.6}")
        if self.above is not None and self.below is not None and self.above >= self.below:
            raise ValueError(f"takes no value: above {self.above:g} and below {self.below:g}. Swap them")
        return self

    def holds(self, values: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return where values lie in it; never where they are NaN."""
        inside = np.ones(values.shape, bool) if self.above is None else values > np.float32(self.above)
        return inside if self.below is None else inside & (values < np.float32(self.below))


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, Mapping) else value


Ranges = Annotated[tuple[Range, ...], BeforeValidator(_as_list), Field(min_length=1)]
Conditions = dict[str, Ranges]


class Rule(Section):
    """One class and its conditions: all of `when` hold, and one group of `any_of` if there are any. In YAML conditions
    are keys beside the class: {class: building, ndsm: {above: 2.5}, any_of: [{slope: {below: 30}}, {ndvi: {below:
    0.2}}]}. A quantity with several ranges must lie in one of them."""

    name: str = Field(alias="class")
    when: Conditions = {}
    any_of: tuple[Conditions, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _conditions_beside_the_class(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        own = {key: values[key] for key in ("class", "any_of") if key in values}
        return own | {"when": {key: value for key, value in values.items() if key not in own}}

    @model_validator(mode="after")
    def _some_condition(self) -> Rule:
        if not self.when and not self.any_of or any(not group for group in self.any_of):
            raise ValueError(
                "has no condition, or an empty group in any_of. Use `otherwise` for pixels where no rule holds"
            )
        return self

    @property
    def groups(self) -> tuple[Conditions, ...]:
        """All groups of conditions in it."""
        return (self.when, *self.any_of)

    @property
    def keys(self) -> list[str]:
        """Names of the quantities that it uses."""
        return list(dict.fromkeys(key for group in self.groups for key in group))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values as users write them."""
        groups = [{key: _plain_ranges(ranges) for key, ranges in group.items()} for group in self.any_of]
        when = {key: _plain_ranges(ranges) for key, ranges in self.when.items()}
        return {"class": self.name} | when | ({"any_of": groups} if groups else {})


class RuleTable(Section):
    """Rules in their order, and the class of pixels for which no rule holds.

    ndvi_band : roles of the bands that serve as near infrared in `ndvi`; the first one found is used."""

    name: str = ""
    source: str = ""
    ndvi_band: Annotated[tuple[InfraredRole, ...], BeforeValidator(lambda v: [v] if isinstance(v, str) else v)] = Field(
        default=("nir", "intensity"), min_length=1
    )
    rules: tuple[Rule, ...] = Field(min_length=1)
    otherwise: str

    @classmethod
    def load(cls, source: str | Path = FILE) -> RuleTable:
        """Read a table: a YAML file, or one that comes with the toolbox ("rules.yaml", "rules-ndsm.yaml")."""
        path = Path(source)
        if not path.is_file() and path.name == str(source):
            path = model_path(MODEL) / path.name
        if not path.is_file():
            raise InputError(f"{source} does not exist. Give a YAML file of rules, or {FILE} or rules-ndsm.yaml.")
        return cls.from_dict(read_yaml(path), where=path.name)

    @classmethod
    def from_dict(cls, values: Any, where: str = "rules") -> RuleTable:
        """Make the table from plain values. Errors: InputError naming rule, key and nearest key."""
        if not isinstance(values, Mapping):
            raise InputError(f"{where} has a {type(values).__name__}, expected `rules` (a list) and `otherwise`.")
        try:
            table = cls.model_validate(values)
        except ValidationError as error:
            raise InputError("\n".join(_explain(detail, values, where) for detail in error.errors())) from error
        for number, rule in enumerate(table.rules, start=1):
            for key in rule.keys:
                try:
                    quantity(key, table.ndvi_band)
                except InputError as error:
                    raise InputError(f"{where}, rule {number} ({rule.name}): {error}") from error
        return table

    def to_dict(self) -> dict[str, Any]:
        """Return plain values as users write them; `from_dict` makes the same table."""
        head = {"name": self.name, "source": self.source, "ndvi_band": list(self.ndvi_band)}
        return plain(head | {"rules": [rule.to_dict() for rule in self.rules], "otherwise": self.otherwise})

    def without(self, *names: str) -> RuleTable:
        """Return the table without the rules of these classes, for data without the bands. Errors: InputError if none is left."""
        kept = [rule.to_dict() for rule in self.rules if rule.name not in names]
        return RuleTable.from_dict(self.to_dict() | {"rules": kept}, where=f"{self.name or 'rules'} without {names}")


def _plain_ranges(ranges: Sequence[Range]) -> Any:
    short = [one.model_dump(exclude_none=True) for one in ranges]
    return short[0] if len(short) == 1 else short


def _explain(detail: Any, values: Mapping[str, Any], where: str) -> str:
    location = [part for part in detail["loc"] if part not in ("when", "[key]")]
    if len(location) > 1 and location[0] == "rules":
        rule = values["rules"][location[1]]
        class_name = f" ({rule['class']})" if isinstance(rule, Mapping) and "class" in rule else ""
        where, location = f"{where}, rule {location[1] + 1}{class_name}", location[2:]
    key = ".".join(str(part) for part in location if isinstance(part, str))
    if detail["type"] == "extra_forbidden":
        known = ["above", "below"] if "rule " in where else list(RuleTable.model_fields)
        hint = name_hint(location[-1], known)
        return f"{where}: unknown key {key!r}. {hint}"
    if detail["type"] == "missing":
        return f"{where}: {key} is missing. Give it."
    return refused_value(detail, key, where)
