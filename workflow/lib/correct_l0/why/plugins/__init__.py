"""Plugins of Snakemake. The folder is on the search path of the dry run alone (`dry_run`)."""
