"""s_n^dec without holding Z: the bits of a full sort, whatever was expected of the values.

The GPU's kernel is run by Triton's interpreter on a CPU.
"""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import _disable_current_modes

from correct_l0.errors import InputError
from correct_l0.metrics.decoder import measure, on_device, sifting, streaming
from correct_l0.metrics.decoder.histogram import BINS, fine_bins
from correct_l0.metrics.decoder.on_device import DeviceStream
from correct_l0.metrics.decoder.streaming import ProjectionStream
from cuda_toy import Numbers

pytestmark = pytest.mark.numbers

BATCH, D_IN, D_SAE = 90, 6, 70
N = [3, 35, 10, 20, 3, 69, 1, 50]


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Tiles of 16 x 16, so that sides are no multiple of them; chunks that divide no tile."""
    monkeypatch.setattr(streaming, "TILE_CPU", 16)
    monkeypatch.setattr(streaming, "CHUNK_CPU", 100)
    monkeypatch.setattr(streaming, "HELD", 3 * 16**2)
    monkeypatch.setattr(on_device, "PILOT", 16)
    monkeypatch.setattr(on_device, "LARGEST", 4)
    monkeypatch.setattr(sifting, "BLOCK", 256)
    monkeypatch.setattr(on_device, "COPIES", 2)


@pytest.fixture(params=[ProjectionStream, DeviceStream])
def kind(request):
    return request.param


def random(seed=0, batch=BATCH):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, D_IN, generator=generator)
    W_dec = torch.randn(D_SAE, D_IN, generator=generator)
    return x, W_dec / W_dec.norm(dim=1, keepdim=True)


def check(stream, x, exact=True):
    """Compare with a sort and a count of the whole Z; integers make Z the same in any order."""
    projections = x @ stream.W_dec.T
    ordered = projections.flatten().sort(descending=True).values
    expected = [float(ordered[n * len(x)]) for n in stream.n]
    values, ranks = stream.measure(x)
    assert values == (expected if exact else pytest.approx(expected, abs=1e-5))
    if exact:
        counts = torch.bincount(fine_bins(projections.flatten()), minlength=BINS)
        assert (ranks.counts == counts.numpy()).all()
    assert ranks.total == projections.numel()


def whole_numbers(seed, batch=BATCH, d_sae=D_SAE):
    """Products of small multiples of 1/16 are exact, so that no order of summing shows."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(-40, 40, (batch, D_IN), generator=generator) / 16
    return x, torch.randint(-16, 17, (d_sae, D_IN), generator=generator) / 16


@pytest.mark.parametrize(("batch", "d_sae"), [(90, 70), (16, 70), (5, 200), (200, 71), (1, 70)])
def test_a_full_sort_with_ties(batch, d_sae, kind):
    x, W_dec = whole_numbers(1, batch, d_sae)
    check(kind(W_dec, N), x)


def test_a_full_sort_without_ties(kind):
    x, W_dec = random()
    check(kind(W_dec, N), x, exact=False)


def test_one_stream_for_batches_of_different_sizes(kind):
    _, W_dec = whole_numbers(2)
    stream = kind(W_dec, N)
    for seed, batch in ((3, 90), (4, 20), (5, 130)):
        check(stream, whole_numbers(seed, batch)[0])


def test_one_pass_where_the_first_tiles_resemble_the_rest(kind):
    x, W_dec = whole_numbers(6)
    stream = kind(W_dec, N)
    check(stream, x)
    assert stream.second_passes == 0


@pytest.mark.parametrize("beyond", [1.0, 1e4])
def test_a_second_pass_where_they_do_not(beyond, monkeypatch, kind):
    x, W_dec = whole_numbers(7)
    # Tiles are every sixth token: those of the first three hold nothing but zeros.
    x[0::6] = x[1::6] = x[2::6] = 0
    monkeypatch.setattr(streaming, "MARGIN", 0.0)
    # One token of middling norm stands for all, and next to nothing around it is kept.
    monkeypatch.setattr(on_device, "PILOT", 1)
    monkeypatch.setattr(on_device, "LARGEST", 0)
    monkeypatch.setattr(on_device, "FILLED", 1e-6)
    stream = kind(W_dec, N)
    check(stream, x * beyond)
    assert stream.second_passes == 1


def test_one_pass_where_an_order_statistic_is_beyond_the_histogram_s_range(kind):
    """All values of an end bin are at hand, and none that is not of the batch is taken for one."""
    x, W_dec = whole_numbers(6)
    stream = kind(W_dec, N)
    check(stream, 1e4 * x)
    assert stream.second_passes == 0


def test_all_projections_alike(kind):
    check(kind(torch.ones(D_SAE, D_IN), N), torch.ones(BATCH, D_IN))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite(value, kind):
    x, W_dec = random()
    x[80, 0] = value
    with pytest.raises(FloatingPointError, match="a projection is not finite"):
        kind(W_dec, N).measure(x)


def test_a_second_pass_where_more_lies_near_than_memory_was_made_for(monkeypatch):
    """All values of the last bin of 30 are wanted, and one of 16 is kept."""
    monkeypatch.setattr(on_device, "FEWEST", 1)
    x, W_dec = whole_numbers(6)
    stream = DeviceStream(W_dec, N)
    check(stream, x)
    assert stream.second_passes == 1


def test_a_second_pass_on_a_gpu_takes_nothing_from_it_between_tiles(monkeypatch):
    """One kernel a tile finds the values; a number of them goes to the host once."""
    monkeypatch.setattr(on_device, "FEWEST", 1)
    x, W_dec = whole_numbers(6)
    stream = DeviceStream(W_dec, N)
    sizes, sift, sifted = [len(tile) for tile in stream._tiles(x)], on_device.sift, []

    def counted(values, *arguments, **options):
        sifted.append(len(values))
        sift(values, *arguments, **options)

    launched = stream.launch(x)
    monkeypatch.setattr(on_device, "sift", counted)
    monkeypatch.setattr(DeviceStream, "_sift", None)
    values, _ = launched.settle()
    assert stream.second_passes == 1
    assert sifted == sizes
    ordered = (x @ W_dec.T).flatten().sort(descending=True).values
    assert values == [float(ordered[n * len(x)]) for n in N]


@pytest.mark.parametrize("beyond", [1.0, 1e4])
def test_one_pass_where_more_lies_in_the_bins_than_memory_was_made_for(beyond, monkeypatch):
    """Near the order statistics there is room for all, in their bins for one of 6300."""
    monkeypatch.setattr(on_device, "FEWEST", 1)
    monkeypatch.setattr(on_device, "KEPT", 1)
    monkeypatch.setattr(on_device, "IN_BINS", BATCH * D_SAE)
    x, W_dec = whole_numbers(6)
    stream = DeviceStream(W_dec, N)
    check(stream, beyond * x)
    assert stream.second_passes == 0


def a_strong_mean(generator):
    """A direction that all tokens share, and a quarter of the latents: none of the first tiles."""
    x, W_dec = torch.randn(256, 32, generator=generator), torch.randn(512, 32, generator=generator)
    x[:, 0] += 40
    W_dec[2::4, 0] += 20
    return x, W_dec


def a_few_large_tokens(generator):
    """Every 16th token, the first of a context, is thirty times as large."""
    x, W_dec = torch.randn(256, 32, generator=generator), torch.randn(512, 32, generator=generator)
    x[::16] *= 30
    return x, W_dec


@pytest.mark.parametrize("made", [a_strong_mean, a_few_large_tokens])
def test_one_pass_where_latents_or_tokens_differ_much(made, monkeypatch):
    """Of eight n up to 1/32 of the latents: 1/16 of the projections have room."""
    monkeypatch.setattr(on_device, "FEWEST", 1)
    monkeypatch.setattr(on_device, "PILOT", 64)
    monkeypatch.setattr(on_device, "LARGEST", 16)
    monkeypatch.setattr(sifting, "BLOCK", 2048)
    monkeypatch.setattr(streaming, "TILE_CPU", 128)
    monkeypatch.setattr(streaming, "HELD", 2 * 128**2)
    x, W_dec = made(torch.Generator().manual_seed(9))
    stream = DeviceStream(W_dec / W_dec.norm(dim=1, keepdim=True) / 4, [1, 2, 4, 8, 16])
    check(stream, x, exact=False)
    assert stream.second_passes == 0


def test_the_ranges_by_hand():
    """At 4 of 20 and 10 of 20, roots 0.4 and 0.5: 0.08 to 0.32, 0.35 to 0.65 at a width of 0.3."""
    stream = DeviceStream(torch.zeros(20, 2), [10, 4])
    assert 0.9 * 0.3 < stream._width(0.54) <= 0.3
    # At most all, and what lies in both ranges once: 0.2 -+ 0.4 and 0.5 -+ 0.5.
    assert stream._width(1.0) == 1.0


def test_what_is_counted_and_kept_by_hand(monkeypatch):
    """-20 is the first value of bin 0, 0 of bin 327680; bins 0 and 327680 to 327682 are asked for.

    The last of the values is not to be looked at.
    """
    monkeypatch.setattr(sifting, "BLOCK", 4)
    step = 2.0**-14
    values = torch.tensor([-99.0, -20.0, step - 20, -step, 0.0, 2.5 * step, 3 * step, 99.0, 0.5, 0])
    edges = torch.tensor([[327680, 327681], [0, 0], [327681, 327682]], dtype=torch.int32)
    found = sifting.Found(len(values), values.device)
    counts = torch.zeros(3, BINS, dtype=torch.int64)
    sifting.sift(values, torch.tensor(9), counts=counts, edges=edges, found=found)
    assert found.count == 4
    assert found.values[:4].sort().values.tolist() == [-99.0, -20.0, 0.0, 2.5 * step]
    assert {int(place): int(counts[:, place].sum()) for place in counts.sum(0).nonzero()} == {
        0: 2, 1: 1, 327679: 1, 327680: 1, 327682: 1, 327683: 1, 335872: 1, BINS - 1: 1
    }  # fmt: skip


def test_what_has_no_room_is_counted_and_written_nowhere(monkeypatch):
    monkeypatch.setattr(sifting, "BLOCK", 4)
    values = torch.arange(10) / 16
    found = sifting.Found(3, values.device)
    beside = torch.full((10,), -1.0)
    found.values = beside[:3]
    sifting.sift(values, edges=torch.tensor([[0, BINS - 1]], dtype=torch.int32), found=found)
    assert found.count == 10
    assert set(beside[:3].tolist()) <= set(values.tolist())
    assert (beside[3:] == -1).all()


@pytest.mark.filterwarnings("ignore:overflow")
def test_the_kernel_s_bins_are_those_of_the_cpu():
    """At bins' edges, one float below, at zeros, the smallest and the largest floats."""
    generator = torch.Generator().manual_seed(8)
    edges = torch.randint(-20 * 2**14, 40 * 2**14, (400,), generator=generator) / 2**14
    odd = torch.tensor([-0.0, 1e-45, -1e-45, 3e38, -3e38, 40.0, 39.99999, -20.00001])
    below = torch.nextafter(edges, torch.tensor(-torch.inf))
    values = torch.cat((edges, below, odd, 9 * torch.randn(400, generator=generator)))
    counts = torch.zeros(2, BINS, dtype=torch.int32)
    sifting.sift(values, counts=counts)
    expected = torch.bincount(fine_bins(values), minlength=BINS)
    assert torch.equal(counts.sum(0), expected)


def test_a_gpu_s_kernels_are_used_where_they_compile(capsys):
    assert type(measure.stream_on(on_gpu(), N)) is DeviceStream
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("lacks", ["Triton", "a C compiler"])
def test_a_gpu_whose_kernels_do_not_compile_goes_the_cpu_s_way(lacks, monkeypatch, capsys):
    def fails(*_, **__):
        raise RuntimeError("Failed to find C compiler.\nDetails")

    if lacks == "Triton":
        monkeypatch.setitem(sys.modules, sifting.__name__, None)
    else:
        monkeypatch.setattr(sifting, "sift", fails)
    assert type(measure.stream_on(on_gpu(), N)) is ProjectionStream
    said = capsys.readouterr().err
    assert said.startswith("s_n^dec takes longer: the GPU's kernels do not compile (")
    assert lacks == "Triton" or said.endswith("(RuntimeError: Failed to find C compiler.)\n")


def on_gpu():
    """Return what passes for a decoder on a GPU."""
    return SimpleNamespace(is_cuda=True, dtype=torch.float32, device=torch.device("cpu"))


class Outside:
    """A kernel whose interpreter may read what a program loads."""

    def __init__(self, kernel):
        self.kernel = kernel

    def __getitem__(self, grid):
        def run(*args, **options):
            with _disable_current_modes():
                self.kernel[grid](*args, **options)

        return run


def test_the_device_is_asked_for_the_next_batch_before_the_last_one_s_numbers_are_read(monkeypatch):
    """And nothing on the way brings a number to the host, or takes one from it."""
    x, W_dec = whole_numbers(6)
    stream = DeviceStream(W_dec, N)
    order = []
    launch, settle = DeviceStream.launch, on_device.Launched.settle

    def launched(self, x):
        order.append("launch")
        with Numbers():
            return launch(self, x)

    monkeypatch.setattr(sifting, "_sift", Outside(sifting._sift))
    monkeypatch.setattr(DeviceStream, "launch", launched)
    monkeypatch.setattr(
        on_device.Launched, "settle", lambda self: (order.append("settle"), settle(self))[1]
    )
    sizes = [size for size, _, _ in stream.each([x, x[:40], x[:20]])]
    assert sizes == [90, 40, 20]
    assert order == ["launch", "launch", "settle", "launch", "settle", "settle"]


def test_either_stream_gives_the_same_statistics(monkeypatch):
    x, W_dec = random()
    batches = [x, x[:30], x[:0], 2 * x]
    found = measure.measure_projections(batches, W_dec, torch.ones(D_IN), 1.5, N)
    monkeypatch.setattr(measure, "stream_on", DeviceStream)
    again = measure.measure_projections(batches, W_dec, torch.ones(D_IN), 1.5, N)
    for name in ("tokens", "per_batch", "above"):
        assert (getattr(found, name) == getattr(again, name)).all(), name
    assert torch.equal(found.counts, again.counts)
    assert found.second_passes == again.second_passes == 0
    batches[1] = torch.full((3, D_IN), torch.nan)
    with pytest.raises(InputError, match="batch 1 of the held-out tokens"):
        measure.measure_projections(batches, W_dec, torch.ones(D_IN), 1.5, N)
