"""What stands of a study, and what has to be made: its manifests held against its configuration."""
