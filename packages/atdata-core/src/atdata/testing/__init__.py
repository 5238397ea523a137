"""What tests of sample types, lenses and backends need."""

from .laws import LensLawBroken, check_lens_laws

__all__ = ["LensLawBroken", "check_lens_laws"]
