"""Tables of episodes: what a CSV says is what the columns hold."""

import numpy as np
import pytest

from keyhole.comparison.table import Table, missing, numbers, read_table, taken, texts, with_columns, write_table
from keyhole.errors import InvalidInput, UnreadableFile


def _table(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_table(path)


def test_numbers_words_and_gaps_are_told_apart(tmp_path):
    found = _table(tmp_path, "episode,age,sex,note\n007,54,F,good\n8,,M,\n9,NA,,3\n")
    assert found["episode"].tolist() == ["007", "8", "9"]
    np.testing.assert_array_equal(found["age"], [54, np.nan, np.nan])
    assert found["sex"].tolist() == ["F", "M", ""]
    assert found["note"].tolist() == ["good", "", "3"]
    assert missing(found, "sex").tolist() == [False, False, True]
    assert missing(found, "age").tolist() == [False, True, True]
    assert "age" in found
    assert len(found) == 3


def test_semicolons_tabs_byte_order_mark_and_blank_lines_are_read(tmp_path):
    for mark in ";\t":
        text = f"\ufeffage{mark}miss\n50{mark}1\n\n60{mark}0\n"
        assert _table(tmp_path, text)["age"].tolist() == [50, 60]


def test_yes_and_no_are_one_and_nought(tmp_path):
    found = _table(tmp_path, "smoker,miss\nyes,TRUE\nno,false\n,true\n")
    np.testing.assert_array_equal(found["smoker"], [1, 0, np.nan])
    assert found["miss"].tolist() == [1, 0, 1]


def test_words_after_many_numbers_make_the_whole_column_words(tmp_path):
    rows = "\n".join(["1"] * 20_001 + ["x"])
    assert _table(tmp_path, f"code\n{rows}\n")["code"].tolist()[-2:] == ["1", "x"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("a,b\n", "holds no row"),
        ("a,a\n1,2\n", "there twice"),
        ("a,\n1,2\n", "column 2 has no name"),
        ("a,b\n1,2\n3\n", "row 2: expected 2 cells, found 1"),
        ("a,b\n1,inf\n", "row 1.*finite"),
    ],
)
def test_a_table_that_is_none_is_refused_in_one_sentence(tmp_path, text, told):
    with pytest.raises(InvalidInput, match=told) as caught:
        _table(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_and_files_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(UnreadableFile, match="UTF-8"):
        _table(tmp_path, b"a,b\n\xff\xfe,1\n")
    with pytest.raises(UnreadableFile, match="could not be read"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(UnreadableFile, match="no CSV"):
        _table(tmp_path, 'a,b\n"' + "x" * 200_000 + '",1\n')


def test_writing_and_reading_gives_the_same_table(tmp_path):
    rng = np.random.default_rng(1)
    values = rng.normal(size=50)
    values[3] = np.nan
    names = np.array(["a,b", "", "ü"] * 16 + ["x", "y"], dtype=object)
    before = Table({"episode": names, "x": values, "k": np.arange(50)})
    write_table(before, tmp_path / "t.csv")
    after = read_table(tmp_path / "t.csv")
    np.testing.assert_array_equal(after["x"], before["x"])
    assert after["episode"].tolist() == before["episode"].tolist()
    assert (tmp_path / "t.csv").read_text().splitlines()[1].endswith(",0")


def test_parquet_holds_the_same_columns(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "t.parquet"
    parquet.write_table(
        pyarrow.table({"patient": [1, 2], "age": [50, None], "sex": ["F", None], "miss": [True, False]}), path
    )
    found = read_table(path)
    assert found["patient"].tolist() == ["1", "2"]
    np.testing.assert_array_equal(found["age"], [50, np.nan])
    assert found["sex"].tolist() == ["F", ""]
    assert found["miss"].tolist() == [1, 0]
    path.write_bytes(b"PAR1 no")
    with pytest.raises(UnreadableFile, match="no Parquet"):
        read_table(path)


def test_columns_are_asked_for_by_name_and_kind():
    found = Table({"age": np.array([1.0, 2.0]), "sex": np.array(["F", "x"], dtype=object)}, "t")
    with pytest.raises(InvalidInput, match="no column 'weight'; it has age, sex"):
        numbers(found, "weight")
    with pytest.raises(InvalidInput, match="row 1 holds 'F'"):
        numbers(found, "sex")
    assert texts(found, "age").tolist() == ["1", "2"]
    assert taken(found, np.array([False, True]))["sex"].tolist() == ["x"]
    assert with_columns(found, {"k": np.zeros(2)})["k"].tolist() == [0, 0]
    with pytest.raises(InvalidInput, match="one length"):
        Table({"a": np.zeros(2), "b": np.zeros(3)})
    with pytest.raises(ValueError, match="read-only"):
        found["age"][0] = 3
