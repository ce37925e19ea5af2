"""Values that cross rooms: frozen, standard library only, no clock, no I/O."""
