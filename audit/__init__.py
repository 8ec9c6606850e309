# SPDX-License-Identifier: Apache-2.0
"""The ledger and the only writing transaction: what changed is sealed with the events that say so."""
