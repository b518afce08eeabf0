"""The paper's claims about its toy model, held against finished studies: `python -m paper`."""
