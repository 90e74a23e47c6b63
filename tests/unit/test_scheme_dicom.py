"""DICOM SEG and RTSTRUCT as label files."""

import numpy as np
import pytest
from import_files import blocks, body, placed
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.pixels import pack_bits
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from keyhole.anatomy.schemes import read_labels
from keyhole.errors import InvalidInput, KeyholeError, UnknownScheme, UnreadableFile
from keyhole.imaging.model import ScanImage

L3, L4, L5, SACRUM = 1, 2, 3, 4
NAMES = {L3: "vertebrae_L3", L4: "Vertebra L4", L5: "lower one", SACRUM: "sacrum"}
CODES = {L5: "49668003"}
PLACE = placed((2.0, 2.0, 2.5))
OBLIQUE = placed((2.0, 2.0, 2.5), turn=Rotation.from_euler("xyz", (20, -15, 30), degrees=True).as_matrix())


def item(**values):
    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def dataset(path, modality):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.66.4"
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["seg"])
    made = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    made.Modality = modality
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.FrameOfReferenceUID = "1.2.3"
    return made


def segmentation(path, kind="BINARY", names=None, order=1, place=PLACE):
    """The blocks as a SEG: frames of (row, column) = (j, i), slices along k, from the last where `order` is -1."""
    array = blocks()
    made = dataset(path, "SEG")
    made.SegmentationType = kind
    made.Rows, made.Columns = array.shape[1], array.shape[0]
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.SegmentSequence = []
    for number, name in (names or NAMES).items():
        segment = item(SegmentNumber=number, SegmentLabel=name)
        if number in CODES:
            code = item(CodeValue=CODES[number], CodingSchemeDesignator="SCT", CodeMeaning="L5 vertebra")
            segment.SegmentedPropertyTypeCodeSequence = [code]
        made.SegmentSequence.append(segment)
    matrix = place.matrix
    orientation = [*(matrix[:3, 0] / 2.0), *(matrix[:3, 1] / 2.0)]
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=[float(x) for x in orientation])],
        PixelMeasuresSequence=[item(PixelSpacing=[2.0, 2.0], SpacingBetweenSlices=2.5, SliceThickness=2.5)],
    )
    made.SharedFunctionalGroupsSequence = [shared]
    frames, groups = [], []
    numbers = [0] if kind == "LABELMAP" else list(NAMES)
    for number in numbers:
        for k in range(array.shape[2])[::order]:
            plane = array[:, :, k].T
            frame = np.where(plane < 5, plane, 0) if kind == "LABELMAP" else plane == number
            if not frame.any():
                continue
            frames.append(frame.astype(np.uint8) * (200 if kind == "FRACTIONAL" else 1))
            origin = matrix[:3] @ [0, 0, k, 1]
            group = item(PlanePositionSequence=[item(ImagePositionPatient=[float(x) for x in origin])])
            if kind != "LABELMAP":
                group.SegmentIdentificationSequence = [item(ReferencedSegmentNumber=number)]
            groups.append(group)
    made.PerFrameFunctionalGroupsSequence = groups
    made.NumberOfFrames = len(frames)
    stack = np.stack(frames)
    if kind == "BINARY":
        made.BitsAllocated, made.BitsStored, made.HighBit = 1, 1, 0
        made.PixelData = pack_bits(stack)
    else:
        made.BitsAllocated, made.BitsStored, made.HighBit = 8, 8, 7
        made.PixelData = stack.tobytes()
        if kind == "FRACTIONAL":
            made.MaximumFractionalValue = 200
    made.save_as(path)
    return path


def same_place(found, key, block, place=PLACE):
    """The key's voxel centres are the block's own, in the patient."""
    got = found.labels.grid.centres(np.argwhere(found.labels.mask(key)))
    want = place.apply(np.argwhere(blocks() == block))
    assert len(got) == len(want)
    assert cKDTree(want).query(got)[0].max() < 0.01


@pytest.mark.parametrize("place", [PLACE, OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize(("kind", "order"), [("BINARY", 1), ("BINARY", -1), ("FRACTIONAL", 1), ("LABELMAP", -1)])
def test_a_segmentation_object_lies_where_its_frames_say(tmp_path, kind, order, place):
    found = read_labels(segmentation(tmp_path / "seg.dcm", kind, order=order, place=place))
    assert found.basis == "names inside the DICOM object (TotalSegmentator total)"
    for key, block in (("vertebra/L3", L3), ("vertebra/L4", L4), ("vertebra/L5", L5), ("sacrum", SACRUM)):
        same_place(found, key, block, place)


def test_a_folder_with_the_object_is_as_good_as_the_object(tmp_path):
    segmentation(tmp_path / "seg.dcm")
    assert "vertebra/L5" in read_labels(tmp_path).labels.keys


def test_segments_without_a_known_name_or_code_are_listed(tmp_path):
    names = NAMES | {L3: "region 1", L4: "region 2"}
    with pytest.raises(UnknownScheme, match="2 of 4 structures have no name or code that Keyhole knows: region 1, reg"):
        read_labels(segmentation(tmp_path / "seg.dcm", names=names))


def test_frames_that_are_no_even_stack_are_refused(tmp_path):
    from pydicom import dcmread

    path = segmentation(tmp_path / "seg.dcm")
    found = dcmread(path)
    group = found.PerFrameFunctionalGroupsSequence[3]
    group.PlanePositionSequence[0].ImagePositionPatient[2] += 0.9
    found.save_as(path)
    with pytest.raises(InvalidInput, match="do not form one straight, even stack"):
        read_labels(path)
    del group.PlanePositionSequence
    found.save_as(path)
    with pytest.raises(UnreadableFile, match="PlanePositionSequence is missing"):
        read_labels(path)
    (tmp_path / "bad.dcm").write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InvalidInput, match="bad.dcm"):
        read_labels(tmp_path / "bad.dcm")


def contours(path, boxes, image, holes=()):
    """Rectangles on every slice: {name: (i0, i1, j0, j1, k0, k1)} in voxels."""
    made = dataset(path, "RTSTRUCT")
    made.StructureSetROISequence, made.ROIContourSequence = [], []
    for number, (name, (i0, i1, j0, j1, k0, k1)) in enumerate(boxes.items(), 1):
        made.StructureSetROISequence.append(item(ROINumber=number, ROIName=name))
        drawn = []
        for k in range(k0, k1):
            rings = [(i0 - 0.4, i1 - 0.6, j0 - 0.4, j1 - 0.6), *(holes if name in NAMES.values() else ())]
            for a, b, c, d in rings:
                corners = image.volume.grid.centres([[a, c, k], [b, c, k], [b, d, k], [a, d, k]])
                data = [float(x) for x in corners.ravel().round(4)]
                drawn.append(item(ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints=4, ContourData=data))
        made.ROIContourSequence.append(item(ReferencedROINumber=number, ContourSequence=drawn))
    made.save_as(path)
    return path


BOXES = {
    "vertebrae_L3": (8, 16, 5, 12, 29, 36),
    "L4 vertebra": (8, 16, 5, 12, 20, 27),
    "vertebrae_L5": (8, 16, 5, 12, 11, 18),
    "External": (0, 24, 0, 20, 0, 40),
}


def scan(place=PLACE):
    volume = body(blocks(), place)
    return ScanImage(volume, "CT", "ct", "ct.nii.gz")


@pytest.mark.parametrize("place", [PLACE, OBLIQUE], ids=["straight", "oblique"])
def test_contours_are_filled_on_the_slices_of_their_image(tmp_path, place):
    found = read_labels(contours(tmp_path / "rt.dcm", BOXES, scan(place)), images=[scan(place)])
    for key, block in (("vertebra/L3", L3), ("vertebra/L4", L4), ("vertebra/L5", L5)):
        same_place(found, key, block, place)
    assert found.labels.keys == ("vertebra/L3", "vertebra/L4", "vertebra/L5")


def test_a_contour_inside_another_is_a_hole(tmp_path):
    holes = [(10.6, 13.4, 6.6, 9.4)]
    found = read_labels(contours(tmp_path / "rt.dcm", BOXES, scan(), holes), images=[scan()])
    assert found.labels.mask("vertebra/L3").sum() == (8 * 7 - 3 * 3) * 7


def test_contours_without_their_image_are_refused(tmp_path):
    path = contours(tmp_path / "rt.dcm", BOXES, scan())
    with pytest.raises(InvalidInput, match="contours need the image that they were drawn on"):
        read_labels(path)
    other = ScanImage(body(blocks(), placed((2.0, 2.0, 2.5), corner=(-35.0, 20.0, -598.8))), "CT", "o", "other.nii.gz")
    with pytest.raises(InvalidInput, match=r"do not lie on the slices of other\.nii\.gz"):
        read_labels(path, images=[other])
    boxes = {"PTV": (1, 3, 1, 3, 1, 3), "vertebrae_L3": BOXES["vertebrae_L3"]}
    strange = contours(tmp_path / "x.dcm", boxes, scan())
    with pytest.raises(UnknownScheme, match="1 of 2 structures .*: PTV"):
        read_labels(strange, images=[scan()])


def test_damaged_objects_are_refused_in_one_sentence(tmp_path):
    rng = np.random.default_rng(4)
    sound = [segmentation(tmp_path / "seg.dcm").read_bytes(), contours(tmp_path / "rt.dcm", BOXES, scan()).read_bytes()]
    image, refused = scan(), []
    for n in range(60):
        content = bytearray(sound[n % 2])
        if n % 3:
            for place in rng.integers(min(len(content), 6000), size=8):
                content[place] = rng.integers(256)
        else:
            content = content[: rng.integers(len(content))]
        (tmp_path / "x.dcm").write_bytes(content)
        try:
            read_labels(tmp_path / "x.dcm", images=[image])
        except KeyholeError as error:
            refused.append(str(error))
    assert len(refused) > 30
    assert not [said for said in refused if "\n" in said]
