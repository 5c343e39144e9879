"""Tokens of an identity provider: fetched, renewed, and for people signed in for."""
