"""Compiled loops of a training step on a CPU: the selection, and products with its few non-zeros.

Non-zeros are those of a sparse matrix by rows: `starts[i]` to `starts[i + 1]` are the places of row
i's entries, `indices` their columns. Each output row is summed in the order of its entries, by one
thread, whatever the number of threads. The compiler may regroup sums and fuse multiplications with
additions; NaN and infinity stay what they are.
"""

from __future__ import annotations

import numpy as np

from correct_l0.jobs.compiled import compiled, compiled_sums


@compiled
def split_band(flat, low, high, band):  # type: ignore[no-untyped-def]
    """Write out what lies from `low` to `high`; return its number and that of what is above."""
    n, n_above = 0, 0
    inside = np.empty(2048, np.uint8)
    for start in range(0, len(flat), len(inside)):
        part = flat[start : start + len(inside)]
        # A narrow count is what the compiler can keep up with.
        n_here = np.int32(0)
        for i in range(len(part)):
            above = part[i] > high
            n_here += np.int32(above)
            inside[i] = (part[i] >= low) ^ above
        n_above += n_here
        for i in range(len(part)):
            if inside[i]:
                band[n] = part[i]
                n += 1
    return n, n_above


@compiled
def compress(block, norms, bounds, starts, latents, values):  # type: ignore[no-untyped-def]
    """Write out what of `block` is above `bounds` and positive, times the norms; return its number.

    `latents` and `values` have one place more than the block has entries: each latent is written,
    and counted only if it stays, which is faster than a branch that cannot be predicted.
    """
    n = 0
    stays = np.zeros(-(-len(norms) // 8) * 8, np.uint8)
    eights = stays.view(np.uint64)
    for token in range(len(block)):
        starts[token] = n
        acts = block[token]
        for latent in range(len(norms)):
            stays[latent] = (acts[latent] > bounds[latent]) & (acts[latent] * norms[latent] > 0)
        for eight in range(len(eights)):
            if eights[eight]:
                for latent in range(8 * eight, 8 * eight + 8):
                    latents[n] = latent
                    n += stays[latent]
        for place in range(starts[token], n):
            values[place] = acts[latents[place]] * norms[latents[place]]
    starts[len(block)] = n
    return n


@compiled
def keep_from(smallest, ties, starts, latents, values):  # type: ignore[no-untyped-def]
    """Keep what is above `smallest` and the first `ties` that equal it, in place."""
    n, place = 0, 0
    for row in range(len(starts) - 1):
        stop = starts[row + 1]
        while place < stop:
            value = values[place]
            latents[n] = latents[place]
            values[n] = value
            equal = value == smallest
            n += (value > smallest) | (equal & (ties > 0))
            ties -= equal
            place += 1
        starts[row + 1] = n
    return n


@compiled
def transpose(starts, latents, acts, norms, z, latent_starts, tokens, z_by_latent):  # type: ignore[no-untyped-def]
    """Fill in the last four: z = acts / norms, and the entries by latent, in each by token."""
    latent_starts[:] = 0
    for latent in latents:
        latent_starts[latent + 1] += 1
    for latent in range(len(latent_starts) - 1):
        latent_starts[latent + 1] += latent_starts[latent]
    free = latent_starts.copy()
    for token in range(len(starts) - 1):
        for place in range(starts[token], starts[token + 1]):
            latent = latents[place]
            to = free[latent]
            free[latent] += 1
            tokens[to] = token
            z[place] = z_by_latent[to] = acts[place] / norms[latent]


@compiled_sums
def _add_rows(total, place, stop, indices, weights, rows):  # type: ignore[no-untyped-def]
    """Add weighted rows, eight at a time: the sum is read and written an eighth as often."""
    while place + 8 <= stop:
        i, w = indices[place : place + 8], weights[place : place + 8]
        a, b, c, d = rows[i[0]], rows[i[1]], rows[i[2]], rows[i[3]]
        e, f, g, h = rows[i[4]], rows[i[5]], rows[i[6]], rows[i[7]]
        for j in range(len(total)):
            total[j] += (
                (w[0] * a[j] + w[1] * b[j] + w[2] * c[j] + w[3] * d[j])
                + (w[4] * e[j] + w[5] * f[j] + w[6] * g[j] + w[7] * h[j])
            )  # fmt: skip
        place += 8
    while place < stop:
        a, u = rows[indices[place]], weights[place]
        for j in range(len(total)):
            total[j] += u * a[j]
        place += 1


@compiled_sums
def sum_rows(first, last, starts, indices, weights, rows, out):  # type: ignore[no-untyped-def]
    """Set `out[i]`, from `first` to before `last`, to the sum of its entries' weighted rows."""
    for i in range(first, last):
        out[i, :] = 0
        _add_rows(out[i], starts[i], starts[i + 1], indices, weights, rows)


@compiled_sums
def decode_error(first, last, starts, latents, z, W_dec, centred, out):  # type: ignore[no-untyped-def]
    """Set `out` to z W_dec - centred, for the tokens from `first` to before `last`."""
    for token in range(first, last):
        for j in range(out.shape[1]):
            out[token, j] = -centred[token, j]
        _add_rows(out[token], starts[token], starts[token + 1], latents, z, W_dec)


@compiled_sums
def decode_errors(first, last, starts, latents, z, widths, W_dec, centred, out):  # type: ignore[no-untyped-def]
    """Set `out[level]` to z W_dec - centred over the latents below its width, as `decode_error`.

    A token's latents ascend, and so do the widths.
    """
    for token in range(first, last):
        for j in range(out.shape[2]):
            out[0, token, j] = -centred[token, j]
        place = starts[token]
        for level in range(len(widths)):
            if level:
                for j in range(out.shape[2]):
                    out[level, token, j] = out[level - 1, token, j]
            stop = place
            while stop < starts[token + 1] and latents[stop] < widths[level]:
                stop += 1
            _add_rows(out[level, token], place, stop, latents, z, W_dec)
            place = stop


@compiled_sums
def dot_rows(first, last, starts, indices, scale, left, rows, out, sums):  # type: ignore[no-untyped-def]
    """Set `out` to scale * <left[i], rows[index]> at row i's entries, `sums[i]` to their sum."""
    zero = left.dtype.type(0)
    for i in range(first, last):
        row = left[i]
        place, stop = starts[i], starts[i + 1]
        while place + 4 <= stop:
            a, b = rows[indices[place]], rows[indices[place + 1]]
            c, d = rows[indices[place + 2]], rows[indices[place + 3]]
            u = v = w = x = zero
            for j in range(len(row)):
                u += a[j] * row[j]
                v += b[j] * row[j]
                w += c[j] * row[j]
                x += d[j] * row[j]
            out[place], out[place + 1], out[place + 2], out[place + 3] = u, v, w, x
            place += 4
        while place < stop:
            a, u = rows[indices[place]], zero
            for j in range(len(row)):
                u += a[j] * row[j]
            out[place] = u
            place += 1
        total = zero
        for place in range(starts[i], stop):
            out[place] *= scale
            total += out[place]
        sums[i] = total


@compiled
def compress_above(block, bounds, starts, latents, values):  # type: ignore[no-untyped-def]
    """Write out what of `block` is above `bounds`; return its number. See `compress`."""
    n = 0
    stays = np.zeros(-(-len(bounds) // 8) * 8, np.uint8)
    eights = stays.view(np.uint64)
    for token in range(len(block)):
        acts, first = block[token], n
        for latent in range(len(bounds)):
            stays[latent] = acts[latent] > bounds[latent]
        for eight in range(len(eights)):
            if eights[eight]:
                for latent in range(8 * eight, 8 * eight + 8):
                    latents[n] = latent
                    n += stays[latent]
        for place in range(first, n):
            values[place] = acts[latents[place]]
        starts[token + 1] = n
    return n


@compiled_sums
def gradients_of_jump(  # type: ignore[no-untyped-def]
    starts, tokens, H, D, threshold, norms, by_l0, bandwidth, to_input, slope, weight,
    sums, d_threshold, by_norm, tanhs,
):  # fmt: skip
    """Turn D into dH at each entry, and fill in the last four, by latent."""
    half, one = D.dtype.type(0.5), D.dtype.type(1)
    for i in range(len(starts) - 1):
        t, norm = threshold[i], norms[i]
        total, by_threshold = D.dtype.type(0), D.dtype.type(0)
        for place in range(starts[i], starts[i + 1]):
            over, d = H[place] - t, D[place]
            active = over > 0
            if weight > 0:
                act = H[place] if active else D.dtype.type(0)
                found = np.tanh(slope * act * norm)
                steep = (one - found * found) * slope * weight
                d += steep * norm
                by_norm[i] += steep * act
                tanhs[i] += weight * found
            near = abs(over / bandwidth) < half
            of_step = (t * d + by_l0[tokens[place]]) / bandwidth if near else D.dtype.type(0)
            by_threshold -= of_step
            dH = d if active else D.dtype.type(0)
            if to_input:
                dH += of_step
            D[place] = dH
            total += dH
        sums[i], d_threshold[i] = total, by_threshold
