"""Option groups: values are checked once, wrong ones are an InputError that names option, value and expectation."""

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import Field, model_validator

from deepnets4eo.change import ChangeOptions
from deepnets4eo.damage import Settings
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import Intervals
from deepnets4eo.options import Section, option_group, options_from, plain_options


@option_group
class Smoothing:
    radius_px: int = Field(default=2, ge=1)
    weight: float = Field(default=0.5, gt=0)

    @model_validator(mode="after")
    def _not_both(self) -> "Smoothing":
        if self.radius_px > 10 and self.weight > 1:
            raise ValueError("has a large radius and a large weight. Lower one")
        return self


@option_group
class Vote(Smoothing):
    radius_px: int = Field(default=3, ge=1)
    soft: bool = True


@option_group
class Named:
    run: str
    file: Path


@option_group
class Numbers:
    plain: float = 0.0
    optional: float | None = None
    several: tuple[float, ...] = ()


class Inner(Section):
    level: int = Field(default=1, ge=1)
    share: float = 0.5


class Outer(Section):
    inner: Inner = Inner()
    smoothing: Smoothing = Smoothing()


def test_values_are_taken_by_position_and_by_name_and_have_their_types() -> None:
    assert Smoothing(np.int64(4), 1) == Smoothing(radius_px=4, weight=1.0)
    assert type(Smoothing(np.int64(4), np.float32(1)).weight) is float
    assert Vote() == Vote(3, 0.5, soft=True)
    assert Named(Path("a"), file="b") == Named("a", file=Path("b"))
    assert replace(Vote(), soft=False) == Vote(soft=False)
    with pytest.raises(FrozenInstanceError):
        Vote().soft = False  # type: ignore[misc]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Smoothing(0), "Smoothing: radius_px is 0. Input should be greater than or equal to 1."),
        (lambda: Vote(radius_px="x"), "Vote: radius_px is 'x'. Input should be a valid integer"),
        (lambda: Smoothing(weight=float("nan")), "Smoothing: weight is nan. Input should be a finite number."),
        (lambda: Smoothing(raduis_px=3), "Smoothing: unknown key 'raduis_px'. Did you mean 'radius_px'?"),
        (lambda: Smoothing(11, 2), "Smoothing: has a large radius and a large weight. Lower one."),
        (lambda: options_from(Vote, {"sofft": 1}, "step 2"), "step 2: unknown key 'sofft'. Did you mean 'soft'?"),
        (lambda: options_from(Vote, 3, "step 2"), "step 2 is 3. Input should be"),
        (lambda: Settings(max_shift_m=0), "Settings: max_shift_m is 0. Input should be greater than 0."),
        (lambda: ChangeOptions(motion="any"), "ChangeOptions: motion is 'any'. Input should be 'auto', 'translation'"),
        (lambda: Intervals(draws=-1), "Intervals: draws is -1. Input should be greater than or equal to 0."),
        (lambda: Intervals(level=95), "Intervals: level is 95. Input should be less than 1."),
        (lambda: Inner(level=0), "Inner: level is 0."),
        (lambda: Outer(inner={"level": 0}), "Outer: inner.level is 0."),
        (lambda: Outer(smoothing={"radius_px": 0}), "Outer: smoothing.radius_px is 0."),
        (lambda: replace(Vote(), radius_px=0), "Vote: radius_px is 0."),
    ],
)  # fmt: skip
def test_wrong_values_and_unknown_names_are_named(make, message) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert str(caught.value).startswith(message)


def test_all_wrong_values_are_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        Outer(inner={"level": 0}, smoothing={"weight": -1})
    assert len(str(caught.value).splitlines()) == 2


def test_plain_values_make_the_same_options_again() -> None:
    for options in (Vote(radius_px=7, soft=False), Outer(inner=Inner(level=3))):
        assert options_from(type(options), plain_options(options), "file") == options


def test_an_option_is_described_by_its_field_alone() -> None:
    """Its row of the docstring is made from there, beside those of options without a description, before other sections."""

    @option_group
    class Window:
        """A window.

        Parameters
        ----------
        name : its name

        Raises
        ------
        InputError
            Never.
        """

        name: str
        side_px: int = Field(default=5, description="Side, pixels.")

    class Tiles(Section):
        """Tiles."""

        core_px: int = Field(default=1, description="Side of a core.")

    made = Window.__doc__ or ""
    assert "Parameters\n----------\nname : its name\nside_px : Side, pixels.\n\nRaises\n------\nInputError" in made
    assert (Tiles.__doc__ or "").endswith("Tiles.\n\nParameters\n----------\ncore_px : Side of a core.")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "nan", "inf", "-Infinity", "1e400"])
def test_no_option_is_nan_or_infinite(value: object) -> None:
    wrong = ({"plain": value}, {"optional": value}, {"several": (1.0, value)})
    for values in wrong:
        with pytest.raises(InputError, match=next(iter(values))):
            options_from(Numbers, values, "--set")
    for make in (lambda: Numbers(value), lambda: Inner(share=value), lambda: Outer(inner={"share": value})):
        with pytest.raises(InputError):
            make()
