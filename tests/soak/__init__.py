"""The soak of the order path: every part of its proof, in any size, and the certificate.

``python -m tests.soak`` runs it whole and prints the certificate; ``--sample`` runs the sizes that
the tests use.
"""
