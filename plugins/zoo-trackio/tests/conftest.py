import os
import tempfile
from importlib.util import find_spec

if find_spec("trackio"):  # it reads the folder's name once, when it is imported
    os.environ["TRACKIO_DIR"] = tempfile.mkdtemp(prefix="zoo-trackio-")
