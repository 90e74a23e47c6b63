"""Covariates as variables with codes, and the design matrices made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keyhole.comparison.model import LeftOut
from keyhole.comparison.table import Array, Mask, Table, missing, numbers, texts

COLLINEAR = 1e-8
"""Share of a column's variance that other columns leave unexplained; below it, the column says nothing new."""

CONSTANT = "it is constant among the patients compared"
COMBINED = "it is a combination of columns before it"


@dataclass(frozen=True, slots=True)
class Variable:
    """A column as numbers: measured, 0/1, or codes of `levels` (the commonest first, which is the reference)."""

    name: str
    levels: tuple[str, ...] = ()
    is_claim: bool = False

    @property
    def width(self) -> int:
        """Columns of a design matrix that it takes."""
        return len(self.terms)

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of those columns."""
        return tuple(f"{self.name}={level}" for level in self.levels[1:]) if self.levels else (self.name,)


Values = Mapping[str, Array]
"""Codes or numbers by variable, nan where missing."""


def variables(table: Table, names: Sequence[str]) -> tuple[tuple[Variable, ...], dict[str, Array]]:
    """The named columns as variables with their values."""
    found, values = [], {}
    for name in names:
        if table.is_text(name):
            variable, values[name] = _category(table, name)
        else:
            values[name] = numbers(table, name)
            variable = Variable(name, is_claim=_is_claim(values[name]))
        found.append(variable)
    return tuple(found), values


def columns(variable: Variable, values: Array) -> Array:
    """The design columns of one variable, (n, width), neither centred nor scaled."""
    if not variable.levels:
        return values[:, None]
    block: Array = (values[:, None] == np.arange(1, len(variable.levels))).astype(np.float64)
    return block


@dataclass(frozen=True, slots=True)
class Terms:
    """Columns of a design matrix: a variable's name, which of its columns, and whether squared."""

    kept: tuple[tuple[str, int, bool], ...]
    names: tuple[str, ...]
    dropped: tuple[LeftOut, ...]


def terms(chosen: Sequence[Variable], values: Values, rows: Mask, *, squares: bool = False) -> Terms:
    """Columns that say something on these rows: constant ones and combinations of earlier ones are dropped and told."""
    keys: list[tuple[str, int, bool]] = []
    titles: list[str] = []
    blocks: list[Array] = []
    for variable in chosen:
        block = columns(variable, values[variable.name][rows])
        blocks.append(block)
        keys += [(variable.name, k, False) for k in range(variable.width)]
        titles += variable.terms
        if squares and not variable.levels and not variable.is_claim:
            blocks.append((block - block.mean(axis=0)) ** 2)
            keys.append((variable.name, 0, True))
            titles.append(f"{variable.name} squared")
    reasons = _nothing_new(np.concatenate(blocks, axis=1)) if blocks else []
    kept = [key for key, reason in zip(keys, reasons, strict=True) if not reason]
    names = [title for title, reason in zip(titles, reasons, strict=True) if not reason]
    dropped = [LeftOut(variable.name, CONSTANT) for variable in chosen if len(variable.levels) == 1]
    dropped += [LeftOut(title, reason) for title, reason in zip(titles, reasons, strict=True) if reason]
    return Terms(tuple(kept), tuple(names), tuple(dropped))


def design(chosen: Sequence[Variable], values: Values, rows: Mask, wanted: Terms) -> Array:
    """Intercept and the wanted columns on these rows, each of mean 0 and sd 1."""
    by_name = {variable.name: variable for variable in chosen}
    matrix = np.ones((int(rows.sum()), 1 + len(wanted.kept)), order="F")
    for n, (name, k, squared) in enumerate(wanted.kept, start=1):
        column = columns(by_name[name], values[name][rows])[:, k]
        column = column - column.mean()
        if squared:
            column = column**2 - (column**2).mean()
        spread = column.std()
        matrix[:, n] = column / spread if spread > 0 else 0.0
    return matrix


def unmatched(chosen: Sequence[Variable], values: Values, treated: Mask) -> tuple[Mask, tuple[tuple[str, int], ...]]:
    """Rows whose category (or 0/1) one arm never has, and those categories with their counts."""
    outside = np.zeros(len(treated), dtype=np.bool_)
    found = []
    for variable in chosen:
        if not variable.levels and not variable.is_claim:
            continue
        codes = values[variable.name]
        for code in np.unique(codes[~np.isnan(codes)]):
            inside = codes == code
            if inside[treated].any() and inside[~treated].any():
                continue
            word = variable.levels[int(code)] if variable.levels else f"{code:g}"
            found.append((f"{variable.name}={word}", int(inside.sum())))
            outside |= inside
    return outside, tuple(found)


def names_the_arm(variable: Variable, values: Array, treated: Mask) -> bool:
    """Whether the category tells the arm without doubt: another name of the treatment, not a covariate."""
    if not variable.levels and not variable.is_claim:
        return False
    known = ~np.isnan(values)
    return not set(values[known & treated]) & set(values[known & ~treated])


def _nothing_new(candidates: Array) -> list[str]:
    """For each column why it adds nothing to those before it, empty where it does (elimination of their products)."""
    candidates = candidates - candidates.mean(axis=0)
    length = np.sqrt(np.einsum("ij,ij->j", candidates, candidates))
    flat = ~(length > 1e-12 * np.maximum(1.0, np.abs(candidates).max(axis=0)) * np.sqrt(len(candidates)))
    candidates /= np.where(flat, 1.0, length)
    left = candidates.T @ candidates
    reasons = []
    for k in range(len(left)):
        if flat[k] or left[k, k] < COLLINEAR:
            reasons.append(CONSTANT if flat[k] else COMBINED)
            continue
        reasons.append("")
        left = left - np.outer(left[:, k], left[k]) / left[k, k]
    return reasons


def _category(table: Table, name: str) -> tuple[Variable, Array]:
    words = texts(table, name)
    empty = missing(table, name)
    found, inverse, counts = np.unique(words.astype(str), return_inverse=True, return_counts=True)
    order = [k for k in sorted(range(len(found)), key=lambda k: (-counts[k], found[k])) if found[k]]
    code = np.full(len(found), np.nan)
    code[order] = np.arange(len(order))
    values = code[inverse]
    values[empty] = np.nan
    return Variable(name, tuple(str(found[k]) for k in order)), values


def _is_claim(values: Array) -> bool:
    known = values[~np.isnan(values)]
    return bool(np.isin(known, (0.0, 1.0)).all())
