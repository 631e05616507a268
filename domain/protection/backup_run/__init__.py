"""A backup run: one execution of a policy for one moment. Read ``states``, then ``run``, then ``next``."""
