"""What a network is given and cannot take gets one sentence; and a network with a function of its own can be kept."""

import functools
import io
import pickle

import numpy as np
import pytest
import torch

import vtm_lesson as vtm
from vtm_lesson import partition

FILM = torch.randn(1, 4, 4, 4, 8, generator=torch.Generator().manual_seed(0))


def network(**options):
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return vtm.VideoClassifier(8, 1, (2,), classes=3, **options).eval()


@pytest.mark.parametrize("tokens", [FILM.numpy(), [1], None, 3])
def test_tokens_that_are_no_tensor(tokens):
    with pytest.raises(ValueError, match=r"tokens: give a tensor, not a \w+; torch.as_tensor makes one"):
        network()(tokens)


@pytest.mark.parametrize("name", ["motion", "oracle", "vectors", "pixels"])
def test_signals_that_are_no_tensor(name):
    with pytest.raises(ValueError, match=f"{name}: give a tensor, not a ndarray"):
        network()(FILM, **{name: np.zeros((1, 4, 4, 4))})


def test_whole_numbers_are_no_tokens():
    with pytest.raises(ValueError, match=r"tokens have dtype torch\.int64; .* use tokens\.float\(\)"):
        network()(FILM.long())


@pytest.mark.parametrize("grid", [(-5, -3, 4), (4, 4), "abc", 4, (4.5, 4, 4), (0, 4, 4), (None, 4, 4), (4, 4, 4, 1)])
def test_grids_that_are_none(grid):
    with pytest.raises(ValueError, match=r"grid is .*; give \(L, H, W\)"):
        network()(torch.zeros(1, 60, 8), grid=grid)


@pytest.mark.parametrize("grid", [(4, 4, 4), [4, 4, 4], np.array([4, 4, 4]), (4.0, 4, 4), torch.tensor([4, 4, 4])])
def test_grids_of_any_type(grid):
    assert torch.equal(network()(FILM.flatten(1, 3), grid=grid), network()(FILM))


@pytest.mark.parametrize("frames", [0, -1, 2.5, "4", float("nan")])
def test_odd_numbers_of_frames_chunk_by_chunk(frames):
    with pytest.raises(ValueError, match=r"frames is .*; give the number of frames"):
        vtm.by_chunks(network(), lambda first, last: FILM[:, first:last], frames=frames)


@pytest.mark.parametrize("tokens", [FILM.numpy(), [FILM], None, 3])
def test_what_is_neither_tokens_nor_a_function_chunk_by_chunk(tokens):
    with pytest.raises(ValueError, match="give a tensor or a function that reads them, not a"):
        vtm.by_chunks(network(), tokens, frames=4)


PLUGS = [
    {"partition": partition.uniform},
    {"partition": partition.sample},
    {"partition": partition.top},
    {"partition": functools.partial(partition.region, focus="boundary")},
    {"partition": functools.partial(partition.uniform, offset=1)},
    {"reducer": "drop"},
]


@pytest.mark.parametrize("plug", PLUGS)
def test_a_network_with_a_function_can_be_pickled_and_saved(plug):
    net, motion = network(**plug), FILM[..., 0].abs()
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    for copy in (pickle.loads(pickle.dumps(net)), torch.load(file, weights_only=False)):
        logits = [one(FILM, motion, generator=torch.Generator().manual_seed(1)) for one in (net, copy)]
        assert torch.equal(*logits)
