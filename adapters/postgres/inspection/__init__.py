"""What is looked at in a PostgreSQL source: facts by plain queries, then judged by pure checks."""
