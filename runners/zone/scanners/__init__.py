# SPDX-License-Identifier: Apache-2.0
"""Looking into the files of a model version without loading them: one module per family of formats."""
