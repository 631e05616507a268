"""The demonstration: a whole service backed up at one moment between the lab's two clusters, and proved.

``story`` is what a newcomer sees, in order; ``device`` is the control device and its commands; ``proof`` compares what
was recovered with what the application had been told was stored.
"""
