"""A session at a terminal, from a folder of pictures to a published, verified and downloaded dataset."""
