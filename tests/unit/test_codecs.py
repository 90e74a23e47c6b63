"""Compressed frames: each codec against streams of an encoder that is not ours, and against damage."""

import base64
import time

import jpeg_ls
import numpy as np
import pytest
from dicom_traps import jpeg_lossless
from pydicom.encaps import generate_frames

from keyhole.errors import KeyholeError
from keyhole.imaging import codecs

Y, X = np.mgrid[:12, :16]
SIXTEEN = ((X * 397 + Y * Y * 911 + 7) % 65536).astype(np.uint16)
STREAMS = {  # SIXTEEN, and its upper 12 bits, by imagecodecs 2026.3.6 (OpenJPH 0.26; liblj92)
    ("htj2k", 16): (
        codecs.JPEG_2000[2],
        "/0//UQApQAAAAAAQAAAADAAAAAAAAAAAAAAAEAAAAAwAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCI"
        "kJCQkJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAOIAAf+TwAAmfe4Eh3QAAMAAE0AAEwBY/AOH"
        "dAB0YAWHdADAABPAABUAJCbxAwJ0AFl2lv0BAjQAwAAVUAAFuvjii++gojKCdgB3bDh3bDh3bDh3bDij2KPYUewo9gEID3MpQNC5"
        "AMAAK6AAF66AGDFixIgR4+eKenICdwAdd7zjHXfccccdd9xxxx133HHHHXfc8Y533HHHHXfccccdd9xxxx133HFAV6njgK6y44Cu"
        "suOArrLjgK6y44CusuOArrLjgK7yAIQF1whAXZ/Xr9ZcYwDGGMAxtAH/2Q==",
    ),
    ("ljpeg", 16): (
        codecs.JPEG_LOSSLESS[0],
        "/9j/xAAaAAEAAgMBAAAAAAAAAAAAAAANDgkMDwoL/8MACxAADAAQAQARAP/aAAgBAAAGAADQANcbcbcbcbcbcbcbcbcbcbcbcbcb"
        "cbcb3H3kXkXkXkXkXkXkXkXkXkXkXkXkXkXkZVb6q/qr+qv6q/qr+qv6q/qr+qv6q/qr+qv6q/qr+qujl5HNkc2RzZHNkc2RzZHN"
        "kc2RzZHNkc2RzZHNkc2RzMdOY65jrmOuY65jrmOuY65jrmOuY65jrmOuY65jrmOsgB0ARAEQBEARAEQBEARAEQBEARAEQBEARAEQ"
        "BJOSpyacmnJpyacmnJpyacmnJpyacmnJpyacmnJy5DXIlyJciXIlyJciXIlyJciXIlyJciXIlyJcimrC1YtWLVi1YtWLVi1YtWLV"
        "i1YtWLVi1YtWLVjPH/Tx/p4/08f6eP8ATx/p4/08f6eP9PH+nj/Tx/p4/wBPH+nj/Tx/sOdkOfIc+Q58hz5DnyHPkOfIc+Q58hz5"
        "DnyHPkOfIc+Q5+yruSr0lXpKvSVekq9JV6Sr0lXpKvSVekq9JV6Sr0lXpKvA/9k=",
    ),
    ("ljpeg", 12): (
        codecs.JPEG_LOSSLESS[0],
        "/9j/xAAbAAEAAgMBAQAAAAAAAAAAAAAJCgUICwcGDP/DAAsMAAwAEAEAEQD/2gAIAQAABgAA+f8A7m5uLm5ubm4ubm5ubm4ufc3t"
        "7e3t7e3t7e3t7e3l7e5V9W6r1bq3VurdV6t1bq3Vuq9W6t1ZHMjsj8j8j8jsjsj8j8j8j8jsj8j8j8j2PzIzIzHzHzIzIzIzHzHz"
        "HzIzIzIzHzHkAIAgCAoCgCAIAgKAoCgCAIAgKAyc06TlOU5TpOk5TlOU5TpOU5TlOZci5LmuS5LkuS5rkuS5Lkua5LkuU1Zq2rat"
        "q2ratq2ratq2ratrGrav48fTx6ePTx6ePTx6ePTx6ePTx6ePTx6ePTxaeTTx7DqQ7IckPSHZDsh2Q5IekOyHZDshyQ9IdkO7KuSt"
        "JXkrSVpKslaSvJWkrSVpKsleStJWkrD/2Q==",
    ),
}


@pytest.mark.parametrize(("kind", "bits"), STREAMS)
def test_streams_of_another_encoder_are_decoded_exactly(kind, bits):
    syntax, text = STREAMS[kind, bits]
    found = codecs.decoded(syntax, base64.b64decode(text), (12, 16), 2)
    np.testing.assert_array_equal(found, SIXTEEN >> (16 - bits))


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("restart", [0, 3])
def test_jpeg_lossless_knows_every_predictor_and_restarts(predictor, restart):
    rng = np.random.default_rng(predictor)
    pixels = np.where(rng.random((20, 30)) < 0.5, rng.integers(0, 65536, (20, 30)), SIXTEEN[3, 4]).astype(np.uint16)
    stream = jpeg_lossless(pixels, predictor, restart=restart)
    np.testing.assert_array_equal(codecs.decoded(codecs.JPEG_LOSSLESS[0], stream, (20, 30), 2), pixels)


def test_a_point_transform_loses_only_its_own_bits():
    stream = jpeg_lossless(SIXTEEN, 4, shift=3)
    found = codecs.decoded(codecs.JPEG_LOSSLESS[0], stream, (12, 16), 2)
    np.testing.assert_array_equal(found, SIXTEEN >> 3 << 3)


def test_a_truncated_jpeg_lossless_stream_is_refused_wherever_it_ends():
    stream = jpeg_lossless(SIXTEEN, 1)
    start = stream.index(b"\xff\xda") + 10
    for end in range(2, len(stream) - 3):
        with pytest.raises(KeyholeError):
            codecs.decoded(codecs.JPEG_LOSSLESS[0], stream[: max(end, start - 8)], (12, 16), 2)


def test_a_truncated_jpeg_ls_stream_is_refused_at_once():
    stream = bytes(jpeg_ls.encode_array(np.tile(SIXTEEN, (4, 4))))
    start = time.monotonic()
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(RuntimeError, match="JPEG-LS"):
            codecs.decoded(codecs.JPEG_LS[0], stream[: int(share * len(stream))], (48, 64), 2)
    assert time.monotonic() - start < 2


def test_a_stream_of_another_size_than_the_header_is_refused_before_it_is_decoded():
    for syntax, text in STREAMS.values():
        with pytest.raises(KeyholeError, match=r"16 x 12 samples where the header has 1 x 600 x 500"):
            codecs.decoded(syntax, base64.b64decode(text), (500, 600), 2)


def test_damaged_streams_never_give_more_than_one_sentence():
    rng = np.random.default_rng(3)
    streams = [(codecs.JPEG_LOSSLESS[0], jpeg_lossless(SIXTEEN, 6)), (codecs.RLE, _rle(SIXTEEN))]
    streams += [(syntax, base64.b64decode(text)) for syntax, text in STREAMS.values()]
    for syntax, stream in streams:
        for _ in range(40):
            bad = bytearray(stream)
            for at in rng.integers(0, len(bad), 3):
                bad[at] = rng.integers(256)
            try:
                found = codecs.decoded(syntax, bytes(bad), (12, 16), 2)
            except (KeyholeError, RuntimeError, ValueError):
                continue
            assert found.shape == (12, 16)


def _rle(pixels):
    """One frame by pydicom's own encoder."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, RLELossless

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2"
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = *pixels.shape, 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.compress(RLELossless, pixels, encoding_plugin="pydicom")
    return next(generate_frames(data.PixelData, number_of_frames=1))


def test_rle_is_undone_and_its_damage_refused():
    stream = _rle(SIXTEEN)
    np.testing.assert_array_equal(codecs.decoded(codecs.RLE, stream, (12, 16), 2), SIXTEEN)
    for bad in (stream[:70], stream[:40], b"\x03" + stream[1:]):
        with pytest.raises(KeyholeError, match="run-length"):
            codecs.decoded(codecs.RLE, bad, (12, 16), 2)
