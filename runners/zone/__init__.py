# SPDX-License-Identifier: Apache-2.0
"""The agent's side of a zone: its store, its door, its work.  Never sees the database."""
