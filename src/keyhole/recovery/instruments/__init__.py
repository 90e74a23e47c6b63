"""Questionnaires and tests: exact scores, missing items, and what is known about a change."""

from keyhole.recovery.instruments.catalogue import instrument, instruments
from keyhole.recovery.instruments.change import change
from keyhole.recovery.instruments.model import UNABLE, Change, Grade, Instrument, Score, Threshold
from keyhole.recovery.instruments.scoring import band, check, score
from keyhole.recovery.instruments.valuesets import TScores, ValueSet, t_scores, value_set
from keyhole.recovery.instruments.wording import Item, ItemSet, Option, load_items

__all__ = [
    "UNABLE",
    "Change",
    "Grade",
    "Instrument",
    "Item",
    "ItemSet",
    "Option",
    "Score",
    "TScores",
    "Threshold",
    "ValueSet",
    "band",
    "change",
    "check",
    "instrument",
    "instruments",
    "load_items",
    "score",
    "t_scores",
    "value_set",
]
