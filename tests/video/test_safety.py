"""A film is one file and nothing else is opened for it; whatever the file holds, it gives a clip or one sentence."""

import http.server
import io
import threading
import warnings

import av
import numpy as np
import pytest
from small_films import encode, pan, textured

from vtm_lesson import films, video
from vtm_lesson.video import containers, formats

# ------------------------------------------------------------------------------------- nothing else is opened


def by_path(path):
    return path


def by_name(path):
    """A file object that knows its name; by some names' ends FFmpeg tells what a file holds."""
    memory = io.BytesIO(path.read_bytes())
    memory.name = str(path)
    return memory


def by_bytes(path):
    return io.BytesIO(path.read_bytes())


FORMS = [by_path, by_name, by_bytes]


@pytest.fixture(scope="module")
def segment():
    return encode(pan(2, 0, length=12, height=48, width=64), kind="mpegts")


@pytest.fixture
def server(segment):
    """A web server of this machine that gives the segment; `server.asked` says who asked for what."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(segment)))
            self.end_headers()
            self.wfile.write(segment)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.asked = []
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def playlist(segment):
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\n{segment}\n#EXT-X-ENDLIST\n"


def description(port):
    head = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    return f"{head}m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"


def refused(given, words):
    with pytest.raises(video.VideoError, match=words) as caught:
        video.read(given, progress=False)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")


@pytest.mark.parametrize("form", FORMS)
def test_a_playlist_does_not_reach_the_network(tmp_path, server, form):
    path = tmp_path / "film.m3u8"
    path.write_text(playlist(f"http://127.0.0.1:{server.server_port}/segment.ts"))
    refused(form(path), r"a playlist \(M3U8\), and nothing that it names is opened")
    assert not server.asked


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["film.m3u8", "film.mp4"])
def test_a_playlist_does_not_open_other_files(tmp_path, segment, form, name):
    (tmp_path / "private.ts").write_bytes(segment)
    path = tmp_path / name
    path.write_text(playlist(tmp_path / "private.ts"))
    refused(form(path), "a playlist")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["film.mp4", "film.txt"])
def test_a_list_of_films_does_not_open_them(tmp_path, segment, form, name):
    (tmp_path / "private.ts").write_bytes(segment)
    path = tmp_path / name
    path.write_text("ffconcat version 1.0\nfile private.ts\n")
    refused(form(path), r"a list of films \(ffconcat\)")


@pytest.mark.parametrize("form", FORMS)
def test_the_description_of_a_stream_does_not_listen_to_the_network(tmp_path, form):
    path = tmp_path / "film.sdp"
    path.write_text(description(port=20))
    refused(form(path), r"the description of a network stream \(SDP\)")


@pytest.mark.parametrize("form", FORMS)
def test_a_name_with_a_number_in_it_is_not_a_row_of_pictures(tmp_path, form):
    from PIL import Image

    for k in range(3):
        Image.fromarray(textured(32, 32, seed=k)).save(tmp_path / f"{k}.png")
    path = tmp_path / "%d.png"
    path.write_bytes(b"no picture")
    refused(form(path), "not a film but text")


@pytest.mark.parametrize("protocols", ["", "file"])
def test_the_list_of_protocols_alone_keeps_a_playlist_from_the_network(tmp_path, server, protocols):
    path = tmp_path / "film.m3u8"
    path.write_text(playlist(f"http://127.0.0.1:{server.server_port}/segment.ts"))
    options = {**formats.options(protocols), "format_whitelist": "hls,mpegts"}
    with av.open(by_name(path), "r", container_options={**options, "protocol_whitelist": "file,http,tcp"}) as container:
        assert container.format.name == "hls" and server.asked, "a playlist as FFmpeg follows them"
    server.asked.clear()
    with pytest.raises(av.FFmpegError):
        av.open(by_name(path), "r", container_options=options).close()
    assert not server.asked


# What opens other files, addresses or devices; what is set up for a stream; and text and pictures shown as films.
NEVER = {
    *("hls", "dash", "concat", "sdp", "rtsp", "rtp", "sap", "imf", "vobsub", "mlv", "webm_dash_manifest", "dvdvideo"),
    *("lavfi", "alsa", "oss", "fbdev", "kmsgrab", "v4l2", "video4linux2", "x11grab", "dshow", "gdigrab"),
    *("image2", "image2pipe", "alias_pix", "brender_pix", "ico", "tty", "bin", "idf", "xbin", "adf", "data"),
    *("rawvideo", "mpjpeg", "msnwctcp", "live_flv", "ffmetadata", "srt", "ass", "webvtt", "sami", "microdvd"),
}


def test_the_list_of_formats_holds_films_and_nothing_that_opens_more():
    listed = set(formats.FILMS + formats.SOUNDS)
    assert len(listed) == len(formats.FILMS) + len(formats.SOUNDS)
    assert not listed & NEVER and not [name for name in listed if name.endswith("_pipe")]
    everyday = {"mov", "matroska", "avi", "mpegts", "mpeg", "flv", "ogg", "asf", "gif", "h264", "hevc", "ivf"}
    assert everyday <= set(formats.FILMS) and everyday <= av.formats_available


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["square", "centred", "roaming", "handheld"])
def test_the_films_of_the_course_are_read(form, name):
    clip = video.read(form(films.sample(name)), frames=3, size=32, progress=False)
    assert clip.lost == 0 and clip.frames.std() > 10


MUXERS = [
    *[(kind, "libx264", "yuv420p") for kind in ("3gp", "asf", "avi", "flv", "matroska", "mov", "mp4", "mpegts", "nut")],
    *[(kind, "libx264", "yuv420p") for kind in ("f4v", "h264", "ismv", "mxf", "wtv")],
    *[(kind, "mpeg2video", "yuv420p") for kind in ("mpeg", "dvd", "vob", "mpeg2video", "mxf")],
    *[(kind, "libvpx", "yuv420p") for kind in ("ogg", "webm", "ivf")],
    *[(kind, "mjpeg", "yuvj420p") for kind in ("mjpeg", "smjpeg", "swf")],
    *[("m4v", "mpeg4", "yuv420p"), ("rm", "rv10", "yuv420p"), ("yuv4mpegpipe", "rawvideo", "yuv420p")],
    *[("gif", "gif", "rgb8"), ("apng", "apng", "rgb24"), ("dv", "dvvideo", "yuv420p")],
]


@pytest.mark.parametrize("kind, codec, pixels", MUXERS)
def test_films_in_many_formats_are_read(kind, codec, pixels):
    height, width = (576, 720) if kind == "dv" else (48, 64)
    shown = pan(1, 0, length=6, height=height, width=width)
    try:
        data = encode(shown, codec, kind, {"bf": "0"} if codec == "libx264" else None, pixels=pixels, rate=25)
    except (av.FFmpegError, ValueError) as error:
        pytest.skip(f"this FFmpeg cannot write {codec} into {kind}: {error}")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*(no motion vectors|is damaged)")
        clip = video.read(io.BytesIO(data), frames=2, size=None, progress=False)
    grey = [picture.mean(2).ravel() for picture in (clip.frames[0], shown[1])]
    assert np.corrcoef(grey)[0, 1] > 0.8


# ---------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("kind", ["ico", "avif", "bmp", "jpeg", "webp", "tiff"])
@pytest.mark.parametrize("form", FORMS)
def test_a_picture_is_no_film_whatever_its_kind(tmp_path, kind, form):
    from PIL import Image, features

    if kind in ("avif", "webp") and not features.check(kind):
        pytest.skip(f"this Pillow cannot write {kind}")
    Image.fromarray(textured(64, 64)).save(tmp_path / f"picture.{kind}")
    refused(form(tmp_path / f"picture.{kind}"), rf"not a film but a picture \((?i:{kind})\)")


def test_a_format_that_is_not_on_the_list_says_what_to_do():
    data = encode(pan(1, 0, length=6, height=48, width=64), "mjpeg", "mpjpeg", pixels="yuvj420p")
    refused(io.BytesIO(data), "a format that is not read here; convert it to mp4")


def test_a_sound_file_is_named_as_what_it_is():
    memory = io.BytesIO()
    with av.open(memory, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    refused(io.BytesIO(memory.getvalue()), "no video track")


# ------------------------------------------------------------------------------------------------------ damage


@pytest.fixture(scope="module")
def film():
    return encode(pan(2, 1, length=24, height=48, width=64))


def test_an_unknown_codec_says_so(film):
    table = film.index(b"stsd")
    refused(io.BytesIO(film[:table] + film[table:].replace(b"avc1", b"zz!1", 1)), "unknown codec")


def programme(tracks, **options):
    """A transport stream with so many video tracks of 24 frames."""
    memory = io.BytesIO()
    with av.open(memory, "w", format="mpegts", options=options) as container:
        streams = [container.add_stream("mpeg4", rate=10) for _ in range(tracks)]
        for stream in streams:
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for frame in pan(2, 1, length=24, height=48, width=64):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            for stream in streams:
                container.mux(stream.encode(picture))
        for stream in streams:
            container.mux(stream.encode())
    return memory.getvalue()


def test_tracks_that_begin_in_the_middle_are_left_alone():
    first = programme(1)
    other = {"mpegts_start_pid": "512", "mpegts_pmt_start_pid": "8000", "mpegts_service_id": "7"}
    joined = io.BytesIO(first + programme(8, **other))
    with av.open(io.BytesIO(first)) as one, av.open(joined) as both:
        assert len(both.streams) == 1, "the other tracks are not seen when the film is opened"
        whole = [packet.size for packet in containers.packets_of(one)]
        assert [packet.size for packet in containers.packets_of(both)] == whole
    alone, more = (video.read(io.BytesIO(data), 6, None, False) for data in (first, joined.getvalue()))
    np.testing.assert_array_equal(alone.frames, more.frames)
    assert (alone.lost, alone.duration) == (more.lost, more.duration)


def test_a_title_that_is_no_text_does_not_matter(film):
    memory = io.BytesIO()
    with av.open(io.BytesIO(film)) as source, av.open(memory, "w", format="mp4") as container:
        container.metadata["title"] = "a title"
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    damaged = memory.getvalue().replace(b"a title", b"a \xfftitle"[:7])
    clip = video.read(io.BytesIO(damaged), frames=2, progress=False)
    assert clip.lost == 0


def harmed(data, rng):
    """The film cut short, with some bytes changed, or with a piece lost."""
    data = bytearray(data)
    at, way = int(rng.integers(len(data))), rng.integers(4)
    if way == 0:
        return bytes(data[: at + 1])
    if way == 1:
        del data[at : at + int(rng.integers(1, 3000))]
        return bytes(data)
    # Changes near the beginning or the end hit what says how the film is built.
    low = (0, max(0, len(data) - 2000))[rng.integers(2)] if way == 2 else 0
    for k in rng.integers(low, min(len(data), low + 2000) if way == 2 else len(data), rng.integers(1, 20)):
        data[k] = rng.integers(256)
    return bytes(data)


@pytest.mark.parametrize(
    "kind, codec",
    [("mp4", "libx264"), ("matroska", "libx264"), ("mpegts", "libx264"), ("avi", "mpeg4"), ("webm", "libvpx")],
)
def test_a_harmed_film_gives_a_clip_or_one_sentence(kind, codec):
    try:
        data = encode(pan(2, 1, length=24, height=48, width=64), codec=codec, kind=kind)
    except av.FFmpegError as error:
        pytest.skip(f"this FFmpeg cannot write {codec}: {error}")
    rng = np.random.default_rng(0)
    for _ in range(40):
        harm = harmed(data, rng)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "(?s).*(no motion vectors|is damaged)")
            try:
                clip = video.read(io.BytesIO(harm), frames=5, size=32, progress=False)
            except video.VideoError as error:
                assert "\n" not in str(error) and str(error).endswith(".")
                continue
        assert np.isfinite(clip.motion).all() and np.isfinite(clip.times).all() and 0 <= clip.lost <= 1


# --------------------------------------------------------------------------------------- what is given as a film


class Stream(io.BytesIO):
    def seek(self, *_):
        raise io.UnsupportedOperation("underlying stream is not seekable")


class Number(io.BytesIO):
    name = 7  # as temporary files have it


def closed(data):
    memory = io.BytesIO(data)
    memory.close()
    return memory


@pytest.mark.parametrize(
    "given, words",
    [
        (closed, "closed file.*that is open and can seek"),
        (Stream, "not seekable.*that is open and can seek"),
        (lambda _: io.StringIO("a film"), 'gives str, not bytes; open it with mode "rb"'),
        (lambda _: io.BytesIO(), "the file object is empty"),
        (lambda _: 3, "a path or a binary file object, not as int"),
        (lambda _: None, "not as NoneType"),
        (lambda _: "a" * 5000 + ".mp4", r"a\.\.\.a.* (cannot be opened \(.*too long\)|does not exist)"),
    ],
)
def test_what_cannot_be_read_from_says_so(film, given, words):
    refused(given(film), words)


def test_file_objects_of_all_sorts_are_read(film, tmp_path):
    import gzip
    import tempfile

    path = tmp_path / "film.gz"
    path.write_bytes(gzip.compress(film))
    with gzip.open(path) as packed, tempfile.TemporaryFile() as nameless:
        nameless.write(film)
        for file in (packed, nameless, Number(film)):
            assert video.read(file, frames=2, size=32).lost == 0


@pytest.mark.parametrize("size", ["a", "224", (1, 2, 3), (224,), (), np.nan, np.inf, (None, 3), [3, "b"], {}])
def test_odd_sizes_say_what_is_allowed(film, size):
    with pytest.raises(ValueError, match=r"give a number of pixels, \(height, width\), or None"):
        video.read(io.BytesIO(film), size=size)


@pytest.mark.parametrize("frames", ["a", "4", None, np.nan, np.inf, 1.5, (1, 2)])
def test_odd_numbers_of_frames_say_what_is_allowed(film, frames):
    with pytest.raises(ValueError, match="give a whole number, 1 or more"):
        video.read(io.BytesIO(film), frames=frames)


def test_a_size_out_of_reach_says_so():
    narrow = encode(pan(0, 0, length=2, height=16, width=2048), codec="mpeg4")
    refused_at = {"frames": 1, "size": 2000, "progress": False}  # 2000 x 256,000 before the centre is cut out
    with pytest.raises(video.VideoError, match=r"cannot be scaled for size 2000; try another, or None \(.*\)\."):
        video.read(io.BytesIO(narrow), **refused_at)
