"""Finding the real differences between two answers, and judging a route by many of them."""
