"""The command line. ``remote`` speaks to the API and to nothing else; ``serve`` is the control device itself."""
