"""What tests of sample types, lenses and backends need."""

from .indexes import AbstractIndexContract
from .laws import LensLawBroken, check_lens_laws

__all__ = ["AbstractIndexContract", "LensLawBroken", "check_lens_laws"]
