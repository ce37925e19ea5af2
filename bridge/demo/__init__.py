"""A legacy system, a modern service, private servers and the show: see `legacy-bridge demo`."""
