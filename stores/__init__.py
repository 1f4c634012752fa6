"""What lies on disk: features, their fingerprint, their commits."""
