"""What the raters of a user study said: votes checked, matched to the key, and counted.

The study's page is made in `user_study`; here its answers become figures.
"""
