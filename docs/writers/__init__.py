"""Writers of the reference: each has `make_files`, the text of its files by their path in docs/reference."""
