#!/usr/bin/env python3
"""Unpacks one tarball the way Spack 1.2 does before it relocates (see BENCHMARKS.md, "The peer").

Written from the description of the format, not from Spack's code: the common prefix of the members
is found from the place of `.spack/binary_distribution`, stripped, and Python's own tarfile extracts
everything else with the filter that trusts the archive.

    peer_unpack.py TARBALL DIRECTORY
"""

import hashlib
import sys
import tarfile

MARK = ".spack/binary_distribution"


def common_prefix(members):
    """Where the package lies inside the archive, without a trailing slash."""
    marks = [member.name for member in members if member.isreg() and member.name.endswith(MARK)]
    if not marks:
        raise SystemExit("not a package: no " + MARK)
    return min(marks, key=len)[: -len(MARK)].rstrip("/")


def stripped(members, prefix):
    for member in members:
        if member.name == prefix:
            member.name = "."
        elif member.name.startswith(prefix + "/"):
            member.name = member.name[len(prefix) + 1 :]
        elif member.isdir() and prefix.startswith(member.name + "/"):
            continue  # An ancestor of the prefix.
        else:
            raise SystemExit(f"{member.name} is outside of {prefix}")
        if member.islnk() and member.linkname.startswith(prefix + "/"):
            member.linkname = member.linkname[len(prefix) + 1 :]
        yield member


def main():
    tarball, directory = sys.argv[1:]
    # A fetched blob is checked against its manifest before it is opened.
    with open(tarball, "rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    with tarfile.open(tarball, "r") as tar:
        members = tar.getmembers()
        trusted = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
        prefix = common_prefix(members)
        tar.extractall(directory, members=stripped(members, prefix), **trusted)


if __name__ == "__main__":
    main()
