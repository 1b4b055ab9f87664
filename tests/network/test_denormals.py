"""Denormal numbers are 0 inside the context, and what they were before it outside."""

import pytest
import torch

from vtm_lesson.network.denormals import are_flushed, flushed_denormals

# float32 tensors, too: `are_flushed` asks Python's own float64 arithmetic.
SMALL = torch.full((4,), torch.finfo(torch.float32).tiny)


@pytest.fixture(autouse=True)
def where_it_can_be_done():
    possible = torch.set_flush_denormal(True)
    torch.set_flush_denormal(False)
    if not possible:
        pytest.skip("this processor cannot take denormal numbers as 0")


def test_inside_they_are_0_and_outside_they_are_not():
    assert not are_flushed() and (SMALL / 2 > 0).all()
    with flushed_denormals():
        assert are_flushed() and (SMALL / 2 == 0).all()
    assert not are_flushed() and (SMALL / 2 > 0).all()


def test_the_setting_of_the_caller_comes_back_also_after_an_error():
    for before in (True, False):
        torch.set_flush_denormal(before)
        with pytest.raises(ZeroDivisionError), flushed_denormals():
            print(1 / 0)
        assert are_flushed() == before


def test_as_a_decorator_it_holds_for_every_call():
    @flushed_denormals()
    def inside():
        return are_flushed()

    assert inside() and not are_flushed() and inside() and not are_flushed()
