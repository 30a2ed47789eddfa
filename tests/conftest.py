"""What holds for all tests of one process, whichever of them come first."""

import os

from nas import cluster

os.environ.update(cluster._SETTINGS)  # which Ray looks at when it is imported, by a test that does so itself too
