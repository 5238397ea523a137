"""What datasets are: looked at, counted, checked and compared."""
