"""Deliberate faults: each is put into a copy of the project, where the tests that should notice it must fail.

A test suite says little about the faults that it does not find. So what would cost an operator data, or tell them
something that is not so, is written down here as a change of one place in the code, with the test that has to fail.
"""
