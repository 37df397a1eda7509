#!/bin/sh
# sbang: runs a script whose interpreter has a path longer than the system reads.
#
# Such a script begins with `#!/bin/sh <this file>`, and its second line says what should run it:
# `#! <interpreter>`, or `--!`, `//!` or `<?php #!` where `#` begins no comment.
# Written by Hod; `spack install` puts Spack's own in its place.

if [ $# -eq 0 ]; then
    echo "usage: sbang SCRIPT [ARGUMENT...]" >&2
    exit 2
fi

first= second=
{ IFS= read -r first; IFS= read -r second; } < "$1"

interpreter=
for line in "$first" "$second"; do
    case $line in
        '#!'*/sbang | '#!'*/sbang' '*) continue ;;
        '#!'*) interpreter=${line#??} ;;
        '--!'* | '//!'*) interpreter=${line#???} ;;
        '<?php #!'*) interpreter=${line#'<?php #!'} interpreter=${interpreter%'?>'} ;;
        *) continue ;;
    esac
    break
done
if [ -z "$interpreter" ]; then
    echo "sbang: no interpreter in the first two lines of $1" >&2
    exit 1
fi

# Words, but no patterns.
set -f
skip=
for word in $interpreter; do
    # These mind which program the first line names, unless they are told to look for theirs.
    case ${word##*/} in
        perl | perl[0-9]* | ruby | ruby[0-9]*) skip=-x ;;
    esac
done
exec $interpreter $skip "$@"
