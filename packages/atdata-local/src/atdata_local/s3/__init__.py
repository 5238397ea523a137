"""Shards in S3 buckets, read by boto3. This module imports it only when a server is asked."""

from .source import S3Source

__all__ = ["S3Source"]
