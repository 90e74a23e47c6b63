"""What every record is made of: strict models, and numbers with unit, uncertainty and source."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

Triple = tuple[float, float, float]
Side = Literal["left", "right"]


class Strict(BaseModel):
    """A frozen record that refuses unknown fields, nan and inf."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)


class Quantity(Strict):
    """A number with its unit (UCUM), uncertainty and source. `value` None: it could not be known; a caveat says why."""

    value: float | None
    sd: float | None = None
    interval: tuple[float, float] | None = None
    unit: str
    source: str
    caveats: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _says_why(self) -> Quantity:
        if self.value is None and not self.caveats:
            raise ValueError("a quantity without a value needs a caveat that says why")
        return self
