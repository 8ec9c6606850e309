# SPDX-License-Identifier: Apache-2.0
"""Drift engines behind one result: `schema` says what is asked and found, each engine is a module beside it."""
