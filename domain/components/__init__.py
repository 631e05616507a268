"""The kinds of data sets that a service can span; one module each, registered in ``registry``."""
