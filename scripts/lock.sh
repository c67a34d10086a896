#!/bin/sh
# Writes requirements.lock from pyproject.toml. A local tag such as torch's "+cpu" is dropped, so that the lock installs the
# CPU build or the CUDA build, whichever the machine's package index offers; our own line and pip's are dropped too.
# pip-compile forgets the marker of pocketsphinx, so it is put back.
set -eu
cd "$(dirname "$0")/.."
.venv/bin/pip-compile --quiet --extra laptop --extra training --extra dev --allow-unsafe --strip-extras --no-header \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-annotate \
  --output-file requirements.lock pyproject.toml "$@"
sed -i -E -e '/^(vita-serve|pip)( @|==)/d' -e '/^ *#/d' -e '/^$/d' -e 's/^([a-z0-9-]+==[^+ ]+)\+[a-z0-9.]+/\1/' -e "s/^(pocketsphinx==[0-9.]+)$/\1 ; python_version < '3.12'/" requirements.lock
rm -rf vita_serve.egg-info
