"""`python -m vtm_lesson see`: what it writes, from which targets, and what it says about what it cannot do."""

import io
import re
import shlex

import av
import numpy as np
import pytest
import torch
from PIL import Image

from vtm_lesson import films, plots, video
from vtm_lesson.__main__ import main as everything
from vtm_lesson.merging import relative_motion
from vtm_lesson.merging.registry import REDUCERS, choose
from vtm_lesson.merging.strategies import STRATEGIES, reduce
from vtm_lesson.study import see_command
from vtm_lesson.study.see_command import PARTITIONS, chosen, context_of, main, usable

SMALL = ["--frames", "6", "--size", "64"]


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "a walk & more.mp4"
    films.write(path, films.make(4, "roaming", frames=12, size=64, patch=16))
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def refused(capsys, *argv):
    """The one sentence that the command ends with."""
    assert main([str(arg) for arg in argv]) == 2
    said = capsys.readouterr().err
    assert said.startswith("see: ") and said.count("\n") == 1 and said.endswith(".\n")
    return said


def frames_of(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_a_film_a_picture_and_a_page_are_written_here_and_play(film, here, capsys):
    before = film.read_bytes()
    assert main([str(film), "--gamma", "5", "--partition", "motion", *SMALL]) == 0
    stem = "a walk & more_motion_gamma5"
    assert sorted(path.name for path in here.iterdir()) == [f"{stem}.html", f"{stem}.mp4", f"{stem}.webp"]
    assert film.read_bytes() == before
    clip = video.read(film, frames=6, size=64, progress=False)
    context, grid = context_of(clip, 5)
    expected = plots.player(clip.frames, reduce(choose("motion"), context), grid, fps=6.0)
    assert (here / f"{stem}.mp4").read_bytes() == expected.mp4 and len(frames_of(here / f"{stem}.mp4")) == 6
    with Image.open(here / f"{stem}.webp") as picture:
        assert picture.n_frames == 6
    page = (here / f"{stem}.html").read_text("utf-8")
    assert expected.html in page and "<h1>a walk &amp; more.mp4, merged</h1>" in page
    assert "http" not in re.sub(r"base64,[\w+/=]+", "", page), "nothing is loaded from anywhere"
    told = re.search("<code>(.*)</code>", page).group(1).replace("&#x27;", "'").replace("&amp;", "&")
    options = ["--gamma", "5", "--partition", "motion", *SMALL, "--seed", "0"]
    assert shlex.split(told) == ["python", "-m", "vtm_lesson", "see", film.name, *options], "no folder of this machine"
    said = capsys.readouterr().out
    assert "6 frames of 4 x 4 patches: 96 tokens, at gamma 5 20 targets" in said and f"{stem}.mp4" in said


def test_nothing_is_overwritten(film, here):
    argv = [str(film), *SMALL]
    stem = "a walk & more_staggered_gamma6"
    (here / f"{stem}.webp").write_text("mine")
    assert main(argv) == main(argv) == 0
    assert (here / f"{stem}.webp").read_text() == "mine" and not (here / f"{stem}.mp4").exists()
    assert (here / f"{stem}_2.mp4").read_bytes() == (here / f"{stem}_3.mp4").read_bytes()
    assert len(list(here.iterdir())) == 7


def test_out_names_a_folder_that_need_not_be_there(film, here):
    assert main([str(film), "--out", "some/where", *SMALL]) == 0
    assert [path.name for path in here.iterdir()] == ["some"] and len(list((here / "some/where").iterdir())) == 3


def test_the_seed_draws(film, here):
    for seed in ("1", "2", "1"):
        assert main([str(film), "--partition", "random", "--seed", seed, *SMALL]) == 0
    one, two, again = (next(here.glob(f"*gamma6{end}.mp4")).read_bytes() for end in ("", "_2", "_3"))
    assert one == again != two


def test_a_context_knows_what_the_codec_and_the_pixels_say(film):
    clip = video.read(film, frames=6, size=64, progress=False)
    context, grid = context_of(clip, 6, seed=3)
    pixels, moved = clip.patches(16)
    assert grid == (6, 4, 4) and moved.max() > 0
    torch.testing.assert_close(context.motion[0], torch.from_numpy(moved).flatten())
    torch.testing.assert_close(context.relative[0], relative_motion(torch.from_numpy(clip.vectors(16))).flatten())
    torch.testing.assert_close(context.pixels[0], torch.from_numpy(pixels.reshape(96, -1) / np.float32(255)))
    torch.testing.assert_close(context.keys, context.pixels - context.pixels.mean(1, keepdim=True))
    assert context.generator.initial_seed() == 3


def test_staggered_is_what_lesson_00_shows(film):
    clip = video.read(film, frames=6, size=64, progress=False)
    context, _ = context_of(clip, 6)
    name, merger = chosen(None, None)
    assert name == "staggered"
    assert torch.equal(reduce(merger, context).group, plots.merge_patches(clip.frames, 6)[0].group)


def test_every_usable_name_merges_a_film_and_all_others_are_refused_with_the_list(film):
    clip = video.read(film, frames=6, size=64, progress=False)
    assert usable([*PARTITIONS]) == ["staggered", "uniform", "random", "centre", "boundary", "motion", "relative"]
    for kind, names in (("partition", [*PARTITIONS]), ("reducer", [*STRATEGIES, *REDUCERS])):
        good = usable(names)
        for name in names:
            given = {"partition": None, "reducer": None, kind: name}
            if name in good:
                merge = reduce(chosen(**given)[1], context_of(clip, 6)[0])
                assert merge.n_in == 96 and len(merge.group.unique()) < 96
            else:
                with pytest.raises(ValueError, match=f"'{name}' needs .* --partition motion.*{', '.join(good)}"):
                    chosen(**given)


def test_a_partition_of_ones_own(film, here, tmp_path, capsys):
    code = tmp_path / "mine.py"
    code.write_text("import torch\ndef newest(n, n_targets):\n    return torch.arange(n - n_targets, n)\n")
    assert main([str(film), "--partition", f"{code}:newest", *SMALL]) == 0
    assert (here / "a walk & more_newest_gamma6.mp4").exists()
    capsys.readouterr()
    assert "has no function named oldest" in refused(capsys, film, "--partition", f"{code}:oldest", *SMALL)


def test_what_cannot_be_done_is_said_in_one_sentence_and_nothing_is_written(film, here, tmp_path, capsys):
    text = tmp_path / "notes.mp4"
    text.write_text("no film")
    assert "does not exist" in refused(capsys, "missing.mp4")
    assert "not a film but text" in refused(capsys, text)
    assert f"there are {', '.join(PARTITIONS)}" in refused(capsys, film, "--partition", "nonsense")
    assert "--reducer frames" in refused(capsys, film, "--partition", "frames")
    said = refused(capsys, film, "--partition", "learnable")
    assert "a block that learns saliency" in said and "take --partition motion" in said
    assert "give one of them" in refused(capsys, film, "--partition", "motion", "--reducer", "drop")
    assert "give a multiple: 96 say" in refused(capsys, film, "--size", "100")
    for gamma in ("0.5", "nan", "inf", "-3"):
        assert "one token in gamma is a target" in refused(capsys, film, "--gamma", gamma)
    assert "give 1 or more" in refused(capsys, film, "--frames", "0")
    assert "980,000 tokens" in refused(capsys, film, "--frames", "5000")
    assert "is a file; give a folder" in refused(capsys, film, "--out", film, *SMALL)
    assert list(here.iterdir()) == []


def test_a_film_without_vectors_is_shown_and_that_is_said(here, tmp_path, capsys):
    path = tmp_path / "still.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=4)
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuvj420p"
        for picture in films.make(1, frames=8, size=64, patch=16).frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    assert main([str(path), "--partition", "motion", *SMALL]) == 0
    told = capsys.readouterr()
    assert re.search("^Note: .*no motion vectors", told.out, re.MULTILINE) and "Warning" not in told.err


@pytest.mark.parametrize("seconds, rate", [(1.2, 5), (0.2, 25), (60, 8)])
def test_a_short_film_keeps_its_pace_and_a_long_one_goes_by_faster(seconds, rate, film, here, monkeypatch):
    """6 frames of it: one in ten seconds would be no film, and thirty a second are more than is needed."""
    read = video.read

    def lasting(*args, **kwargs):
        clip = read(*args, **kwargs)
        clip.duration = seconds
        return clip

    monkeypatch.setattr(see_command.video, "read", lasting)
    assert main([str(film), *SMALL]) == 0
    with av.open(io.BytesIO(next(here.glob("*.mp4")).read_bytes())) as container:
        assert float(container.streams.video[0].average_rate) == rate


def test_the_command_stands_among_the_others(capsys):
    assert everything([]) == 0
    assert re.search("^  see  +a film of your own", capsys.readouterr().out, re.MULTILINE)
    with pytest.raises(SystemExit) as end:
        everything(["see", "--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0 and "relative, or" in said and "learnable" not in said
