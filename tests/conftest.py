"""Every test starts from the same settings of torch, whatever the commands it calls have set."""

import pytest
import torch

from vtm_lesson.network import denormals


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


@pytest.fixture(autouse=True)
def settings_of_torch():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    assert not denormals.are_flushed(), "denormal numbers are still taken as 0; hypothesis draws no floats then"
