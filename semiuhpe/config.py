from semiuhpe.cli.config import *  # noqa: F403
from semiuhpe.errors import did_you_mean, require  # noqa: F401
