"""Text that people give is read within limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_gest.errors import InputError
from napari_gest.tissue import text
from napari_gest.tissue.text import check_size, load_json


def test_json_is_read_with_and_without_a_byte_order_mark(tmp_path: Path) -> None:
    for name, head in (("a.json", b""), ("b.json", b"\xef\xbb\xbf")):
        (tmp_path / name).write_bytes(head + b'{"a": [1, 2]}')
        assert load_json(tmp_path / name, "a list") == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"{", "not readable a list"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b"\xff\xfe\xff", "not readable a list"),
    ],
)
def test_what_is_no_json_is_refused(tmp_path: Path, content: bytes, cause: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=cause):
        load_json(tmp_path / "a.json", "a list")


def test_infinity_may_be_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[Infinity]")
    assert load_json(tmp_path / "a.json", "a list", finite=False) == [float("inf")]


def test_large_and_absent_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_MOST_BYTES", 4)
    (tmp_path / "a.json").write_text("[1, 2, 3]")
    with pytest.raises(InputError, match="too much for a list"):
        check_size(tmp_path / "a.json", "a list")
    with pytest.raises(InputError, match="There is no file"):
        check_size(tmp_path / "b.json", "a list")
