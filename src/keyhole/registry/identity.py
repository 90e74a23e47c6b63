"""Who a patient is: kept apart, encrypted under the clinic's own key, or not at all.

AES-256-GCM; the patient's number is bound to the text, so that a swapped row does not open, and the text is filled up
to whole blocks, so that its length tells nothing. The key is never in the database; lose it and the names are gone.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from keyhole.errors import InvalidInput, MissingPart, Refused, StorageFailure, WrongKey, WrongRegistry
from keyhole.registry.audit import Work
from keyhole.registry.database import Registry
from keyhole.registry.models import Identity, Patient
from keyhole.registry.record import told_of

KEY_VARIABLE = "KEYHOLE_IDENTITY_KEY"
CHECK = "identity_check"  # the setting that tells a wrong key before anything is written with it
FIELDS = ("name", "birth_date", "clinic_number", "phone", "email", "address")
_PROBE = b"keyhole.identity/1"
_BLOCK = 256
_NONCE = 12
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Vault:
    """A key that has been tried against the registry."""

    _cipher: Any = field(repr=False)

    def seal(self, patient_id: int, identity: Mapping[str, str]) -> bytes:
        """`identity` as bytes that only the key opens, and only for this patient."""
        text = json.dumps(dict(identity), ensure_ascii=False, sort_keys=True).encode()
        filled = text + b" " * (-len(text) % _BLOCK)
        return _sealed(self._cipher, filled, b"patient:%d" % patient_id)

    def open(self, patient_id: int, payload: bytes) -> dict[str, str]:
        """The identity inside `payload`; refused if it is another patient's or has been changed."""
        text = _opened(self._cipher, payload, b"patient:%d" % patient_id)
        if text is None:
            raise WrongKey(f"the identity of patient number {patient_id} does not open: the row was changed or swapped")
        found: dict[str, str] = json.loads(text)
        return found


def new_key(path: Path) -> bytes:
    """A new random key, written to the new file `path` that only its owner reads."""
    key = os.urandom(32)
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(base64.urlsafe_b64encode(key) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise StorageFailure(f"the key could not be written to {path}: {error.strerror}") from error
    return key


def read_key(path: Path | None, environment: Mapping[str, str]) -> bytes:
    """The key from the file `path`, or from KEYHOLE_IDENTITY_KEY in the `environment`."""
    if path is None:
        if not environment.get(KEY_VARIABLE):
            raise WrongKey(f"identities are encrypted: name the key's file with --key, or set {KEY_VARIABLE}")
        return _key(environment[KEY_VARIABLE], KEY_VARIABLE)
    try:
        text, mode = path.read_text(encoding="ascii"), path.stat().st_mode
    except (OSError, UnicodeError) as error:
        raise WrongKey(f"the key's file {path} could not be read") from error
    if os.name == "posix" and mode & (stat.S_IRGRP | stat.S_IROTH):
        raise WrongKey(f"the key's file {path} may be read by others: make it yours alone (chmod 600)")
    return _key(text, str(path))


def probe(key: bytes) -> str:
    """The setting by which a wrong key is told from the right one."""
    return base64.b64encode(_sealed(_cipher(key), _PROBE, _PROBE)).decode()


def check_kept(registry: Registry) -> None:
    """Refuse a registry that keeps no identities."""
    if not registry.has_identities:
        raise WrongRegistry(f"{registry.name} keeps no identities: it was made with --identities none")


def unlock(registry: Registry, key: bytes) -> Vault:
    """The vault of `registry`; a wrong key is refused, and so is a registry that keeps no identities."""
    check_kept(registry)
    cipher = _cipher(key)
    if _opened(cipher, base64.b64decode(registry.settings.get(CHECK, "")), _PROBE) != _PROBE:
        raise WrongKey(f"the key does not open the identities of {registry.name}; nothing was read or written")
    return Vault(cipher)


def identify(work: Work, vault: Vault, patient: Patient, identity: Mapping[str, object]) -> None:
    """Keep who `patient` is, in place of what was kept before; the trail says that, never what."""
    found = checked(identity, patient.birth_year)
    row = work.session.get(Identity, patient.id)
    payload = vault.seal(patient.id, found)
    if row is None:
        row = Identity(patient_id=patient.id, payload=payload)
        work.session.add(row)
        work.session.flush()
        work.note("insert", row, None, {"fields": sorted(found)})
        return
    before = sorted(vault.open(patient.id, row.payload))
    row.payload = payload
    work.session.flush()
    work.note("update", row, {"fields": before}, {"fields": sorted(found)})


def reveal(work: Work, vault: Vault, patient: Patient) -> dict[str, str]:
    """Who `patient` is; the trail says that somebody looked."""
    row = work.session.get(Identity, patient.id)
    if row is None:
        raise Refused("patient", f"no identity is kept of {patient.pseudonym!r}")
    found = vault.open(patient.id, row.payload)
    work.note("read", row, None, None)
    return found


def forget(work: Work, patient: Patient, reason: str) -> None:
    """Erase who `patient` is; what was recorded under the pseudonym stays."""
    told = told_of(reason)
    row = work.session.get(Identity, patient.id)
    if row is None:
        raise Refused("patient", f"no identity is kept of {patient.pseudonym!r}")
    work.note("void", row, None, None, told)
    work.session.delete(row)
    work.session.flush()


def checked(identity: Mapping[str, object], birth_year: int | None) -> dict[str, str]:
    """The fields of an identity as text; unknown ones and a birth date against the year of birth are refused."""
    found = {}
    for name, value in identity.items():
        if name not in FIELDS:
            raise Refused(f"identity.{name[:40]}", f"is no field of an identity; the fields are {', '.join(FIELDS)}")
        if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST:
            raise Refused(f"identity.{name}", f"expected 1 to {_LONGEST} letters")
        found[name] = value.strip()
    if not found:
        raise Refused("identity", f"expected at least one of {', '.join(FIELDS)}, got none")
    born = found.get("birth_date")
    if born is not None and (year := _year(born)) is not None and birth_year not in (None, year):
        raise Refused("identity.birth_date", "contradicts the patient's year of birth")
    return found


def _year(born: str) -> int:
    try:
        return date.fromisoformat(born).year
    except ValueError:
        raise Refused("identity.birth_date", "expected a day, YYYY-MM-DD") from None


def _key(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise WrongKey(f"{where} holds no key: expected 32 bytes in base64, as `keyhole registry init` writes them")
    return key


def _cipher(key: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingPart(
            "encrypted identities need cryptography, which is not installed; "
            'it comes with pip install "keyhole-spine[registry]"'
        ) from error
    if len(key) != 32:
        raise InvalidInput(f"a key has 32 bytes, got {len(key)}")
    return AESGCM(key)


def _sealed(cipher: Any, text: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    sealed: bytes = nonce + cipher.encrypt(nonce, text, bound)
    return sealed


def _opened(cipher: Any, sealed: bytes, bound: bytes) -> bytes | None:
    """The text, or None where key, text or binding is another."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra

    try:
        text: bytes = cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], bound)
    except (InvalidTag, ValueError):
        return None
    return text
