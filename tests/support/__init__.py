# SPDX-License-Identifier: Apache-2.0
"""What the tests of the server share: an application in this process, people, an agent played by hand, a world."""
