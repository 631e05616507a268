"""Workers: they carry out what aggregates want, and hold no state that matters."""
