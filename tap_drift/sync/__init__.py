"""Incremental reading of a newest-first listing; knows no HTTP."""
