"""DICOM series in which every voxel holds its own place, so that any reader's error can be read off its result.

A trap is written three times, once for each patient coordinate: the value of a voxel is the coordinate of its centre,
by the header of its own slice. Linear interpolation keeps such an image exact, so resampled results count too.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import pydicom
from openjpeg.utils import encode_array
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)
from scipy.spatial.transform import Rotation

SLOPE = 0.005
LOWEST = -160.0
"""mm: stored 0 is LOWEST, one step is SLOPE."""

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_CT, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.4.1"
LEGACY_CT = "1.2.840.10008.5.1.4.1.1.2.2"
JPEG_LOSSLESS_57 = "1.2.840.10008.1.2.4.57"


@dataclass(frozen=True)
class Slice:
    """Where one slice lies, and what its header says beside that."""

    position: np.ndarray
    axes: np.ndarray = field(default_factory=lambda: np.array([[1.0, 0, 0], [0, 1.0, 0]]))
    spacing: tuple = (1.4, 1.1)  # along a row, down a column
    shape: tuple = (32, 36)  # rows, columns
    tags: dict = field(default_factory=dict)
    wrong: float = 0.0  # mm added to what its voxels hold

    def places(self):
        """LPS mm of every pixel, (rows, columns, 3)."""
        rows, columns = np.mgrid[: self.shape[0], : self.shape[1]]
        across, down = self.axes[0] * self.spacing[0], self.axes[1] * self.spacing[1]
        return self.position + columns[..., None] * across + rows[..., None] * down + self.wrong


def stack(n=14, step=(0, 0, 3.0), start=(-20.0, -15.0, -25.0), **named):
    """`n` slices, each `step` from the one before."""
    return [Slice(np.array(start) + k * np.array(step, dtype=float), **named) for k in range(n)]


def turned(slices, matrix):
    """`slices` with the patient turned or mirrored about the origin by a 3x3 matrix."""
    return [replace(s, position=matrix @ s.position, axes=s.axes @ matrix.T) for s in slices]


def tilted(degrees):
    """A stack whose table moves along the patient while its slices lean."""
    lean = Rotation.from_euler("x", degrees, degrees=True).as_matrix()
    axes = np.array([[1.0, 0, 0], lean @ (0, 1.0, 0)])
    return [replace(s, axes=axes, tags={"GantryDetectorTilt": degrees}) for s in stack()]


def _tagged(slices, **tags):
    return [replace(s, tags=s.tags | tags) for s in slices]


def _each(slices, tag):
    return [replace(s, tags=s.tags | {tag: n}) for n, s in enumerate(slices)]


OBLIQUE = Rotation.from_euler("xyz", (14, -22, 33), degrees=True).as_matrix()


def disc_slabs():
    """Five slabs of four slices, one for each disc angle, two of one angle: an ordinary axial spine MR."""
    made = []
    for n, angle in enumerate((-8, 2, 2, 14, 31)):
        lean = Rotation.from_euler("x", angle, degrees=True).as_matrix()
        slab = stack(4, start=(-20.0, -15.0 + 2.5 * n, 60.0 - 27.3 * n))
        made += turned([replace(s, position=s.position) for s in slab], lean)
    return _each(made, "InstanceNumber")


def _uneven():
    steps = np.array([3, 3, 3, 3.6, 2.4, 3, 3, 2.2, 3.8, 3, 3, 3.0])
    heights = np.concatenate([[0], np.cumsum(steps)])
    return [Slice(np.array((-20.0, -15, -25 + h))) for h in heights]


def _echoes():
    both = [_tagged(stack(), EchoTime=echo, EchoNumbers=n) for n, echo in ((1, 12.0), (2, 95.0))]
    return [s for pair in zip(*both, strict=True) for s in pair]


@dataclass(frozen=True)
class Trap:
    """A series that is easily read wrong. `outcome` is what Keyhole makes of it: read, refused or parts."""

    slices: list
    modality: str = "CT"
    syntax: str = ExplicitVRLittleEndian
    frames: str = ""  # SOP class of a multi-frame object, or nothing
    outcome: str = "read"
    signed: bool = False

    @property
    def lowest(self):
        """mm that a stored 0 means."""
        return LOWEST + 32768 * SLOPE if self.signed else LOWEST


def traps():
    """Every trap by name."""
    plain = stack()
    two_people = _tagged(plain[:7], PatientID="A") + _tagged(plain[7:], PatientID="B")
    sagittal = turned(stack(start=(-20, -15, -20)), np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]]))
    found = {
        "upright": Trap(plain),
        "gantry tilt +15°": Trap(tilted(15), signed=True),
        "gantry tilt -15°": Trap(tilted(-15), signed=True),
        "gap of three slices": Trap(plain[:6] + plain[9:], outcome="refused"),
        "one slice missing": Trap(stack(30)[:11] + stack(30)[12:]),
        "slices stored twice": Trap([*plain, *plain[4:6]], outcome="read"),
        "two images of one place": Trap([*plain, replace(plain[4], wrong=5.0)], outcome="refused"),
        "mixed patients": Trap(two_people, outcome="refused"),
        "oblique": Trap(turned(plain, OBLIQUE)),
        "anisotropic": Trap([replace(s, spacing=(0.7, 2.3)) for s in stack(step=(0, 0, 5.0), start=(-5, -20, -30))]),
        "uneven spacing": Trap(_uneven()),
        "spacing doubles": Trap(stack() + stack(step=(0, 0, 6.0), start=(-20, -15, 20.0)), outcome="parts"),
        "head to foot": Trap(stack(step=(0, 0, -3.0), start=(-20, -15, 20))),
        "SliceThickness and SliceLocation lie": Trap(
            [replace(s, tags={"SliceThickness": 9.0, "SliceLocation": -7.0 * n}) for n, s in enumerate(plain)]
        ),
        "two orientations in one series": Trap(plain + sagittal, "MR", outcome="parts"),
        "two acquisitions, other spacing": Trap(
            _tagged(plain, AcquisitionNumber=1)
            + _tagged(stack(step=(0, 0, 5.0), start=(-20, -15, 24.5)), AcquisitionNumber=2),
            outcome="parts",
        ),
        "two echoes of one place": Trap(_echoes(), "MR", outcome="parts"),
        "MR slabs along the discs": Trap(disc_slabs(), "MR", outcome="parts"),
        "enhanced CT": Trap(plain[::-1], frames=ENHANCED_CT),
        "enhanced MR, oblique": Trap(turned(plain, OBLIQUE), "MR", frames=ENHANCED_MR),
        "legacy converted CT": Trap(plain, frames=LEGACY_CT),
        "enhanced CT, tilt +15°": Trap(tilted(15), frames=ENHANCED_CT),
    }
    for axis, name in enumerate("xyz"):
        found[f"direction cosines flipped on {name}"] = Trap(
            turned(plain, np.diag(np.where(np.arange(3) == axis, -1.0, 1.0)))
        )
    for name, syntax in SYNTAXES.items():
        found[f"syntax {name}"] = Trap(turned(plain, OBLIQUE), syntax=syntax)
    for name in ("JPEG lossless .70", "JPEG-LS", "JPEG 2000", "RLE"):
        found[f"syntax {name}, signed"] = Trap(plain, syntax=SYNTAXES[name], signed=True)
    found["enhanced CT, JPEG-LS"] = Trap(plain, syntax=JPEGLSLossless, frames=ENHANCED_CT)
    return found


SYNTAXES = {
    "encapsulated": pydicom.uid.UID("1.2.840.10008.1.2.1.98"),
    "implicit": ImplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "RLE": RLELossless,
    "JPEG lossless .57": pydicom.uid.UID(JPEG_LOSSLESS_57),
    "JPEG lossless .70": JPEGLosslessSV1,
    "JPEG-LS": JPEGLSLossless,
    "JPEG 2000": JPEG2000Lossless,
}


def write(trap, folder, axis, *, seed="trap"):
    """Write `trap` into `folder`, its voxels holding the patient coordinate number `axis`."""
    folder.mkdir(parents=True, exist_ok=True)
    steps = [np.rint((s.places()[..., axis] - trap.lowest) / SLOPE) for s in trap.slices]
    stored = [s.astype(np.int16 if trap.signed else np.uint16) for s in steps]
    if trap.frames:
        _save(_enhanced(trap, stored, f"{seed}{axis}"), folder / "IM1", trap, stored)
        return
    for n, (one, pixels) in enumerate(zip(trap.slices, stored, strict=True)):
        _save(_classic(trap, one, f"{seed}{axis}", n), folder / f"IM{n:04d}", trap, [pixels])


def _common(trap, uid_of):
    data = Dataset()
    data.StudyInstanceUID, data.SeriesInstanceUID = generate_uid(entropy_srcs=["study"]), uid_of
    data.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame"])
    data.Modality, data.PatientID, data.PatientName, data.SeriesNumber = trap.modality, "P", "", 3
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, int(trap.signed)
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.Manufacturer, data.PatientPosition, data.ProtocolName = "SIEMENS", "HFS", "spine"
    data.StudyDate = data.StudyTime = data.AccessionNumber = ""
    data.Rows, data.Columns = trap.slices[0].shape
    return data


def _ds(values):
    return [f"{float(v):.9g}"[:16] for v in np.ravel(values)]


def _classic(trap, one, seed, n):
    data = _common(trap, generate_uid(entropy_srcs=[seed, "series"]))
    data.SOPClassUID = CT if trap.modality == "CT" else MR
    data.SOPInstanceUID = generate_uid(entropy_srcs=[seed, str(n)])
    data.InstanceNumber = n + 1
    data.ImagePositionPatient, data.ImageOrientationPatient = _ds(one.position), _ds(one.axes)
    data.PixelSpacing = _ds(one.spacing[::-1])
    data.SliceThickness = "3"
    data.Rows, data.Columns = one.shape
    data.RescaleSlope, data.RescaleIntercept = str(SLOPE), f"{trap.lowest:.6g}"
    for tag, value in one.tags.items():
        setattr(data, tag, value)
    return data


def _enhanced(trap, stored, seed):
    data = _common(trap, generate_uid(entropy_srcs=[seed, "series"]))
    data.SOPClassUID, data.SOPInstanceUID = trap.frames, generate_uid(entropy_srcs=[seed, "0"])
    data.InstanceNumber, data.NumberOfFrames = 1, len(stored)
    first = trap.slices[0]
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([_item(PixelSpacing=_ds(first.spacing[::-1]), SliceThickness="3")])
    shared.PixelValueTransformationSequence = Sequence(
        [_item(RescaleSlope=str(SLOPE), RescaleIntercept=f"{trap.lowest:.6g}", RescaleType="HU")]
    )
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    data.PerFrameFunctionalGroupsSequence = Sequence(
        [
            _item(
                FrameContentSequence=Sequence([_item(StackID="1", InStackPositionNumber=n + 1)]),
                PlanePositionSequence=Sequence([_item(ImagePositionPatient=_ds(s.position))]),
                PlaneOrientationSequence=Sequence([_item(ImageOrientationPatient=_ds(s.axes))]),
            )
            for n, s in enumerate(trap.slices)
        ]
    )
    return data


def _item(**tags):
    made = Dataset()
    for tag, value in tags.items():
        setattr(made, tag, value)
    return made


def _save(data, path, trap, stored):
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = (
        data.SOPClassUID,
        data.SOPInstanceUID,
    )
    syntax = pydicom.uid.UID(trap.syntax)
    data.file_meta.TransferSyntaxUID = syntax
    if syntax in (JPEG_LOSSLESS_57, JPEGLosslessSV1):
        predictor = 1 if syntax == JPEGLosslessSV1 else 6
        data.PixelData = encapsulate([jpeg_lossless(p.view(np.uint16), predictor) for p in stored])
    elif syntax == SYNTAXES["encapsulated"]:
        data.PixelData = encapsulate([p.tobytes() for p in stored])
    elif syntax == JPEG2000Lossless:
        data.PixelData = encapsulate([encode_array(p, photometric_interpretation=2) for p in stored])
    elif syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.PixelData = b"".join(p.tobytes() for p in stored)
        data["PixelData"].VR = "OW"
        data.compress(syntax, encoding_plugin="pydicom" if syntax == RLELossless else "", generate_instance_uid=False)
    else:
        big = syntax == ExplicitVRBigEndian
        data.PixelData = b"".join((p.byteswap() if big else p).tobytes() for p in stored)
    data["PixelData"].VR = "OB" if syntax.is_encapsulated else "OW"
    data.save_as(path, enforce_file_format=True)


def jpeg_lossless(pixels, predictor=1, *, precision=16, restart=0, shift=0):
    """`pixels` as one JPEG lossless stream (ITU-T T.81 process 14), every category with a code of five bits."""
    pixels = pixels.astype(np.int64) >> shift
    rows, columns = pixels.shape
    parts, bits = [], []
    for y in range(rows):
        if restart and y and y % restart == 0:
            parts.append(_packed(bits) + bytes([0xFF, 0xD0 + (y // restart - 1) % 8]))
            bits = []
        fresh = y == 0 or bool(restart and y % restart == 0)
        for x in range(columns):
            bits.append(_coded(int(pixels[y, x]) - _expected(pixels, y, x, predictor, fresh, precision - shift)))
    parts.append(_packed(bits))
    table = bytes([0x00, 0, 0, 0, 0, 17, *[0] * 11, *range(17)])
    head = b"\xff\xd8" + _segment(0xC4, table)
    head += _segment(0xC3, bytes([precision, *rows.to_bytes(2, "big"), *columns.to_bytes(2, "big"), 1, 1, 0x11, 0]))
    head += _segment(0xDD, (restart * columns).to_bytes(2, "big")) if restart else b""
    return head + _segment(0xDA, bytes([1, 1, 0, predictor, 0, shift])) + b"".join(parts) + b"\xff\xd9"


def _expected(pixels, y, x, predictor, fresh, precision):
    if x == 0:
        return 1 << (precision - 1) if fresh else int(pixels[y - 1, 0])
    a = int(pixels[y, x - 1])
    if fresh:
        return a
    b, c = int(pixels[y - 1, x]), int(pixels[y - 1, x - 1])
    guesses = (a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) >> 1)
    return guesses[predictor - 1]


def _coded(difference):
    """Category and extra bits of a difference modulo 65536, as text."""
    d = (difference + 32768) % 65536 - 32768
    if d == -32768:
        return f"{16:05b}"
    size = abs(d).bit_length()
    extra = d if d > 0 else d + (1 << size) - 1
    return f"{size:05b}" + (f"{extra:0{size}b}" if size else "")


def _packed(bits):
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0") if text else b""


def _segment(marker, body):
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def worst(volumes, matrix):
    """Largest distance, mm, between where voxels are said to lie and where they come from; nan where none is known.

    `volumes` are the three coordinate images (i, j, k), nan where nothing was seen; `matrix` maps index to LPS mm.
    """
    truth = np.stack([np.asarray(v, dtype=np.float64) for v in volumes], axis=-1)
    index = np.stack(np.meshgrid(*map(np.arange, truth.shape[:3]), indexing="ij"), axis=-1)
    said = index @ matrix[:3, :3].T + matrix[:3, 3]
    far = np.linalg.norm(said - truth, axis=-1)
    return float(np.nanmax(far)) if np.isfinite(far).any() else float("nan")
