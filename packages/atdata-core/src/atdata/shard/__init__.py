"""The shard engine: bytes and positions, never sample types."""
