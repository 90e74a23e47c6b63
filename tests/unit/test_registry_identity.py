"""Who a patient is: encrypted, apart, erasable, and never in the trail."""

import base64
from datetime import UTC, date, datetime

import pytest
from sqlalchemy import text

from keyhole.errors import InvalidInput, MissingPart, Refused, StorageFailure, WrongKey, WrongRegistry
from keyhole.registry import identity as module
from keyhole.registry.audit import working
from keyhole.registry.database import create, open_registry
from keyhole.registry.identity import CHECK, forget, identify, new_key, probe, read_key, reveal, unlock
from keyhole.registry.models import Identity, Patient
from keyhole.registry.record import find, record

AT = datetime(2026, 6, 1, tzinfo=UTC)
KEY = bytes(range(32))
WHO = {"name": "Ann Beispiel", "birth_date": "1970-02-03", "clinic_number": "4711"}


@pytest.fixture
def registry(empty_database):
    with create(empty_database, identities="encrypted", settings={CHECK: probe(KEY)}) as opened:
        with working(opened, "ann", AT) as work:
            for pseudonym in ("P1", "P2"):
                record(work, "patient", {"pseudonym": pseudonym, "birth_year": 1970}, today=date(2026, 6, 1))
            identify(work, unlock(opened, KEY), find(work.session, "patient", "P1"), WHO)
        yield opened


def everything(registry):
    with registry.reading() as session:
        tables = ("audit", "identities", "patients", "settings")
        return " ".join(str(session.execute(text(f"SELECT * FROM {table}")).all()) for table in tables)


def test_the_right_key_tells_who_it_is_and_the_trail_that_somebody_looked(registry):
    with working(registry, "bob", AT) as work:
        assert reveal(work, unlock(registry, KEY), find(work.session, "patient", "P1")) == WHO
    with registry.reading() as session:
        rows = session.execute(text("SELECT actor, action FROM audit WHERE entity = 'identities' ORDER BY id")).all()
    assert [tuple(row) for row in rows] == [("ann", "insert"), ("bob", "read")]


def test_nothing_of_it_stands_anywhere_in_clear(registry):
    found = everything(registry)
    for word in ("Beispiel", "1970-02-03", "4711"):
        assert word not in found
        if registry.is_file:
            from pathlib import Path

            folder = Path(registry.name).parent
            assert not [p for p in folder.iterdir() if word.encode() in p.read_bytes()]


def test_a_wrong_key_is_told_before_anything_is_read_or_written(registry):
    before = everything(registry)
    with pytest.raises(WrongKey, match="the key does not open the identities of .*; nothing was read or written"):
        unlock(registry, bytes(32))
    assert everything(registry) == before


def test_a_swapped_row_does_not_open(registry):
    vault = unlock(registry, KEY)
    with working(registry, "eve", AT) as work:
        first = work.session.get_one(Identity, 1)
        work.session.add(Identity(patient_id=2, payload=first.payload))
        work.session.flush()
        with pytest.raises(WrongKey, match="patient number 2 does not open: the row was changed or swapped"):
            reveal(work, vault, work.session.get_one(Patient, 2))


def test_short_and_long_names_look_alike_and_never_twice_the_same():
    vault = unlock_of(KEY)
    assert len(vault.seal(1, {"name": "A"})) == len(vault.seal(1, {"name": "A" * 100}))
    assert vault.seal(1, {"name": "A"}) != vault.seal(1, {"name": "A"})


def unlock_of(key):
    return module.Vault(module._cipher(key))


def test_what_is_kept_can_be_replaced_and_erased(registry):
    vault = unlock(registry, KEY)
    with working(registry, "bob", AT) as work:
        patient = find(work.session, "patient", "P1")
        identify(work, vault, patient, {"name": "Ann Neu"})
        assert reveal(work, vault, patient) == {"name": "Ann Neu"}
    with working(registry, "bob", AT) as work:
        patient = find(work.session, "patient", "P1")
        with pytest.raises(Refused, match="reason"):
            forget(work, patient, "")
        forget(work, patient, "asked for it")
        with pytest.raises(Refused, match="no identity is kept of 'P1'"):
            reveal(work, vault, patient)
        with pytest.raises(Refused, match="no identity is kept"):
            forget(work, patient, "again")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "at least one of name"),
        ({"nickname": "A"}, "identity.nickname: is no field of an identity"),
        ({"name": ""}, "identity.name: expected 1 to 500 letters"),
        ({"name": 7}, "identity.name: expected 1 to 500 letters"),
        ({"birth_date": "3.2.1970"}, "identity.birth_date: expected a day"),
        ({"birth_date": "1971-02-03"}, "identity.birth_date: contradicts the patient's year of birth"),
    ],
)
def test_an_identity_that_cannot_be_is_refused_without_repeating_it(given, sentence):
    with pytest.raises(Refused, match=sentence) as told:
        module.checked(given, 1970)
    assert "1971" not in str(told.value)


def test_a_registry_without_identities_has_no_table_for_them(registry_url):
    with open_registry(registry_url) as registry:
        with pytest.raises(WrongRegistry, match="keeps no identities: it was made with --identities none"):
            unlock(registry, KEY)
        with pytest.raises((InvalidInput, StorageFailure)), registry.reading() as session:
            session.execute(text("SELECT * FROM identities"))


def test_keys_come_from_a_file_of_ones_own_or_the_environment(tmp_path):
    path = tmp_path / "key"
    key = new_key(path)
    assert len(key) == 32
    assert path.stat().st_mode & 0o077 == 0
    assert read_key(path, {}) == key
    assert read_key(None, {"KEYHOLE_IDENTITY_KEY": path.read_text()}) == key
    with pytest.raises(StorageFailure, match="could not be written"):
        new_key(path)
    path.chmod(0o644)
    with pytest.raises(WrongKey, match="may be read by others"):
        read_key(path, {})
    with pytest.raises(WrongKey, match="name the key's file with --key, or set KEYHOLE_IDENTITY_KEY"):
        read_key(None, {})
    with pytest.raises(WrongKey, match="could not be read"):
        read_key(tmp_path / "none", {})
    for text_ in ("short", base64.b64encode(b"x" * 31).decode(), "§" * 44):
        with pytest.raises(WrongKey, match="holds no key: expected 32 bytes in base64"):
            read_key(None, {"KEYHOLE_IDENTITY_KEY": text_})


def test_without_the_extra_one_sentence_names_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(MissingPart, match=r"keyhole-spine\[registry\]"):
        probe(KEY)
