"""Trust: whose words an interaction and each part of it are, and what that lets them found.

May import the vocabulary only.
Must never ask what words mean: only who said them, and how they stand on the page.
"""
