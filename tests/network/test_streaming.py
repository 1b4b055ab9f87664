"""The network chunk by chunk: the same result, less memory."""

import pytest
import torch

from vtm_lesson import measuring
from vtm_lesson.network import Live, by_chunks
from vtm_lesson.network.model import VideoClassifier


@pytest.mark.parametrize(
    "options",
    [
        {"gamma": 1},
        {"gamma": 4, "r": 0.7},
        {"gamma": 4, "partition": "centre"},
        {"gamma": 4, "merge_at": "before_attention", "pooling": "size"},
        {"gamma": 4, "merge_at": "queries", "r": 0.7, "heads": 2, "residual": True},
        {"gamma": 4, "partition": "learnable", "test_targets": "top"},
    ],
)
def test_chunk_by_chunk_gives_the_same(options):
    torch.manual_seed(0)
    model = VideoClassifier(16, chunks=(2, 4, 8), **options).eval()
    tokens = torch.randn(2, 9, 4, 4, 16)  # the last chunks are shorter
    with torch.no_grad():
        expected = model(tokens)
    torch.testing.assert_close(by_chunks(model, tokens), expected)
    asked = []

    def read(first, last):
        asked.append((first, last))
        return tokens[:, first:last]

    torch.testing.assert_close(by_chunks(model, read, frames=9), expected)
    assert asked == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 9)]


def test_chunk_by_chunk_needs_less_memory():
    model = VideoClassifier(64, chunks=(2, 4, 16), gamma=4).eval()
    tokens = torch.randn(1, 16, 8, 8, 64)
    with torch.inference_mode():
        whole = measuring.peak_tensors(lambda: model(tokens))
    assert measuring.peak_tensors(lambda: by_chunks(model, tokens)) < whole / 3


@pytest.mark.parametrize(
    ("options", "train", "message"),
    [
        ({}, True, "eval"),
        ({"match_within": "video"}, False, "one pass"),
        ({"pooling": "motion"}, False, "one pass"),
        ({"average": "motion"}, False, "one pass"),
        ({"position": "sincos"}, False, "position"),
    ],
)
def test_chunk_by_chunk_refuses_what_it_cannot_do(options, train, message):
    model = VideoClassifier(16, chunks=(2, 4, 8), **options).train(train)
    with pytest.raises(ValueError, match=message):
        by_chunks(model, torch.randn(1, 8, 2, 2, 16))


def test_chunk_by_chunk_says_what_shapes_it_takes():
    model = VideoClassifier(16, chunks=(2, 4, 8)).eval()
    with pytest.raises(ValueError, match="L, H, W, C"):
        by_chunks(model, torch.randn(1, 32, 16))
    with pytest.raises(ValueError, match="frames is missing"):
        by_chunks(model, lambda first, last: torch.randn(1, last - first, 2, 2, 16))
    with pytest.raises(ValueError, match="none 0"):
        by_chunks(model, torch.randn(1, 0, 2, 2, 16))
    for frames in (0, -1, 2.5, "8"):
        with pytest.raises(ValueError, match=f"frames is {frames!r}; give the number"):
            by_chunks(model, lambda first, last: torch.randn(1, last - first, 2, 2, 16), frames=frames)


@pytest.mark.parametrize(("chunks", "frames"), [((2, 3), 8), ((2, 3), 3), ((2, 3), 2), ((4, 6, 6), 7), ((4, 6), 5)])
def test_chunk_by_chunk_refuses_chunks_that_cut_others_as_the_network_does(chunks, frames):
    model = VideoClassifier(16, len(chunks), chunks).eval()
    tokens, said = torch.randn(1, frames, 2, 2, 16), []
    read = []
    for run in (
        lambda: model(tokens),
        lambda: by_chunks(model, tokens),
        lambda: by_chunks(model, lambda first, last: read.append(first) or tokens[:, first:last], frames=frames),
    ):
        try:
            with torch.no_grad():
                said.append(run())
        except ValueError as error:
            said.append(str(error))
    if frames <= chunks[1] and frames != 7:  # one chunk cuts nothing
        torch.testing.assert_close(said[1:], [said[0]] * 2)
    else:
        assert said == [said[0]] * 3 and "would cut through the chunks of the block before" in said[0]
        assert not read, "nothing was read before that was known"


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (lambda piece: piece[:, :1], "frames 2 to 3 and gave (1, 1, 2, 2, 16); it has to give (1, 2, 2, 2, 16)"),
        (lambda piece: piece[:, :, :1], "gave (1, 2, 1, 2, 16); it has to give (1, 2, 2, 2, 16)"),
        (lambda piece: piece[..., :8], "gave (1, 2, 2, 2, 8)"),
        (lambda piece: piece.expand(3, -1, -1, -1, -1), "gave (3, 2, 2, 2, 16)"),
        (lambda piece: piece[0], "gave (2, 2, 2, 16)"),
        (lambda piece: piece.numpy(), "gave ndarray"),
        (lambda piece: None, "gave NoneType"),
    ],
)
def test_chunk_by_chunk_says_what_a_reader_gave_and_what_was_asked(second, words):
    model = VideoClassifier(16, chunks=(2, 4, 8)).eval()

    def read(first, last):
        piece = torch.randn(1, last - first, 2, 2, 16)
        return second(piece) if first == 2 else piece

    with pytest.raises(ValueError) as error:
        by_chunks(model, read, frames=8)
    assert words in str(error.value) and "\n" not in str(error.value)
    for wrong in (lambda first, last: torch.randn(1, 7, 2, 2, 16), lambda first, last: torch.randn(1, 2, 16)):
        with pytest.raises(ValueError, match=r"frames 0 to 1 and gave .* \(B, 2, H, W, C\)"):
            by_chunks(model, wrong, frames=8)


# ------------------------------------------------------------------------------------------- frames as they arrive


@pytest.mark.parametrize(
    "options",
    [
        {"gamma": 4, "r": 0.7},
        {"gamma": 4, "merge_at": "before_attention", "pooling": "size"},
        {"gamma": 4, "merge_at": "queries", "heads": 2, "residual": True},
        {"gamma": 4, "partition": "motion", "test_targets": "top"},
        {"gamma": 4, "pooling": "motion", "average": "motion"},
        {"gamma": 4, "partition": "relative", "test_targets": "top"},
        {"gamma": 4, "reducer": "energy"},
    ],
)
@pytest.mark.parametrize("step", [1, 5])
def test_frames_that_arrive_give_what_one_pass_gives_at_any_time(options, step):
    torch.manual_seed(0)
    model = VideoClassifier(16, chunks=(2, 4, 8), **options).eval()
    tokens, motion, vectors = torch.randn(2, 19, 4, 4, 16), torch.rand(2, 19, 4, 4), torch.randn(2, 19, 4, 4, 2)
    live = Live(model, trace=True)
    for start in range(0, 19, step):
        end = min(start + step, 19)
        live.push(tokens[:, start:end], motion[:, start:end], vectors=vectors[:, start:end])
        with torch.no_grad():
            expected, trace = model(tokens[:, :end], motion[:, :end], vectors=vectors[:, :end], trace=True)
        torch.testing.assert_close(live.logits(), expected)
        assert torch.equal(live.merge().group, trace.merge.group) and torch.equal(live.merge().keep, trace.merge.keep)
    assert live.frames == 19 and torch.equal(live.kept().position, trace.blocks[-1].position)


def test_bounded_chunks_hold_few_tokens_whatever_the_length():
    """Six times as long, one block more, and as many tokens at a time."""
    most = []
    for chunks in ((6, 36), (6, 36, 216)):
        model = VideoClassifier(8, len(chunks), chunks, gamma=6, widths=[8] * len(chunks)).eval()
        live = Live(model)
        for _ in range(chunks[-1]):
            live.push(torch.randn(1, 1, 4, 4, 8))
        assert live.kept().x.shape[1] == 16
        most.append(live.most_held)
    assert most[1] - most[0] == 5 * 16, "five parts that wait at the new level"


def test_what_is_no_next_piece_is_refused():
    live = Live(VideoClassifier(16, chunks=(2, 4, 8)).eval())
    with pytest.raises(ValueError, match="no frame has arrived"):
        live.logits()
    live.push(torch.randn(1, 3, 2, 2, 16))
    for wrong in (torch.randn(1, 3, 2, 3, 16), torch.randn(2, 3, 2, 2, 16), torch.randn(1, 0, 2, 2, 16), None):
        with pytest.raises(ValueError, match="push was given"):
            live.push(wrong)
    with pytest.raises(ValueError, match="trace=True"):
        live.merge()
    assert live.frames == 3


def test_levels_that_cut_others_say_so_when_it_happens():
    live = Live(VideoClassifier(16, 2, (2, 3)).eval())
    live.push(torch.randn(1, 3, 2, 2, 16))
    live.logits()  # one chunk so far: nothing is cut
    with pytest.raises(ValueError, match="chunks of 3 frames would cut"):
        live.push(torch.randn(1, 1, 2, 2, 16))


def test_levels_alone_have_no_logits_and_none_is_no_level():
    from vtm_lesson.network import merging_levels

    live = Live(merging_levels("uniform", 4, 2, 2, 2))
    live.push(torch.randn(1, 3, 2, 2, 16))
    with pytest.raises(ValueError, match="give no logits"):
        live.logits()
    with pytest.raises(ValueError, match="no levels"):
        Live([])


def test_the_merge_of_several_videos_is_refused_where_they_keep_different_numbers():
    net = VideoClassifier(8, 1, (2,), gamma=1, reducer="window").eval()
    frames = torch.randn(2, 2, 1, 1, 8)
    with pytest.raises(ValueError, match="2 videos were given with trace=True"):
        Live(net, trace=True).push(frames)
    live = Live(net)
    live.push(frames)
    torch.testing.assert_close(live.logits(), net(frames))
    live = Live(net, trace=True)
    live.push(frames[:1])
    assert live.merge().n_in == 2
