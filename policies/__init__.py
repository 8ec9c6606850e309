# SPDX-License-Identifier: Apache-2.0
"""Rules as data (YAML, CSV) and the pure functions that evaluate them: facts in, Decision out."""
