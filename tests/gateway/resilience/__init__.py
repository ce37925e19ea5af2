"""What clients get while one side is broken: drills, and reads that the other side answers."""
