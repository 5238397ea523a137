"""Schemas: sample types as records that travel without their code."""

from .record import schema_cid, schema_of

__all__ = ["schema_cid", "schema_of"]
