"""Store files under the digest of everything that they were made from."""
