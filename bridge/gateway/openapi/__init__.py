"""OpenAPI documents, and whether requests and answers are what they declare."""
