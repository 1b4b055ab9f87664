"""The network chunk by chunk: the same result, less memory."""

import pytest
import torch

from vtm_lesson import measuring
from vtm_lesson.network import by_chunks
from vtm_lesson.network.model import VideoClassifier


@pytest.mark.parametrize(
    "options",
    [
        {"gamma": 1},
        {"gamma": 4, "r": 0.7},
        {"gamma": 4, "partition": "centre"},
        {"gamma": 4, "merge_at": "before_attention", "pooling": "size"},
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
