"""Tests of kfsecrets_ext.poddefaults."""
