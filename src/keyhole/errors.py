"""Every error that Keyhole raises on purpose.

KeyholeError
├── InvalidInput (ValueError)      a value, file or folder that cannot be what it should be
│   ├── UnreadableFile             missing, empty, truncated, or not of the format it claims
│   ├── UnknownScheme              a label file whose integers cannot be named
│   ├── Refused                    a record that the registry does not take; `field` and `row` say where
│   └── ImplausibleAnatomy         labels that contradict themselves or the image
├── FrameMismatch (ValueError)     transforms or volumes of different frames brought together
├── NotInScan (LookupError)        a level, side or structure that the scan does not hold
├── WrongCase                      a folder that is not the case, or not the stage, that was asked for
├── WrongRegistry                  a database that is no registry, or not of this version, or cannot be reached
├── WrongKey                       identities that the given key does not open
├── MissingPart                    an optional part of Keyhole that is not installed; names the extra
├── SegmenterFailed                a segmenter that is not installed, failed, or took too long
└── StorageFailure (OSError)       a file could not be written whole; the case is as it was

A message is one sentence: what, where, what was expected, what was found.
"""


class KeyholeError(Exception):
    """Base of every error that a user can read and act on."""


class InvalidInput(KeyholeError, ValueError):
    """A value, file or folder that cannot be what it should be."""


class UnreadableFile(InvalidInput):
    """A file that is missing, empty, truncated, or not of the format it claims."""


class UnknownScheme(InvalidInput):
    """A label file whose integers cannot be named."""


class ImplausibleAnatomy(InvalidInput):
    """Labels that contradict themselves or the image they belong to."""


class FrameMismatch(KeyholeError, ValueError):
    """Transforms or volumes of different frames were brought together."""


class NotInScan(KeyholeError, LookupError):
    """A level, side or structure that the scan does not hold."""


class WrongCase(KeyholeError):
    """A folder that is not the case, or not the stage, that was asked for."""


class SegmenterFailed(KeyholeError):
    """A segmenter that is not installed, failed, or took too long."""


class StorageFailure(KeyholeError, OSError):
    """A file could not be written whole; the case folder is as it was."""


class MissingPart(KeyholeError):
    """An optional part of Keyhole is not installed; the message names the extra that brings it."""


class Refused(InvalidInput):
    """A record that the registry does not take. `field` names what is wrong, `row` the line of the file it is from."""

    def __init__(self, field: str, sentence: str, row: int | None = None) -> None:
        self.field, self.sentence, self.row = field, sentence, row
        super().__init__(f"{'' if row is None else f'row {row}: '}{field}: {sentence}")

    def in_row(self, row: int) -> "Refused":
        """The same, of line `row` of a file."""
        return Refused(self.field, self.sentence, row)


class WrongRegistry(KeyholeError):
    """A database that is no registry, or not of this version, or cannot be reached."""


class WrongKey(KeyholeError):
    """The given key does not open the registry's identities."""
