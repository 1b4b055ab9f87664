"""Results on disk and reports: what is damaged, foreign or cannot be written is named in one sentence."""

import json

import pytest

from vtm_lesson import __main__ as command
from vtm_lesson.study import compare_command, kept, report
from vtm_lesson.study.kept import Kept
from vtm_lesson.training.checkpoints import FileError


@pytest.mark.parametrize(
    "text", [b"\n", b"{", b"{}", b"[]", b"3", b'{"study": {"see', b"\xff\xfe\x00", b'{"study": [1]}']
)
def test_a_file_without_its_settings_is_refused_and_left_alone(tmp_path, text):
    path = tmp_path / "results.jsonl"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=rf"{path} does not begin with the settings of a study; give another"):
        Kept(path, {"seeds": 2})
    assert path.read_bytes() == text


def test_an_empty_file_is_none(tmp_path):
    """A disk that was full at the first line leaves one."""
    (tmp_path / "results.jsonl").touch()
    Kept(tmp_path / "results.jsonl", {"seeds": 2}).add({"seed": 0})
    assert Kept(tmp_path / "results.jsonl", {"seeds": 2}).read() == [{"seed": 0}]
    assert [path.name for path in tmp_path.iterdir()] == ["results.jsonl"]


def test_of_two_who_begin_one_does(tmp_path, monkeypatch):
    """The second one finds the first one's file where it would put its own, and takes it."""
    path = tmp_path / "results.jsonl"
    link = kept.os.link

    def late(fresh, place):
        with monkeypatch.context() as patch:
            patch.setattr(kept.os, "link", link)
            Kept(path, {"seeds": 2}).add({"seed": 0})
        link(fresh, place)

    monkeypatch.setattr(kept.os, "link", late)
    monkeypatch.setattr(kept.os, "getpid", iter(range(10)).__next__)
    Kept(path, {"seeds": 2})
    assert Kept(path, {"seeds": 2}).read() == [{"seed": 0}]


def test_a_file_system_without_links_will_do(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(kept.os, "link", refused)
    Kept(tmp_path / "results.jsonl", {"seeds": 2}).add({"seed": 0})
    assert Kept(tmp_path / "results.jsonl", {"seeds": 2}).read() == [{"seed": 0}]


def test_a_line_that_is_no_text_costs_no_other_line(tmp_path):
    one = Kept(tmp_path / "results.jsonl", {"seeds": 2})
    one.add({"seed": 0})
    with one.path.open("ab") as file:
        file.write(b"\xff\xfe\n")
    one.add({"seed": 1})
    assert Kept(one.path, {"seeds": 2}).read() == [{"seed": 0}, {"seed": 1}]


def test_a_folder_that_is_a_file_and_a_file_that_is_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "results.jsonl", tmp_path):
        with pytest.raises(FileError, match=rf"{path} cannot be written or read \(.*\); give another --folder"):
            Kept(path, {})


def test_a_result_that_cannot_be_written_is_told_and_the_others_stay(tmp_path, monkeypatch):
    one = Kept(tmp_path / "results.jsonl", {})
    one.add({"seed": 0})
    opened = kept.Path.open

    def full(path, mode="r", **more):
        if mode == "ab":
            raise OSError(28, "No space left on device")
        return opened(path, mode, **more)

    monkeypatch.setattr(kept.Path, "open", full)
    with pytest.raises(FileError, match=rf"{one.path} cannot be written \(No space left on device\): mend that"):
        one.add({"seed": 1})
    monkeypatch.undo()
    assert one.read() == [{"seed": 0}]


NO_REPORTS = ["{}", "[]", "3", "hello", "", '{"results": [{"a": 1}]}', '{"results": [3]}', '{"results": [null]}']


@pytest.mark.parametrize("text", NO_REPORTS)
def test_a_file_that_is_no_report_is_told(tmp_path, capsys, text):
    path = tmp_path / "some.json"
    path.write_text(text)
    assert compare_command.main(["--report", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{path} is no report of a comparison") and said.count("\n") == 1
    assert not path.with_suffix(".png").exists()


def test_a_report_that_cannot_be_read_is_told(tmp_path, capsys):
    (tmp_path / "picture.json").write_bytes(b"\x89PNG\xff")
    for path, words in (
        (tmp_path / "none.json", "is not there"), (tmp_path, "cannot be read"),
        (tmp_path / "picture.json", "is no report"),
    ):  # fmt: skip
        assert compare_command.main(["--report", str(path)]) == 2
        assert capsys.readouterr().err.startswith(f"{path} {words}")


def test_a_report_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "compare.json"
    report.write({"command": "c", "results": [{"seed": 0}]}, path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        report.write({"command": "c", "results": [{"seed": object()}]}, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    assert report.read(path) == {"command": "c", "results": [{"seed": 0}]}


@pytest.mark.parametrize("name", ["compare", "phase", "reducers"])
def test_a_command_whose_folder_is_a_file_says_so_in_one_line(tmp_path, capsys, name):
    (tmp_path / "file").write_text("")
    assert command.main([name, "--quick", "--folder", str(tmp_path / "file")]) == 2
    assert f"{tmp_path}/file" in capsys.readouterr().err


def test_what_the_system_says_is_one_line(monkeypatch, capsys):
    def full(argv):
        raise OSError(28, "No space left on device", "/somewhere/results.json")

    monkeypatch.setattr(compare_command, "main", full)
    assert command.main(["compare"]) == 2
    assert capsys.readouterr().err == "compare: /somewhere/results.json: No space left on device\n"


def test_json_of_a_report_is_what_was_measured(tmp_path):
    path = tmp_path / "deep" / "compare.json"
    report.write({"command": "c", "results": []}, path)
    assert json.loads(path.read_text()) == {"command": "c", "results": []}
