"""One handler per kind of aggregate that has instructions carried out: what is special about it."""
