"""What would run and why, and what it would cost, before anything runs: `make why`.

Which jobs run is Snakemake's own answer, from a dry run; the reasons are the study's, from the
manifests and checkpoints; the costs are `costs`', corrected by what finished points took.
"""
