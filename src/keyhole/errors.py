"""Every error that Keyhole raises on purpose.

KeyholeError
├── InvalidInput (ValueError)      a value, file or folder that cannot be what it should be
│   ├── UnreadableFile             missing, empty, truncated, or not of the format it claims
│   ├── UnknownScheme              a label file whose integers cannot be named
│   └── ImplausibleAnatomy         labels that contradict themselves or the image
├── FrameMismatch (ValueError)     transforms or volumes of different frames brought together
├── NotInScan (LookupError)        a level, side or structure that the scan does not hold
├── WrongCase                      a folder that is not the case, or not the stage, that was asked for
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
