"""SAEs that exist already: found by name, fetched, and given the folder that trained ones have.

- `settings`: what a configuration says, and the sweep that is made of it;
- `layouts`: what names and small files tell of an SAE, in each layout that SAELens reads;
- `listing`: the files of a folder, a repository, a release;
- `find`: which SAEs are meant, and that they are one sweep;
- `fetch`: the weights on this machine;
- `load`: through SAELens' loaders to the inference form;
- `job`: the folders of the points.
"""

RECIPE = 2
"""Changes when what is recorded of fetched weights does."""

STAGE = "fetch_weights"

NEAR = 1.02
"""SAEs whose L0 differ by no more than this factor are replicates of each other."""

MOST_OFF = 0.15
"""Largest relative distance of the measured from the announced L0: more comes of a wrong hook, a
wrong scale, another treatment of the first token, or another activation function."""
