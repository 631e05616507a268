"""The agent: one zipapp of standard-library Python that carries instructions out on a cluster's gateway host.

``protocol`` is the wire format, shared with the control device. ``core`` decides (no threads, clock, sockets, files);
``shell`` acts. Everything below this package imports the standard library and itself alone and runs on Python 3.8.
"""
