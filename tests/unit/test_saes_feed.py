"""Batches on their way to a made-up CUDA device."""

import threading

import pytest
import torch

from correct_l0.errors import InputError
from correct_l0.saes.training.feed import DeviceFeed, HostFeed, feed_of
from cuda_toy import COPY_S, made_up_cuda

STEP_S = 3.0


@pytest.fixture
def cuda(monkeypatch):
    return made_up_cuda(monkeypatch)


class Numbered:
    """The batch of a step is full of its number."""

    def __init__(self):
        self.asked, self.threads = [], set()

    def batch(self, step):
        if step == 5:
            raise InputError("shard 0: its bytes differ")
        self.asked.append(step)
        self.threads.add(threading.get_ident())
        return torch.full((2, 3), float(step))


def test_the_device_waits_where_copies_take_longer_than_steps(cuda):
    """Copies end at 4, 8, 12, 16 s; a step of 3 s begins with its copy's end, so that each waits
    1 s, the first one 4 s."""
    source = Numbered()
    feed = DeviceFeed(source, "cpu", 0.5)
    for step in range(4):
        batch = feed.batch(step)
        assert torch.equal(batch, torch.full((2, 3), 0.5 * step))
        assert cuda.main.free_at == COPY_S * (step + 1)
        assert cuda.read_by[-1] == (batch.data_ptr(), cuda.main)
        cuda.main.free_at += STEP_S
    assert feed.waited_s() == 0
    cuda.now = 8.5
    assert feed.waited_s() == 4 + 1
    cuda.now = 100
    assert feed.waited_s() == 1 + 1
    assert feed.waited_s() == 0
    feed.close()
    assert source.asked in ([0, 1, 2, 3], [0, 1, 2, 3, 4])
    assert threading.get_ident() not in source.threads


def test_nothing_waits_where_steps_take_longer(cuda):
    feed = DeviceFeed(Numbered(), "cpu", 1.0)
    for step in range(4):
        feed.batch(step)
        cuda.main.free_at += 2 * COPY_S
    feed.close()
    cuda.now = 100
    assert feed.waited_s() == COPY_S
    assert cuda.main.free_at == COPY_S + 4 * 2 * COPY_S


class InOneMemory:
    """Every batch is in the memory of the one before, in a type of two bytes."""

    def __init__(self, dtype):
        self.rows = torch.empty(2, 3, dtype=dtype)

    def batch(self, step):
        return self.rows.fill_(1 + step)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("made", [DeviceFeed, lambda rows, _, scale: HostFeed(rows, scale)])
def test_rows_are_converted_before_they_are_scaled_and_outlive_their_memory(cuda, made, dtype):
    """3 x 1.00390625 = 3.01171875, which float32 holds and bfloat16 does not."""
    feed = made(InOneMemory(dtype), "cpu", 1.00390625)
    batches = [feed.batch(step) for step in range(3)]
    feed.close()
    for step, batch in enumerate(batches):
        assert batch.dtype == torch.float32
        assert torch.equal(batch, torch.full((2, 3), (1 + step) * 1.00390625))


def test_any_step_may_follow_and_an_error_comes_with_its_own_step(cuda):
    feed = DeviceFeed(Numbered(), "cpu", 1.0)
    for step in (0, 1, 4, 2, 9, 4):
        assert torch.equal(feed.batch(step), torch.full((2, 3), float(step)))
    with pytest.raises(InputError, match="its bytes differ"):
        feed.batch(5)
    assert torch.equal(feed.batch(6), torch.full((2, 3), 6.0))
    feed.close()


def test_the_host_waits_while_a_batch_is_made(monkeypatch):
    now = [0.0]

    class Slow(Numbered):
        def batch(self, step):
            now[0] += 2
            return super().batch(step)

    monkeypatch.setattr("correct_l0.saes.training.feed.time.perf_counter", lambda: now[0])
    feed = feed_of(Slow(), "cpu", 0.5)
    assert isinstance(feed, HostFeed)
    feed.batch(0)
    assert torch.equal(feed.batch(1), torch.full((2, 3), 0.5))
    assert (feed.waited_s(), feed.waited_s()) == (4, 0)
