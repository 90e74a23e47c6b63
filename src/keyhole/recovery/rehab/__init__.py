"""The rehabilitation programme: protocols as files, fitted to a case."""

from keyhole.recovery.rehab.build import UNSIGNED, build, current_rehab, rehab_case, sign_off, staleness
from keyhole.recovery.rehab.overrides import Overrides, parse_settings, read_overrides
from keyhole.recovery.rehab.protocol import (
    SHIPPED,
    Protocol,
    ProtocolFile,
    exercises,
    protocol_for,
    read_protocol,
    red_flags,
    shipped,
    shipped_text,
)

__all__ = [
    "SHIPPED",
    "UNSIGNED",
    "Overrides",
    "Protocol",
    "ProtocolFile",
    "build",
    "current_rehab",
    "exercises",
    "parse_settings",
    "protocol_for",
    "read_overrides",
    "read_protocol",
    "red_flags",
    "rehab_case",
    "shipped",
    "shipped_text",
    "sign_off",
    "staleness",
]
