"""HTTP/1.1 towards the legacy and the modern application: pooled raw connections."""
