import sys

from bursar_worker.main import main

sys.exit(main())
