"""NIfTI in and out: RAS on disk, LPS mm inside."""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel as nib
import numpy as np
from isal import igzip, isal_zlib
from nibabel import imageglobals
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Extension
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from keyhole.casefile.store import write_whole
from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.geometry import LabelMap, Volume, affine
from keyhole.imaging.caret import CARET, names_of, names_xml

LPS_FROM_RAS = np.diag((-1.0, -1.0, 1.0, 1.0))

MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}
"""mm in each spatial unit code of xyzt_units: metre, millimetre, micrometre; code 0 is unknown."""

HUMAN_SPACING = (0.1, 10.0)
HUMAN_EXTENT = (30.0, 2500.0)
"""A file without a unit is read as mm only if its voxels (mm) and its longest side (mm) are those of a human scan."""

COMPRESSION = 3
SLAB = 32
TILE = 32
"""Slices that are packed at a time, and columns of them that are turned at a time, so that they stay in the cache."""

_MOST_PER_BYTE = 1100
"""gzip holds at most about 1030 bytes in one: a header that claims more is damaged."""

_DAMAGED: tuple[Any, ...] = (
    EOFError,
    zlib.error,
    isal_zlib.error,
    gzip.BadGzipFile,
    OSError,
    ValueError,
    OverflowError,
    MemoryError,
)


@dataclass(frozen=True, slots=True, eq=False)
class NiftiFile:
    """What a NIfTI file holds: the volume in LPS mm, the label names it carries, and what to be wary of."""

    volume: Volume
    names: Mapping[int, str] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()


def read_nifti(path: Path) -> NiftiFile:
    """The 3D image in the NIfTI file at `path`, in LPS mm, values scaled as the header says.

    The sform is used where it has a code, else the qform; a file without either, in another unit than a human
    scan's, with more than three axes or damaged is refused with one sentence. Arrays are C-contiguous. Whole
    numbers stay whole where the scaling allows; everything else is float32, and infinite values become nan.
    """
    image = _opened(path)
    header = image.header
    shape = _shape(path, header)
    matrix, caveats = _placement(path, header)
    scale, more = _unit(path, header, matrix, shape)
    matrix = np.diag((scale, scale, scale, 1.0)) @ matrix
    array = _values(path, image, shape)
    names: dict[int, str] = {}
    for extension in header.extensions:
        names |= names_of(extension.content)
    return NiftiFile(Volume(array, affine(LPS_FROM_RAS @ matrix)), names, (*caveats, *more))


def read_labelmap(path: Path, structures: Mapping[int, str] | None = None) -> LabelMap:
    """The label map in the NIfTI file at `path`, named by `structures` or else by the names inside the file."""
    found = read_nifti(path)
    array = whole_numbers(found.volume.array, path)
    return LabelMap(array, found.volume.patient_from_index, found.names if structures is None else structures)


def whole_numbers(array: NDArray[Any], path: Path) -> NDArray[Any]:
    """`array` as uint8 or uint16 labels; nan, fractions, negative or huge values are refused."""
    if np.issubdtype(array.dtype, np.floating) and not np.array_equal(array, np.rint(array)):
        odd = array[~(array == np.rint(array))][0]
        raise InvalidInput(f"{path}: a label file holds whole numbers, found {odd}")
    high = array.max()
    low = 0 if array.dtype in (np.uint8, np.uint16) else array.min()
    if not (low >= 0 and high <= np.iinfo(np.uint16).max):
        raise InvalidInput(f"{path}: labels must lie between 0 and 65535, found {low} to {high}")
    return array.astype(np.uint8 if high <= np.iinfo(np.uint8).max else np.uint16, copy=False)


def write_nifti(what: Volume | LabelMap, path: Path, names: Mapping[int, str] | None = None) -> None:
    """Put `what` in the NIfTI file `path` (.nii.gz or .nii), whole or not at all; same input, same bytes.

    A label map carries its structure keys, or `names` where given, in a Caret extension.
    """
    if names is None and isinstance(what, LabelMap):
        names = what.structures
    array = _storable(what.array)
    header = _header(array, what.patient_from_index.matrix, names or {})

    def fill(temporary: Path) -> None:
        with temporary.open("wb") as raw:
            if path.name.endswith(".gz"):
                with igzip.IGzipFile("", "wb", COMPRESSION, raw, mtime=0) as packed:
                    _write_all(cast(BinaryIO, packed), header, array)
            else:
                _write_all(raw, header, array)

    write_whole(path, fill)


def _write_all(stream: BinaryIO, header: Any, array: NDArray[Any]) -> None:
    """Header and voxels, first axis fastest; the next slab is turned while one is packed."""
    header.write_to(stream)
    starts = range(0, array.shape[2], SLAB)
    with ThreadPoolExecutor(max_workers=1) as worker:
        ahead = worker.submit(_turned, array[:, :, :SLAB])
        for k in starts:
            block = ahead.result()
            if k + SLAB < array.shape[2]:
                ahead = worker.submit(_turned, array[:, :, k + SLAB : k + 2 * SLAB])
            stream.write(block)


def _turned(slab: NDArray[Any]) -> memoryview:
    """The bytes of `slab`, first axis fastest."""
    out = np.empty(slab.shape[::-1], dtype=slab.dtype)
    for i in range(0, slab.shape[0], TILE):
        out[:, :, i : i + TILE] = slab[i : i + TILE].transpose(2, 1, 0)
    return out.reshape(-1).view(np.uint8).data


def _storable(array: NDArray[Any]) -> NDArray[Any]:
    """`array` in a type that every NIfTI reader knows, little-endian."""
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if np.issubdtype(array.dtype, np.floating):
        return array.astype("<f4", copy=False)
    if array.dtype.itemsize > 4 or array.dtype == np.uint32:
        low, high = int(array.min()), int(array.max())
        kinds = ("<u1", "<i2", "<u2", "<i4")
        fitting = [kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max]
        if not fitting:
            raise InvalidInput(f"values from {low} to {high} do not fit a 32-bit NIfTI file")
        return array.astype(fitting[0])
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _header(array: NDArray[Any], lps_from_index: NDArray[np.float64], names: Mapping[int, str]) -> Any:
    header = nib.Nifti1Header()
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape)
    header.set_xyzt_units("mm")
    matrix = (LPS_FROM_RAS @ lps_from_index).astype(np.float32).astype(np.float64)  # as the file will hold it
    header.set_qform(matrix, code=1, strip_shears=True)
    kept = header.get_qform()
    header.set_sform(matrix, code=1)
    if not np.allclose(kept[:3, :3], matrix[:3, :3], atol=1e-3):
        header["qform_code"] = 0  # a sheared grid has no quaternion
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    if names:
        header.extensions.append(Nifti1Extension(CARET, names_xml(names)))
    return header


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise UnreadableFile(f"{path} could not be read: there is no such file")
    if path.stat().st_size == 0:
        raise UnreadableFile(f"{path} is empty: expected a NIfTI image, found 0 bytes")
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise UnreadableFile(f"{path} is not a NIfTI file: its name must end in .nii or .nii.gz")
    try:
        with _quiet():
            image = nib.load(path)
    except (*_DAMAGED, ImageFileError, HeaderDataError) as error:
        raise UnreadableFile(f"{path} is not a readable NIfTI file: {_reason(error)}") from error
    if not isinstance(image, nib.Nifti1Image):
        raise UnreadableFile(f"{path} is not a NIfTI file but {type(image).__name__}")
    return image


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing printed by nibabel: what it would mend or warn of in a header is checked field by field."""
    logger, was = imageglobals.logger, imageglobals.logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = was


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text or type(error).__name__


def _shape(path: Path, header: Any) -> tuple[int, int, int]:
    shape = tuple(int(n) for n in header.get_data_shape())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise InvalidInput(
            f"{path}: an image needs three axes, found {len(shape)} ({' x '.join(map(str, shape))}); save one 3D volume"
        )
    if not min(shape) >= 2:
        raise InvalidInput(f"{path}: an image needs two voxels or more along each axis, found {shape}")
    return shape[0], shape[1], shape[2]


def _placement(path: Path, header: Any) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """RAS from index in the file's unit, and caveats."""
    codes = int(header["sform_code"]), int(header["qform_code"])
    if max(codes) <= 0:
        raise InvalidInput(
            f"{path}: where the image lies in the patient is not stated (sform and qform code are both 0), so left "
            "and right are unknown; convert it from DICOM again"
        )
    quaternion = _qform(path, header) if codes[1] > 0 else None
    if codes[0] <= 0 and quaternion is not None:
        return quaternion, ()
    matrix = _sound(path, np.asarray(header.get_sform(), dtype=np.float64), "sform")
    return matrix, () if quaternion is None else _agreement(path, matrix, quaternion, header)


def _qform(path: Path, header: Any) -> NDArray[np.float64]:
    try:
        matrix = np.asarray(header.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError) as error:
        raise InvalidInput(f"{path}: the qform is not a rotation: {_reason(error)}") from error
    return _sound(path, matrix, "qform")


def _sound(path: Path, matrix: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """`matrix` if it is finite and maps voxels to distinct points."""
    if not np.isfinite(matrix).all():
        raise InvalidInput(f"{path}: the {name} must be finite, found {matrix[:3].tolist()}")
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if not (lengths > 0).all() or not abs(np.linalg.det(matrix[:3, :3] / lengths)) > 1e-3:
        raise InvalidInput(f"{path}: the {name} must be invertible, found {matrix[:3].tolist()}")
    return matrix


def _agreement(path: Path, sform: NDArray[np.float64], qform: NDArray[np.float64], header: Any) -> tuple[str, ...]:
    turn = qform[:3, :3] @ np.linalg.inv(sform[:3, :3])
    if not (np.linalg.det(turn) > 0 and turn[0, 0] > 0):
        raise InvalidInput(
            f"{path}: sform and qform place the patient's left on opposite sides; one of them is wrong, so the file "
            "cannot be trusted"
        )
    shape = np.array(header.get_data_shape()[:3]) - 1
    corners = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]) * shape
    with np.errstate(over="ignore", invalid="ignore"):
        apart = corners @ (sform - qform)[:3, :3].T + (sform - qform)[:3, 3]
    largest = float(np.linalg.norm(apart, axis=1).max())
    if largest <= 0.5 * float(np.linalg.norm(sform[:3, :3], axis=0).min()):
        return ()
    return (f"sform and qform of the file differ by up to {largest:.3g} file units; the sform was used",)


def _unit(
    path: Path, header: Any, matrix: NDArray[np.float64], shape: tuple[int, int, int]
) -> tuple[float, tuple[str, ...]]:
    """Factor from the file's unit to mm, and caveats."""
    code = int(header["xyzt_units"]) & 7
    if code not in (0, *MM_PER_UNIT):
        raise InvalidInput(f"{path}: the spatial unit must be metre, mm or micron, found code {code}")
    scale = MM_PER_UNIT.get(code, 1.0)
    spacing = scale * np.linalg.norm(matrix[:3, :3], axis=0)
    extent = float((spacing * shape).max())
    low, high = HUMAN_SPACING
    is_human = bool((spacing >= low).all() and (spacing <= high).all()) and HUMAN_EXTENT[0] <= extent <= HUMAN_EXTENT[1]
    size = " x ".join(f"{s:.3g}" for s in spacing)
    if code == 0 and not is_human:
        raise InvalidInput(
            f"{path}: the file states no unit, and read as mm its voxels ({size} mm) and longest side "
            f"({extent:.4g} mm) are not a human scan's ({low}-{high} mm, "
            f"{HUMAN_EXTENT[0]:g}-{HUMAN_EXTENT[1]:g} mm); set xyzt_units"
        )
    if not ((spacing >= low / 10).all() and (spacing <= high * 5).all()):
        raise InvalidInput(f"{path}: voxels of a spine scan measure between 0.01 and 50 mm, found {size} mm")
    if code == 0:
        return scale, (
            f"the file states no unit; it was read as mm, since {size} mm voxels and {extent:.0f} mm length are a "
            "human scan's",
        )
    return scale, ()


def _values(path: Path, image: Any, shape: tuple[int, int, int]) -> NDArray[Any]:
    """The scaled voxel values, C-contiguous, read in slabs so that no second copy of the volume is needed."""
    dtype = np.dtype(image.header.get_data_dtype())
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise InvalidInput(f"{path}: voxels must hold one number each, found {dtype}")
    slope, inter = (float(v) for v in (image.dataobj.slope, image.dataobj.inter))
    if not (np.isfinite(slope) and np.isfinite(inter)):
        raise InvalidInput(f"{path}: slope and intercept must be finite, found {slope} and {inter}")
    packed = path.name.lower().endswith(".gz")
    claimed = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if claimed > path.stat().st_size * (_MOST_PER_BYTE if packed else 1):
        raise UnreadableFile(
            f"{path} is truncated: its header claims {claimed} bytes of voxels, the file has {path.stat().st_size}"
        )
    try:
        with igzip.open(path) if packed else path.open("rb") as stream:
            stream.seek(int(image.dataobj.offset))
            array = _slabs(path, cast(BinaryIO, stream), shape, dtype, (slope, inter))
            while packed and stream.read(1 << 20):
                pass  # to the end, where gzip keeps its checksum
    except UnreadableFile:
        raise
    except _DAMAGED as error:
        raise UnreadableFile(f"{path} is truncated or damaged: {_reason(error)}") from error
    return array


def _slabs(
    path: Path, stream: BinaryIO, shape: tuple[int, int, int], dtype: np.dtype[Any], scaling: tuple[float, float]
) -> NDArray[Any]:
    array = np.empty(shape, dtype=_kept(dtype, scaling))
    pending: list[Future[None]] = []
    with ThreadPoolExecutor(max_workers=1) as worker:
        for k in range(0, shape[2], SLAB):
            depth = min(SLAB, shape[2] - k)
            wanted = shape[0] * shape[1] * depth * dtype.itemsize
            block = stream.read(wanted)
            if len(block) < wanted:
                raise UnreadableFile(f"{path} is truncated: voxel data ends in slice {k} to {k + depth} of {shape[2]}")
            values = np.frombuffer(block, dtype=dtype).reshape((shape[0], shape[1], depth), order="F")
            while len(pending) > 1:
                pending.pop(0).result()
            pending.append(worker.submit(_fill_slab, array[:, :, k : k + depth], values, scaling))
        for one in pending:
            one.result()
    return array


def _fill_slab(out: NDArray[Any], values: NDArray[Any], scaling: tuple[float, float]) -> None:
    """Put scaled `values` into `out`; infinite ones become nan."""
    for i in range(0, out.shape[0], TILE):
        part = values[i : i + TILE]
        if out.dtype.kind != "f":
            out[i : i + TILE] = part
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (part * scaling[0] + scaling[1]).astype(out.dtype) if scaling != (1.0, 0.0) else part
            out[i : i + TILE] = np.where(np.isfinite(scaled), scaled, np.nan)


def _kept(dtype: np.dtype[Any], scaling: tuple[float, float]) -> np.dtype[Any]:
    """The type in which scaled values are held: the file's own integers, or float32."""
    if dtype.kind == "f" or scaling != (1.0, 0.0):
        return np.dtype(np.float32)
    return dtype.newbyteorder("=")
