#!/usr/bin/env python3
"""Packs one prefix the way Spack 1.2 does, for comparison (see BENCHMARKS.md, "The peer").

Written from the description of the format, not from Spack's code: the same order of members, the
same headers, Python's own tarfile and zlib, both SHA-256 digests on the way, and each regular file
opened once, classified for relocation and then read into the archive. What Spack does around it
(reading its configuration, its database and its recipes) is left out, so this peer is faster than
`spack buildcache push`.

    peer.py PREFIX OUT.tar.gz [--relocate PATH]... [--level N]

prints one line of JSON: both digests and both sizes.
"""

import argparse
import codecs
import gzip
import hashlib
import io
import json
import os
import re
import stat
import struct
import tarfile

ELF = b"\x7fELF"
MACH_O = (b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xfe\xed\xfa\xce")
CHUNK = 64 * 1024
# A file with one of these bytes is not ISO-8859-1 text.
NOT_LATIN = re.compile(rb"[\x00\x7f-\x9f]")


class HashingWriter(io.RawIOBase):
    """Counts and hashes what passes through to `sink`."""

    def __init__(self, sink):
        self.sink = sink
        self.digest = hashlib.sha256()
        self.size = 0

    def writable(self):
        return True

    def tell(self):
        return self.size

    def write(self, data):
        self.digest.update(data)
        self.size += len(data)
        self.sink.write(data)
        return len(data)


def is_binary(magic):
    if magic[:4] == ELF or magic[:4] in MACH_O:
        return True
    # A fat Mach-O and a Java class share their magic; few architectures tell them apart.
    if magic[:4] == b"\xca\xfe\xba\xbe":
        return struct.unpack(">I", magic[4:8])[0] < 10
    if magic[:4] == b"\xbe\xba\xfe\xca":
        return struct.unpack("<I", magic[4:8])[0] < 10
    return False


def is_text(file):
    """Whether the content is UTF-8 or looks like ISO-8859-1; stops reading when it is neither."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_utf8 = is_latin = True
    while is_utf8 or is_latin:
        chunk = file.read(CHUNK)
        if is_utf8:
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError:
                is_utf8 = False
        if is_latin and NOT_LATIN.search(chunk):
            is_latin = False
        if not chunk:
            break
    return is_utf8 or is_latin


def kind_of(file):
    """`binary`, `text` or None, from an open file; its position is lost."""
    magic = file.read(8)
    if len(magic) < 8:
        return None
    if is_binary(magic):
        return "binary"
    file.seek(0)
    return "text" if is_text(file) else None


def header(path, status):
    """A normalised member header for `path`."""
    info = tarfile.TarInfo(path.lstrip("/"))
    info.uid = info.gid = info.mtime = 0
    if stat.S_ISDIR(status.st_mode):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif stat.S_ISLNK(status.st_mode):
        info.type, info.mode = tarfile.SYMTYPE, 0o755
        info.linkname = os.readlink(path)
    elif stat.S_ISREG(status.st_mode):
        info.mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
        info.size = status.st_size
    else:
        return None  # Sockets, devices and pipes are not packed.
    return info


def pack(tar, prefix, wanted):
    alternatives = b"|".join(re.escape(os.fsencode(path)) for path in wanted)
    in_text = re.compile(rb"(?<![\w\-_/])([\w\-_]*?)(" + alternatives + rb")([\w\-_/]*)")
    in_link = re.compile("|".join(re.escape(path) for path in wanted))
    found = {"relocate_binaries": [], "relocate_links": [], "relocate_textfiles": []}
    buildinfo = os.path.join(prefix, ".spack", "binary_distribution")
    metadata = os.path.join(prefix, ".spack", "")
    seen = {}

    # Spack gives the ancestors as directories of their own, outermost first.
    ancestors = []
    at = os.path.dirname(prefix)
    while at != "/":
        ancestors.append(at)
        at = os.path.dirname(at)
    for path in reversed(ancestors):
        tar.addfile(header(path, os.lstat(path)))

    # Depth first: a directory, then what is in it, then its directories, both sorted by name.
    # A prefix that Spack did not make has no metadata directory; hod makes the member up, and so
    # does this, that both streams can be compared.
    made_up = None if os.path.isdir(metadata) else os.path.dirname(metadata)
    stack = [prefix]
    while stack:
        directory = stack.pop()
        if directory == made_up:
            tar.addfile(header(directory, os.lstat(prefix)))
            continue
        tar.addfile(header(directory, os.lstat(directory)))
        with os.scandir(directory) as entries:
            entries = sorted(entries, key=lambda entry: entry.name)
        children = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        if directory == prefix and made_up:
            children = sorted([*children, made_up])
        stack.extend(reversed(children))
        for entry in entries:
            path = entry.path
            if entry.is_dir(follow_symlinks=False) or path == buildinfo:
                continue
            status = entry.stat(follow_symlinks=False)
            info = header(path, status)
            if info is None:
                continue
            if info.issym():
                tar.addfile(info)
                if info.linkname.startswith("/") and in_link.match(info.linkname):
                    found["relocate_links"].append(os.path.relpath(path, prefix))
                continue
            if status.st_nlink > 1:
                first = seen.setdefault((status.st_dev, status.st_ino), info.name)
                if first != info.name:
                    info.type, info.linkname, info.size = tarfile.LNKTYPE, first, 0
                    tar.addfile(info)
                    continue
            with open(path, "rb") as file:
                if not path.startswith(metadata):
                    kind = kind_of(file)
                    if kind == "binary":
                        found["relocate_binaries"].append(os.path.relpath(path, prefix))
                    elif kind == "text":
                        file.seek(0)
                        if in_text.search(file.read()):
                            found["relocate_textfiles"].append(os.path.relpath(path, prefix))
                    file.seek(0)
                tar.addfile(info, file)

    content = json.dumps({"buildpath": os.path.dirname(prefix), "hash_to_prefix": {}, **found})
    info = tarfile.TarInfo(buildinfo.lstrip("/"))
    info.mode, info.size = 0o644, len(content)
    tar.addfile(info, io.BytesIO(content.encode()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("prefix")
    parser.add_argument("out")
    parser.add_argument("--relocate", action="append", default=[])
    parser.add_argument("--level", type=int, default=6)
    arguments = parser.parse_args()
    prefix = os.path.abspath(arguments.prefix)
    wanted = arguments.relocate or [prefix, os.path.dirname(prefix)]
    with open(arguments.out, "wb") as out:
        blob = HashingWriter(out)
        with gzip.GzipFile(
            filename="", mode="wb", compresslevel=arguments.level, mtime=0, fileobj=blob
        ) as compressed:
            raw = HashingWriter(compressed)
            with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
                pack(tar, prefix, wanted)
    report = {
        "digest": blob.digest.hexdigest(),
        "size": blob.size,
        "diff_id": raw.digest.hexdigest(),
        "uncompressed_size": raw.size,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
