"""What holds of a registry whatever is done to it."""

import contextlib
from datetime import UTC, date, datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from keyhole.errors import Refused
from keyhole.registry.audit import plain, working
from keyhole.registry.database import create
from keyhole.registry.edge import TABLE_OF, values
from keyhole.registry.models import ENTITIES, Audit
from keyhole.registry.record import correct, record, void
from keyhole.registry.tables.fields import fields_of

TODAY = date(2026, 6, 1)
AT = datetime(2026, 6, 1, tzinfo=UTC)
ANYTHING = st.one_of(st.text(max_size=12), st.integers(), st.floats(), st.booleans(), st.dates(), st.none())


@settings(max_examples=60)
@given(st.data())
def test_whatever_is_given_becomes_values_or_is_refused_in_one_line(data):
    entity = data.draw(st.sampled_from(sorted(TABLE_OF)))
    names = [field.name for field in fields_of(TABLE_OF[entity])]
    row = data.draw(st.dictionaries(st.sampled_from(names), ANYTHING, max_size=6))
    found, refused = _values(entity, row)
    assert set(found) == set(names) or (refused.field in names and "\n" not in str(refused))


def _values(entity, row):
    try:
        return values(entity, row, TODAY), None
    except Refused as refused:
        return {}, refused


DAYS = st.sampled_from(["2025-12-20", "2026-01-10", "2026-02-20", "2026-04-11", "2026-05-30"])
CODES = st.sampled_from(["A", "B"])
NUMBERS = st.integers(1, 8).map(str)
ACTS = st.one_of(
    st.tuples(st.just("record"), st.just("patient"), st.fixed_dictionaries({"pseudonym": CODES})),
    st.tuples(
        st.just("record"),
        st.just("episode"),
        st.fixed_dictionaries({"code": CODES, "patient": CODES}, optional={"surgery_date": DAYS}),
    ),
    st.tuples(
        st.just("record"),
        st.just("response"),
        st.fixed_dictionaries({"episode": CODES, "instrument": st.just("odi"), "date": DAYS, "value": st.just(30)}),
    ),
    st.tuples(
        st.just("record"),
        st.just("complication"),
        st.fixed_dictionaries({"episode": CODES, "code": st.sampled_from(["pe", "death"]), "date": DAYS}),
    ),
    st.tuples(st.just("correct"), st.just("episode"), st.tuples(CODES, st.fixed_dictionaries({"surgery_date": DAYS}))),
    st.tuples(st.just("correct"), st.just("patient"), st.tuples(CODES, st.just({"sex": "F"}))),
    st.tuples(st.just("correct"), st.just("response"), st.tuples(NUMBERS, st.fixed_dictionaries({"date": DAYS}))),
    st.tuples(st.just("void"), st.sampled_from(["patient", "episode"]), CODES),
    st.tuples(st.just("void"), st.sampled_from(["response", "complication"]), NUMBERS),
)


@settings(max_examples=8)
@given(st.lists(ACTS, min_size=5, max_size=25))
def test_the_trail_alone_rebuilds_every_record(tmp_path_factory, acts):
    with create(tmp_path_factory.mktemp("registry") / "registry.db") as registry:
        with working(registry, "setup", AT) as work:
            record(work, "patient", {"pseudonym": "A"}, today=TODAY)
            record(work, "episode", {"code": "A", "patient": "A", "surgery_date": "2026-01-10"}, today=TODAY)
        for act, entity, given_ in acts:
            with contextlib.suppress(Refused), working(registry, "ann", AT) as work:
                _do(work, act, entity, given_)
        with registry.reading() as session:
            rebuilt = _replayed(session.scalars(select(Audit).order_by(Audit.id)))
            for model in ENTITIES.values():
                live = session.scalars(select(model).where(model.voided_at.is_(None))).all()
                assert {row.id: plain(row) for row in live} == rebuilt.get(model.__tablename__, {})
                unique = next(index for index in model.__table__.indexes if index.unique)
                keys = [tuple(getattr(row, column.name) for column in unique.columns) for row in live]
                assert len(set(keys)) == len(keys)


def _do(work, act, entity, given_):
    if act == "record":
        record(work, entity, given_, today=TODAY)
    elif act == "correct":
        correct(work, entity, given_[0], given_[1], reason="misread", today=TODAY)
    else:
        void(work, entity, given_, reason="misread")


def _replayed(entries):
    """Table -> number -> values of the live rows, from the trail alone."""
    found = {}
    for one in entries:
        rows = found.setdefault(one.entity, {})
        if one.action == "void":
            assert {k: rows[one.entity_id][k] for k in one.before} == one.before
            del rows[one.entity_id]
        else:
            rows[one.entity_id] = rows.get(one.entity_id, {}) | one.after
    return found
