"""Which kinds of files FFmpeg may open as films, and what the others are called when they are refused.

FFmpeg reads some 300 formats. Several hold no film but say where one lies: playlists, lists of films, descriptions of
a network stream. FFmpeg would open whatever they name, a file of this machine or an address on the network. Others are
text or single pictures, which it shows as if they were films. So FFmpeg gets a list of what is allowed: formats that
hold their own pictures, and no way to open anything but the file that was given.
"""

from __future__ import annotations

import codecs

# Names as FFmpeg's own; one that it does not know does no harm, as FFmpegs differ in what they were built with.
FILMS = (
    # Files of cameras, editors, television and the web. "mov" is mp4, 3gp and their kin as well; what one of these
    # says of tracks in other files, FFmpeg leaves alone unless it is asked to.
    *("mov", "matroska", "avi", "mpegts", "mpeg", "flv", "kux", "ogg", "asf", "rm", "ivr", "swf", "gif", "apng"),
    *("jpegxl_anim", "mxf", "gxf", "lxf", "dv", "nut", "nuv", "nsv", "wtv", "ty", "pva", "dhav", "cine", "ser", "flic"),
    # Nothing but one track's pictures, one after the other.
    *("h264", "hevc", "vvc", "evc", "av1", "obu", "ivf", "mpegvideo", "m4v", "mjpeg", "smjpeg", "h261", "h263", "vc1"),
    *("vc1test", "dirac", "dnxhd", "cavsvideo", "avs2", "avs3", "apv", "yuv4mpegpipe"),
)

# Opened only to be refused in the right words, as they have no pictures.
SOUNDS = ("wav", "w64", "mp3", "flac", "aac", "ac3", "eac3", "aiff", "au", "caf", "amr", "ape", "wv")

# Text that names other files or addresses, by how it begins.
POINTERS = {
    b"#EXTM3U": "a playlist (M3U8)",
    b"[playlist]": "a playlist (PLS)",
    b"ffconcat": "a list of films (ffconcat)",
    b"v=0": "the description of a network stream (SDP)",
    b"RTSPtext": "the address of a network stream (RTSP)",
}

# Single pictures, by the bytes that stand so far from the beginning.
PICTURES = {
    (0, b"\x89PNG"): "PNG",
    (0, b"\xff\xd8\xff"): "JPEG",
    (0, b"BM"): "BMP",
    (0, b"II*\0"): "TIFF",
    (0, b"MM\0*"): "TIFF",
    (0, b"8BPS"): "PSD",
    (0, b"\0\0\1\0"): "ICO",
    (4, b"jP  "): "JPEG 2000",
    (0, b"\xff\x0a"): "JPEG XL",
    (8, b"WEBP"): "WebP",
}

# Pictures that FFmpeg opens as if they were mp4.
PICTURES_LIKE_MP4 = {
    (4, b"ftypavif"): "AVIF",
    (4, b"ftypavis"): "AVIF",
    (4, b"ftypheic"): "HEIC",
    (4, b"ftypheix"): "HEIC",
    (4, b"ftypmif1"): "HEIF",
    (4, b"ftypmsf1"): "HEIF",
}

HEAD = 4096  # bytes from the beginning of a file that show what it is


def options(protocols: str) -> dict[str, str]:
    """FFmpeg's options that keep it to films, and to these protocols (joined by commas; "" for none at all)."""
    return {"format_whitelist": ",".join(FILMS + SOUNDS), "protocol_whitelist": protocols}


def picture(head: bytes, kinds: dict[tuple[int, bytes], str] = PICTURES_LIKE_MP4) -> str | None:
    """Which picture a file is, by its first bytes, and what to do; None if it is none of these kinds."""
    for (at, mark), kind in kinds.items():
        if head.startswith(mark, at):
            return f"a picture ({kind}); give a film"
    return None


def other(head: bytes) -> str | None:
    """What a file is that FFmpeg refused, by its first bytes, and what to do; None if they do not tell."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for mark, kind in POINTERS.items():
        if start.startswith(mark):
            return f"{kind}, and nothing that it names is opened; give a film itself"
    return picture(head, PICTURES) or ("text; give a film" if is_text(head) else None)


def is_text(head: bytes) -> bool:
    """Whether these bytes are text in UTF-8; the last letter may be cut in two."""
    try:
        letters = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter.isspace() for letter in letters)
