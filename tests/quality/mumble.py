"""Mumble's server and client, to compare with."""

from __future__ import annotations

from systems import System

SYSTEMS: tuple[System, ...] = ()
