#!/bin/sh
# Moves old VOD files to the archive.
# For those who have the runbook's script of this name in cron: the same as
# `vodtender archive --yes`, whose arguments it takes and whose exit status it has.
here=$(dirname "$(readlink -f "$0")")
PATH="$PATH:$(dirname "$0"):$here:$here/../.venv/bin"
command -v vodtender >/dev/null || {
    echo "$0: there is no vodtender, neither on PATH nor beside this script" >&2
    exit 127
}
exec vodtender archive --yes "$@"
