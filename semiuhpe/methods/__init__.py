"""Training methods: each one is a module with ``add_options``, ``check_options`` and ``phases``."""

from semiuhpe.methods import clerf, onestage, semiuhpe

METHODS = {"semiuhpe": semiuhpe, "clerf": clerf, "onestage": onestage}
