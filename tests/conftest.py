"""Every test starts from the same settings of torch, whatever the commands it calls have set."""

import pytest
import torch


@pytest.fixture(autouse=True)
def settings_of_torch():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)  # training and the benchmark turn it on; hypothesis will not draw floats then
