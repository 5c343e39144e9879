"""`python -m cognite_nb_upload.emulator`."""

import sys

from .cli import main

sys.exit(main())
