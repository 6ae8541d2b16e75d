"""wheel_requirements.py <wheel> <requirements.txt>: writes what a wheel requires, but PyTorch and its companions.

For a wheel that pins a build of PyTorch that the package index does not have.
"""
import sys
import zipfile
from email.parser import BytesParser

with zipfile.ZipFile(sys.argv[1]) as wheel:
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    requirements = BytesParser().parsebytes(wheel.read(metadata)).get_all("Requires-Dist", [])

with open(sys.argv[2], "w", encoding="utf-8") as output:
    for requirement in requirements:
        if "extra ==" not in requirement and not requirement.startswith("torch"):
            print(requirement, file=output)
